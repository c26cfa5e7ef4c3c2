"""Every experiment in small: the rules that shrink it, and its whole graph from end to end.

The graph is DVC's own, in DVC's own order; its stages run in this one process, since starting twenty
interpreters an experiment is what takes time.
"""

import csv
import itertools
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from builders import ROOT, a_few
from made_datasets import made_digits
from PIL import Image
from small_runs import digit_stand_ins, in_order, run

from crossfool.attacks import sweeps
from crossfool.cli import smoke, stand_ins
from crossfool.errors import UserError
from crossfool.experiment import leftover_files, loading, params_file
from crossfool.experiment.config import Experiment

EXPERIMENTS = {path.parent.name: path for path in sorted(ROOT.glob("experiments/*/params.yaml"))}
POOLS = {"photographs": stand_ins.PHOTOGRAPHS, "digits": stand_ins.DIGITS}
# Of photographs and their networks alone: tried by `make smoke`, and by attacks/test_adapter.py attack by attack.
PHOTOGRAPHIC = {"torchattack"}
SMALL = [(name, pool) for name in EXPERIMENTS for pool in POOLS if pool == "photographs" or name not in PHOTOGRAPHIC]


def values_of(name: str) -> dict[str, Any]:
    return params_file.parse_strict(EXPERIMENTS[name].read_text(encoding="utf-8"))


# --- the rules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "pool"), SMALL)
def test_shrunk_is_the_same_experiment_in_small(tmp_path, name, pool):
    whole, pool, values = loading.load_experiment(EXPERIMENTS[name]), POOLS[pool], values_of(name)
    (tmp_path / "params.yaml").write_text(params_file.to_yaml(stand_ins.shrink_params(values, pool)))
    assert values == values_of(name)  # shrinking changes nothing in what it is given
    small = loading.load_experiment(tmp_path / "params.yaml")

    assert small.models == pool.models and set(small.answering) <= set(pool.models)
    assert (small.targets == "all") == (whole.targets == "all")
    assert {member for source in small.sources for member in source.split("+")} <= set(pool.models)
    assert any("+" in source for source in small.sources) == any("+" in source for source in whole.sources)
    assert all(len(source.split("+")) <= 2 for source in small.sources)
    assert small.subset.images == pool.images and small.subset.seed == whole.subset.seed
    assert small.compute.chunk <= min(whole.compute.chunk, pool.images)

    assert list(small.attacks) == list(whole.attacks)
    kept = ("epsilon", "step_size", "gradient", "sigma", "update", "decay", "objective", "fusion")
    for attack, row in whole.attacks.items():
        own = [
            key for key in kept if row.method is None or key in values["attacks"][attack]
        ]  # theirs follow from steps
        assert [small.attacks[attack].value(key) for key in own] == [row.value(key) for key in own]
    assert max(row.steps for row in small.rows.values()) <= 4
    assert max(row.value("samples") or 0 for row in small.rows.values()) <= 2
    for one in ("a", "b"):
        grid, before = getattr(small.grids, one), getattr(whole.grids, one)
        assert grid.attack == before.attack and grid.figure == before.figure
        for axis in sweeps.AXES:
            some = getattr(before, axis)
            assert min(len(some), 2) <= len(getattr(grid, axis)) <= min(len(some), 3)

    assert list(small.transforms) == list(whole.transforms)
    for kind in ("similarity", "boundary", "saliency"):
        assert list(getattr(small, kind)) == list(getattr(whole, kind))
    assert all(row.image < pool.ids and row.points == pool.points for row in small.boundary.values())
    assert all(id < pool.ids for row in small.saliency.values() for id in row.images)
    assert small.scatter.attacks == whole.scatter.attacks


def test_target_labels_that_stand_ins_do_not_give_are_drawn() -> None:
    name = next(iter(EXPERIMENTS))
    values = values_of(name)
    values["subset"] |= {"targets": "given", "seed": 7}
    small = Experiment.model_validate(stand_ins.shrink_params(values, stand_ins.PHOTOGRAPHS))
    assert (small.subset.targets, small.subset.seed) == ("random", 7) and values["subset"]["targets"] == "given"


@pytest.mark.parametrize(("name", "pool"), SMALL)
def test_attacks_of_one_cost_stay_so(name, pool):
    whole = loading.load_experiment(EXPERIMENTS[name])
    small = Experiment.model_validate(stand_ins.shrink_params(values_of(name), POOLS[pool]))
    equal = [
        (a, b)
        for a, b in itertools.combinations(whole.attacks, 2)
        if whole.attacks[a].gradient_evaluations_per_seed == whole.attacks[b].gradient_evaluations_per_seed
        and not {whole.attacks[a].method, whole.attacks[b].method} - {None}  # a library's options are left as they are
    ]
    for a, b in equal:
        assert small.attacks[a].gradient_evaluations_per_seed == small.attacks[b].gradient_evaluations_per_seed
    if name == "single-model":
        assert equal == [("igsm", "sg_igsm")]
        assert small.attacks["sg_igsm"].steps < small.attacks["igsm"].steps


def test_no_experiments_here(tmp_path):
    with pytest.raises(UserError, match="holds no experiments; run the command in the root of the repository"):
        stand_ins.build_experiments(tmp_path, tmp_path / "small", stand_ins.STAND_INS)


# --- end to end -------------------------------------------------------------------------------------


class Small(NamedTuple):
    """The repository of small experiments, and the stages of each in the order of the graph."""

    folder: Path
    stages: dict[str, list[Any]]


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """Images of ten classes, a square in one of ten places: bright enough to be learnt, faint enough to be attacked.

    They are few enough to be decoded in this process.
    """
    return made_digits(tmp_path_factory.mktemp("digits größe"), train=6, contrast=50)


@pytest.fixture(scope="module")
def small(tmp_path_factory, digits) -> Small:
    folder = tmp_path_factory.mktemp("all in small")
    made = stand_ins.build_experiments(ROOT, folder, dict.fromkeys(stand_ins.STAND_INS, digit_stand_ins(digits)))
    assert [path.name for path in made] == list(EXPERIMENTS)
    ordered = in_order(folder)
    names = [Path(stage.wdir).name for stage in ordered]
    return Small(folder, {one: [s for s, name in zip(ordered, names, strict=True) if name == one] for one in names})


@pytest.fixture
def handlers() -> Iterator[None]:
    """A stage says what SIGTERM does; this process is to be stopped as before."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


# What the paper's claims need: two sources there and back (asymmetry), or on one target (depth); smoothed attacks and
# plain ones of one cost or of the same steps. The whole pool is of one family, so that `same_family` has no other, and
# a target has two sources at most, where the scatter's claims want three. Cut short, one-step attacks of two samples
# cost as much as plain ones of two steps, and the ensembles' attacks take the same steps.
CLAIMS = {
    "architecture": {"asymmetry", "depth"},
    "capacity": {"depth"},
    "depth-cifar10": {"asymmetry", "depth", "smoothing_equal_steps", "smoothing_every_cell"},
    "depth-mnist": {"asymmetry", "depth", "smoothing_equal_steps"},
    "depth-mnist-recipe": {"asymmetry", "depth", "smoothing_equal_steps"},
    "ensemble": {"smoothing_equal_steps", "smoothing_ensembles"},
    "modern": {"smoothing_equal_cost", "smoothing_equal_steps", "smoothing_momentum", "smoothing_beats_momentum"},
    "noise": {"smoothing_equal_cost", "smoothing_equal_steps", "smoothing_every_attack", "smoothing_every_cell"},
    "momentum": {"asymmetry", "depth", "smoothing_equal_steps", "smoothing_momentum", "smoothing_beats_momentum"},
    "robustness": {
        *("smoothing_equal_cost", "smoothing_equal_steps", "survives_transforms", "survives_every_transform"),
    },
    "sensitivity": {
        *("depth", "smoothing_equal_steps", "smoothing_every_cell", "smoothing_every_epsilon", "more_samples"),
        *("sigma_optimum", "sigma_near_epsilon"),
    },
    "single-model": {"asymmetry", "depth", "smoothing_equal_cost"},
    "smoothness": {
        *("smoothing_equal_steps", "similarity_smoothed", "similarity_rises", "noise_transfers_less"),
        "gradient_variation",
    },
    "targeted-ensemble": {
        *("smoothing_equal_steps_targeted", "smoothing_ensembles_targeted", "targeted_top1"),
        *("large_steps", "steps_too_large", "iterations_overfit", "targeted_larger_steps"),
    },
    "torchattack": set(),
}
FIGURES = {  # beside a heatmap for each attack, and success over cost where there are several
    "capacity": {"scatter"},
    "depth-mnist": {"agreement"},
    "depth-mnist-recipe": {"agreement"},
    "robustness": {"destruction"},
    "sensitivity": {"grid_a", "grid_b"},
    "smoothness": {"similarity", "boundary_raw", "boundary_sign", "saliency_densenet121", "saliency_densenet121_tenth"},
    "targeted-ensemble": {"grid_a"},
}
# Cells (2 epsilons x 3 numbers of samples; 3 sigmas) on three black-box pairs; 2 step sizes x 2 steps on two targets.
GRID_ROWS = {"sensitivity": (6 * 3, 3 * 3), "targeted-ensemble": (4 * 2, 0)}
MILD = {"modern", "noise"}  # epsilon 4: few steps against random networks may fool nobody
# Together these have every kind of stage, an ensemble, targets, transforms, a grid, planes and the paper's own rates.
REPRESENTATIVE = ("depth-mnist", "robustness", "smoothness", "targeted-ensemble")
# Their fgsm is the paper's, whatever digits these are: three models on one another.
PAPER = {"depth-mnist": 6, "depth-mnist-recipe": 6}


@pytest.mark.parametrize("there", [True, False])
def test_an_attack_whose_library_is_not_there_is_left_out(there, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if there else None)
    lacking = {
        name
        for name in EXPERIMENTS
        if smoke.lacks_library(loading.load_experiment(ROOT / "experiments" / name / "params.yaml"))
    }
    assert lacking == (set() if there else {"torchattack"})


@pytest.mark.slow
def test_every_experiment_is_run(small):
    assert set(CLAIMS) == set(EXPERIMENTS) == set(small.stages)


@pytest.mark.slow
@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("name", a_few(sorted(set(EXPERIMENTS) - PHOTOGRAPHIC), *REPRESENTATIVE))
def test_experiment_runs_from_end_to_end(small, name, monkeypatch, capfd):
    stages, folder = small.stages[name], small.folder / "experiments" / name
    places = [stage.name for stage in stages]
    assert places[:2] == ["plan", "prepare"] and places[-1] == "report"
    experiment = loading.load_experiment(folder / "params.yaml")
    cells = len(experiment.sources) * len(experiment.rows)
    for stage in ("attack", "evaluate"):
        assert sum(place.partition("@")[0].removesuffix("_a").removesuffix("_b") == stage for place in places) == cells
    for stage in stages:
        run(stage, monkeypatch)
    monkeypatch.undo()
    ended = capfd.readouterr().out.splitlines()[-1]
    assert f"experiments/{name}/report/index.html" in ended and f"crossfool show experiments/{name}" in ended

    assert leftover_files.find_leftovers(folder, experiment, *leftover_files.FOLDERS) == []
    assert all((folder / path).is_file() for path in leftover_files.expected_files(experiment))
    report = folder / "report"
    assert "# Transferability on imagefolder" in (report / "tables.md").read_text(encoding="utf-8")
    assert len(rows(report / "tables/results.csv")) == (
        len(experiment.sources) * len(experiment.attacks) * len(experiment.answering)
    )
    if name not in MILD:
        assert max(float(row["top1"]) for row in rows(report / "tables/results.csv")) > 0
    assert (len(rows(report / "tables/grid_a.csv")), len(rows(report / "tables/grid_b.csv"))) == GRID_ROWS.get(
        name, (0, 0)
    )
    agreement = json.loads((folder / "agreement.json").read_text())
    assert agreement["paper"]["cells"] == len(rows(report / "tables/comparison.csv")) == PAPER.get(name, 0)
    assert set(agreement["claims"]) == CLAIMS[name]
    assert [row["name"] for row in rows(report / "tables/claims.csv")] == list(agreement["claims"])

    drawn = FIGURES.get(name, set()) | {f"heatmap_{attack}" for attack in experiment.attacks}
    drawn |= {"cost", "cost_narrow"} if len(experiment.attacks) > 1 else set()
    assert {path.name for path in (report / "figures").iterdir()} == {f"{one}.png" for one in (*drawn, "panel")}
    assert {path.name for path in (report / "vector").iterdir()} == {f"{one}.svg" for one in drawn}
    for path in (report / "figures").iterdir():
        with Image.open(path) as picture:
            assert min(picture.size) > 100
    assert all("</svg>" in path.read_text(encoding="utf-8") for path in (report / "vector").iterdir())
