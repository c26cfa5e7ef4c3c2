"""Models behind a defence in an experiment: checks of params.yaml, plans, costs, and a run by DVC end to end."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from builders import DIGITS
from PIL import Image
from repositories import made_on_digits

from crossfool.cli.check import facts
from crossfool.errors import UserError
from crossfool.experiment import costs, loading, plan_files, preflight, provenance
from crossfool.experiment.config import Experiment
from crossfool.models.inference import pixel_model
from crossfool.pipeline.evaluation import predictions_file
from crossfool.storage.tensors import TensorFile

ATTACKS = {"fgsm": {"epsilon": 100, "steps": 1, "step_size": 100}}
DEFENDED = {"fnn0_jpeg": {"model": "fnn0", "jpeg": 10}, "fnn0_noise": {"model": "fnn0", "noise": 60, "draws": 3}}
MODELS = ["fnn0", "fnn2", *DEFENDED]
PLAIN: dict[str, Any] = {"models": ["fnn0", "fnn2"], "defended": None}


def parsed(**changes: Any) -> Experiment:
    values = {**DIGITS, "subset": {"images": 5}, "compute": {"chunk": 5}, "attacks": ATTACKS, "sources": ["fnn0"]}
    values |= {"models": MODELS, "defended": DEFENDED, **changes}
    return loading.parse_experiment(yaml.safe_dump(values), "params.yaml")


def texts(**changes: Any) -> dict[str, str]:
    return plan_files.plan_texts(parsed(**changes))


def test_plans_of_an_experiment_without_a_defence_say_nothing_of_it() -> None:
    plain = texts(**PLAIN)
    assert not any("defen" in text for text in plain.values())
    guarded = texts()
    same = {name for name in plain if plain[name] == guarded[name]}
    assert set(plain) - same == {"select", "evaluate/fgsm", "report"}
    targets = [json.loads(each["evaluate/fgsm"])["values"]["targets"] for each in (plain, guarded)]
    assert targets[0].items() < targets[1].items()  # the same hashes


def test_a_level_is_in_its_own_plans_and_no_other() -> None:
    def differing(**row: Any) -> set[str]:
        after = texts(defended=DEFENDED | {"fnn0_noise": {"model": "fnn0", "noise": 60, "draws": 3, **row}})
        return {name for name in before if before[name] != after[name]} - {"report"}

    before, its = texts(), {"train/fnn0_noise", "predict/fnn0_noise", "evaluate/fgsm"}
    assert differing() == set()
    assert differing(draws=4) == differing(seed=1) == differing(noise=61) == differing(model="fnn2") == its
    plan = json.loads(before["train/fnn0_noise"])
    assert plan["values"]["plain"] == json.loads(before["train/fnn0"])["values"]
    assert set(plan["derived"]["networks"]) == {"fnn0", "fnn0_noise"}
    assert json.loads(before["train/fnn0_jpeg"])["libraries"].keys() == {"pillow"}


def test_a_draw_costs_a_forward_pass() -> None:
    both = costs.cost(parsed())
    one = costs.cost(parsed(defended=DEFENDED | {"fnn0_noise": {"model": "fnn0", "noise": 60, "draws": 1}}))
    assert both.passes - one.passes == 2 * (10_000 + 5) and both.gradients == one.gradients
    assert both.operations is not None and one.operations is not None and both.operations > one.operations


def row(name: str = "fnn0_jpeg", **values: Any) -> dict[str, Any]:
    return {"defended": DEFENDED | {name: {"model": "fnn0", **values}}}


MISTAKES = [
    ({"defended": None}, "unknown model 'fnn0_jpeg'"),
    (row(jpg=75), "defended: fnn0_jpeg: unknown key 'jpg'; did you mean jpeg?"),
    (row(), "defended: fnn0_jpeg: has no defence, expected one of bit_depth, jpeg"),
    (row(model="fnn1", jpeg=75), "defended: fnn0_jpeg: model: unknown model 'fnn1'; did you mean fnn2 or fnn0?"),
    (row(model="fnn0_noise", jpeg=75), "fnn0_noise has a defence already; name the plain model"),
    (row("other", jpeg=75), "defended: other is not in models; add it there, or remove it here"),
    (row("fnn2", jpeg=75), "defended: fnn2 is the name of another model; choose another, such as fnn2_jpeg"),
    (row(resize_pad=28, draws=1), "resize_pad is 28, expected more than the images' side of 28 pixels"),
    ({"sources": ["fnn0_jpeg"]}, "sources: fnn0_jpeg is behind a defence, and so a target only; take fnn0 there"),
    ({"sources": ["fnn0", "fnn2+fnn0_noise"]}, "sources: fnn0_noise is behind a defence"),
    ({"similarity": {"a": {"source": "fnn0", "target": "fnn0_jpeg", "sigma": 15, "samples": [1], "images": 2}}},
     "similarity: a: fnn0_jpeg is behind a defence"),
    ({"weights": {"sha256": {"fnn0_jpeg": "0" * 64}}}, "weights: sha256: fnn0_jpeg has the weights of fnn0; set that"),
    ({"training": {**DIGITS["training"], "retrain": ["fnn0_jpeg"]}}, "fnn0_jpeg has the weights of its plain model"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "line"), MISTAKES)
def test_a_mistake_in_params_is_one_line(changes: dict[str, Any], line: str) -> None:
    texts()  # the models are known to this process by another params.yaml, and yet not by this one
    with pytest.raises(UserError) as error:
        texts(**changes)
    assert line in str(error.value) and "\n" not in str(error.value)


def by_pillow(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image[0]).save(file, "JPEG", quality=10)
    return np.asarray(Image.open(file))[None]


@pytest.mark.slow
def test_a_defended_target_stands_beside_the_plain_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By DVC, from nothing to the report; then another number of draws, which reruns that target alone."""
    repository = made_on_digits(tmp_path, monkeypatch, train=12)
    models = ["fnn0", *DEFENDED]
    changes = {"models": models, "defended": DEFENDED, "sources": ["fnn0"], "attacks": ATTACKS, "transforms": {}}
    changes["subset"] = {"images": 5, "of": "all"}
    repository.edit(lambda params: params.update(changes))
    assert {f"train@{model}" for model in models} <= repository.repro()
    path = repository.path
    assert set(repository.metrics("fnn0/fgsm.json")) == set(models)
    table = (path / "report/tables.md").read_text(encoding="utf-8")
    assert all(model in table for model in models)

    weights = {model: TensorFile(path / "weights" / f"{model}.safetensors") for model in models}
    first = weights["fnn0"].names()[0]
    for model in DEFENDED:
        assert np.array_equal(weights[model][f"network.{first}"], weights["fnn0"][first]), "trained again, to the byte"
    images = np.array(TensorFile(path / "adversarial/fnn0/fgsm.safetensors")["images"])
    plain = pixel_model.load(path / "weights/fnn0.safetensors", device=torch.device("cpu"))
    compressed = torch.from_numpy(np.stack([by_pillow(image) for image in images])).float()
    expected = plain(compressed).topk(5).indices.numpy()
    predictions, _, _ = predictions_file.read_cell(path / "predictions/fnn0/fgsm.parquet")
    assert np.array_equal(predictions["fnn0_jpeg"], expected)

    lines = [text for label, text in facts(preflight.check(path)) if label == "defence"]
    noisy = "fnn0 behind Gaussian noise of σ = 60, majority vote over 3 draws (seed 0)"
    assert lines == [
        "fnn0_jpeg: fnn0 behind JPEG of quality 10; 1 forward pass an image",
        f"fnn0_noise: {noisy}; 3 forward passes an image",
    ]
    what = provenance.provenance_sections(provenance.find_cell("fnn0/fgsm", path))["What"]
    assert ("defence", f"target fnn0_noise: {noisy} (Cohen et al. 2019, arXiv 1902.02918)") in what

    more = {**DEFENDED, "fnn0_noise": {**DEFENDED["fnn0_noise"], "draws": 4}}
    repository.edit(lambda params: params.update(defended=more))
    ran = repository.repro()
    assert {"plan", "train@fnn0_noise", "predict@fnn0_noise", "evaluate@fnn0-fgsm", "report"} <= ran
    assert not {"train@fnn0", "train@fnn0_jpeg", "predict@fnn0", "predict@fnn0_jpeg", "attack@fnn0-fgsm"} & ran
