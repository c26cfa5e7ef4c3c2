"""The figure of success by target, on a made experiment."""

from pathlib import Path

from made_experiments import FGSM, SG, make
from matplotlib.patches import Rectangle

from crossfool.experiment.results.metrics import load_metrics
from crossfool.report.figures import by_target
from crossfool.report.findings import Findings


def test_bars_are_means_of_black_box_cells(tmp_path: Path) -> None:
    fooled = {("fnn0", "fgsm", "fnn2"): 7, ("fnn0", "sg_fgsm", "fnn2"): 0, ("fnn0", "fgsm", "fnn0"): 8}
    experiment = make(
        tmp_path, fooled, models=("fnn0", "fnn2"), sources=("fnn0",), attacks={"fgsm": FGSM, "sg_fgsm": SG}
    )
    ((name, figure),) = by_target.figures(Findings(tmp_path, load_metrics(tmp_path, experiment)))
    (axes,) = figure.axes
    heights = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert (name, [text.get_text() for text in axes.get_xticklabels()], heights) == ("by_target", ["fnn2"], [43.75])
