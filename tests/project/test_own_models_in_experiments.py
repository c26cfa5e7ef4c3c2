"""A model of the user's own in an experiment: checks of params.yaml, plans and reruns, and a run by DVC end to end."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from builders import DIGITS, ROOT
from repositories import made_on_digits

from crossfool.errors import UserError
from crossfool.experiment import loading, plan_files, preflight

NET = """
from torch import nn
from blocks import layers

def build():
    return nn.Sequential(*layers())
"""
BLOCKS = """
from torch import nn

def layers():
    return nn.Flatten(), nn.Linear(784, 10)
"""
ROW = {"file": "mynet.py", "weights": "mynet.pt", "mean": [100], "std": [50], "side": 28}
ATTACKS = {"fgsm": {"epsilon": 100, "steps": 1, "step_size": 100}}


def fill(project: Path) -> None:
    """Write the files of a model that tells made digits apart by the brightness of their ten places."""
    own = project / "own"
    own.mkdir(exist_ok=True)
    (own / "mynet.py").write_text(NET)
    (own / "blocks.py").write_text(BLOCKS)
    weight = torch.zeros(10, 28, 28)
    for label in range(10):
        top, left = 4 + 12 * (label // 5), 1 + 5 * (label % 5)
        weight[label, top : top + 8, left : left + 5] = 0.1
    torch.save(
        {"state_dict": {"module.1.weight": weight.flatten(1), "module.1.bias": torch.zeros(10)}}, own / "mynet.pt"
    )


def values(**changes: Any) -> dict[str, Any]:
    models = {"models": ["fnn0", "mynet"], "sources": ["fnn0", "mynet"], "own_models": {"mynet": ROW}}
    return {**DIGITS, "subset": {"images": 5}, "compute": {"chunk": 5}, "attacks": ATTACKS, **models, **changes}


def texts(project: Path, **changes: Any) -> dict[str, str]:
    experiment = loading.parse_experiment(yaml.safe_dump(values(**changes)), project / "params.yaml")
    return plan_files.plan_texts(experiment)


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]} - {"report"}


ALL = {"train/mynet", "predict/mynet", "source/mynet", "evaluate/fgsm"}


def test_its_files_are_in_its_own_plans_and_no_other(tmp_path: Path) -> None:
    fill(tmp_path)
    before = texts(tmp_path)
    for file, text in (("mynet.py", NET + "print(1)\n"), ("blocks.py", BLOCKS + "print(1)\n")):
        kept = (tmp_path / "own" / file).read_bytes()
        (tmp_path / "own" / file).write_text(text)
        assert differing(before, texts(tmp_path)) == ALL, file
        (tmp_path / "own" / file).write_bytes(kept)
    (tmp_path / "own/unused.py").write_text("print(1)\n")
    assert differing(before, texts(tmp_path)) == set()
    assert differing(before, texts(tmp_path, **mynet(function="make"))) == ALL
    assert differing(before, texts(tmp_path, **mynet(std=[51]))) == {"train/mynet"}
    torch.save({}, tmp_path / "own/mynet.pt")
    assert differing(before, texts(tmp_path)) == {"train/mynet"}


def test_plans_without_such_a_model_say_nothing_of_it(tmp_path: Path) -> None:
    plain = {"models": ["fnn0", "fnn2"], "sources": ["fnn0"], "own_models": None}
    assert not any("own" in re.findall(r"\"(\w+)\":", text) for text in texts(tmp_path, **plain).values())
    before = texts(tmp_path, **plain)
    fill(tmp_path)
    after = texts(tmp_path)
    assert all(after[name] == before[name] for name in ("train/fnn0", "predict/fnn0", "source/fnn0", "attack/fgsm"))


def test_check_says_which_file_changed(tmp_path: Path) -> None:
    fill(tmp_path)
    before = loading.parse_experiment(yaml.safe_dump(values()), tmp_path / "params.yaml")
    old = {plan.name: plan.content() for plan in plan_files.stage_plans.all_plans(before)}
    (tmp_path / "own/blocks.py").write_text(BLOCKS + "print(1)\n")
    after = loading.parse_experiment(yaml.safe_dump(values()), tmp_path / "params.yaml")
    new = {plan.name: plan.content() for plan in plan_files.stage_plans.all_plans(after)}
    for name in ("train/mynet", "predict/mynet", "source/mynet"):
        assert next(plan_files.differences(old[name], new[name])) == "code changed (own/blocks.py)"


def mynet(**changes: Any) -> dict[str, Any]:
    return {"own_models": {"mynet": {**ROW, **changes}}}


MISTAKES = [
    ({"own_models": None}, "unknown model 'mynet'; did you mean lenet? (a model"),
    ({"own_models": None}, "(a model of your own: docs/your-own.md)"),
    ({"own_models": {"mynet": ROW, "other": ROW}}, "own_models: other is not in models; add it there"),
    ({"own_models": {"fnn0": ROW}}, "own_models: fnn0 is the name of another model; choose another, such as my_fnn0"),
    (mynet(file="mynte.py"), "file: unknown file 'mynte.py'; did you mean mynet.py?"),
    (mynet(file="../mynet.py"), "own_models: mynet: file: ../mynet.py lies outside own/"),
    (mynet(weights="/x.pt"), "weights: /x.pt lies outside own/; add its sha256"),
    (mynet(mean=[1, 2, 3]), "own_models: mynet: mean has 3 numbers, expected 1"),
    (mynet(std=[0.2]), "std is [0.2], as for pixels 0..1; add pixels: 1, or multiply mean"),
    (mynet(classes=1000), "classes is 1000, and the images have 10 classes; expected 10"),
    (mynet(wieghts="x"), "unknown key of own_models.mynet 'wieghts'; did you mean weights"),
    (mynet(side=0), "own_models: mynet: side is 0"),
    (mynet(sha256="12"), "own_models: mynet: sha256"),
    ({"weights": {"sha256": {"mynet": "0" * 64}}}, "mynet is a model of your own; set own_models: mynet: sha256"),
    ({"models": ["mynet"], "sources": ["mynet"]}, "training: no model here uses it"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "line"), MISTAKES)
def test_a_mistake_in_params_is_one_line(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    fill(tmp_path)
    texts(tmp_path)  # the model is known to this process by another params.yaml, and yet not by this one
    with pytest.raises(UserError) as error:
        texts(tmp_path, **changes)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_missing_weights_are_named_unless_their_hash_is_given(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "own/mynet.pt").unlink()
    with pytest.raises(UserError, match=r"own_models: mynet: weights: .*own/mynet\.pt is missing; put it there"):
        texts(tmp_path)
    assert '"own_sha256": "0000' in texts(tmp_path, **mynet(sha256="0" * 64))["train/mynet"]


@pytest.mark.slow
def test_it_is_attacked_and_an_edit_reruns_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By DVC, from nothing to the report; the last edit is refused in one line."""
    repository = made_on_digits(tmp_path, monkeypatch, train=12)
    fill(repository.path)
    changes = values(sources=["mynet"], transforms={})
    repository.edit(
        lambda params: params.update(
            {key: changes[key] for key in ("own_models", "models", "sources", "attacks", "transforms")}
        )
    )
    cells = {"attack@mynet-fgsm", "evaluate@mynet-fgsm"}
    its_own = {"plan", "train@mynet", "predict@mynet", "source@mynet"}
    assert its_own | cells | {"train@fnn0", "report"} <= repository.repro()
    assert repository.metrics("clean/mynet.json")["top1"] == 100
    assert repository.metrics("mynet/fgsm.json")["mynet"]["top1"] == 100

    blocks = repository.path / "own/blocks.py"
    blocks.write_text(BLOCKS + "# a remark\n")
    checked = preflight.check(repository.path).stages
    assert checked is not None
    assert {stage.why for stage in checked if stage.kind == "train" and stage.runs} == {"code changed (own/blocks.py)"}
    ran = repository.repro()
    assert its_own <= ran and ran <= its_own | cells | {"report"}
    assert repository.repro() == set()

    blocks.write_text(BLOCKS.replace("784, 10", "784, 9"))
    failed = repository.dvc("repro", code=255)
    assert "error: mynet: weights: 1.weight has shape (10, 784), expected (9, 784)" in failed
    assert "Traceback" not in failed
    assert (ROOT / "own/README.md").is_file()  # the folder has to be in git: DVC depends on it
