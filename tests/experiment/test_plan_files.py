"""Plan files: what they hold, and what is said where they are out of date."""

import json
from pathlib import Path

import pytest
import yaml
from builders import EMPTY, ROOT

from crossfool.datasets.preparation import catalogue
from crossfool.errors import UserError
from crossfool.experiment import fingerprint, loading, plan, plan_files, stage_plans
from crossfool.models import network_files

PARAMS = {
    "root": ".",
    "dataset": {"name": "imagenet-sample"},
    "models": ["efficientnet_lite0", "efficientnet_lite1", "resnet18"],
    "targets": ["efficientnet_lite1"],
    "weights": {"dir": "own"},
    "training": None,
    "subset": {"images": 12, "seed": 0, "targets": "random"},
    "compute": {"precision": "float32", "chunk": 5},
    "sources": ["efficientnet_lite0", "efficientnet_lite0+resnet18"],
    "attacks": {
        "fgsm": {"epsilon": 15, "steps": 1, "step_size": 15},
        "sg": {"epsilon": 15, "steps": 2, "step_size": 5, "gradient": "smoothed", "samples": 3, "sigma": 15},
        "vmi": {"epsilon": 15, "steps": 2, "step_size": 5, "gradient": "varied", "samples": 3, "radius": 15},
    },
    "transforms": {"jpeg": [30]},
    **{key: value for key, value in EMPTY.items() if key != "targets"},
}
TWO = {"jpeg": [30], "rotation": [5]}


def parsed(**changes):
    return loading.parse_experiment(yaml.safe_dump(PARAMS | changes), ROOT / "params.yaml")


def contents(**changes) -> dict[str, dict]:
    return {name: json.loads(text) for name, text in plan_files.plan_texts(parsed(**changes)).items()}


def changed(**changes) -> set[str]:
    before, after = contents(), contents(**changes)
    return {name for name in before.keys() & after.keys() if before[name] != after[name]} - {"report"}


def test_each_value_is_in_the_plans_of_the_stages_that_use_it():
    attacks = PARAMS["attacks"]
    assert changed() == set()
    assert changed(attacks=attacks | {"sg": attacks["sg"] | {"sigma": 16}}) == {"attack/sg", "evaluate/sg"}
    assert changed(subset=PARAMS["subset"] | {"seed": 1}) == {"select"}
    assert changed(transforms={"jpeg": [31]}) == {f"evaluate/{name}" for name in attacks}
    every_cell = {f"{kind}/{name}" for kind in ("attack", "evaluate") for name in attacks}
    predictions = {f"predict/{model}" for model in PARAMS["models"]}
    assert changed(compute={"precision": "float32", "chunk": 6}) == every_cell | predictions
    assert changed(lpips=True) == {f"evaluate/{name}" for name in attacks} | {"lpips"}
    assert changed(models=[*PARAMS["models"], "vgg11"]) == {"select"}  # no target, no source: it is asked nothing
    assert changed(sources=["efficientnet_lite0"]) == set()


def test_a_known_accuracy_is_demanded_on_its_data_set_alone():
    accuracies = {name: network.accuracies for name, network in network_files.networks().items() if network.accuracies}
    assert accuracies == {
        f"efficientnet_lite{number}": {"imagenet-sample-images": top1} for number, top1 in enumerate((88.2, 88.2, 89.2))
    }
    assert all(set(known) <= set(catalogue.names()) for known in accuracies.values())
    demanded = {
        dataset: [
            contents(dataset={"name": dataset})[f"predict/{model}"]["values"].get("known_top1")
            for model in PARAMS["models"]
        ]
        for dataset in ("imagenet-sample", "imagenet-sample-images")
    }
    assert demanded == {"imagenet-sample": [None] * 3, "imagenet-sample-images": [88.2, 88.2, None]}


def test_a_plan_names_the_modules_of_its_row_and_models_alone():
    plans = {name: content["code"].keys() for name, content in contents().items()}
    estimators = {"attacks.gradients.smoothed", "attacks.gradients.varied", "attacks.gradients.relevant"}
    assert {name: plans[f"attack/{name}"] & estimators for name in PARAMS["attacks"]} == {
        "fgsm": set(),
        "sg": {"attacks.gradients.smoothed"},
        "vmi": {"attacks.gradients.varied"},
    }
    places = ("models.networks.", "models.build")
    networks = {name: {n for n in code if n.startswith(places)} for name, code in plans.items()}
    assert networks["predict/efficientnet_lite0"] == {"models.build", "models.networks.efficientnet_lite"}
    assert networks["predict/resnet18"] == {"models.build"}
    assert "attacks.loop" in plans["attack/fgsm"] and "attacks.loop" not in plans["evaluate/fgsm"]
    assert not any(name.endswith("config") for code in plans.values() for name in code)


def test_predictions_are_kept_for_the_code_that_computes_them(monkeypatch):
    """Else `evaluate` would read what other code predicted; a transform's code concerns its own predictions alone."""
    before = contents(transforms=TWO)["evaluate/fgsm"]["values"]
    evaluation = "pipeline.evaluation"
    for module, changed in {
        "models.inference.pixel_model": {"targets"},
        f"{evaluation}.predict": {"targets"},
        f"{evaluation}.image_transforms": {"jpeg", "rotation"},
        "pipeline.transforms.rotation": {"rotation"},
        "pipeline.transforms.gaussian_blur": set(),
    }.items():
        with monkeypatch.context() as patch:
            sources = fingerprint._SOURCES
            patch.setitem(sources, module, sources[module] + b"\nUNUSED = 1\n")
            after = contents(transforms=TWO)["evaluate/fgsm"]["values"]
        same = before["targets"].items() & after["targets"].items()
        assert len(same) == (0 if "targets" in changed else len(before["targets"])), module
        hashes = before["transform_hashes"].items() ^ after["transform_hashes"].items()
        assert {name for name, _ in hashes} == changed - {"targets"}, module


def test_a_plan_names_the_transforms_of_its_cells_alone():
    def named(name: str, **changes) -> set[str]:
        code = contents(**changes)[name]["code"]
        return {module.rpartition(".")[2] for module in code if module.startswith("pipeline.transforms.")}

    assert named("evaluate/fgsm") == {"jpeg"}
    assert named("evaluate/fgsm", transforms=TWO) == {"jpeg", "rotation"}
    assert named("evaluate/fgsm", transforms={}) == named("predict/resnet18") == named("attack/fgsm") == set()


def test_what_changed_is_said():
    first = stage_plans.craft(parsed(), "sg").content()
    assert list(plan_files.differences(first, first)) == []
    other = stage_plans.craft(parsed(attacks={"sg": PARAMS["attacks"]["sg"] | {"sigma": 16}}), "sg").content()
    assert list(plan_files.differences(first, other)) == ["params.yaml changed (attack.sigma: 15.0 -> 16.0)"]
    older = first | {"code": first["code"] | {"attacks.loop": "0", "seeds": "1"}}
    assert list(plan_files.differences(older, first)) == ["code changed (attacks.loop and 1 more)"]
    assert list(plan_files.differences([], first)) == ["the plan is damaged"]
    assert list(plan_files.differences(first | {"libraries": {"timm": "1"}}, first)) == [
        "version changed (timm: 1 -> none)"
    ]


def test_a_damaged_plan_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "load_experiment", parsed)
    Path("plan/attack").mkdir(parents=True)
    Path("plan/attack/sg.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError) as error:
        plan_files.verified(stage_plans.craft, "sg")
    assert str(error.value) == (
        "plan/attack/sg.json is damaged: expected an object, found list; delete it and run `dvc repro`"
    )


def test_another_librarys_version_is_in_the_plans_of_what_uses_it(monkeypatch):
    versions = {"timm": "1.0.7", "torchattack": "1.7.2"}
    monkeypatch.setattr(plan, "library_version", versions.__getitem__)
    pinned = {"sha256": {"timm_resnet18": "0" * 64}}
    row = {"method": "torchattack/MIFGSM", "epsilon": 15, "steps": 2}
    plans = contents(
        models=["efficientnet_lite0", "efficientnet_lite1", "timm_resnet18"],
        sources=["efficientnet_lite0", "efficientnet_lite0+timm_resnet18"],
        weights=pinned,
        attacks=PARAMS["attacks"] | {"theirs": row},
    )
    libraries = {name: content["libraries"] for name, content in plans.items() if "libraries" in content}
    timm = ("train/timm_resnet18", "predict/timm_resnet18", "source/efficientnet_lite0+timm_resnet18")
    assert libraries == {name: {"timm": "1.0.7"} for name in timm} | {"attack/theirs": {"torchattack": "1.7.2"}}
    assert "attacks.torchattack.adapter" in plans["attack/theirs"]["code"]
    assert "attacks.torchattack.adapter" not in plans["attack/fgsm"]["code"]
