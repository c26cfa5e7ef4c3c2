"""The report of an experiment that follows a protocol: its reported rates stand beside ours, by the protocol's name."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import told
from made_experiments import complete, make, write_report
from parsed_page import Parsed

from crossfool.experiment import protocol_files
from crossfool.report.html import page as html_page

ROWS = protocol_files.find_protocol("transferattack").rows
MODELS = ("resnet50", "vgg16", "mobilenet_v2")
# On so many of eight images: 62.5% and 50%, where the protocol reports 57.9 and 53.4
FOOLED = {
    ("resnet50", "migsm", "resnet50"): 8,
    ("resnet50", "migsm", "vgg16"): 5,
    ("resnet50", "migsm", "mobilenet_v2"): 4,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made experiment that follows TransferAttack, with its whole report; tests only read it."""
    folder = tmp_path_factory.mktemp("following")
    images = np.random.default_rng(1).integers(0, 256, (8, 3, 224, 224), np.uint8)
    experiment = make(
        folder,
        FOOLED,
        models=MODELS,
        sources=("resnet50",),
        attacks={"migsm": ROWS["migsm"], "ours": {**ROWS["migsm"], "step_size": 2}},
        transforms={},
        dataset={"name": "imagenet-sample"},
        images=images,
        subset={"images": "all", "of": "all"},
        protocol="transferattack",
    )
    complete(folder)
    write_report(folder, experiment, folder / "report")
    html_page.write_page([folder], folder / "report/index.html")
    return folder


def test_the_comparison_is_with_the_protocol(folder: Path) -> None:
    rows = list(csv.DictReader((folder / "report/tables/comparison.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["paper_table"], row["attack"], row["target"], row["ours"], row["paper"]) for row in rows] == [
        ("transferattack", "migsm", "vgg16", "62.5", "57.9"),
        ("transferattack", "migsm", "mobilenet_v2", "50", "53.4"),
    ]
    agreement = json.loads((folder / "agreement.json").read_text())
    assert agreement["protocol"]["cells"] == 2 and "paper" not in agreement


def test_tables_name_the_protocol(folder: Path) -> None:
    text = (folder / "report/tables.md").read_text(encoding="utf-8")
    assert "In parentheses: transferattack's figure." in text and "## Agreement with transferattack\n" in text
    assert "Where transferattack has the same cell" in text and "62.5 [30.6, 86.3] (57.9)" in text
    assert "The figures of transferattack are of its README.md of the repository at 2663e4a" in text
    assert "### Ours and transferattack's success rates\n" in text
    assert "2 of transferattack's figures have a cell here, and 2 of these lie in our interval." in text
    assert "on images of nips2017; ours of imagenet-sample. The code loads torchvision's DEFAULT weights" in text
    assert "paper's figure" not in text


def test_the_page_and_the_terminal_name_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (folder / "report/index.html").read_text(encoding="utf-8")
    page = Parsed(text)
    assert "transferattack: Wang et al. 2026, arXiv 2602.23117" in text
    heads, first = page.table("Ours and transferattack's")[:2]
    assert heads[1:4] == ["reported by", "metric", "attack"] and first[1] == "transferattack"
    cells = page.table("migsm: top-1")[1]
    assert cells[2] == "62.5[30.6, 86.3] transferattack 57.9, +4.6"
    monkeypatch.setenv("COLUMNS", "200")
    shown = told("show", str(folder))
    assert "in parentheses: transferattack." in shown and "(57.9)" in shown
