"""Comparisons of two attacks or two revisions, on a made experiment whose differences are known by hand."""

import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import git, told
from made_experiments import FGSM, FOOLED, LABELS, SG, lock, make

from crossfool.experiment import dvc_records
from crossfool.experiment.results import comparison, revisions
from crossfool.stats import intervals, mean_difference

PAGE = "Pooled p is of this pair alone, unadjusted; the report's page adjusts it for all pairs of attacks"


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
    low, high = intervals.newcombe_from_counts(2, 3, 0, 3)
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
    first, second = np.array([2, 2, 2, 2, 1, 0, 0, 0]) / 3, np.array([3, 3, 0, 0, 0, 0, 0, 0]) / 3
    assert (first - second).tolist() == pytest.approx(differences.tolist())
    ends = mean_difference.square_and_add(first, second, 3)
    assert (pooled.difference.low, pooled.difference.high) == pytest.approx([100 * end for end in ends])
    assert ends[0] < 0 < ends[1]


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
    low, high = (f"{100 * end:.1f}".replace("-", "−") for end in intervals.newcombe_from_counts(2, 3, 0, 3))
    assert ["fnn0", "fnn2", "62.5", "25.0", "+37.5", f"[{low},", f"{high}]", "0.25", "1"] in lines
    assert ["fnn0", "fnn0*", "100.0", "25.0", "+75.0"] in [line[:5] for line in lines]
    assert "pooled over 3 black-box cells: +12.5 points" in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert PAGE in " ".join(text.split())


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
    assert PAGE not in " ".join(text.split())  # which has no revisions
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


def test_predictions_in_git_need_no_cache(project: Path, small: Path) -> None:
    git(project, "add", "--force", str(small / "predictions"))
    git(project, "commit", "--quiet", "--message", "predictions")
    (project / ".gitignore").write_text("", encoding="utf-8")
    second(project, small)
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(small / "predictions")
    changed = {(row.source, row.target) for row in comparison.compare("HEAD", "HEAD~1", small).shown}
    assert changed == {("fnn0", "fnn0"), ("fnn0", "fnn2"), ("fnn0", "fnn4")}


def test_what_is_not_in_the_cache_is_named(project: Path, small: Path) -> None:
    second(project, small)
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(small / "predictions")
    text = told("compare", "HEAD~1", "HEAD", "--folder", str(small), code=2)
    assert "predictions/fnn0/fgsm.parquet of HEAD~1" in text and "is neither in git nor in DVC's cache" in text
    again = f"`git checkout HEAD~1 && dvc repro {os.path.relpath(small)}/dvc.yaml`"
    assert f"and no DVC remote is configured; compute that revision's with {again}" in text
    (project / ".dvc/config").write_text("[core]\n    remote = a\n['remote \"a\"']\n    url = /a\n", encoding="utf-8")
    revisions.cache_folder.cache_clear()
    text = told("compare", "HEAD~1", "HEAD", "--folder", str(small), code=2)
    assert "nor in DVC's cache; fetch that revision's predictions with `git checkout HEAD~1 && dvc fetch " in text
    assert "`dvc fetch --all-commits`" in text


def test_the_configured_cache_is_read(project: Path, small: Path, tmp_path: Path) -> None:
    second(project, small)
    shutil.move(project / ".dvc/cache", tmp_path / "elsewhere")
    (project / ".dvc/config.local").write_text(f"[cache]\n    dir = {tmp_path / 'elsewhere'}\n", encoding="utf-8")
    assert revisions.cache_folder(small) == tmp_path / "elsewhere/files/md5"
    assert len(comparison.compare("HEAD~1", "HEAD", small).shown) == 3


def test_other_images_cannot_be_paired(project: Path, small: Path) -> None:
    second(project, small, labels=np.arange(6))
    text = told("compare", "HEAD~1", "HEAD", "--folder", str(small), code=2)
    assert "of HEAD~1 has 8 images and predictions/" in text and "of HEAD has 6, of which 6 are the same" in text


def test_other_labels_cannot_be_paired(project: Path, small: Path) -> None:
    second(project, small, labels=(LABELS + 1) % 10)
    assert "have different labels for the same images" in told(
        "compare", "HEAD~1", "HEAD", "--folder", str(small), code=2
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("fgsm", "sgfgsm"), "fgsm is an attack, but sgfgsm is not; give two attacks (did you mean sg_fgsm or fgsm?)"),
        (("fgsm", "HEAD"), "fgsm is an attack, but HEAD is not"),
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
    assert (
        "both is ambiguous: it names several revisions (git says: " in text
        and "give refs/heads/both, refs/tags/both or" in text
    )
    assert comparison.compare("HEAD", "refs/tags/both", small).shown
    for place, commit in (("aa", first), ("bb", "HEAD")):
        git(project, "update-ref", f"refs/exps/{place}/cdef/reeky-rort", commit)
    text = told("compare", "workspace", "reeky-rort", "--folder", str(small), code=2)
    assert "reeky-rort is the name of several DVC experiments" in text and first[:12] in text


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
    with dvc_records.open_repository(small) as repo:  # DVC knows it by that name
        (stage,) = repo.stage.collect(f"{target}:evaluate@fnn0-fgsm")
    assert any(str(out).endswith("predictions/fnn0/fgsm.parquet") for out in stage.outs)
