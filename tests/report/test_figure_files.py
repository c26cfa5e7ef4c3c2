"""The folder of figures is their registry: what files declare, names of figures, the plan and the page."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from builders import ROOT
from made_experiments import FGSM, make
from matplotlib.figure import Figure

from crossfool.errors import UserError
from crossfool.experiment import stage_plans
from crossfool.experiment.results.metrics import load_metrics
from crossfool.report import figure_files, report_folder
from crossfool.report.figures import heatmap
from crossfool.report.findings import Findings
from crossfool.report.html.experiment_view import LARGEST_SVG, _figures
from crossfool.storage.tensors import write_tensors


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    experiment = make(tmp_path, {}, attacks={"fgsm": FGSM}, transforms={})
    return Findings(tmp_path, load_metrics(tmp_path, experiment))


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in the place of the folder of figures."""
    folder = tmp_path / "declared"
    folder.mkdir()
    monkeypatch.setattr(figure_files, "FOLDER", folder)
    figure_files.figure_files.cache_clear()
    yield folder
    figure_files.figure_files.cache_clear()


def test_the_folder_is_the_registry_and_nobody_names_a_figure() -> None:
    files = {path.stem for path in figure_files.FOLDER.glob("*.py") if not path.name.startswith("_")}
    assert set(figure_files.figure_files()) == files and len(files) >= 10
    naming = re.compile(r"report\.figures(\.[a-z]| import [a-z])")
    assert not [path for path in ROOT.glob("crossfool/**/*.py") if naming.search(path.read_text(encoding="utf-8"))]
    orders = [figure.order for figure in figure_files.figure_files().values()]
    assert orders == sorted(set(orders))


def test_the_plan_of_the_report_has_all_figures(findings: Findings) -> None:
    planned = set(stage_plans.report(findings.experiment).modules)
    assert {f"crossfool.report.figures.{name}" for name in figure_files.figure_files()} <= planned
    assert not [module for module in planned if "figures._" in module]


def test_the_graph_names_no_figure() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert "      - report/figures\n" in text and "      - report/vector\n" in text
    assert ".png" not in text and ".svg" not in text


def test_a_figures_file_is_the_one_with_the_longest_name(declared: Path) -> None:
    (declared / "cost.py").write_text("FIGURE = {'title': 'Cost of', 'order': 2}")
    (declared / "cost_time.py").write_text("FIGURE = {'title': 'Time of', 'order': 1}")
    (declared / "_shared.py").write_text("")
    assert list(figure_files.figure_files()) == ["cost_time", "cost"]
    found = {name: figure_files.find_figure_file(name) for name in ("cost", "cost_fgsm", "cost_time_fgsm", "costs")}
    titles = {name: file and file.title_of(name) for name, file in found.items()}
    assert titles == {"cost": "Cost of", "cost_fgsm": "Cost of fgsm", "cost_time_fgsm": "Time of fgsm", "costs": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"new\.py declares no FIGURE; add it, or begin the file's name with _"),
        ("FIGURE = {'titel': 'A', 'order': 1}", r"new\.py: FIGURE: unknown key 'titel'; did you mean title"),
        ("FIGURE = {'title': 'A'}", r"new\.py: FIGURE: order: Field required"),
    ],
)
def test_a_wrong_declaration_is_one_line(declared: Path, text: str, message: str) -> None:
    (declared / "new.py").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        figure_files.figure_files()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [["other"], ["heatmaps"], ["heatmap_a", "heatmap_a"], ["cost_a"]])
def test_a_figure_named_like_anothers_is_refused(
    findings: Findings, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.setattr(heatmap, "figures", lambda findings: [(name, Figure()) for name in names])
    refused = rf"heatmap\.py draws a figure named '{names[-1]}'; name it heatmap, or heatmap_"
    with pytest.raises(UserError, match=refused):
        list(figure_files.draw_figures(findings))


def test_the_page_shows_figures_in_their_places(tmp_path: Path) -> None:
    """Heat maps alone on a page of one experiment; the PNG in place of a large SVG; nothing that no file draws.

    The figure of cost stands on the first screen.
    """
    for folder in ("vector", "figures"):
        (tmp_path / folder).mkdir()
    for name in ("scatter", "cost", "cost_narrow", "destruction", "heatmap_fgsm", "agreement", "left_over"):
        (tmp_path / f"vector/{name}.svg").write_text("<svg/>")
    (tmp_path / "vector/destruction.svg").write_text(f"<svg>{' ' * LARGEST_SVG}</svg>")
    (tmp_path / "figures/destruction.png").write_bytes(b"pixels")
    alone = [(figure.name, figure.title) for figure in _figures(tmp_path, alone=True)]
    assert alone == [
        ("heatmap_fgsm.svg", "Success rates of fgsm"),
        ("agreement.svg", "Our success rates against reported ones"),
        ("destruction.png", "Destruction rates by transform and level"),
        ("scatter.svg", "Success rates over the source's error and size"),
    ]
    assert [figure.name for figure in _figures(tmp_path, alone=False)] == [name for name, _ in alone[1:]]


def test_no_number_is_written_where_a_figure_cannot_be_drawn(findings: Findings) -> None:
    images = {"images": np.zeros((8, 1, 4, 4), np.uint8)}
    write_tensors(findings.folder / "adversarial/fnn0/fgsm.safetensors", images)
    with pytest.raises(UserError, match=r"fgsm\.safetensors: images are \(8, 1, 4, 4\), expected"):
        report_folder.write_report(findings, findings.folder / "report")
    assert not (findings.folder / "agreement.json").exists()
    assert not {"tables", "tables.md"} & {path.name for path in findings.folder.glob("report/*")}
