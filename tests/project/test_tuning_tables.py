"""Values of `modern` and `noise` are chosen on tuning images, by one rule; every value that was tried is published."""

import runpy
from pathlib import Path

import pytest
from builders import ROOT

from crossfool.experiment import loading
from crossfool.storage.json_files import read_json

TOOL = runpy.run_path(str(ROOT / "tools/tuning_table.py"))
RESULTS = runpy.run_path(str(ROOT / "tools/results_table.py"))
FOLDERS = [ROOT / "experiments/modern", ROOT / "experiments/noise"]
TUNED = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
SET_APART = ("dataset", "models", "targets", "weights", "training", "lpips", "compute", "sources")


def test_these_experiments_are_tuned() -> None:
    assert TOOL["tuned_folders"]() == FOLDERS


@TUNED
def test_tuning_and_scored_images_are_of_one_draw(folder: Path) -> None:
    """Sections that agree share their tuning images, and no image is in both sets: pipeline/test_tuning_images.py."""
    scored, tuning = (loading.load_experiment(path / "params.yaml") for path in (folder, folder / "tuning"))
    assert [getattr(scored, name) for name in SET_APART] == [getattr(tuning, name) for name in SET_APART]
    assert scored.subset.model_copy(update={"use": "tuning"}) == tuning.subset != scored.subset
    assert scored.dataset.name == "imagenet-sample-images" and int(scored.subset.images) >= 300
    assert scored.subset.tuning >= 50 and "path" not in scored.dataset.model_dump(exclude_none=True)
    assert (folder / "tuning/dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()


@TUNED
def test_rows_have_the_values_that_did_best_on_tuning_images(folder: Path) -> None:
    """All rows of a kind have the chosen values; other rows have nothing to choose, or the paper's ratios."""
    experiment, tried = loading.load_experiment(folder / "params.yaml"), TOOL["tried_values"](folder)
    tuned = TOOL["tuned_rows"](experiment, tried)
    for kind, names in tuned.items():
        assert len(tried[kind]) >= 3 or not names
        for name in names:
            assert TOOL["varied_values"](experiment.attacks[name]) == TOOL["best_values"](tried[kind]), name
    assert any(tuned.values())
    others = set(experiment.attacks) - {name for names in tuned.values() for name in names}
    for name in others:
        row = experiment.attacks[name]
        assert name.endswith("_paper") or (row.steps == 1 and row.step_size == row.epsilon and row.gradient == "plain")


@TUNED
def test_every_value_that_was_tried_is_in_the_readme_with_its_rate(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert TOOL["readme"](folder, text) == text
    tuning = loading.load_experiment(folder / "tuning/params.yaml")
    lines = [line for line in TOOL["table"](folder).splitlines() if line.startswith("| `")]
    tried = {(TOOL["kind_of"](row), TOOL["varied_values"](row)) for row in tuning.attacks.values()}
    kinds = TOOL["tried_values"](folder)
    assert len(lines) == len(tried) and sum(line.endswith("| best |") for line in lines) == len(kinds)
    for name, row in tuning.attacks.items():
        cells = read_json(folder / f"tuning/metrics/{tuning.sources[0]}/{name}.json")
        rates = [cell["top1"] for cell in cells.values() if not cell["whitebox"]]
        same_kind = [other for other in tuning.attacks.values() if TOOL["kind_of"](other) == TOOL["kind_of"](row)]
        if [TOOL["varied_values"](other) for other in same_kind].count(TOOL["varied_values"](row)) == 1:
            numbers = [f"{value:g}" if value is not None else "" for value in TOOL["varied_values"](row)]
            assert any(f"| {' | '.join(numbers)} | {sum(rates) / len(rates):.1f} |" in line for line in lines), name


@TUNED
def test_success_and_verdicts_in_the_readme_are_those_of_the_metrics(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert folder in RESULTS["marked_folders"]() and RESULTS["readme"](folder, text) == text
    experiment = loading.load_experiment(folder / "params.yaml")
    success, verdicts = RESULTS["success_table"](folder), RESULTS["verdict_table"](folder)
    assert all(f"| `{name}` | " in success for name in experiment.attacks) and "(n = 300)" in success
    for claim, found in read_json(folder / "agreement.json")["claims"].items():
        assert f"| `{claim}` | {found['verdict']} | " in verdicts


def test_of_equal_rates_the_smaller_values_are_chosen() -> None:
    best = TOOL["best_values"]
    assert best({(1.0, 4.0, None): 50.0, (0.5, 8.0, None): 50.0, (0.5, 2.0, None): 49.0}) == (0.5, 8.0, None)
    assert best({(0.5, 8.0, None): 50.0, (0.5, 4.0, None): 50.0 + 1e-9, (2.0, 4.0, None): 10.0}) == (0.5, 4.0, None)
    assert best({(1.0, None, 6.0): 50.0, (1.0, None, 14.0): 50.1}) == (1.0, None, 14.0)


def test_modern_costs_twenty_gradients_a_row_but_for_the_unsmoothed_steps() -> None:
    rows = loading.load_experiment(FOLDERS[0] / "params.yaml").attacks
    costs = {name: row.gradient_evaluations_per_seed for name, row in rows.items()}
    assert {name: cost for name, cost in costs.items() if cost != 20} == {"igsm_5_paper": 5, "migsm_5_paper": 5}


@pytest.mark.parametrize(
    ("folder", "claim"),
    [
        *((FOLDERS[0], f"smoothing_{name}") for name in ("equal_cost", "equal_steps", "momentum", "beats_momentum")),
        (FOLDERS[1], "smoothing_equal_steps"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_papers_claims_are_tested_on_rows_that_instantiate_them(folder: Path, claim: str) -> None:
    """`modern` took σ = 15 at ε = 4, and its verdict was no test of the paper's claim."""
    found = read_json(folder / "agreement.json")["claims"][claim]
    assert found["verdict"] in ("supported", "contradicted", "undecided")
    assert found["low"] <= found["effect"] <= found["high"]
