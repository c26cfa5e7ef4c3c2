"""The HTML report: what it says, on hand-made results; that it is safe and small; and that it works in a browser."""

import base64
import csv
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Page, chromium, executable
from made_experiments import FGSM, FILES, FOOLED, SG, SUBSET, complete, make, write_report
from parsed_page import Parsed
from PIL import Image

from crossfool.experiment import loading
from crossfool.experiment.results.equal_cost import PairedTest
from crossfool.report import perturbations
from crossfool.report.answer import Answer
from crossfool.report.findings import read_findings
from crossfool.report.html import data_uris, experiment_view, gallery
from crossfool.report.html import page as html_page
from crossfool.report.html.experiment_view import Figure, Group, View
from crossfool.report.html.summary import Summary
from crossfool.report.renderers.csv_text import csv_text, render_csv
from crossfool.report.renderers.latex import latex_escaped
from crossfool.report.table import Cell, Column, Matrix, Table
from crossfool.report.tables import grids
from crossfool.stats.mean_rate import MeanRate
from crossfool.storage.json_files import read_json
from crossfool.storage.tensors import TensorFile

LABELS = np.arange(8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made experiment with its whole report; tests only read it."""
    folder = tmp_path_factory.mktemp("made")
    images = np.random.default_rng(1).integers(0, 256, (8, 1, 28, 28), np.uint8)
    experiment = make(folder, FOOLED, images=images)
    complete(folder)
    write_report(folder, experiment, folder / "report")
    html_page.write_page([folder], folder / "report/index.html")
    return folder


@pytest.fixture(scope="module")
def text(made: Path) -> str:
    return (made / "report/index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(text: str) -> Parsed:
    return Parsed(text)


# --- what it says -----------------------------------------------------------------------------------


def test_heat_maps_have_rates_intervals_marks_and_the_papers_figures(parsed: Parsed) -> None:
    table = parsed.table("fgsm: top-1 success rate, %")
    # the paper's table 2a: from depth 0 to depth 2, and to depth 4, by FGSM with epsilon 40 it has 62.9
    assert table == [
        ["source", "fnn0", "fnn2", "fnn4"],
        ["fnn0", "100.0*[67.6, 100.0]", "62.5[30.6, 86.3] paper 62.9, −0.4", "0.0[0.0, 32.4] paper 62.9, −62.9"],
        ["fnn2+fnn0", "25.0*[7.1, 59.1]", "25.0*[7.1, 59.1]", "50.0[21.5, 78.5]"],
    ]
    caption = next(caption for caption in parsed.captions if caption.startswith("fgsm: top-1"))
    assert "Untargeted, plain gradient, one step of α = 40, ε = 40; 1 gradient evaluation" in caption
    assert "images that are not given the true label" in caption and "of its table 2a" in caption
    assert "62.9" not in str(parsed.table("sg_fgsm: top-1"))
    assert [caption.split(":")[0] for caption in parsed.captions if "top-5 success" in caption] == ["far"]


def test_colours_are_the_rates(text: str) -> None:
    assert re.search(r'<td class="h62 has" data-value="62.5" tabindex="0"><span class="rate">62.5</span>', text)
    assert re.search(r'<td class="h100 whitebox" data-value="100.0"><span class="rate">100.0<abbr title="white-', text)
    shades = {percent: (background, ink) for percent, background, ink in html_page.heat_colours()}
    assert shades[0] == ("#00224e", "#fff") and shades[100] == ("#fee838", "#000") and len(shades) == 101
    assert shades[5][0] == "#042a5f"


@pytest.mark.parametrize("percent", range(101))
def test_numbers_can_be_read_on_their_colours(percent: int) -> None:
    """Contrast of at least 4.5 to 1, as WCAG 2 asks."""
    _, background, ink = html_page.heat_colours()[percent]

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(background), luminance({"#000": "#000000", "#fff": "#ffffff"}[ink])))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_the_overview_says_what_ran(parsed: Parsed, text: str) -> None:
    table = parsed.table("Clean accuracy")
    assert table[0] == ["model", "top-1, %", "top-5, %", "published top-1, %", "images", "parameters", "sha256"]
    assert table[1] == ["fnn0", "90.0[82.6, 94.5]", "99.0[94.6, 99.8]", "–", "100", "1,000", "a" * 12]
    assert table[3] == ["fnn4", "92.0[85.0, 95.9]", "99.0[94.6, 99.8]", "91.2", "100", "1,002", "–"]
    assert "8 images of mnist: every one that all 3 models classify correctly." in text
    for fact in ("2.9.0", "precision float32, compile false, chunk 8", SUBSET, "jpeg (75, 20), rotation (5)"):
        assert f"<dd>{fact}</dd>" in text
    assert parsed.table("Attacks;")[1] == ["fgsm", "untargeted, plain gradient, one step of α = 40, ε = 40", "1"]
    assert "fgsm: {epsilon: 40.0, steps: 1, step_size: 40.0" in text  # params.yaml


def test_the_first_screen_has_the_question_and_the_answer(text: str) -> None:
    first = text[text.index('<div class="first">') : text.index('id="e1-ranking"')]
    order = (
        *('<h1 id="e1-title">default benchmark</h1>', "Transferability on mnist"),
        "Which of 3 attacks transfers best from 2 sources to 3 target models, on 8 images of mnist?",
        "<strong>fgsm</strong> transfers best of the untargeted attacks: 37.5% [14.5, 68.0] mean top-1 success over 3 ",
        *("+12.5 points [", "paired p = 0.56", '<b class="verdict undecided">undecided</b>'),
        *("<strong>far</strong> transfers best of the targeted attacks: 20.8%", "crossfool compare fgsm sg_fgsm"),
        "2 of the paper&#39;s 203 success rates compared here, 1 in our 95% interval",
        *(
            "The paper's claims: ",
            '<source media="(max-width: 40rem)" srcset="data:image/svg+xml',
            "Success rate of each",
        ),
    )
    places = [first.index(part) for part in order]
    assert places == sorted(places)


def test_results_stand_before_what_they_rest_on(parsed: Parsed, text: str) -> None:
    sections = ("ranking", "cells", "rates", "claims", "paper", "destruction", "figures", "gallery", "method", "models")
    places = [text.index(f'id="e1-{name}"') for name in (*sections, "metadata", "params")]
    assert places == sorted(places)
    assert text.index("<details>", places[-2]) < text.index(SUBSET) < text.index("</details>", places[-2])
    assert SUBSET not in text[: places[-2]]


def test_the_papers_claims_have_their_verdicts(parsed: Parsed, made: Path) -> None:
    table = parsed.table("What the paper claims")
    verdicts = read_json(made / "agreement.json")["claims"]
    assert all(row[1].startswith(one["verdict"]) for row, one in zip(table[1:], verdicts.values(), strict=True))
    assert len(verdicts) >= 2 and table[1][0].endswith(".")


def test_destruction_rates_are_pooled(parsed: Parsed) -> None:
    table = parsed.table("jpeg: destruction rate")
    # fgsm's black-box pairs: 5 and 0 fooled from fnn0, 4 from the ensemble; destroyed 3 of 5 and 2 of 4
    assert table[0] == ["attack", "75", "20", "fooled"] and table[1] == ["fgsm", *["55.6[20.5, 85.8]"] * 2, "9"]


def test_ours_and_the_papers_stand_side_by_side(parsed: Parsed) -> None:
    table = parsed.table("Ours and the paper's")
    assert table[1] == ["fnn0 → fnn2", "table 2a", "top-1", "fgsm", "62.5[30.6, 86.3]", "62.9", "−0.4", "yes"]
    assert table[2] == ["fnn0 → fnn4", "table 2a", "top-1", "fgsm", "0.0[0.0, 32.4]", "62.9", "−62.9", "no"]


def test_a_figures_data_are_a_table() -> None:
    csv = "x,rate,low,high,n,line,panel,source,target,attack\n5,62.5,30.5742,,8,m = 5,fnn0 → fnn2,fnn0,fnn2,a_e5\n"
    values = (5.0, 62.5, 30.5742, None, 8, "m = 5", "fnn0 → fnn2", "fnn0", "fnn2", "a_e5")
    row = dict(zip((column.name for column in grids.COLUMNS), values, strict=True))
    table = Table("grid_a", "Grid a", grids.COLUMNS, (row, row | {"high": 90.0}))
    assert render_csv(dataclasses.replace(table, rows=(row,))) == csv
    head, cells = table.grid.lines[0]
    assert (table.grid.heads[0], head, cells[0], cells[2]) == ("x", "5", Cell("62.5", 62.5), Cell("–"))
    assert cells[4] == Cell("m = 5")


def test_every_table_has_its_command(text: str) -> None:
    for command in ("evaluate@*-fgsm", "evaluate@*-sg_fgsm", "evaluate@*", "predict@*"):
        assert f"<code>dvc repro --glob &#39;{command}&#39;</code>" in text
    assert "<code>dvc repro</code>" in text and "<code>dvc repro report</code>" in text


def test_tables_are_semantic(parsed: Parsed) -> None:
    tables = [given for tag, given in parsed.tags if tag == "table"]
    assert len(parsed.captions) == len(tables)
    assert {given.get("scope") for tag, given in parsed.tags if tag == "th"} == {"col", "row"}
    assert all(parsed.attributes("img", "alt")) and len(parsed.attributes("img", "alt")) == 1 + 5 + 3
    ids = [given["id"] for _, given in parsed.tags if "id" in given]
    assert len(ids) == len(set(ids))
    for name in ("aria-labelledby", "data-from"):
        assert {given[name] for _, given in parsed.tags if name in given} <= set(ids)
    assert {link[1:] for link in parsed.attributes("a", "href") if link.startswith("#")} <= set(ids)
    assert parsed.attributes("html", "lang") == ["en"]


@pytest.mark.parametrize("tag", ["a", "button"])
def test_what_is_spoken_holds_what_is_read(text: str, tag: str) -> None:
    """Label in name, as WCAG 2.5.3 asks: who says what stands on a button reaches it."""
    labelled = re.findall(rf'<{tag} [^>]*aria-label="([^"]+)"[^>]*>([^<]+)</{tag}>', text)
    assert len(labelled) >= 20 and all(read in spoken for spoken, read in labelled)


def test_csv_of_a_table(parsed: Parsed) -> None:
    rows = list(csv.DictReader(io.StringIO(parsed.file("fgsm-top1.csv"))))
    assert len(rows) == 2 * 3
    assert rows[1] == {
        "source": "fnn0",
        "target": "fnn2",
        "attack": "fgsm",
        "metric": "top1",
        "rate": "62.5",
        "low": "30.5742",
        "high": "86.3156",
        "n": "8",
        "whitebox": "false",
        "paper": "62.9",
        "difference": "-0.4",
        "paper_table": "table2a",
    }
    assert rows[5]["paper"] == "" and rows[3]["whitebox"] == "true"


def test_latex_of_a_table(parsed: Parsed) -> None:
    assert parsed.file("fgsm-top1.tex") == (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{table}\n"
        "\\centering\n"
        "\\caption{fgsm: top-1 success rate, \\%. Untargeted, plain gradient, one step of $\\alpha$ = 40, "
        "$\\varepsilon$ = 40; 1 gradient evaluation an image and model. Success: images that are not given the true "
        "label. The paper's figures are of its table 2a. "
        "Asterisks mark white-box cells, whose source has the target in it.}\n"
        "\\label{tab:fgsm-top1}\n"
        "\\begin{tabular}{lrrr}\n"
        "\\toprule\n"
        "source & fnn0 & fnn2 & fnn4 \\\\\n"
        "\\midrule\n"
        "fnn0 & 100.0$^{*}$ {\\scriptsize [67.6, 100.0]} & 62.5 {\\scriptsize [30.6, 86.3]} (62.9) & "
        "0.0 {\\scriptsize [0.0, 32.4]} (62.9) \\\\\n"
        "fnn2+fnn0 & 25.0$^{*}$ {\\scriptsize [7.1, 59.1]} & 25.0$^{*}$ {\\scriptsize [7.1, 59.1]} & "
        "50.0 {\\scriptsize [21.5, 78.5]} \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\end{table}\n"
    )
    assert "\\label{tab:sg-fgsm-top1}" in parsed.file("sg_fgsm-top1.tex") and "sg\\_fgsm" in parsed.file(
        "sg_fgsm-top1.tex"
    )
    # an interval must not be taken for the optional argument of \\
    assert "\\\\\n[" not in parsed.file("claims.tex")


def test_latex_escapes_what_it_must() -> None:
    assert latex_escaped(r"a_b & 5% $x$ #1 {y} \z ~ ^") == (
        r"a\_b \& 5\% \$x\$ \#1 \{y\} \textbackslash{}z \textasciitilde{} \textasciicircum{}"
    )
    assert latex_escaped("“at” is") == "``at'' is"


def test_every_table_is_ascii_in_latex(parsed: Parsed) -> None:
    names = [name for name in parsed.attributes("a", "download") if name.endswith(".tex")]
    assert (
        len(names) == 4 + 1 + 2 + 1 + 2 + 2
    )  # rates, models, transforms, claims, comparison and reported claims, ranking and cells of pairs
    for name in names:
        assert parsed.file(name).isascii(), name


# --- the gallery ------------------------------------------------------------------------------------


def decoded(picture: str) -> np.ndarray:
    """The pixels (H,W,3) of a picture in base64, by Pillow; the three are equal where it is grey."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"))


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_keep_every_pixel(channels: int) -> None:
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (channels, 17, 23), np.uint8)
    smooth = (
        np.broadcast_to(np.arange(23, dtype=np.uint8) * 9, (channels, 17, 23)) + np.arange(17, dtype=np.uint8)[:, None]
    )
    for pixels in (noise, smooth):
        shown = np.broadcast_to(pixels, (3, 17, 23)).transpose(1, 2, 0)
        assert np.array_equal(decoded(data_uris.webp_base64(pixels)), shown)
        difference = decoded(data_uris.webp_base64(perturbations.difference(noise, pixels)))
        again = shown + difference  # modulo 256
        assert np.array_equal(again, np.broadcast_to(noise, (3, 17, 23)).transpose(1, 2, 0))


def embedded(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)
    return json.loads(found)


def test_the_gallery_holds_the_pixels_and_answers_that_are_stored(made: Path, text: str) -> None:
    data = embedded(text)
    assert (data["sources"], data["attacks"]) == (["fnn0", "fnn2+fnn0"], ["fgsm", "sg_fgsm", "far"])
    assert data["targets"] == ["fnn0", "fnn2", "fnn4"] and data["classes"]["3"] == "3"
    clean = TensorFile(made / "subset/images.safetensors")["images"]
    assert [image["file"] for image in data["images"]] == FILES
    for place, image in enumerate(data["images"]):
        assert (image["clean"] == "") == (place == 0)  # the first is shown anyway
        assert place == 0 or np.array_equal(decoded(image["clean"])[..., 0], clean[place, 0])
        assert image["label"] == place and [top[0] for top in image["before"]] == [place] * 3
        for cell in image["cells"]:
            file = TensorFile(made / "adversarial" / cell["source"] / f"{cell['attack']}.safetensors")
            assert np.array_equal(clean[place, 0] + decoded(cell["difference"])[..., 0], file["images"][place, 0])
    first = data["images"][4]["cells"][0]  # from fnn0, fgsm fools fnn0 on all eight, fnn2 on five, fnn4 on none
    assert (first["source"], first["attack"]) == ("fnn0", "fgsm")
    assert [top[0] == 4 for top in first["after"]] == [False, False, True]


def test_what_is_shown_at_first_needs_no_script(parsed: Parsed, made: Path) -> None:
    clean, adversarial, perturbation = parsed.attributes("img", "src")[-3:]
    before = TensorFile(made / "subset/images.safetensors")["images"][0, 0]
    after = TensorFile(made / "adversarial/fnn0/fgsm.safetensors")["images"][0, 0]
    assert np.array_equal(decoded(clean.split(",")[1])[..., 0], before)
    assert np.array_equal(decoded(adversarial.split(",")[1])[..., 0], after)
    change = np.clip(128.0 + gallery.GAIN * (after.astype(float) - before), 0, 255)
    assert np.array_equal(decoded(perturbation.split(",")[1])[..., 0], change)
    assert parsed.table("Top-5 predictions")[1] == ["fnn0", "0 ✓9999", "12456"]


def test_room_is_kept(made: Path) -> None:
    experiment = loading.load_experiment(made / "params.yaml")
    small = gallery.gather_gallery(made, experiment, 3_500)
    assert small is not None
    assert 1 <= len(small.data["images"][0]["cells"]) < 6 and len(small.data["images"]) == 1
    spent = len(small.clean) + len(small.adversarial) + len(small.perturbation)
    assert spent + sum(len(cell["difference"]) for cell in small.data["images"][0]["cells"]) < 3_500
    large = gallery.gather_gallery(made, experiment, 10**9)
    assert large is not None and len(large.data["images"]) == 8 and len(large.data["images"][0]["cells"]) == 6


# --- safe, small, equal -----------------------------------------------------------------------------

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&_{{ 7*7 }}"


def hostile() -> View:
    """A view whose every text would do harm, were it not escaped."""
    evil = {"under": lambda row: EVIL, "paper": "paper", "difference": "difference", "whitebox": "whitebox"}
    rate = Column("rate", EVIL, EVIL, lambda value: EVIL, EVIL, **evil, heat=True)
    columns = (Column(EVIL), rate, Column("paper", shown=False), Column("difference", shown=False))
    row = {EVIL: EVIL, "rate": 12.5, "paper": 1.0, "difference": 11.5, "whitebox": True}
    table = Table(EVIL, EVIL, (*columns, Column("whitebox", shown=False)), (row,), notes=(EVIL,), command=EVIL)
    black = np.zeros((1, 1, 4, 4), np.uint8)
    answers = {EVIL: np.arange(5)[None]}
    rows = [{"id": "0", "label": "0", "target_label": "1", "file": EVIL}]
    shown = gallery.build_gallery(
        "cifar10", rows, black, answers, [gallery.CellImages(EVIL, EVIL, black, answers)], 1000
    )
    data = {**shown.data, "classes": dict.fromkeys(shown.data["classes"], EVIL)}
    shown = dataclasses.replace(shown, data=data, answers=[(EVIL, [(EVIL, True)], [(EVIL, False)])])
    return View(
        name=EVIL,
        dataset=EVIL,
        images=1,
        title=EVIL,
        summary=Summary(
            question=EVIL,
            answers=[Answer(EVIL, EVIL, MeanRate(50, 40, 60, 2, 8), 1, EVIL, 1, PairedTest(1, 0, 2, 0.5, 1))],
            missing=EVIL,
            wide=data_uris.file_uri("image/svg+xml", EVIL.encode()),
            narrow=data_uris.file_uri("image/svg+xml", EVIL.encode()),
            coverage=EVIL,
            verdicts=EVIL,
        ),
        lead=EVIL,
        names={EVIL: EVIL},
        groups=[Group("rates", EVIL, EVIL, [table]), Group("claims", EVIL, EVIL, [table])],
        figures=[Figure(EVIL, EVIL, data_uris.file_uri("image/svg+xml", EVIL.encode()))],
        pictures=shown,
        attacks=[(EVIL, EVIL, 1)],
        method=[Group("models", EVIL, EVIL, [table])],
        command=EVIL,
        facts=[(EVIL, EVIL)],
        params=EVIL,
    )


@pytest.fixture(scope="module")
def harmful() -> str:
    return html_page.render_page([hostile(), hostile()])


def test_everything_shown_is_escaped(harmful: str, text: str) -> None:
    tame, wild = Parsed(text), Parsed(harmful)
    assert {tag for tag, _ in wild.tags} <= {tag for tag, _ in tame.tags} | {"h4"}
    assert sum(tag == "script" for tag, _ in wild.tags) == 2 + 1  # a gallery's data each, and the page's own
    names = {name for _, given in wild.tags for name in given}
    assert not {name for name in names if name.startswith("on")}
    assert "<script>alert" not in harmful
    assert sum(tag == "img" for tag, _ in wild.tags) == 2 * 5
    links = [link for link in wild.attributes("a", "href") if not link.startswith("#")]
    assert links and all(link.startswith("data:text/") for link in links)
    assert all(source.startswith("data:image/") for source in wild.attributes("img", "src"))


def test_a_folder_is_quoted_in_its_command() -> None:
    assert experiment_view._command("experiments/a b; rm -rf x") == "dvc repro 'experiments/a b; rm -rf x/dvc.yaml'"
    assert experiment_view._command(".") == experiment_view._command("") == "dvc repro"


def test_a_file_name_that_would_do_harm(tmp_path: Path) -> None:
    make(tmp_path, {}, attacks={"fgsm": FGSM}, transforms={})
    complete(tmp_path)
    path = tmp_path / "subset/subset.csv"
    rows = [row | {"file": EVIL} for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())]
    path.write_text(csv_text(list(rows[0]), rows), encoding="utf-8")
    html_page.write_page([tmp_path], tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text and embedded(text)["images"][0]["file"] == EVIL


def test_a_second_run_writes_the_same_bytes(made: Path, tmp_path: Path) -> None:
    imports = "import sys, pathlib; from crossfool.report.html import page"
    code = f"{imports}; page.write_page([pathlib.Path()], pathlib.Path(sys.argv[1]))"
    for seed in ("1", "2"):  # of the order of sets
        command = [sys.executable, "-c", code, str(tmp_path / f"{seed}.html")]
        subprocess.run(command, cwd=made, env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
    first = (made / "report/index.html").read_bytes()
    assert (tmp_path / "1.html").read_bytes() == (tmp_path / "2.html").read_bytes() == first


def test_what_is_not_there_is_left_out(made: Path, tmp_path: Path) -> None:
    """Of a clone, git has metrics and params.yaml alone."""
    subprocess.run(["cp", "-r", made / "metrics", made / "params.yaml", tmp_path], check=True)
    html_page.write_page([tmp_path], tmp_path / "index.html")
    page = Parsed((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert page.table("fgsm: top-1")[1][0] == "fnn0"
    assert not page.attributes("img", "src") and not any("claims" in caption for caption in page.captions)


def test_no_file_of_the_report_is_read_back(made: Path, tmp_path: Path) -> None:
    """The page shows the same tables whatever has become of the files that were written before it."""
    folder = tmp_path / "made"
    shutil.copytree(made, folder)
    for path in (folder / "report/tables").iterdir():
        path.write_bytes(b"damaged")
    (folder / "report/tables.md").unlink()
    html_page.write_page([folder], folder / "report/index.html")
    assert (folder / "report/index.html").read_bytes() == (made / "report/index.html").read_bytes()


@pytest.mark.parametrize("place", ["predictions/fnn0/fgsm.parquet", "transformed/fnn0/far.parquet"])
def test_tables_without_their_predictions_are_left_out(made: Path, tmp_path: Path, place: str) -> None:
    """Some predictions are there, and not all: what rests on them all is left out, and the rest is shown."""
    folder = tmp_path / "made"
    shutil.copytree(made, folder)
    (folder / place).unlink()
    if "transformed" not in place:
        shutil.rmtree(folder / "adversarial")  # or the gallery would ask for it
    html_page.write_page([folder], folder / "page.html")
    page = Parsed((folder / "page.html").read_text(encoding="utf-8"))
    assert page.table("fgsm: top-1")[1][0] == "fnn0" and page.table("Ours and the paper's")
    assert not [caption for caption in page.captions if "claims" in caption or "destruction rate" in caption]


def test_one_page_of_several_folders(made: Path, tmp_path: Path) -> None:
    html_page.write_page([made, made], tmp_path / "all.html")
    page = Parsed((tmp_path / "all.html").read_text(encoding="utf-8"))
    contents = page.table("Experiments on this page")
    assert [row[0] for row in contents[1:]] == [made.as_posix()] * 2
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))


def test_pages_load_nothing_heavy() -> None:
    code = (
        "import sys; from crossfool.report.html import page; print({'torch', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 12 experiments and 204 cells on photographs of full size, with figures as large as real ones."""
    folder = tmp_path_factory.mktemp("twelve")
    models = ("resnet18", "resnet101", "vgg13_bn", "vgg16_bn", "densenet121", "densenet161", "resnet50", "vgg19_bn")
    attacks = {f"attack{number}": SG for number in range(17)}
    # as small as photographs are: noise at an eighth of the side
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 28, 28), np.uint8).repeat(8, 2).repeat(8, 3)
    data = {"name": "imagenet-sample"}
    options: dict[str, Any] = {"transforms": {"jpeg": [75, 50, 20]}, "labels": LABELS[:2], "images": images}
    make(folder, {}, models=models, sources=models[:1], attacks=attacks, dataset=data, **options)
    complete(folder)
    (folder / "report/vector").mkdir(parents=True)
    for name in ("destruction", "scatter", "grid_a"):
        (folder / f"report/vector/{name}.svg").write_text("<svg>" + "<path d='M 0 0'/>" * 6400 + "</svg>")
    one = experiment_view.gather_view(read_findings(folder), "experiments/one", html_page.SHARED_ROOM // 12)
    views = [dataclasses.replace(one, name=f"experiments/{number}") for number in range(12)]
    (folder / "all.html").write_text(html_page.render_page(views), encoding="utf-8")
    return folder / "all.html"


def test_a_page_of_twelve_experiments_is_small(twelve: Path) -> None:
    page = Parsed(twelve.read_text(encoding="utf-8"))
    rates = [caption for caption in page.captions if "top-1 success rate" in caption]
    assert len(rates) == 204 and twelve.stat().st_size < 10_000_000
    assert sum(tag == "section" and given.get("class") == "gallery" for tag, given in page.tags) == 12


# --- in a browser -----------------------------------------------------------------------------------

browser_needed = pytest.mark.skipif(executable() is None, reason="no Chromium (chromium or google-chrome) on the PATH")


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page, made: Path) -> Iterator[Page]:
    """The made page, opened anew; after the test nothing may have gone wrong in it."""
    browser.open(made / "report/index.html")
    yield browser
    assert browser.problems == []


FGSM_TABLE = "[...document.querySelectorAll('.sheet')].find((one) => one.dataset.name === 'fgsm-top1')"
HEADS = f"[...{FGSM_TABLE}.querySelectorAll('tbody tr:not([hidden]) th')].map((one) => one.textContent)"


@browser_needed
def test_it_opens_without_complaint(page: Page) -> None:
    assert page.run("document.title") == "default benchmark: Transferability on mnist"
    assert page.run("[...document.images].every((one) => one.loading === 'lazy' || one.naturalWidth > 0)")
    assert page.run("document.querySelectorAll('[hidden]').length") == 0


@browser_needed
@pytest.mark.parametrize(
    ("several", "theme"),
    [
        (False, "dark"),
        (True, "light"),
        *(pytest.param(*more, marks=pytest.mark.exhaustive)
          for more in [(False, ""), (False, "light"), (True, ""), (True, "dark")]),
    ],
)  # fmt: skip
def test_axe_finds_nothing_serious(browser: Page, made: Path, tmp_path: Path, theme: str, several: bool) -> None:
    """Deque's axe-core, all its rules of WCAG 2, over the page with everything open."""
    axe = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    html_page.write_page([made, made] if several else [made], tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    browser.run(f"document.documentElement.dataset.theme = '{theme}'")
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.run(f"{{ {axe} }}")
    found = browser.run("axe.run().then((found) => found)")
    assert len(found["passes"]) > 20
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert not serious, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious]
    browser.run("document.querySelector('main').append(document.createElement('button'))")
    again = browser.run("axe.run().then((found) => found.violations.map((one) => one.id))")
    assert "button-name" in again  # it looks


@browser_needed
def test_a_hostile_page_does_nothing(browser: Page, harmful: str, tmp_path: Path) -> None:
    (tmp_path / "evil.html").write_text(harmful, encoding="utf-8")
    browser.open(tmp_path / "evil.html")
    browser.run("document.querySelector('select').dispatchEvent(new Event('input', {bubbles: true}))")
    browser.until("/ shown$| of /.test(document.querySelector('#said').textContent)")
    assert not [event for event in browser.events if event.get("method") == "Page.javascriptDialogOpening"]
    assert browser.run("document.querySelectorAll('img[onerror], img[src=x]').length") == 0
    assert browser.problems == []


@browser_needed
def test_sorting(page: Page) -> None:
    head = f"{FGSM_TABLE}.querySelectorAll('thead th')[3]"
    assert page.run(HEADS) == ["fnn0", "fnn2+fnn0"]
    page.run(f"{head}.querySelector('button').click()")
    assert (page.run(HEADS), page.run(f"{head}.ariaSort")) == (["fnn0", "fnn2+fnn0"], "ascending")
    page.run(f"{head}.querySelector('button').click()")
    assert (page.run(HEADS), page.run(f"{head}.ariaSort")) == (["fnn2+fnn0", "fnn0"], "descending")
    page.run(f"{FGSM_TABLE}.querySelector('thead button').click()")
    assert page.run(HEADS) == ["fnn0", "fnn2+fnn0"]
    assert page.run(f"{FGSM_TABLE}.querySelectorAll('[aria-sort]').length") == 1
    # what has no value is last, whichever way
    cell = f"{FGSM_TABLE}.querySelector('tbody').rows[0].cells[3]"
    page.run(f"{{ const cell = {cell}; delete cell.dataset.value; cell.textContent = '–'; }}")
    for _ in range(2):
        page.run(f"{head}.querySelector('button').click()")
        assert page.run(HEADS) == ["fnn2+fnn0", "fnn0"]


SHOWN = (
    "[...document.querySelectorAll('#e1-rates .sheet')].filter((one) => one.checkVisibility())"
    ".map((one) => one.dataset.name)"
)
EVERY = ["fgsm-top1", "sg_fgsm-top1", "far-top1", "far-top5"]


@browser_needed
def test_one_matrix_is_shown_and_another_chosen(page: Page) -> None:
    """The best attack's first; by keyboard another's, by top-1 or top-5; on paper and by choice all of them."""
    form = "document.querySelector('#e1-rates form')"
    assert page.run(SHOWN) == ["fgsm-top1"] and page.run(f"{form}.elements.metric.disabled")
    page.run(f"{form}.elements.attack.focus()")
    for attack in ("sg_fgsm", "far"):
        page.press("ArrowDown")
        assert page.run(SHOWN) == [f"{attack}-top1"]
        assert page.run("document.querySelector('#said').textContent") == "1 table shown"
    page.run(f"{form}.elements.metric.value = 'top5'")
    page.run(f"{form}.elements.metric.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert page.run(SHOWN) == ["far-top5"]
    page.ask("Emulation.setEmulatedMedia", media="print")
    assert page.run(SHOWN) == EVERY
    page.ask("Emulation.setEmulatedMedia", media="")
    page.run(f"{form}.elements.metric.value = ''")
    page.run(f"{form}.elements.attack.value = ''")
    page.run(f"{form}.elements.attack.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert page.run(SHOWN) == EVERY


@browser_needed
def test_filtering(page: Page) -> None:
    form = "document.querySelector('#e1-rates form')"
    shown = SHOWN

    def ask(name: str, value: str) -> None:
        page.run(f"{form}.elements.{name}.value = {value!r}")
        page.run(f"{form}.elements.{name}.dispatchEvent(new Event('input', {{bubbles: true}}))")

    ask("row", "+")
    assert page.run(HEADS) == ["fnn2+fnn0"]
    ask("column", "FNN4")
    visible = (
        f"[...{FGSM_TABLE}.querySelectorAll('tr:not([hidden]) :is(td, th):not([hidden])')].map((one) => one.innerText)"
    )
    assert [part.split()[0] for part in page.run(visible)] == ["source", "fnn4", "fnn2+fnn0", "50.0"]
    ask("column", "nothing")
    assert page.run(shown) == [] and page.run(f"{form}.querySelector('.count').textContent") == "0 of 1 tables"
    page.run(f"{form}.querySelector('[type=reset]').click()")
    page.until(f"{shown}.length === 1")
    page.run(f"{form}.elements.blackbox.click()")
    masked = f"[...{FGSM_TABLE}.querySelectorAll('td')].map((one) => getComputedStyle(one.firstChild).visibility)"
    assert page.run(masked) == ["hidden", "visible", "visible", "hidden", "hidden", "visible"]


@browser_needed
def test_the_papers_figure_shows_on_focus(page: Page) -> None:
    """The first such cell is reached by Tab, the others from there by the arrows."""
    opacity = "getComputedStyle(document.activeElement.querySelector('.paper')).opacity"
    page.run(f"{FGSM_TABLE}.querySelector('thead th:last-child button').focus()")
    page.press("Tab")
    assert page.run("document.activeElement.dataset.value") == "62.5"
    assert page.run(opacity) == "1"
    page.press("ArrowRight")
    assert page.run("document.activeElement.innerText").startswith("0.0") and page.run(opacity) == "1"
    page.press("ArrowDown")  # the paper has no ensemble: no such cell there
    assert page.run("document.activeElement.dataset.value") == "0.0"
    assert page.run(f"getComputedStyle({FGSM_TABLE}.querySelectorAll('.paper')[0]).opacity") == "0"


@browser_needed
def test_copying(page: Page, parsed: Parsed) -> None:
    page.ask("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    for kind in ("csv", "tex"):
        page.run(f"{FGSM_TABLE}.querySelector('.copy[data-kind={kind}]').click()")
        page.until("document.querySelector('#said').textContent === 'Copied'")
        assert page.run("navigator.clipboard.readText()") == parsed.file(f"fgsm-top1.{kind}")
        page.run("document.querySelector('#said').textContent = ''")
    page.run(f"{FGSM_TABLE}.querySelector('.copy[data-text]').click()")
    page.until("document.querySelector('#said').textContent === 'Copied'")
    assert page.run("navigator.clipboard.readText()") == "dvc repro --glob 'evaluate@*-fgsm'"


@browser_needed
def test_downloads(page: Page, parsed: Parsed, made: Path, tmp_path: Path) -> None:
    page.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for name in ("fgsm-top1.csv", "fgsm-top1.tex"):
        page.run(f"{FGSM_TABLE}.querySelector('a[download=\"{name}\"]').click()")
        assert arrived(tmp_path / name) == parsed.file(name)
    page.run("document.querySelector('.save[data-name=\"agreement.svg\"]').click()")
    assert arrived(tmp_path / "agreement.svg") == (made / "report/vector/agreement.svg").read_text(encoding="utf-8")


def arrived(path: Path) -> str:
    """A download, once it is there."""
    for _ in range(500):
        if path.exists():
            return path.read_text(encoding="utf-8")
        time.sleep(0.02)
    raise AssertionError(f"{path} was not downloaded")


@browser_needed
def test_the_page_says_when_its_file_was_written(page: Page, made: Path) -> None:
    written = datetime.fromtimestamp((made / "report/index.html").stat().st_mtime)
    said = page.run("document.querySelector('.facts .when dd').textContent")
    assert f"{written.day} {written:%B} {written.year}" in said and not page.run(
        "document.querySelector('.when').hidden"
    )


def test_picking_in_the_gallery(page: Page, made: Path) -> None:
    pick = """(name, value) => {
        const field = document.querySelector('form.pick').elements[name];
        field.value = value;
        field.dispatchEvent(new Event('input', {bubbles: true}));
    }"""
    for name, value in (("image", "4"), ("source", "fnn2+fnn0"), ("attack", "far"), ("gain", "3")):
        page.run(f"({pick})({name!r}, {value!r})")
    page.until("document.querySelector('.what').textContent.includes('attack far')")
    page.until("document.querySelector('.gain').textContent === '3'")
    assert page.run("document.querySelector('.what').textContent") == (
        f"{FILES[4]}: 4; source fnn2+fnn0, attack far; aimed at: 7"
    )
    pixels = """async (name) => {
        const image = document.querySelector(`img.${name}`);
        await image.decode();
        const sheet = Object.assign(document.createElement('canvas'), {width: 28, height: 28});
        sheet.getContext('2d').drawImage(image, 0, 0);
        return [...sheet.getContext('2d').getImageData(0, 0, 28, 28).data];
    }"""

    def shown(name: str) -> np.ndarray:
        return np.array(page.run(f"({pixels})({name!r})"), np.uint8).reshape(28, 28, 4)

    clean = TensorFile(made / "subset/images.safetensors")["images"][4, 0]
    adversarial = TensorFile(made / "adversarial/fnn2+fnn0/far.safetensors")["images"][4, 0]
    change = np.clip(128 + 3 * (adversarial.astype(int) - clean), 0, 255)
    for name, expected in (("clean", clean), ("adversarial", adversarial), ("perturbation", change)):
        assert (shown(name)[..., :3] == expected[..., None]).all(), name
    answers = (
        "[...document.querySelectorAll('.answers tbody tr')].map((row) => row.cells[2].querySelector('li').innerText)"
    )
    assert page.run(answers) == ["4 ✓"] * 3  # far succeeds on the first two images alone
    page.run(f"({pick})('image', '0')")  # one that the targeted attack succeeds on: 0 becomes 3
    page.until("document.querySelector('.what').textContent.endsWith('aimed at: 3')")
    aims = "[...document.querySelectorAll('.answers .aim')].map((one) => one.textContent)"
    assert set(page.run(aims)) == {"3 ◎"} and "0 ✓" in page.run("document.querySelector('.answers').innerText")


@browser_needed
def test_colours_can_be_chosen(page: Page) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.run(paper) == "rgb(20, 23, 28)"
    page.run("document.querySelector('#theme').click()")
    assert page.run("document.querySelector('#theme').textContent") == "Colours: light"
    assert page.run(paper) == "rgb(255, 255, 255)"
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    page.run("document.querySelector('#theme').click()")
    assert page.run(paper) == "rgb(20, 23, 28)"
    page.run("document.querySelector('#theme').click()")
    assert page.run(paper) == "rgb(255, 255, 255)"


@browser_needed
def test_a_phone_is_wide_enough(page: Page) -> None:
    page.ask("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    try:
        assert page.run("document.documentElement.scrollWidth") == 360
        picture = "document.querySelector('.cost img')"
        page.until(f"{picture}.complete && {picture}.naturalHeight > {picture}.naturalWidth")  # the narrow one
        assert page.run(f"{picture}.offsetWidth") <= 360
    finally:
        page.ask("Emulation.clearDeviceMetricsOverride")


@browser_needed
def test_on_paper_everything_is_open(page: Page) -> None:
    page.ask("Emulation.setEmulatedMedia", media="print")
    assert page.run(f"getComputedStyle({FGSM_TABLE}.querySelector('.paper')).opacity") == "1"
    assert page.run("getComputedStyle(document.querySelector('.filters')).display") == "none"
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run("[...document.querySelectorAll('details')].every((one) => one.open)")
    page.run("dispatchEvent(new Event('afterprint'))")
    assert not page.run("[...document.querySelectorAll('details')].some((one) => one.open)")
    page.ask("Emulation.setEmulatedMedia", media="")


@browser_needed
def test_wide_tables_fit_on_paper(browser: Page, made: Path, tmp_path: Path) -> None:
    names = tuple(f"sg_attack{number}" for number in range(18))
    pairs = Column("value", under=lambda row: "[−58.1, −46.9]\np = 0.033; differ", stressed="stressed")
    rates = Column("value", under=lambda row: "place 10 at 15\n[38.6, 81.5]", heat=True)

    def table(name: str, column: Column, value: float, heads: tuple[str, ...]) -> Table:
        row = {"value": value, "stressed": True}
        rows = tuple(row | {"attack": attack, "rival": rival} for attack in names for rival in heads)
        matrix = Matrix("attack", "rival", "value", names, heads)
        columns = (Column("attack"), Column("rival"), column, Column("stressed"))
        return Table(name, "All", columns, rows, matrix=matrix)

    tables = [table("pairs", pairs, -52.5, names), table("rates", rates, 62.5, names[:10])]
    view = dataclasses.replace(
        experiment_view.gather_view(read_findings(made), "", 0), groups=[Group("ranking", "Compared", "", tables)]
    )
    (tmp_path / "wide.html").write_text(html_page.render_page([view]), encoding="utf-8")
    browser.open(tmp_path / "wide.html")
    browser.ask("Emulation.setDeviceMetricsOverride", width=680, height=1010, deviceScaleFactor=1, mobile=False)
    widths = "[...document.querySelectorAll('.wide')].map((one) => one.offsetWidth)"
    try:
        assert min(browser.run(widths)) > 680
        browser.ask("Emulation.setEmulatedMedia", media="print")  # A4 less its margins is 680 pixels wide
        assert len(browser.run(widths)) == 2 and max(browser.run(widths)) <= 680
        assert browser.run("document.documentElement.scrollWidth") <= 680
    finally:
        browser.ask("Emulation.setEmulatedMedia", media="")
        browser.ask("Emulation.clearDeviceMetricsOverride")


@browser_needed
def test_without_scripts_tables_and_downloads_are_there(browser: Page, made: Path) -> None:
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(made / "report/index.html")
        nodes = browser.ask("Accessibility.getFullAXTree")["nodes"]
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)
    said = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    for title in ("fgsm: top-1", "sg_fgsm: top-1", "far: top-1", "far: top-5"):  # all, one below the other
        assert ("link", f"Download {title} success rate, % as CSV") in said
    assert ("image", f"Clean image: {FILES[0]}: 0") in said and ("rowheader", "fnn0") in said
    assert not [name for role, name in said if role == "button" and "Copy" in name]


@browser_needed
def test_a_page_of_twelve_opens_at_once(browser: Page, twelve: Path) -> None:
    browser.open(twelve)
    took = browser.run("performance.getEntriesByType('navigation')[0].duration")
    assert took < 5000  # milliseconds; under 1000 on a machine that does nothing else
    assert browser.problems == []
