"""The table of success rates by source, on a made experiment."""

from pathlib import Path

from made_experiments import FGSM, SG, make

from crossfool.experiment.results.metrics import load_metrics
from crossfool.report.findings import Findings
from crossfool.report.tables import by_source


def test_means_are_of_black_box_cells(tmp_path: Path) -> None:
    fooled = {("fnn0", "fgsm", "fnn2"): 7, ("fnn0", "sg_fgsm", "fnn2"): 0, ("fnn0", "fgsm", "fnn0"): 8}
    experiment = make(
        tmp_path, fooled, models=("fnn0", "fnn2"), sources=("fnn0", "fnn0+fnn2"), attacks={"fgsm": FGSM, "sg_fgsm": SG}
    )
    (table,) = by_source.tables(Findings(tmp_path, load_metrics(tmp_path, experiment)))
    assert table.rows == ({"source": "fnn0", "cells": 2, "mean": 43.75},)
    assert table.grid.heads == ("source", "black-box cells", "mean success rate, %")
