"""Success by gradients and by seconds; and seconds, which are noted beside the results."""

import io
from pathlib import Path

import pytest
from made_cells import CPU, cell
from made_experiments import FGSM, FOOLED, SG, make
from rich.console import Console

from crossfool.cli.show import show
from crossfool.experiment.config import Experiment
from crossfool.experiment.results import cost_effectiveness
from crossfool.experiment.results.cost_effectiveness import CostEffectiveness
from crossfool.experiment.results.metrics import load_metrics
from crossfool.models.inference import pixel_model
from crossfool.pipeline.crafting import compute_cell, timings, weights_record
from crossfool.report.html import page


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Experiment]:
    return tmp_path, make(tmp_path, FOOLED, attacks={"fgsm": FGSM, "sg_fgsm": {**SG, "seeds": [0, 1]}})


def noted(made: tuple[Path, Experiment], source: str, attack: str, images: int, seconds: float) -> None:
    row = made[1].attacks[attack].model_dump_json(exclude_none=True)
    timings.write_timing(
        made[0] / timings.FOLDER, source, attack, timings.Timing(row, images, seconds, "CPU, 2 threads")
    )


def found(made: tuple[Path, Experiment]) -> list[CostEffectiveness]:
    return cost_effectiveness.cost_effectiveness_rows(made[0], load_metrics(*made))


def printed(folder: Path) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    show(folder, console)
    return console.export_text()


def test_success_by_what_it_took(made):
    for source, seconds in (("fnn0", 2.0), ("fnn2+fnn0", 6.0)):
        noted(made, source, "fgsm", 8, seconds)
        noted(made, source, "sg_fgsm", 4, 4 * seconds)  # four images of two seeds each
    first, second = found(made)
    # of eight images 5, 0 and 4 are fooled in the three black-box cells by the one, 2 in each by the other
    assert (first.attack, first.success, first.gradients, first.per_gradient) == ("fgsm", 37.5, 1, 37.5)
    assert (second.attack, second.success, second.gradients, second.per_gradient) == ("sg_fgsm", 25.0, 5, 5.0)
    assert first.seconds == pytest.approx((2 / 8 + 6 / 8) / 2) and first.per_second == pytest.approx(75)
    assert second.seconds == pytest.approx((8 / 4 + 24 / 4) / 2 / 2) and second.per_second == pytest.approx(12.5)
    assert first.by == ("CPU, 2 threads",)
    text = printed(made[0])
    assert "success a second" in text and "CPU, 2 threads" in text and "12.5" in text


def test_seconds_of_other_rows_or_sources_are_none(made):
    noted(made, "fnn0", "fgsm", 8, 2.0)  # the other source's are not known
    assert [one.seconds for one in found(made)] == [None, None]
    noted(made, "fnn2+fnn0", "fgsm", 8, 2.0)
    assert [one.seconds for one in found(made)] == [0.25, None]
    path = made[0] / timings.FOLDER / "fnn0/fgsm.json"
    path.write_text(path.read_text().replace('"images": 8', '"images": 0'))
    assert found(made)[0].seconds is None
    for broken in ("", "[]", '{"params": "x"}'):
        path.write_text(broken)
        assert found(made)[0].seconds is None
    noted(
        (made[0], make(made[0], FOOLED, attacks={"fgsm": {**FGSM, "epsilon": 30}, "sg_fgsm": SG})), "fnn0", "fgsm", 8, 2
    )
    assert found(made)[0].seconds is None  # ours has epsilon 40
    assert "success a second" not in printed(made[0]) and "seconds an image" not in printed(made[0])


def test_the_tracked_page_has_no_seconds(made):
    folder, _ = made
    page.write_page([folder], folder / "page.html")
    before = (folder / "page.html").read_bytes()
    for source in ("fnn0", "fnn2+fnn0"):
        noted(made, source, "fgsm", 8, 1.0)
    page.write_page([folder], folder / "page.html")
    assert (folder / "page.html").read_bytes() == before
    page.write_page([folder], folder / "timed.html", timed=True)
    text = (folder / "timed.html").read_text(encoding="utf-8")
    assert "success a second" in text and "CPU, 2 threads" in text


def test_a_cell_notes_what_it_computed_alone(tmp_path, subset, fnn_weights):
    one = cell(subset, fnn_weights)
    members = [pixel_model.load(path, device=CPU) for path in weights_record.verified_paths(one.source, fnn_weights)]
    scratch = tmp_path / ".crossfool/chunks"
    compute_cell.compute_here(one, members, tmp_path / "out.safetensors", device=CPU, scratch=scratch)
    taken = timings.read_timing(tmp_path, "fnn2", "sg", one.attack)
    assert taken is not None and taken.images == 11 and 0 < taken.seconds < 60 and taken.by.startswith("CPU, ")
    assert timings.read_timing(tmp_path, "fnn2", "sg", one.attack.model_copy(update={"samples": 5})) is None
    assert timings.read_timing(tmp_path, "fnn0", "sg", one.attack) is None
