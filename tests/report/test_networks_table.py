"""The spread over networks of one model, by hand, and where the report shows it."""

import csv
import math
from pathlib import Path

import pytest
from made_experiments import FGSM, TARGETED, complete, make, write_report

from crossfool.experiment import loading
from crossfool.experiment.results.metrics import load_metrics
from crossfool.experiment.results.network_rows import network_rows

ZERO, TWO = ("fnn0", "fnn0_seed1", "fnn0_seed5"), ("fnn2", "fnn2_seed1")
FOOLED = {  # of 8 images
    **{(source, "fgsm", source): 8 for source in ZERO},
    **{(source, "fgsm", target): 7 for source in ZERO for target in ZERO if source != target},
    **dict(zip([(source, "fgsm", target) for source in ZERO for target in TWO], (1, 3, 4, 4, 6, 6), strict=True)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("seeds")
    attacks = {"fgsm": FGSM, "far": TARGETED}
    make(place, FOOLED, models=(*ZERO, *TWO), sources=(*ZERO, "fnn0+fnn2"), attacks=attacks, transforms={})
    complete(place)
    return place


def test_mean_and_deviation_over_networks_by_hand(folder: Path) -> None:
    results = load_metrics(folder, loading.load_experiment(folder / "params.yaml"))
    rows = {
        (row["attack"], row["source"], row["target"], row["whitebox"]): row
        for row in network_rows(results)
    }  # fmt: skip
    onto = rows["fgsm", "fnn0", "fnn2", False]
    # the networks' means over both targets are 2, 4 and 6 of 8; the targets' means over the networks 11/3 and 13/3
    assert (onto["networks"], onto["mean"], onto["least"], onto["most"], onto["n"]) == (3, 50, 25, 75, 8)
    assert onto["deviation"] == 25 and onto["target_networks"] == 2
    assert onto["target_deviation"] == pytest.approx(100 * 2 / 3 / 8 / math.sqrt(2), abs=1e-4)
    own, siblings = rows["fgsm", "fnn0", "fnn0", True], rows["fgsm", "fnn0", "fnn0", False]
    assert (own["networks"], own["mean"], own["deviation"], own["target_networks"]) == (3, 100, 0, None)
    assert (siblings["mean"], siblings["deviation"], siblings["target_networks"]) == (87.5, 0, 3)
    ensemble = rows["fgsm", "fnn0+fnn2", "fnn0", False]  # one ensemble, on the two networks that are not in it
    assert (ensemble["networks"], ensemble["deviation"], ensemble["target_networks"]) == (1, None, 2)
    assert ("fgsm", "fnn0+fnn2", "fnn2", True) not in rows  # one cell, which has no spread
    assert rows["far", "fnn0", "fnn2", False]["mean"] == 25  # top-5 of a targeted attack: 2 of 8, as `make` has it


def test_the_report_shows_the_spread(folder: Path, tmp_path: Path) -> None:
    experiment = loading.load_experiment(folder / "params.yaml")
    write_report(folder, experiment, tmp_path)
    rows = list(csv.DictReader((tmp_path / "tables/networks.csv").read_text(encoding="utf-8").splitlines()))
    cell = next(row for row in rows if (row["attack"], row["source"], row["target"]) == ("fgsm", "fnn0", "fnn2"))
    assert (cell["whitebox"], float(cell["mean"]), float(cell["deviation"])) == ("false", 50, 25)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert "Spread over networks of one model, trained with different seeds" in text


def test_without_seeds_there_is_nothing_to_show(tmp_path: Path) -> None:
    make(tmp_path, {})
    results = load_metrics(tmp_path, loading.load_experiment(tmp_path / "params.yaml"))
    assert list(network_rows(results)) == []
