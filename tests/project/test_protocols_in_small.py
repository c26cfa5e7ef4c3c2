"""An experiment of each published protocol in small: `crossfool new` makes it, and its whole graph runs end to end."""

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import ROOT
from made_datasets import made_digits
from small_runs import digit_stand_ins, in_order, run

from crossfool.cli import new, stand_ins
from crossfool.experiment import loading, params_file, protocol_files

pytestmark = pytest.mark.slow

PROTOCOLS = protocol_files.protocols()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Any]]]:
    """A repository of small experiments, one of each protocol, and their stages in order."""
    root, folder = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("in small")
    for name in (*stand_ins.COPIED_PATHS, "dvc.yaml"):
        os.symlink(ROOT / name, root / name)
    (root / "experiments").mkdir()
    for protocol in PROTOCOLS:
        path = new.make_experiment(protocol, root, dataset="imagenet-sample", protocol=protocol) / "params.yaml"
        values = params_file.parse_strict(path.read_text(encoding="utf-8"))
        one = {"sources": values["sources"][:1]}  # others run the same attacks once more
        path.write_text(params_file.to_yaml(values | one), encoding="utf-8")
    digits = digit_stand_ins(made_digits(tmp_path_factory.mktemp("digits"), train=6, contrast=50))
    made = stand_ins.build_experiments(root, folder, dict.fromkeys(stand_ins.STAND_INS, digits))
    assert sorted(path.name for path in made) == sorted(PROTOCOLS)
    stages: dict[str, list[Any]] = {}
    for stage in in_order(folder):
        stages.setdefault(Path(stage.wdir).name, []).append(stage)
    return folder, stages


@pytest.fixture
def handlers() -> Iterator[None]:
    """A stage says what SIGTERM does; this process is to be stopped as before."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.exhaustive  # other tests check each protocol's params and rates
@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_a_protocol_runs_in_small(
    small: tuple[Path, dict[str, list[Any]]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, stages = small[0] / "experiments" / name, small[1][name]
    for stage in stages:
        run(stage, monkeypatch)
    monkeypatch.undo()
    experiment = loading.load_experiment(folder / "params.yaml")
    assert experiment.protocol == name
    results = list(csv.DictReader((folder / "report/tables/results.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["attack"] for row in results} == set(PROTOCOLS[name].attacks)
    assert len(results) == len(experiment.sources) * len(experiment.attacks) * len(experiment.answering)
    assert max(float(row["top1"]) for row in results) > 0
    # other networks than the protocol's: none of its figures has a cell here
    assert json.loads((folder / "agreement.json").read_text())["protocol"]["cells"] == 0
    assert json.loads((folder / "plan/report.json").read_text())["values"]["protocol"] == name
