"""The provenance of a cell as `explain` prints it: by its file, by dvc.lock and params.yaml, and in formulas."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import told
from made_experiments import facts, lock

from crossfool.attacks.config import Attack
from crossfool.experiment import descriptions, formulas, loading, provenance
from crossfool.experiment.cell_summary import cell_summary
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import write_tensors


@pytest.fixture
def described(project: Path, small: Path) -> Path:
    """The file of sg_fgsm from the ensemble, with the metadata that the attack stage writes; locked."""
    row = loading.load_experiment(small / "params.yaml").row("sg_fgsm")
    path = small / "adversarial/fnn2+fnn0/sg_fgsm.safetensors"
    metadata = {
        "source": "fnn2+fnn0",
        "attack": "sg_fgsm",
        "params": row.model_dump_json(exclude_none=True),
        "compute": '{"precision":"float32","compile":false,"chunk":8}',
        "seed": "0",
        "weights": json.dumps({"fnn2": "2" * 64, "fnn0": "a" * 64}),
        "subset": sha256(small / "subset/images.safetensors"),
        "crossfool": "0.1.0",
        "torch": "2.14.1",
    }
    write_tensors(path, {"images": np.zeros((8, 1, 28, 28), np.uint8)}, metadata)
    lock(project, small)
    return path


def test_a_later_attack_is_explained() -> None:
    base = {"epsilon": 16, "steps": 4, "step_size": 4}
    more = {"diversity": 0.5, "kernel": 7, "scales": 5, "update": "nesterov", "decay": 1.0}
    row = Attack(**base, gradient="varied", samples=4, radius=24, **more)
    assert descriptions.attack_summary(row) == (
        "untargeted, varied gradient of 4 neighbours within 24, 5 scales, diverse inputs (p = 0.5, sides from 0.9), "
        "kernel of 7 × 7, Nesterov momentum μ = 1, T = 4 steps of α = 4, ε = 16"
    )
    found = dict(formulas.update_facts(row, 1))
    assert found["look"] == "yₜ = xₜ + 4 · 1 · n gₜ, n the image's number of values"
    assert found["gradient"].startswith("Gₜ = ∇J(yₜ) + vₜ, v₀ = 0, vₜ₊₁ = 1/4 · Σᵢ ∇J(yₜ + rᵢ), 4 rᵢ ~ U(−24, 24)")
    assert (
        found["scales"] == "∇J(x) is the mean over i < 5 of those of J(x / 2ⁱ) by x"
        and "Kₜ = W ∗ Gₜ" in found["kernel"]
    )
    assert "Kₜ / ‖Kₜ‖₁" in found["momentum"] and "sign gₜ₊₁" in found["step"]
    assert found["stored"] == "whole numbers throughout: uint8 loses nothing"
    row = Attack(**base, gradient="relevant", samples=4, radius=56)
    found = dict(formulas.update_facts(row, 1))
    assert found["step"].startswith("xₜ₊₁ = clip(xₜ + 4 · 0.94^cₜ · sign Gₜ)") and "rounded" in found["stored"]
    row = Attack(**base, gradient="smoothed", samples=4, sigma=15, noise="latin")
    assert "m = 4 latin samples with σ = 15" in descriptions.attack_summary(row)
    assert "N(0, 15²), latin afresh" in dict(formulas.update_facts(row, 1))["gradient"]


def test_a_cell_is_explained(small: Path, described: Path) -> None:
    found = facts("fnn2+fnn0/sg_fgsm", small)
    assert found["cell"] == "sg_fgsm from fnn2 + fnn0 (an ensemble)"
    assert found["gradients"] == "T · m = 5 an image and model; · 8 images · 2 models = 80"
    assert found["gradient"] == "Gₜ = 1/5 · Σᵢ ∇J(xₜ + ξᵢ), 5 ξᵢ ~ N(0, 15²) afresh each step"
    assert found["step"] == "xₜ₊₁ = clip(xₜ + 40 · sign Gₜ) to [0, 255] and |x − x₀| ≤ 40; once: t = 0"
    assert found["loss"].startswith("J(x) = −f(x)[true label]; f = log of the mean of the members' softmax")
    assert {"epsilon = 40", "samples = 5", "sigma = 15", "seed = 0", "fusion = probabilities"} <= found.keys()
    assert found["compute"] == "precision float32, compile false, chunk 8"
    assert found["params.yaml"] == "says the same"
    assert found["subset"].endswith(f"sha256 {sha256(small / 'subset/images.safetensors')}: the file's")
    assert "2" * 64 in found["weights of fnn2"] and "a" * 64 in found["weights of fnn0"]
    assert found["libraries"] == "crossfool 0.1.0, torch 2.14.1"
    content = described.read_bytes()
    assert found["sha256"] == hashlib.sha256(content).hexdigest()
    assert (found["md5"], found["dvc.lock"]) == (hashlib.md5(content).hexdigest(), "the same md5")
    assert found["in any case"] == (f"dvc repro --force --single-item '{small / 'dvc.yaml'}:attack@fnn2+fnn0-sg_fgsm'")
    assert found["rates"] == str(small / "metrics/fnn2+fnn0/sg_fgsm.json")
    assert found["top-1 on fnn2"] == "25.0% [7.1, 59.1] (white-box)"


def test_a_cell_is_told_in_sentences(small: Path, described: Path) -> None:
    subset = sha256(small / "subset/images.safetensors")[:12]
    cell = provenance.find_cell("fnn2+fnn0/sg_fgsm", small)
    assert cell_summary(cell) == (
        f"The attack sg_fgsm changes 8 images of {cell.experiment.dataset.name} (subset sha256 {subset}...) so that "
        f"the ensemble of fnn2 (weights sha256 {'2' * 12}...) and fnn0 (weights sha256 {'a' * 12}...) gives "
        f"a wrong label. It is {facts('fnn2+fnn0/sg_fgsm', small)['attack']}. "
        "It costs 5 gradient evaluations an image and model, 80 in all. "
        f"The adversarial images are in {described} (sha256 {sha256(described)[:12]}...). "
        "Success on models that the attack has not seen: 25.0% on fnn4."
    )
    described.unlink()
    assert "The adversarial images are not here." in cell_summary(provenance.find_cell("fnn2+fnn0/sg_fgsm", small))


def test_a_path_says_the_same_as_a_name(small: Path, described: Path) -> None:
    assert facts(str(described), Path()) == facts("fnn2+fnn0/sg_fgsm", small)


def test_what_has_changed_since_is_told(project: Path, small: Path, described: Path) -> None:
    text = (small / "params.yaml").read_text(encoding="utf-8").replace("sigma: 15", "sigma: 25")
    (small / "params.yaml").write_text(text, encoding="utf-8")
    write_tensors(small / "subset/images.safetensors", {"images": np.ones((8, 1, 28, 28), np.uint8)})
    shutil.copy(small / "adversarial/fnn0/far.safetensors", small / "adversarial/fnn0/sg_fgsm.safetensors")
    found = facts("fnn2+fnn0/sg_fgsm", small)
    assert found == facts("fnn2+fnn0-sg_fgsm", small)
    assert found["params.yaml"] == "has changed since: sigma 15, now 25"
    assert "N(0, 15²)" in found["gradient"]  # what was computed, not what would be
    assert ": NOT the file's, " in found["subset"]
    assert "ANOTHER FILE" in facts("fnn0/sg_fgsm", small)["dvc.lock"]


def test_a_cell_that_is_not_here_is_explained_by_lock_and_params(small: Path, described: Path) -> None:
    md5 = hashlib.md5(described.read_bytes()).hexdigest()
    size = described.stat().st_size
    for place in ("adversarial", "predictions", "subset"):
        shutil.rmtree(small / place)
    text = (small / "params.yaml").read_text(encoding="utf-8").replace("sigma: 15", "sigma: 25")
    (small / "params.yaml").write_text(text, encoding="utf-8")
    found = facts(str(described), Path())
    target = f"{os.path.relpath(small)}/dvc.yaml"
    assert f"is not here; run `dvc repro {target}` to make it (it alone: `dvc repro " in found["path"]
    assert "dvc pull" not in found["path"]
    assert found["dvc.lock"] == f"md5 {md5}, {size:,} bytes"
    assert found["gradients"].endswith("8 images · 2 models = 80")  # the count is in the metrics
    assert "N(0, 15²)" in found["gradient"] and found["params.yaml"] == "has changed since: sigma 15, now 25"
    (small / "dvc.lock").unlink()
    found = facts("fnn2+fnn0/sg_fgsm", small)
    assert found["dvc.lock"] == "does not name it: it was not run yet" and "N(0, 25²)" in found["gradient"]
    assert found["in any case"].endswith(":attack@fnn2+fnn0-sg_fgsm'")


def test_a_damaged_cell_is_an_error(small: Path, described: Path) -> None:
    content = bytearray(described.read_bytes())
    content[-1] ^= 1
    described.write_bytes(bytes(content))
    assert "has changed since it was written" in told("explain", str(described), code=2)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("fnn0", "'fnn0' is not a cell; expected source/attack, or a path"),
        ("fnn0/fgms", "unknown attack 'fgms'; did you mean"),
        ("fnn0-fgms", "unknown attack 'fgms'; did you mean"),
        ("fnn0-fgsm/far", "unknown source 'fnn0-fgsm'"),
        ("fnn1/fgsm", "unknown source 'fnn1'; did you mean"),
        ("somewhere/fgsm.safetensors", "does not lie in an experiment's adversarial/<source>/"),
    ],
)
def test_what_is_no_cell(small: Path, cell: str, message: str) -> None:
    assert message in told("explain", cell, "--folder", str(small), code=2)


def test_the_update_in_words() -> None:
    row = {"epsilon": 7.5, "steps": 10, "step_size": 1.25, "update": "momentum", "decay": 0.9, "objective": "targeted"}
    found = dict(formulas.update_facts(Attack(**row), 1))
    assert found["loss"] == "J(x) = f(x)[target label]; f the source's log-probabilities"
    assert found["momentum"] == "gₜ₊₁ = 0.9 · gₜ + ∇J(xₜ) / ‖∇J(xₜ)‖₁, g₀ = 0 (equation 5)"
    assert found["step"] == ("xₜ₊₁ = clip(xₜ + 1.25 · sign gₜ₊₁) to [0, 255] and |x − x₀| ≤ 7.5; 10 times: t = 0 … 9")
    assert found["stored"] == "rounded, and clipped again to |x − x₀| ≤ 7"
