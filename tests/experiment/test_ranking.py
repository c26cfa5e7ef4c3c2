"""Attacks against each other, and their takes, by hand."""

import csv
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_experiments import DETAIL, FGSM, FOOLED, SG, make, write_report

from crossfool.experiment import loading
from crossfool.experiment.results import ranking
from crossfool.experiment.results.outcomes import Evidence
from crossfool.pipeline.evaluation import success
from crossfool.report import table_modules
from crossfool.report.findings import read_findings
from crossfool.report.renderers.latex import render_latex
from crossfool.report.table import Table
from crossfool.report.tables import pairwise
from crossfool.stats import mean_difference, mean_rate, rates
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile, write_tensors

RATES = {"top1": 50.0, "top1_low": 20.0, "top1_high": 80.0, "top5": 25.0, "top5_low": 5.0, "top5_high": 60.0, "n": 8}
SPREAD = {"rates": {"0": RATES, "1": RATES | {"top1": 75.0}}, "top1_mean": 62.5, "top1_deviation": 17.6777}
TAKES = {
    "steps": {"fnn2": {"1": {"gradients": 5, **RATES}, "2": {"gradients": 10, **RATES, "top1": 60.0}}},
    "seeds": {"fnn2": SPREAD | {"top5_mean": 25.0, "top5_deviation": 0.0}},
    "quantisation": {"fnn2": {"float": RATES, "rounded": RATES, "truncated": RATES | {"top1": 12.5}}},
    "denominators": {"fnn2": {"all": RATES, "target_right": RATES, "all_right": None, "clean_error": 12.5}},
}


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    experiment = make(folder, FOOLED)
    write_json(folder / "metrics/fnn0/sg_fgsm.detail.json", {**DETAIL, "size": {**DETAIL["size"], "l2": 50.0}, **TAKES})
    write_report(folder, experiment, folder / "report")
    return folder


def shown(folder: Path) -> dict[str, Table]:
    """The tables of an experiment that people are shown, by name."""
    sections = table_modules.build_tables(read_findings(folder))
    return {table.name: table for tables in sections.values() for table in tables if table.readable}


# The first k of eight images are fooled in each black-box cell: fnn0 to fnn2 and fnn4, and the ensemble to fnn4.
FAST, SMOOTH = (np.mean([np.arange(8) < k for k in some], 0) for some in ((5, 0, 4), (2, 2, 2)))


def test_ranking_by_hand(made):
    first, second, far = rows(made / "report/tables/ranking.csv")
    assert [(row["attack"], row["rank"]) for row in (first, second, far)] == [
        ("fgsm", "1"),
        ("sg_fgsm", "2"),
        ("far", "1"),
    ]
    assert float(first["success"]) == 37.5 and float(second["success"]) == 25.0
    ends = [100 * float(end) for end in mean_rate.mean_rate_ends(FAST, 3)]
    assert (float(first["low"]), float(first["high"])) == pytest.approx(ends, abs=1e-3)
    assert (first["cells"], first["n"], first["gradients"], second["gradients"]) == ("3", "8", "1", "5")
    assert (float(first["success_per_gradient"]), float(second["success_per_gradient"])) == (37.5, 5.0)
    assert (float(first["l2"]), float(second["l2"])) == (100.0, 75.0)  # the mean over both sources


def test_pairs_by_hand(made):
    (row,) = rows(made / "report/tables/pairwise.csv")  # the targeted attack has no other to be compared with
    assert (row["first"], row["second"], row["cells"], row["n"]) == ("fgsm", "sg_fgsm", "3", "8")
    each = FAST - SMOOTH
    assert float(row["difference"]) == 12.5
    ends = [100 * end for end in mean_difference.square_and_add(FAST, SMOOTH, 3)]
    assert (float(row["low"]), float(row["high"])) == pytest.approx(ends, abs=1e-3)
    some = each[each != 0]
    flips = [abs(some @ signs) >= abs(some.sum()) - 1e-12 for signs in itertools.product((1, -1), repeat=len(some))]
    assert float(row["p"]) == pytest.approx(np.mean(flips), abs=1e-9) == float(row["p_holm"])
    assert row["differs"] == "false"


def test_cells_of_pairs_by_hand(made):
    found = rows(made / "report/tables/mcnemar.csv")
    # of eight images fgsm fools the first 5, 0 and 4, sg_fgsm the first 2: so many are fooled by one alone
    alone = [(row["source"], row["target"], row["first_alone"], row["second_alone"]) for row in found]
    assert alone == [("fnn0", "fnn2", "3", "0"), ("fnn0", "fnn4", "0", "2"), ("fnn2+fnn0", "fnn4", "2", "0")]
    assert [float(row["difference"]) for row in found] == [37.5, -25.0, 25.0]
    assert [float(row["p"]) for row in found] == pytest.approx([2 / 2**3, 2 / 2**2, 2 / 2**2])
    assert [float(row["p_holm"]) for row in found] == pytest.approx([3 * 0.25, 1, 1])
    assert {(row["first"], row["second"], row["differs"], row["n"]) for row in found} == {
        ("fgsm", "sg_fgsm", "false", "8")
    }
    assert (found[0]["first_rate"], found[0]["second_rate"]) == ("62.5", "25")
    assert all(float(row["low"]) < float(row["difference"]) < float(row["high"]) for row in found)
    head, cells = shown(made)["mcnemar"].grid.lines[1]
    assert head == "fgsm − sg_fgsm"
    assert [cell.text for cell in cells] == ["fnn0", "fnn4", "0.0", "25.0", "−25.0", "0", "2", "0.5", "1", "8"]


def test_many_pairs_are_corrected_together():
    draw = np.random.default_rng(0)
    attacks = {f"a{number}": FGSM for number in range(4)}

    class Experiment:
        sources, models = ("s",), ("t",)

    Experiment.attacks = {name: type("Row", (), {"objective": "untargeted", "targeted": False}) for name in attacks}
    Experiment.row = lambda self, name: self.attacks[name]
    hits = {("s", name, "t"): draw.random(200) < 0.3 + 0.1 * number for number, name in enumerate(attacks)}
    found = ranking.pairwise_rows(Evidence(Experiment(), hits, {}, {}, {}, {}))
    assert len(found) == 6
    order = sorted(row["p"] for row in found)
    for row in found:
        a, b = hits["s", row["first"], "t"], hits["s", row["second"], "t"]
        assert (
            row["difference"] == round(100 * (a.mean() - b.mean()), 4) and row["low"] < row["difference"] < row["high"]
        )
        wanted = max(min(1.0, (6 - place) * p) for place, p in enumerate(order) if p <= row["p"])
        assert row["p_holm"] == pytest.approx(wanted) and row["differs"] == (wanted < 0.05)
    assert any(row["differs"] for row in found) and not all(row["differs"] for row in found)


def test_takes_are_told(made):
    places = made / "report/tables"
    assert [(row["step"], row["gradients"], row["rate"]) for row in rows(places / "cost.csv")] == [
        ("1", "5", "50"), ("2", "10", "60")
    ]  # fmt: skip
    (spread,) = rows(places / "seeds.csv")
    assert (spread["mean"], spread["deviation"], spread["least"], spread["most"]) == ("62.5", "17.6777", "50", "75")
    assert [(row["way"], row["rate"]) for row in rows(places / "quantisation.csv")] == [
        ("float", "50"), ("rounded", "50"), ("truncated", "12.5")
    ]  # fmt: skip
    assert [(row["counted"], row["clean_error"]) for row in rows(places / "denominators.csv")] == [
        ("all", "12.5"), ("target_right", "12.5"), ("all_right", "12.5")
    ]  # fmt: skip
    one = rows(places / "denominators.csv")[0]  # one of eight is wrong before any attack
    assert (float(one["clean_low"]), float(one["clean_high"])) == (
        rates.wilson_rate(1, 8).low,
        rates.wilson_rate(1, 8).high,
    )
    text = (made / "report/tables.md").read_text()
    assert "### Attacks by success" in text and "in 0 of 3 rows, in bold" in shown(made)["mcnemar"].notes[0]
    assert "- `tables/cost.csv`: Success after each recorded step" in text
    figures = made / "report"
    assert (figures / "figures/cost.png").stat().st_size > 10_000 and (figures / "vector/cost.svg").is_file()


def test_lpips_stands_where_it_was_measured(tmp_path, made):
    experiment = make(tmp_path, FOOLED)
    for source, attack, apart in (("fnn0", "fgsm", 0.25), ("fnn2+fnn0", "fgsm", 0.125), ("fnn0", "sg_fgsm", 0.5)):
        size = {**DETAIL["size"], "lpips": apart, "lpips_high": 1.0}
        write_json(tmp_path / f"metrics/{source}/{attack}.detail.json", {**DETAIL, "size": size})
    write_report(tmp_path, experiment, tmp_path / "report")
    found = {row["attack"]: row["lpips"] for row in rows(tmp_path / "report/tables/ranking.csv")}
    assert found == {"fgsm": "0.1875", "sg_fgsm": "", "far": ""}  # the mean over both sources; not of some of them
    text = (tmp_path / "report/tables.md").read_text()
    assert "| L2 | L∞ | SSIM | LPIPS |" in text and "LPIPS: perceptual distance" in text
    assert " | 0.500 | 0.188 |" in text and " | 0.500 | – |" in text
    table = shown(tmp_path)["ranking"]
    assert table.grid.heads[-1] == "LPIPS" and "LPIPS: perceptual distance" in table.all_notes[-1]
    assert [cells[-1].text for _, cells in table.grid.lines] == ["0.188", "–", "–"]

    text = (made / "report/tables.md").read_text()  # nowhere measured
    assert "| L2 | L∞ | SSIM |" in text and "LPIPS" not in text
    table = shown(made)["ranking"]
    assert table.grid.heads[-1] == "SSIM" and "lpips" not in " ".join(table.all_notes).lower()


def test_the_page_has_them_as_tables(made):
    sections = table_modules.build_tables(read_findings(made))
    compared = {table.name for table in sections["ranking"] if table.readable}
    assert compared == {"ranking", "quantisation", "denominators"}  # one pair and one spread are no table
    assert [head for head, _ in shown(made)["ranking"].grid.lines] == ["fgsm", "sg_fgsm", "far"]
    page = ranking_page(made)
    assert "Attacks compared" in page and "Attacks compared, cell by cell" in page


def ranking_page(folder: Path) -> str:
    from crossfool.report.html import page as html_page

    html_page.write_page([folder], folder / "report/index.html")
    return (folder / "report/index.html").read_text(encoding="utf-8")


def test_nothing_is_told_of_what_is_not_there(tmp_path):
    write_report(tmp_path, make(tmp_path, {}, attacks={"sg": SG}), tmp_path / "report")
    assert [rows(tmp_path / f"report/tables/{name}.csv") for name in ("pairwise", "cost", "seeds", "quantisation")] == [
        []
    ] * 4
    assert not (tmp_path / "report/figures/cost.png").exists()
    assert "Attacks by success" not in (tmp_path / "report/tables.md").read_text()


def test_images_that_a_model_gets_wrong_clean_are_ranked_for_nobody(tmp_path):
    """With `of: all`, ranks and claims count the images that all models get right; rates count all."""
    make(tmp_path, FOOLED)
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("images: all", "images: all\n  of: all"), encoding="utf-8")
    experiment = loading.load_experiment(path)
    assert experiment.subset.of == "all"
    file = TensorFile(tmp_path / "subset/images.safetensors")
    right = np.ones((8, 3), np.uint8)
    right[0, 0] = right[5, 2] = 0  # the first image was fooled wherever any was, the sixth where there were eight
    tensors = {name: np.array(file[name]) for name in file.names()} | {"right": right}
    write_tensors(file.path, tensors, {"models": "fnn0,fnn2,fnn4"})
    write_report(tmp_path, experiment, tmp_path / "report")
    kept = right.all(1)
    for row, hits in zip(rows(tmp_path / "report/tables/ranking.csv"), (FAST, SMOOTH), strict=False):
        assert float(row["success"]) == pytest.approx(100 * hits[kept].mean(), abs=1e-4) and row["n"] == "6"
    claims = rows(tmp_path / "report/tables/claims.csv")
    smoothing = [row for row in claims if row["name"].startswith("smoothing")]
    assert smoothing and {row["images"] for row in smoothing} == {"6"}
    assert {row["n"] for row in rows(tmp_path / "report/tables/results.csv")} == {"8"}
    assert "ranks and claims count only images that every model gets right" in (
        tmp_path / "report/tables.md"
    ).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def costly(tmp_path_factory) -> Path:
    """Three attacks from fnn0 alone, of one step, of five gradients a step, twice, and of three steps, all recorded."""
    folder = tmp_path_factory.mktemp("costly")
    attacks = {
        "fgsm": FGSM,
        "smooth": {**SG, "steps": 2, "record_steps": [1]},
        "igsm": {"epsilon": 15, "steps": 3, "step_size": 5, "record_steps": [1, 2]},
    }
    fooled = {("fnn0", "fgsm", target): 3 for target in ("fnn2", "fnn4")}
    experiment = make(folder, fooled, sources=("fnn0",), attacks=attacks)
    for name, costs, hits in (("smooth", (5, 10), (2, 6)), ("igsm", (1, 2, 3), (1, 4, 4))):
        known = list(enumerate(zip(costs, hits, strict=True), 1))
        steps = {
            target: {str(step): {"gradients": cost, **answered(hit + more)} for step, (cost, hit) in known}
            for target, more in (("fnn0", 0), ("fnn2", 0), ("fnn4", 1))
        }
        write_json(folder / f"metrics/fnn0/{name}.detail.json", {**DETAIL, "steps": steps})
    write_report(folder, experiment, folder / "report")
    return folder


def answered(wrong: int) -> dict[str, float]:
    """Rates of answers to 8 images of class 0, the first so many wrong."""
    top = np.where((np.arange(8) < wrong)[:, None], np.arange(1, 6), np.arange(5))
    return success.cell_metrics({"": top}, np.zeros(8, int), None, "")[""]


def test_attacks_at_equal_cost_by_hand(costly):
    found = {}
    for row in rows(costly / "report/tables/budget.csv"):
        found.setdefault(int(row["budget"]), []).append((row["place"], row["attack"], row["gradients"], row["success"]))
        assert (row["objective"], row["cells"], row["n"]) == ("untargeted", "2", "8")
    # each mean is of 8 images of fnn2 and of fnn4, where one more is fooled, but for fgsm
    assert found == {
        1: [("1", "fgsm", "1", "37.5"), ("2", "igsm", "1", "18.75")],
        2: [("1", "igsm", "2", "56.25"), ("2", "fgsm", "1", "37.5")],
        3: [("1", "igsm", "3", "56.25"), ("2", "fgsm", "1", "37.5")],
        5: [("1", "igsm", "3", "56.25"), ("2", "fgsm", "1", "37.5"), ("3", "smooth", "5", "31.25")],
        10: [("1", "smooth", "10", "81.25"), ("2", "igsm", "3", "56.25"), ("3", "fgsm", "1", "37.5")],
    }
    row = next(row for row in rows(costly / "report/tables/budget.csv") if row["success"] == "81.25")
    low, high = (100 * end for end in rates.wilson_interval_of_share(6.5 / 8, 8))
    assert (float(row["low"]), float(row["high"])) == pytest.approx((low, high), abs=1e-3)


def test_attacks_at_equal_cost_in_words(costly):
    text = (costly / "report/tables.md").read_text(encoding="utf-8")
    _, _, after = text.partition("### Untargeted attacks at equal cost")
    head, _, *lines = after.split("\n\n")[2].splitlines()
    assert head == "| attack | 1 | 2 | 3 | 5 | 10 |"
    assert [line.split(" | ")[0] for line in lines] == ["| smooth", "| igsm", "| fgsm"]  # by the largest budget
    low, high = (100 * end for end in rates.wilson_interval_of_share(6.5 / 8, 8))
    assert lines[0].startswith("| smooth | – | – | – | 31.2 place 3 [")
    assert lines[0].endswith(f"| 81.2 place 1 [{low:.1f}, {high:.1f}] |")


def test_the_page_sets_every_attack_against_every_other(costly):
    tables = shown(costly)
    against, cost = tables["pairwise_untargeted"].grid, tables["budget_untargeted"].grid
    heads = against.heads[1:]
    cells = {(head, column): cell for head, row in against.lines for column, cell in zip(heads, row, strict=True)}
    pairs = {(row["first"], row["second"]): row for row in rows(costly / "report/tables/pairwise.csv")}
    assert len(pairs) == 3 and len(cells) == 9
    for (first, second), row in pairs.items():
        one, other = cells[first, second], cells[second, first]
        assert one.value == float(row["difference"]) == -other.value
        assert f"p = {float(row['p_holm']):.2g}" in one.under and cells[first, first].text == "–"
    assert cost.heads == ("attack", "1", "2", "3", "5", "10")
    by_attack = dict(cost.lines)
    assert [cell.text for cell in by_attack["smooth"]] == ["–", "–", "–", "31.2", "81.2"]
    assert by_attack["fgsm"][4].under.startswith("place 3 at 1\n[")
    assert by_attack["igsm"][1].under.startswith("place 1\n[")


def test_equals_share_a_place(tmp_path):
    attacks = {
        "one": FGSM,
        "two": {**FGSM, "step_size": 30},
        "igsm": {"epsilon": 15, "steps": 2, "step_size": 5, "record_steps": [1]},
    }
    experiment = make(
        tmp_path, {("fnn0", "igsm", "fnn2"): 1}, sources=("fnn0",), attacks=attacks, models=("fnn0", "fnn2")
    )
    steps = {"fnn2": {str(step): {"gradients": step, **answered(1)} for step in (1, 2)}}
    write_json(tmp_path / "metrics/fnn0/igsm.detail.json", {**DETAIL, "steps": steps})
    write_report(tmp_path, experiment, tmp_path / "report")
    places = [(row["budget"], row["attack"], row["place"]) for row in rows(tmp_path / "report/tables/budget.csv")]
    assert [place for budget, _, place in places if budget == "1"] == ["1", "1", "3"]
    ranks = [(row["attack"], row["rank"]) for row in rows(tmp_path / "report/tables/ranking.csv")]
    assert ranks == [("one", "1"), ("two", "1"), ("igsm", "3")]


def test_what_differs_stands_out():
    some = {"objective": "untargeted", "low": 1.0, "high": 30.0, "cells": 2, "n": 50}
    pairs = [
        {"first": "a", "second": "b", "difference": 12.5, "p": 0.001, "p_holm": 0.003, "differs": True},
        {"first": "a", "second": "c", "difference": -4.0, "low": -9.0, "high": 2.0, "p": 0.5, "p_holm": 1.0},
        {"first": "b", "second": "c", "difference": 0.0, "p": 1.0, "p_holm": 1.0},
    ]
    rows = [{**some, "differs": False, **pair} for pair in pairs]
    (table,) = [table for table in pairwise.tables(SimpleNamespace(pairs=rows)) if table.readable]
    lines = table.grid.lines
    stressed = {one + other for one, row in lines for other, cell in zip("abc", row, strict=True) if cell.stressed}
    assert stressed == {"ab", "ba"} and "1 of 3 pairs, in bold" in table.notes[0]
    by_attack = dict(lines)
    assert by_attack["b"][0].text == "−12.5" and by_attack["b"][0].under == "[−30.0, −1.0]\np = 0.003; differ"
    latex = render_latex(table)
    assert latex.count(r"\textbf{$-$12.5}") == 1 and latex.count(r"\textbf") == 2
    assert by_attack["c"][0].under == "[−2.0, 9.0]\np = 1" and by_attack["b"][2].text == "+0.0"
