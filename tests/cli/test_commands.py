"""The command line, on made experiments whose differences, costs and bytes are known by hand."""

import hashlib
import itertools
import json
import os
import pty
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from builders import EMPTY, ROOT
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from command_line import git, told
from made_datasets import made_digits
from made_experiments import FGSM, FOOLED, LABELS, SG, lock, make
from PIL import Image
from repositories import Repository, made

from crossfool import text_encoding
from crossfool.attacks.config import Attack
from crossfool.cli import check as cli_check
from crossfool.cli import list as listing
from crossfool.cli import new as cli_new
from crossfool.cli.completion import KINDS
from crossfool.cli.main import main
from crossfool.datasets import image_files
from crossfool.datasets.config import Dataset
from crossfool.errors import UserError
from crossfool.experiment import costs, descriptions, dvc_records, dvc_status, formulas, loading, preflight, provenance
from crossfool.experiment.config import Experiment
from crossfool.experiment.results import comparison, revisions
from crossfool.models.weights import registry
from crossfool.pipeline.crafting import timings
from crossfool.pipeline.evaluation.config import TRANSFORMS
from crossfool.stats import intervals
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import write_tensors

LITE = ["efficientnet_lite0"]


# --- intervals --------------------------------------------------------------------------------------


def test_newcombes_interval_is_the_published_one() -> None:
    """Cavo et al. 2012 in Fagerland, Lydersen, Laake, Statistical Analysis of Contingency Tables (2017), chapter 8."""
    assert intervals.paired_counts(59, 6, 16, 80) == pytest.approx((-0.1186, -0.0046), abs=5e-5)


def test_newcombes_interval_by_hand() -> None:
    """All 16 succeed in both: Wilson is [16 / (16 + z^2), 1] for either, their correlation is none."""
    ends = intervals.paired_counts(16, 0, 0, 0)
    assert ends == pytest.approx((-(1 - 16 / (16 + 3.841459)), 1 - 16 / (16 + 3.841459)), abs=1e-6)
    # 5 and 5 that never differ: phi = (25 - 10/2) / 25 = 0.8; Wilson of 5 of 10 is 0.5 +- 0.263410
    half = 0.263410 * (2 - 2 * 0.8) ** 0.5
    assert intervals.paired_counts(5, 0, 0, 5) == pytest.approx((-half, half), abs=1e-5)


def test_newcombes_interval_turns_round_with_its_arguments() -> None:
    generator = np.random.default_rng(0)
    for n in (1, 2, 7, 40):
        a, b = generator.random((2, n)) < 0.6
        low, high = intervals.newcombe(a, b)
        assert -1 <= low <= a.mean() - b.mean() <= high <= 1
        assert intervals.newcombe(b, a) == pytest.approx((-high, -low))


def test_the_interval_of_a_mean_by_hand() -> None:
    """Mean 1/2, standard deviation 1/sqrt(3); t of 3 degrees of freedom is 3.182446 at 97.5%."""
    half = 3.182446 / 3**0.5 / 2
    assert intervals.mean(np.array([0.0, 0, 1, 1])) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    assert intervals.mean(np.array([0.25, 0.25])) is None and intervals.mean(np.array([1.0])) is None


# --- compare ----------------------------------------------------------------------------------------


def test_two_attacks_by_hand(small: Path) -> None:
    """fgsm fools on the first 8, 5, 0 of 8 images from fnn0, and 2, 2, 4 from the ensemble; sg_fgsm on 2 each time."""
    found = comparison.compare("fgsm", "sg_fgsm", small)
    rows = {(row.source, row.target): row for row in found.rows}
    assert found.images == 8 and len(rows) == 6
    points = {cell: row.difference.points for cell, row in rows.items()}
    assert points == {
        ("fnn0", "fnn0"): 75.0,
        ("fnn0", "fnn2"): 37.5,
        ("fnn0", "fnn4"): -25.0,
        ("fnn2+fnn0", "fnn0"): 0.0,
        ("fnn2+fnn0", "fnn2"): 0.0,
        ("fnn2+fnn0", "fnn4"): 25.0,
    }
    row = rows["fnn0", "fnn2"]
    assert (row.first, row.second, row.whitebox) == (62.5, 25.0, False)
    low, high = intervals.paired_counts(2, 3, 0, 3)
    assert (row.difference.low, row.difference.high) == pytest.approx((100 * low, 100 * high))
    # McNemar: of 6, 3, 2, 0, 0, 2 images that differ all the same way, p is 2 / 2^k
    p = {cell: row.difference.p for cell, row in rows.items()}
    assert list(p.values()) == pytest.approx([2 / 64, 2 / 8, 0.5, 1, 1, 0.5])
    # Holm: the least times 6, then 5 times 0.25, which is above 1
    assert [row.difference.adjusted for row in found.rows] == pytest.approx([6 / 32, 1, 1, 1, 1, 1])


def test_black_box_cells_are_pooled_within_an_image(small: Path) -> None:
    """Differences an image: 0 and 1 lose in one of three cells, 2 and 3 win in two, 4 in one."""
    (pooled,) = comparison.compare("fgsm", "sg_fgsm", small).pooled
    differences = np.array([-1, -1, 2, 2, 1, 0, 0, 0]) / 3
    assert pooled.cells == 3 and pooled.difference.points == pytest.approx(100 / 8)
    sums = [sum(signs) for signs in itertools.product((-1, 1), (-1, 1), (-2, 2), (-2, 2), (-1, 1))]
    assert pooled.difference.p == pytest.approx(sum(abs(one) >= 3 for one in sums) / 32)
    half = 2.364624 * differences.std(ddof=1) / 8**0.5  # t of 7 degrees of freedom
    assert (pooled.difference.low, pooled.difference.high) == pytest.approx(
        (12.5 - 100 * half, 12.5 + 100 * half), abs=1e-4
    )


def test_a_source_and_a_target_can_be_chosen(small: Path) -> None:
    found = comparison.compare("fgsm", "sg_fgsm", small, source="fnn0", target="fnn2")
    assert [(row.source, row.target) for row in found.rows] == [("fnn0", "fnn2")]
    assert found.rows[0].difference.adjusted == pytest.approx(0.25)
    (pooled,) = found.pooled  # of one cell: the cell's own interval and test
    assert (pooled.difference.p, pooled.difference.low) == (0.25, found.rows[0].difference.low)


def test_the_table_is_printed(small: Path) -> None:
    text = told("compare", "fgsm", "sg_fgsm", "--folder", str(small))
    lines = [line.split() for line in text.splitlines()]
    assert text.startswith("fgsm − sg_fgsm: success rates in percent, paired on the same 8 images\n")
    low, high = (f"{100 * end:+.1f}".replace("-", "−") for end in intervals.paired_counts(2, 3, 0, 3))
    assert ["fnn0", "fnn2", "62.5", "25.0", "+37.5", f"[{low},", f"{high}]", "0.2500", "1.0000"] in lines
    assert ["fnn0", "fnn0*", "100.0", "25.0", "+75.0"] in [line[:5] for line in lines]
    assert "pooled over 3 black-box cells: +12.5 points" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_top5_of_a_targeted_attack(small: Path) -> None:
    """Both aim at a label and hit it on the first two images: by either criterion they do not differ."""
    make(small, {}, attacks={"far": {**FAR}, "near": {**FAR, "epsilon": 10}})
    found = comparison.compare("far", "near", small, metric="top5")
    assert {row.difference.points for row in found.rows} == {0.0}
    assert "top-5 success rates" in told("compare", "far", "near", "--folder", str(small), "--metric", "top5")


FAR = {"epsilon": 20, "steps": 20, "step_size": 15, "objective": "targeted"}


def second(project: Path, small: Path, **changed: Any) -> None:
    """Another version of the made experiment, locked and committed: fgsm from fnn0 fools fnn4 on 6, fnn2 on 4."""
    shutil.rmtree(small / "predictions")
    make(small, {**FOOLED, ("fnn0", "fgsm", "fnn4"): 6, ("fnn0", "fgsm", "fnn2"): 4}, **changed)
    lock(project, small)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "second")


def test_two_revisions_from_the_cache(project: Path, small: Path) -> None:
    """fgsm from fnn0: fnn2 4 instead of 5 of 8, fnn4 6 instead of 0; all else is as it was."""
    second(project, small, attacks={"fgsm": {**FGSM, "epsilon": 30}, "sg_fgsm": SG, "far": FAR})
    shutil.rmtree(small / "predictions")
    found = comparison.compare("HEAD", "HEAD~1", small)
    assert found.about == ("fgsm: epsilon 30 and 40",)
    assert len(found.rows) == 18
    points = {(row.attack, row.source, row.target): row.difference.points for row in found.shown}
    assert points == {("fgsm", "fnn0", "fnn0"): 0, ("fgsm", "fnn0", "fnn2"): -12.5, ("fgsm", "fnn0", "fnn4"): 75.0}
    row = next(row for row in found.shown if row.target == "fnn4")
    # 6 images differ, all one way; Holm counts all 18 cells, those with the same file too
    assert (row.difference.p, row.difference.adjusted) == pytest.approx((2 / 64, 18 / 32))
    fgsm = next(one for one in found.pooled if one.attack == "fgsm")
    # over its three black-box cells, of which the ensemble's did not change
    assert (fgsm.cells, fgsm.same) == (3, False) and fgsm.difference.points == pytest.approx((75 - 12.5 + 0) / 3)
    text = told("compare", "HEAD", "HEAD~1", "--folder", str(small))
    assert "15 of 18 cells have the very same file in both" in text and "+75.0" in text
    assert "fgsm: pooled over 3 black-box cells: +20.8 points" in text and "sg_fgsm: pooled" not in text


def test_the_workspace_and_a_dvc_experiment_are_versions(project: Path, small: Path) -> None:
    first = git(project, "rev-parse", "HEAD").strip()
    git(project, "update-ref", "refs/exps/ab/cdef/reeky-rort", first)
    second(project, small)
    points = [
        {(row.attack, row.target): row.difference.points for row in comparison.compare(*names, small).shown}
        for names in (("workspace", "reeky-rort"), ("HEAD", "HEAD~1"))
    ]
    assert points[0] == points[1] != {}


def test_what_is_not_in_the_cache_is_named(project: Path, small: Path) -> None:
    second(project, small)
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(small / "predictions")
    text = told("compare", "HEAD~1", "HEAD", "--folder", str(small), code=2)
    assert "predictions/fnn0/fgsm.parquet of HEAD~1" in text and "is not in DVC's cache" in text
    again = f"`git checkout HEAD~1 && dvc repro {os.path.relpath(small)}/dvc.yaml`"
    assert f"and no DVC remote is configured; compute that revision's with {again}" in text
    (project / ".dvc/config").write_text("[core]\n    remote = a\n['remote \"a\"']\n    url = /a\n", encoding="utf-8")
    revisions.cache.cache_clear()
    text = told("compare", "HEAD~1", "HEAD", "--folder", str(small), code=2)
    assert "is not in DVC's cache; fetch that revision's predictions with `git checkout HEAD~1 && dvc fetch " in text
    assert "`dvc fetch --all-commits`" in text


def test_the_configured_cache_is_read(project: Path, small: Path, tmp_path: Path) -> None:
    second(project, small)
    shutil.move(project / ".dvc/cache", tmp_path / "elsewhere")
    (project / ".dvc/config.local").write_text(f"[cache]\n    dir = {tmp_path / 'elsewhere'}\n", encoding="utf-8")
    assert revisions.cache(small) == tmp_path / "elsewhere/files/md5"
    assert len(comparison.compare("HEAD~1", "HEAD", small).shown) == 3


def test_other_images_cannot_be_paired(project: Path, small: Path) -> None:
    second(project, small, labels=np.arange(6))
    text = told("compare", "HEAD~1", "HEAD", "--folder", str(small), code=2)
    assert "of HEAD~1 rests on 8 images and predictions/" in text and "of HEAD on 6, 6 of them the same" in text


def test_other_labels_cannot_be_paired(project: Path, small: Path) -> None:
    second(project, small, labels=(LABELS + 1) % 10)
    assert "have other labels for the same images" in told("compare", "HEAD~1", "HEAD", "--folder", str(small), code=2)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("fgsm", "sgfgsm"), "fgsm is an attack and sgfgsm is none; give two attacks (did you mean sg_fgsm or fgsm?)"),
        (("fgsm", "HEAD"), "fgsm is an attack and HEAD is none"),
        (("fsgm", "nowhere"), "unknown attack 'fsgm'; did you mean fgsm?; nor is it a git revision"),
        (("--", "--all", "HEAD"), "unknown attack '--all'"),
        (("fgsm", "fgsm"), "fgsm is compared with itself"),
        (("fgsm", "far"), "far is targeted and fgsm is not: their rates count different things"),
        (("fgsm", "sg_fgsm", "--target", "fnn8"), "unknown target 'fnn8'; did you mean"),
        (("fgsm", "sg_fgsm", "--source", "fnn2"), "unknown source 'fnn2'; did you mean"),
    ],
)
def test_what_cannot_be_compared(small: Path, names: tuple[str, ...], message: str) -> None:
    assert message in told("compare", "--folder", str(small), *names, code=2)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}, ("detected dubious ownership in repository", "safe.directory")),
        ({"PATH": "/nonexistent"}, ("git is not installed, or not on PATH",)),
        ({"GIT_DIR": "/nonexistent"}, ("fatal: not a git repository",)),
    ],
    ids=str,
)
def test_why_git_refuses_is_told(project: Path, small: Path, monkeypatch, variables, said) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    (small / "dvc.lock").write_text("schema: '2.0'\nstages:\n  a")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    text = told("compare", "workspace", "HEAD", "--folder", str(small), code=2)
    assert "unknown attack 'HEAD'; valid: " in text and not [part for part in said if part not in text]
    text = told("repair-locks", str(small), code=2)  # what the last commit has is not known: the file stays
    assert not [part for part in said if part not in text]
    assert (small / "dvc.lock").read_text().endswith("  a")


def test_without_git_mend_removes_what_was_cut_off(project: Path, small: Path) -> None:
    (project / ".dvc/config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    shutil.rmtree(project / ".git")
    (small / "dvc.lock").write_text("schema: '2.0'\nstages:\n  a")
    assert "which was cut off" in told("repair-locks", str(small))
    assert not (small / "dvc.lock").exists()


def test_a_damaged_copy_in_git_is_told(project: Path, small: Path) -> None:
    blob = git(project, "rev-parse", "HEAD:experiments/small/dvc.lock").strip()
    (project / ".git/objects" / blob[:2] / blob[2:]).unlink()
    text = told("compare", "workspace", "HEAD", "--folder", str(small), code=2)
    assert f"git cannot read {small}: fatal: " in text and blob in text


def test_what_a_shallow_clone_lacks_is_told(project: Path, small: Path, tmp_path: Path) -> None:
    first = git(project, "rev-parse", "HEAD").strip()
    second(project, small)
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{project}", "clone")
    folder = str(tmp_path / "clone/experiments/small")
    said = "this clone is shallow: `git fetch --unshallow` brings older revisions"
    assert said in told("compare", "HEAD", "HEAD~1", "--folder", folder, code=2)
    text = told("compare", "HEAD", first, "--folder", folder, code=2)
    assert f"{first} is {first[:12]}, which this clone does not have" in text and said in text


def test_a_name_of_several_revisions_is_refused(project: Path, small: Path) -> None:
    first = git(project, "rev-parse", "HEAD").strip()
    second(project, small)
    git(project, "tag", "both", first)
    git(project, "branch", "both")
    text = told("compare", "HEAD", "both", "--folder", str(small), code=2)
    assert "both means several revisions (git says: " in text and "give refs/heads/both, refs/tags/both or" in text
    assert comparison.compare("HEAD", "refs/tags/both", small).shown
    for place, commit in (("aa", first), ("bb", "HEAD")):
        git(project, "update-ref", f"refs/exps/{place}/cdef/reeky-rort", commit)
    text = told("compare", "workspace", "reeky-rort", "--folder", str(small), code=2)
    assert "reeky-rort means several DVC experiments" in text and first[:12] in text


@pytest.mark.parametrize(
    "command", [("check", "."), ("repair-locks", "."), ("compare", "HEAD", "HEAD~1")], ids=lambda c: c[0]
)
def test_why_dvc_refuses_is_told(project: Path, small: Path, monkeypatch, command: tuple[str, ...]) -> None:
    from dvc.lock import Lock

    second(project, small)
    text = (small / "params.yaml").read_text(encoding="utf-8")
    (small / "params.yaml").write_text(text.replace("root: .", "root: ../.."), encoding="utf-8")
    (small / "dvc.lock").write_text("schema: '2.0'\nstages:\n  a")
    monkeypatch.chdir(small)
    if command[0] != "compare":  # which writes nothing
        (project / ".dvc/tmp").mkdir()
        with Lock(str(project / ".dvc/tmp/lock")):
            assert "a DVC command is at work in .; wait for it to end" in told(*command, code=2)
    (project / ".dvc/config").write_text("[nothing]\n    a = b\n", encoding="utf-8")
    text = told(*command, code=2)
    assert text.startswith("error: DVC cannot open the repository of .: ") and "nothing" in text
    (project / ".dvc/config").write_text("[core\n", encoding="utf-8")
    assert "error: DVC cannot open the repository of .: " in told(*command, code=2)


def test_a_revision_without_a_lock(project: Path, small: Path) -> None:
    git(project, "rm", "--quiet", "experiments/small/dvc.lock")
    git(project, "commit", "--quiet", "--message", "no lock")
    assert "HEAD has no dvc.lock in small" in told("compare", "HEAD", "HEAD~1", "--folder", str(small), code=2)


def test_a_cell_that_was_not_evaluated_is_left_out(small: Path) -> None:
    (small / "predictions/fnn2+fnn0/sg_fgsm.parquet").unlink()
    text = told("compare", "fgsm", "sg_fgsm", "--folder", str(small))
    assert "Left out: predictions/fnn2+fnn0/sg_fgsm.parquet is not there." in text
    shutil.rmtree(small / "predictions")
    text = told("compare", "fgsm", "sg_fgsm", "--folder", str(small), code=2)
    assert "have no cell in common" in text and "dvc pull" not in text  # there is no remote
    target = f"{os.path.relpath(small)}/dvc.yaml"
    assert f"run `dvc repro {target}` to make it (it alone: `dvc repro {target}:evaluate@fnn0-fgsm`)" in text
    with dvc_records.records(small) as repo:  # DVC knows it by that name
        (stage,) = repo.stage.collect(f"{target}:evaluate@fnn0-fgsm")
    assert any(str(out).endswith("predictions/fnn0/fgsm.parquet") for out in stage.outs)


# --- explain ----------------------------------------------------------------------------------------


def facts(cell: str, folder: Path) -> dict[str, str]:
    found = provenance.sections(provenance.find(cell, folder))
    return {what: of for some in found.values() for what, of in some}


@pytest.fixture
def described(project: Path, small: Path) -> Path:
    """The file of sg_fgsm from the ensemble, with the metadata that the attack stage writes; locked."""
    row = loading.load(small / "params.yaml").row("sg_fgsm")
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
    assert descriptions.words(row) == (
        "untargeted, varied gradient of 4 neighbours within 24, 5 scales, diverse inputs (p = 0.5, sides from 0.9), "
        "kernel of 7 × 7, Nesterov momentum μ = 1, T = 4 steps of α = 4, ε = 16"
    )
    found = dict(formulas.update(row, 1))
    assert found["look"] == "yₜ = xₜ + 4 · 1 · n gₜ, n the image's number of values"
    assert found["gradient"].startswith("Gₜ = ∇J(yₜ) + vₜ, v₀ = 0, vₜ₊₁ = 1/4 · Σᵢ ∇J(yₜ + rᵢ), 4 rᵢ ~ U(−24, 24)")
    assert found["scales"].endswith("J(x / 2ⁱ) by x, i = 0 … 4") and "Kₜ = W ∗ Gₜ" in found["kernel"]
    assert "Kₜ / ‖Kₜ‖₁" in found["momentum"] and "sign gₜ₊₁" in found["step"]
    assert found["stored"] == "whole numbers throughout: uint8 loses nothing"
    row = Attack(**base, gradient="relevant", samples=4, radius=56)
    found = dict(formulas.update(row, 1))
    assert found["step"].startswith("xₜ₊₁ = clip(xₜ + 4 · 0.94^cₜ · sign Gₜ)") and "rounded" in found["stored"]
    row = Attack(**base, gradient="smoothed", samples=4, sigma=15, noise="latin")
    assert "m = 4 latin samples with σ = 15" in descriptions.words(row)
    assert "N(0, 15²), latin afresh" in dict(formulas.update(row, 1))["gradient"]


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
        ("fnn0", "'fnn0' is no cell; expected source/attack, or a path"),
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
    found = dict(formulas.update(Attack(**row), 1))
    assert found["loss"] == "J(x) = f(x)[target label]; f the source's log-probabilities"
    assert found["momentum"] == "gₜ₊₁ = 0.9 · gₜ + ∇J(xₜ) / ‖∇J(xₜ)‖₁, g₀ = 0 (equation 5)"
    assert found["step"] == ("xₜ₊₁ = clip(xₜ + 1.25 · sign gₜ₊₁) to [0, 255] and |x − x₀| ≤ 7.5; 10 times: t = 0 … 9")
    assert found["stored"] == "rounded, and clipped again to |x − x₀| ≤ 7"


# --- costs and check --------------------------------------------------------------------------------


def digits(**changed: Any) -> Experiment:
    values = {
        "root": ".",
        "dataset": {"name": "mnist"},
        "models": ["fnn0", "fnn2"],
        "weights": {},
        "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1},
        "subset": {"images": 100},
        "compute": {"chunk": 8},
        "sources": ["fnn0", "fnn2+fnn0"],
        "attacks": {"fgsm": FGSM, "sg_fgsm": SG},
        "transforms": {"jpeg": [75, 20]},
        **EMPTY,
        **changed,
    }
    return Experiment.model_validate(values)


def test_costs_by_hand() -> None:
    """One and 5 gradients an image of 100, through one model and then two; evaluated with 2 levels of a transform."""
    found = costs.cost(digits())
    fnn0, fnn2 = (costs.networks()[name] for name in ("fnn0", "fnn2"))
    gradients = {"fnn0": 2 * 600, "fnn2": 600}
    passes = 10_000 + 100 * (4 + 4 * 2)  # each model: the data set, then 4 cells, plain and at two levels
    assert (found.cells, found.gradients, found.passes) == (4, 1_800, 2 * passes)
    assert found.operations == pytest.approx(
        fnn0.operations * (2 * gradients["fnn0"] + passes) + fnn2.operations * (2 * gradients["fnn2"] + passes)
    )
    assert found.own == 5 * 100 * 784 + 4 * (fnn0.parameters + fnn2.parameters)
    assert found.shared == 70_000 * 784 and found.written == found.own + found.shared
    assert found.seconds(100) == pytest.approx((1_800 + passes) / 100)


def test_what_is_done_costs_no_more() -> None:
    pending = {"adversarial/fnn0/sg_fgsm.safetensors", "predictions/fnn0/sg_fgsm.parquet"}
    found = costs.cost(digits(), pending=pending)
    assert (found.gradients, found.passes, found.written) == (500, 2 * 100, 100 * 784)


def test_analyses_cost_gradients() -> None:
    rows = {
        "similarity": {"s": {"source": "fnn0", "target": "fnn2", "images": 10, "samples": [1, 4], "sigma": 1}},
        "saliency": {"a": {"model": "fnn2", "images": [1, 2], "samples": [3], "sigma": 1}},
        "boundary": {
            "b": {"source": "fnn0", "targets": ["fnn2"], "image": 0, "samples": 7, "sigma": 1, "sign": False,
                  "extent": 1, "points": 5}
        },
    }  # fmt: skip
    found = costs.cost(digits(**rows))
    assert found.gradients == 1_800 + (10 * 5 + 10) + 2 * 4 + 8
    assert found.passes == costs.cost(digits()).passes + 25


def test_a_timm_model_has_no_estimate() -> None:
    experiment = digits(dataset={"name": "imagenet-sample"}, models=["timm_a"], sources=["timm_a"], training=None)
    found = costs.cost(experiment)
    assert found.operations is None and found.seconds() is None and found.seconds(2) is not None


def test_operations_are_torchs_and_torchvisions() -> None:
    from torchvision.models import get_model_weights

    from crossfool.models.networks import build

    known = costs.networks()
    assert known.keys() == registry.names().keys()
    for name in ("fnn2", "lenet", "efficientnet_lite0"):
        assert known[name].parameters == sum(p.numel() for p in build.own(name).parameters())
    assert known["fnn0"].operations == 2 * 784 * 10
    for name in ("resnet18", "densenet161", "vit_h_14"):
        meta = get_model_weights(name)[registry.spec(name).version].meta
        assert known[name] == costs.Network(meta["num_params"], pytest.approx(2e9 * meta["_ops"]))


def test_durations() -> None:
    assert [costs.duration(seconds) for seconds in (0.4, 59, 600, 7200, 400_000)] == [
        "0.4 seconds", "59 seconds", "10 minutes", "2.0 hours", "4.6 days"
    ]  # fmt: skip


def test_who_depends_on_what_runs_runs_too() -> None:
    def stage(name: str, deps: list[str], outs: list[str]) -> SimpleNamespace:
        paths = [[SimpleNamespace(fs_path=f"/x/{path}") for path in some] for some in (deps, outs)]
        return SimpleNamespace(name=name, deps=paths[0], outs=paths[1])

    modified, gone = {"a": [{"changed deps": {"p": {"q": "modified"}}}]}, {"a": [{"changed outs": {"p": "deleted"}}]}
    found = [
        (stage("check", ["params.yaml"], ["data/params.checked"]), modified),
        (stage("prepare", ["data/params.checked"], ["data/images"]), {}),
        (stage("train@a", ["data/images"], ["weights/a"]), modified),
        (stage("train@b", ["data/images"], ["weights/b"]), gone),
        (stage("predict@a", ["weights/a"], ["predictions/clean/a"]), {}),
        (stage("select", ["predictions/clean"], ["subset/images"]), {}),
        (stage("source@a", ["weights"], ["sources/a.json"]), {}),
        (stage("source@b", ["weights"], ["sources/b.json"]), {}),
        (stage("attack@a-f", ["sources/a.json", "subset/images"], ["adversarial/a/f"]), {}),
        (stage("attack@b-f", ["sources/b.json", "subset/images"], ["adversarial/b/f"]), {}),
        (stage("evaluate@b-f", ["adversarial/b/f", "weightsandmore"], ["predictions/b/f"]), {}),
    ]

    def closed() -> dict[str, str]:
        names = (one.name for one, _ in found)
        kinds = dvc_status._closed(Path("/x"), found)
        words = [[word for word in ("runs", "maybe", "absent") if getattr(one, word)] for one in kinds]
        return {name: " ".join(some) for name, some in zip(names, words, strict=True) if some}

    # check writes what it wrote, source b's members are what they were, the subset may come out as another
    certain = dict.fromkeys(("check", "train@a", "predict@a", "select", "source@a", "source@b", "attack@a-f"), "runs")
    assert closed() == certain | {"train@b": "absent", "attack@b-f": "maybe", "evaluate@b-f": "maybe"}
    found[5] = (found[5][0], {"select": [{"changed deps": {"params.yaml": {"subset.images": "modified"}}}]})
    assert closed() == certain | {"train@b": "absent", "attack@b-f": "runs", "evaluate@b-f": "runs"}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    (tmp_path / "made").mkdir()
    found = made(tmp_path / "made", made_digits(tmp_path / "digits", train=12, contrast=150))
    monkeypatch.setenv("MADE_DIGITS", str(tmp_path / "digits"))
    return found


def test_check_says_what_will_run(repository: Repository) -> None:
    """12 images; 1 and 6 gradients each; sources of one and of two models."""
    text = told("check", str(repository.path))
    assert "2 models, 2 sources × 2 attacks" in text
    assert "train 2 of 2" in text and "attack 4 of 4" in text and "report" in text
    assert f"gradients {12 * (1 + 6) * (1 + 2)}, and " in text
    assert "an image and model: fgsm 1, sg_igsm 6\n" in text
    # 22 stages of 0.6 s, and next to nothing of operations
    assert "an estimated 14 seconds on two CPU cores (0.06 TFLOP/s, 0.6 s a stage), without training" in text
    assert "an estimated" in told("check", str(repository.path), "--rate", "10")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": {"name": "mnist", "path": "nowhere"}}, "nowhere does not exist; give the folder or tar file"),
        (
            {"dataset": {"name": "mnist", "path": "$NOT_SET/x"}},
            "dataset: path: $NOT_SET/x: $NOT_SET is not set; set it (`export NOT_SET=...`), or write",
        ),
        ({"root": "elsewhere"}, "root: elsewhere leads to"),
        ({"weights": {"dir": "nowhere"}}, "nowhere is no folder; give the one that holds the published weights"),
        ({"sources": ["fnn1"]}, "sources: fnn1: unknown model 'fnn1'; did you mean"),
    ],
)
def test_check_finds_what_is_wrong(repository: Repository, change: Mapping[str, Any], message: str) -> None:
    repository.edit(lambda values: values.update(change))
    assert message in told("check", str(repository.path), code=2)


def test_how_many_images_is_said_where_it_is_known(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(images: int | str, of: str, **dataset: str) -> Any:
        subset = {"images": images, "seed": 0, "of": of}
        return lambda values: values.update(dataset=dataset, subset=subset, training=None, models=LITE, sources=LITE)

    where = str(repository.path)
    repository.edit(change("all", "correct", name="imagenet-sample"))
    text = told("check", where)
    assert "all models get right is not known yet: 20 at most" in text and f"gradients {20 * (1 + 6) * 1}, and" in text
    repository.edit(lambda values: values.update(models=[*LITE, "efficientnet_lite1", "efficientnet_lite2"]))
    text = told("check", where)
    assert "all models get right is not known yet: 16 at most" in text and f"gradients {16 * (1 + 6) * 1}, and" in text
    repository.edit(change("all", "all", name="imagenet-sample"))
    text = told("check", where)
    assert "not known" not in text and f"gradients {20 * (1 + 6) * 1}, and" in text
    repository.edit(change(21, "all", name="imagenet-sample"))
    assert "subset: images: 21 are more than imagenet-sample has, 20; ask for fewer" in told("check", where, code=2)
    photos = repository.path / "photos"
    for name in ("n01440764", "n01443537"):
        (photos / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(photos / name / "a.png")
    repository.edit(change("all", "correct", name="imagefolder", path="photos"))
    text = told("check", where)
    assert "photos: 2 images\n" in text and "all models get right is not known yet: 2 at most" in text
    assert f"gradients {2 * (1 + 6) * 1}, and" in text
    repository.edit(change("all", "all", name="imagefolder", path="photos"))
    assert "not known" not in told("check", where)
    repository.edit(change(3, "all", name="imagefolder", path="photos"))
    assert "subset: images: 3 are more than imagefolder has, 2; ask for fewer" in told("check", where, code=2)
    with tarfile.open(repository.path / "photos.tar", "w") as archive:
        archive.add(photos, arcname=".")
    repository.edit(change("all", "correct", name="imagefolder", path="photos.tar"))
    assert "all models get right is not known yet: 2 at most" in told("check", where)
    monkeypatch.setattr(image_files, "PEEK", 2)  # of a large tar, the start is looked at
    text = told("check", where)
    assert "how many images are attacked is not known until they are decoded" in text
    assert "gradients unknown until then\n" in text and "time      unknown until then\n" in text


def test_check_finds_files_that_are_wrong(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    left = repository.path / "metrics/fnn0/old.json"
    left.parent.mkdir(parents=True)
    left.write_text("{}", encoding="utf-8")
    said = told("check", str(repository.path), code=2)
    assert "old.json was not made by crossfool" in said and "move it to a folder of your own" in said
    left.unlink()
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert "make room" in told("check", str(repository.path), code=2)
    folder = cli_new.new("mine", repository.path)
    (folder / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    assert "dvc.yaml is not the root's; copy it: cp " in told("check", str(folder), code=2)


def test_check_without_dvc(tmp_path: Path) -> None:
    make(tmp_path, {}, transforms={})
    (tmp_path / "stages").mkdir()
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    assert "everything (this is no DVC repository)" in told("check", str(tmp_path))


def test_published_weights_have_to_be_there(repository: Repository) -> None:
    cifar = {"name": "imagefolder", "path": "photos", "classes": "cifar10"}
    (repository.path / "photos/cat").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(repository.path / "photos/cat/a.png")
    (repository.path / "w").mkdir()
    change = {"dataset": cifar, "models": ["resnet20"], "sources": ["resnet20"], "weights": {"dir": "w"}}
    repository.edit(lambda values: values.update(change, training=None, subset={"images": 1}))
    assert "w holds no resnet20-12fca82f.th" in told("check", str(repository.path), code=2)
    (repository.path / "w/resnet20-12fca82f.th").touch()
    told("check", str(repository.path))
    change = {
        "dataset": {"name": "imagenet-sample"},
        "models": ["timm_resnet18"],
        "sources": ["timm_resnet18"],
        "weights": {},
    }
    repository.edit(lambda values: values.update(change))
    assert "timm_resnet18: nothing pins its weights" in told("check", str(repository.path), code=2)


@pytest.mark.slow
def test_a_run_is_checked_explained_and_compared(repository: Repository) -> None:
    """By DVC itself: what check says will run is what runs, and revisions are compared from DVC's own cache."""
    repository.edit(lambda values: values.update(sources=["fnn0"]))
    repository.repro()
    repository.commit("first")
    folder = repository.path
    text = told("check", str(folder))
    assert "nothing: all is up to date" in text and "gradients 0 of 84 in all" in text
    assert facts("fnn0/sg_igsm", folder)["dvc.lock"] == "the same md5"
    repository.edit(lambda values: values["attacks"]["sg_igsm"].update(sigma=80))
    text = told("check", str(folder))
    assert "to run    check, attack 1 of 2, evaluate 1 of 2, transform 1 of 2, report\n" in text
    assert f"gradients {12 * 6} of 84 in all" in text
    ran = repository.repro()
    assert {name.partition("@")[0] for name in ran} == {"check", "attack", "evaluate", "transform", "report"}
    repository.commit("second")
    found = comparison.compare("HEAD", "HEAD~1", folder)
    assert {row.attack for row in found.shown} <= {"sg_igsm"} and found.about == ("sg_igsm: sigma 80 and 15",)
    before = json.loads(repository.run("git", "show", "HEAD~1:metrics/fnn0/sg_igsm.json"))
    after = repository.metrics("fnn0/sg_igsm.json")
    for row in found.rows:
        if (row.source, row.attack) == ("fnn0", "sg_igsm"):
            assert (row.first, row.second) == pytest.approx(
                (after[row.target]["top1"], before[row.target]["top1"]), abs=1e-3
            )
    for place in ("adversarial", "predictions", "subset", "data", "weights"):
        shutil.rmtree(folder / place)
    text = told("check", str(folder))
    assert "nothing: all is up to date" in text and "`dvc checkout` brings them" in text
    repository.dvc("checkout", "--quiet")
    # a target more attacks nothing, if the subset stays
    repository.edit(lambda values: values["models"].append("fnn4"))
    text = told("check", str(folder))
    assert "train 1 of 3, predict 1 of 3, select, source, evaluate 2 of 2, transform 2 of 2, report\n" in text
    assert "gradients 0 of 84 in all" in text and "84, and " in text
    assert "if the subset changes: check, train 1 of 3" in text and "attack 2 of 2" in text
    assert len({name for name in repository.repro() if name.startswith("attack@")}) in (0, 2)


# --- new --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "a b", "", ".", "-x", "a/b", "ä", ".hidden", "x\n"])
def test_bad_names_are_refused(project: Path, name: str) -> None:
    with pytest.raises(UserError, match="is no name for an experiment"):
        cli_new.new(name, project)
    assert list((project / "experiments").iterdir()) == []


def test_a_new_experiment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    text = told("new", "mine")
    folder = project / "experiments/mine"
    assert (folder / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert not (folder / "dvc.yaml").is_symlink()
    experiment = loading.load(folder / "params.yaml")
    assert (folder / experiment.root).resolve() == project
    assert "dvc repro experiments/mine/dvc.yaml" in (folder / "README.md").read_text(encoding="utf-8")
    assert "dvc repro experiments/mine/dvc.yaml" in text and "crossfool check experiments/mine" in text
    assert "experiments/mine is there already; take another name" in told("new", "mine", code=2)
    assert sorted(path.name for path in (project / "experiments").iterdir()) == ["mine"]


def test_a_new_experiment_from_another(project: Path, small: Path) -> None:
    text = (small / "params.yaml").read_text(encoding="utf-8") + "# the last line\n"
    (small / "params.yaml").write_text(text, encoding="utf-8")
    folder = cli_new.new("mine", small, "small")
    assert (folder / "params.yaml").read_text(encoding="utf-8") == text.replace("root: .\n", "root: ../..\n")
    with pytest.raises(UserError, match="unknown experiment 'smal'; did you mean small"):
        cli_new.new("other", project, "smal")
    (small / "params.yaml").write_text("root: 3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"params.yaml"):
        cli_new.new("other", project, "small")
    assert not (project / "experiments/other").exists()


def test_relative_paths_lead_where_they_led(project: Path) -> None:
    make(project, {}, dataset={"name": "imagefolder", "path": "my photos", "classes": "mnist", "train_folder": "t"})
    folder = cli_new.new("mine", project, ".")
    experiment = loading.load(folder / "params.yaml")
    assert (experiment.dataset.path, experiment.root) == ("../../my photos", "../..")


def test_new_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is in no crossfool repository" in told("new", "mine", code=2)


# --- list, help, completion, colours ----------------------------------------------------------------


def test_everything_is_listed_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "tests")
    assert tuple(listing.KINDS) == KINDS
    found = {kind: list(read(Path())) for kind, read in listing.KINDS.items()}
    assert [one.name for one in found["models"]] == [*registry.names(), "timm_<name>"]
    assert {one.name for one in found["transforms"]} == TRANSFORMS.keys()
    assert {one.name for one in found["datasets"]} == set(Dataset.model_fields["name"].annotation.__args__)
    names = [path.parent.name for path in sorted(ROOT.glob("experiments/*/params.yaml"))]
    assert [one.name for one in found["experiments"]] == [".", *names]
    assert all(one.what and one.source for entries in found.values() for one in entries)
    by = {one.name: one for entries in found.values() for one in entries}
    assert by["resnet18"].source == "torchvision IMAGENET1K_V1, sha256 f37072fd"
    assert by["depth-mnist"].source == "Table 2a of the paper" and "12 cells, mnist" in by["depth-mnist"].what


def test_listed_attacks_are_rows_of_params() -> None:
    for one in listing.ATTACKS[:-1]:
        row = Attack.model_validate(yaml.safe_load(one.what[one.what.index("{") :]) | {})
        assert row.targeted == ("targeted" in one.name)
        assert (row.gradient == "smoothed") == (one.name[:2] == "sg")
        assert (row.update == "momentum") == ("mig" in one.name or one.name in ("di", "ti", "si", "vmi", "gra", "dts"))
        assert (row.steps == 1) == ("fgsm" in one.name)


def test_a_list_is_filtered() -> None:
    text = told("list", "models", "--filter", "DENSENET")
    assert [line.split()[0] for line in text.splitlines()[2:]] == [
        "densenet", "densenet121", "densenet161", "densenet169", "densenet201"
    ]  # fmt: skip
    assert "nothing in attacks holds 'zzz'" in told("list", "attacks", "--filter", "zzz", code=2)
    text = told("list", "--filter", "momentum")
    assert "attacks\n" in text and "models\n" not in text


def test_lists_and_help_load_nothing_heavy() -> None:
    for arguments in (["list"], ["compare", "--help"], ["new", "../x"]):
        code = (
            "import sys; from crossfool.cli.main import main\n"
            f"try: main({arguments!r})\nexcept SystemExit: pass\n"
            "heavy = {'torch', 'pandas', 'matplotlib', 'scipy', 'pyarrow', 'dvc', 'torchvision'}\n"
            "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [[], *([name] for name in main.commands)])
def test_every_command_has_examples(command: list[str]) -> None:
    text = told(*command, "--help")
    assert "Examples:\n" in text and "  crossfool " in text
    assert text == told(*command, "-h")


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    for name, command in main.commands.items():
        assert f"`crossfool {name}" in text
        options = (one for one in command.params if one.param_type_name == "option" and name != "smoke")
        assert all(option.opts[0] in text for option in options)


def test_exit_codes_of_misuse() -> None:
    for arguments in (["nonsense"], ["compare", "one"], ["check", "--rate", "0"]):
        assert told(*arguments, code=2).startswith("Usage")


def completed(*words: str) -> list[str]:
    *before, incomplete = words
    found = ShellComplete(main, {}, "crossfool", "_CROSSFOOL_COMPLETE").get_completions(before, incomplete)
    return [one.value for one in found]


def test_commands_are_completed() -> None:
    assert completed("") == [
        *("list", "new", "check", "show", "report", "compare", "explain", "smoke", "remove-leftovers", "repair-locks"),
    ]
    assert completed("c") == ["check", "compare"]
    assert completed("list", "d") == ["datasets"]


def test_names_are_completed(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small)
    assert completed("compare", "") == ["fgsm", "sg_fgsm", "far"]
    assert completed("compare", "fgsm", "") == ["sg_fgsm", "far"]
    assert completed("compare", "fgsm", "s") == ["sg_fgsm"]
    assert completed("compare", "fgsm", "far", "--source", "fnn2") == ["fnn2+fnn0"]
    assert completed("compare", "fgsm", "far", "--target", "") == ["fnn0", "fnn2", "fnn4"]
    assert completed("explain", "fnn0/s") == ["fnn0/sg_fgsm"]
    monkeypatch.chdir(small.parents[1])
    assert completed("compare", "--folder", "small", "f") == ["fgsm", "far"]
    assert completed("show", "s") == ["small"]
    assert completed("new", "x", "--from", "s") == ["small"]
    assert completed("compare", "f") == []  # no params.yaml here, and no error


def test_a_shell_asks_in_clicks_way(small: Path) -> None:
    environment = {
        **os.environ,
        "COMP_WORDS": "crossfool compare sg",
        "COMP_CWORD": "2",
        "_CROSSFOOL_COMPLETE": "bash_complete",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "crossfool"], cwd=small, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "plain,sg_fgsm\n"


def on_terminal(folder: Path, *arguments: str, **environment: str) -> bytes:
    """What a command writes to a terminal, standard error too."""
    ours, theirs = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    variables = {**plain, "TERM": "xterm-256color", "COLUMNS": "200", "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "crossfool", *arguments]
    with subprocess.Popen(command, cwd=folder, env=variables, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                written += os.read(ours, 65536)
            except OSError:
                break
        process.wait()
    os.close(ours)
    return written


@pytest.mark.parametrize("arguments", [("list", "transforms"), ("explain", "fnn0/fgms"), ("explain", "fnn0/fgsm")])
def test_colours_are_for_terminals(small: Path, arguments: tuple[str, ...]) -> None:
    coloured, plain = b"\x1b[3", b"\x1b[9"
    written = on_terminal(small, *arguments)
    assert coloured in written
    written = on_terminal(small, *arguments, NO_COLOR="1")
    assert coloured not in written and plain not in written
    command = [sys.executable, "-m", "crossfool", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=small, env=environment, capture_output=True)
    assert b"\x1b" not in done.stdout + done.stderr


def test_an_experiment_is_shown_by_its_name(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parents[1])
    assert "Success rates in percent: 8 images of mnist" in told("show", "small") == told("show", "experiments/small")
    assert "unknown experiment 'smal'; did you mean small?" in told("show", "smal", code=2)


def test_a_page_of_several_experiments(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parents[1])
    shutil.copytree(small, small.parent / "other")
    told("report", "small", "experiments/other", "--out", "both.html")
    page = Path("both.html").read_text(encoding="utf-8")
    assert "experiments/small" in page and "dvc repro experiments/other/dvc.yaml" in page
    assert "unknown experiment 'smal'; did you mean small?" in told("report", "smal", code=2)
    shutil.rmtree(small.parent / "other/metrics")
    said = told("report", "small", "other", "--out", "both.html", code=2)
    assert "other/metrics" in said and "dvc repro" in said
    assert Path("both.html").read_text(encoding="utf-8") == page and not list(Path().glob("*.tmp"))
    assert told("report", "small", "--out", "new/page.html") == "new/page.html (0.1 MB)\n"


def test_a_report_of_all_that_have_results(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small.parents[1]
    monkeypatch.chdir(project)
    make(project / "experiments/other", FOOLED)
    make(project / "experiments/older", FOOLED)
    (project / "experiments/older/metrics/fnn0/fgsm.detail.json").unlink()
    make(project / "experiments/unrun", FOOLED)
    shutil.rmtree(project / "experiments/unrun/metrics")
    done = CliRunner().invoke(main, ["report"])
    assert done.exit_code == 0 and "left out: " in done.output and "older/metrics/fnn0/fgsm.detail.json" in done.output
    page = (project / "report.html").read_text(encoding="utf-8")
    assert "dvc repro experiments/small/dvc.yaml" in page and "dvc repro experiments/other/dvc.yaml" in page
    assert "experiments/older" not in page and "experiments/unrun" not in page
    monkeypatch.chdir(small)  # commands are of the root, wherever the page was made
    told("report", ".", "../other", "--out", "page.html")
    assert "dvc repro experiments/other/dvc.yaml" in (small / "page.html").read_text(encoding="utf-8")
    for name in ("small", "other", "older"):
        shutil.rmtree(project / "experiments" / name / "metrics")
    assert "no experiment has results yet" in told("report", code=2)


def test_errors_of_an_experiments_files_name_its_graph(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parents[1])
    shutil.rmtree(small / "metrics")
    said = told("show", "small", code=2)
    assert "experiments/small/metrics" in said and "`dvc repro experiments/small/dvc.yaml`" in said
    monkeypatch.chdir(small)
    assert "`dvc repro`" in told("show", code=2)


def test_an_attack_of_another_experiment_is_told_where(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small.parents[1]
    make(project / "experiments/other", FOOLED, attacks={"mine": FGSM, "fgsm": FGSM})
    monkeypatch.chdir(small)
    said = told("compare", "mine", "theirs", code=2)
    assert "unknown attack 'mine'" in said and said.rstrip().endswith("other has one: --folder other")
    assert "has one" not in told("compare", "nobodys", "theirs", code=2)


def test_small_mistakes_are_told_in_one_line(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parents[1])
    assert told("list", "experiment", code=2) == "error: unknown kind 'experiment'; did you mean experiments?\n"
    assert told("remove-leftovers", "small") == "nothing is left over in experiments/small\n"
    left = small / "metrics/fnn0/gone.json"
    left.write_text("{}", encoding="utf-8")
    assert told("remove-leftovers", "small").startswith(
        "not made by crossfool, left alone: experiments/small/metrics/fnn0/g"
    )
    left.unlink()  # who deletes what remove-leftovers may: project/test_users_files.py
    assert "did you mean small?" in told("remove-leftovers", "smal", code=2)
    (small / "dvc.lock").unlink()
    assert told("repair-locks", "small") == "experiments/small/dvc.lock is not there yet\n"


def test_check_doubts_steps_that_do_not_fit_the_ball(tmp_path: Path) -> None:
    rows = {"far": {**FGSM, "step_size": 41}, "short": {**FGSM, "steps": 3, "step_size": 13}, "fgsm": FGSM}
    experiment = make(tmp_path, FOOLED, attacks=rows)
    assert list(cli_check._doubts(experiment)) == [
        "far: a step of 41 is larger than epsilon, 40: every step is cut",
        "short: 3 steps of 13 reach 39, and never epsilon, 40",
    ]


def test_check_doubts_names_that_are_one_file_on_some_disks(tmp_path: Path) -> None:
    experiment = make(tmp_path, FOOLED, attacks={"fgsm": FGSM, "FGSM": FGSM, "other": FGSM})
    (line,) = cli_check._doubts(experiment)
    assert line.startswith("attacks: fgsm and FGSM differ in case alone: ")


def test_check_knows_how_fast_it_was_here(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small)
    experiment = loading.load(small / "params.yaml")
    row = experiment.attacks["sg_fgsm"]
    about = row.model_dump_json(exclude_none=True)
    for source, seconds in (("fnn0", 4.0), ("fnn2+fnn0", 6.0)):  # 8 images of 5 gradients, by one model and by two
        timings.note(small / timings.PLACE, source, "sg_fgsm", timings.Taken(about, 8, seconds, "CPU, 1 thread"))
    whole = costs.cost(experiment)
    rate = preflight._rate(small, experiment)
    assert rate == pytest.approx((40 + 80) / 10)
    found = preflight.Preflight(experiment, None, whole, whole, whole, 1, None, "images", rate)
    seconds = (found.left.gradients + found.left.passes / 2) / 12
    assert cli_check._time(found, None).startswith(
        f"an estimated {costs.duration(seconds)} at 12 gradients a second, as its cells took here"
    )
    assert "at 3 gradients a second" in cli_check._time(found, 3.0)


# --- streams that cannot encode everything ----------------------------------------------------------

SHOWN = {
    "show": ("untargeted, plain gradient, one step of alpha = 40, epsilon = 40", "0.0*", "----"),
    "explain fnn0/sg_fgsm": ("step_size = 40", "alpha, pixel values a step", "G_t = 1/"),
    "compare fgsm sg_fgsm": ("fgsm - sg_fgsm: success rates in percent", "[+", "----"),
    "check": ("3 models, 2 sources x 3 attacks",),
    "list transforms": ("----", "levels"),
    "list attacks": ("Hammersley & Morton 1956",),
    "remove-leftovers": ("nothing is left over",),
}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("command", SHOWN)
def test_what_a_stream_cannot_encode_is_spelled(small: Path, monkeypatch, command: str, encoding: str) -> None:
    monkeypatch.chdir(small)
    values = yaml.safe_load((small / "params.yaml").read_text())
    (small / "params.yaml").write_text(yaml.safe_dump(values | {"root": "../.."}))
    done = CliRunner(charset=encoding).invoke(main, command.split())
    assert done.exit_code == 0, done.output
    text = done.stdout_bytes.decode(encoding)
    if encoding != "ascii":  # these have some of the signs
        text = text_encoding.spelled(text)
    assert not [part for part in SHOWN[command] if part not in text], text
    assert "\\u" not in text and "?" not in text.replace("is the variable set?", "")


@pytest.mark.parametrize(
    ("text", "ascii"),
    [
        ("xₜ₊₁ ≤ ε·α, 15², σᵢ × Σ", "x_t+1 <= epsilon.alpha, 15^2, sigma_i x Sigma"),
        ("│─┼ … café Łódź 数", "|-+ ... cafe \\u0141odz \\u6570"),
        ("\udcff.safetensors", "\\xff.safetensors"),
    ],
)
def test_text_is_spelled_in_ascii(text: str, ascii: str) -> None:
    assert text_encoding.spelled(text) == ascii


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONUTF8": "1"},
    ],
    ids=str,
)
def test_a_file_that_no_stream_can_name_is_told(small: Path, environment: dict[str, str]) -> None:
    """By a process whose streams, and names of files, are of the encoding."""
    for name in (b"ol\xff", "alt ü ε".encode()):
        (Path(os.fsdecode(os.fsencode(small) + b"/metrics/fnn0/" + name + b".json"))).write_text("{}")
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    command = [sys.executable, "-m", "crossfool", "remove-leftovers", "."]
    done = subprocess.run(command, cwd=small, env=variables | environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"left alone: metrics/fnn0/") == 2 and b"ol\\xff.json" in done.stdout
    command[-2:] = ["check", "ü ε"]
    done = subprocess.run(command, cwd=small, env=variables | environment, capture_output=True)
    assert done.returncode == 2 and done.stderr.startswith(b"error: unknown experiment '"), done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_path_that_the_locale_cannot_name_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from crossfool.pipeline.stage import stage\n@stage\ndef main():\n    open('\\u6570')\nmain()\n"
    )
    variables = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == ("error: this locale has no such file names: \\u6570; set LC_ALL=C.UTF-8, or PYTHONUTF8=1\n")


def test_standard_output_that_cannot_be_written_to_is_named(small: Path) -> None:
    command = [sys.executable, "-m", "crossfool", "show", "."]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, cwd=small, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device: standard output\n")
