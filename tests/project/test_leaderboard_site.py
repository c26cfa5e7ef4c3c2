"""The leaderboard's page: all that the metrics in git say, with numbers unchanged, from this folder alone."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from browser import Page, chromium, executable
from builders import ROOT
from command_line import git
from made_experiments import FGSM, SG, make, write_report
from parsed_page import Parsed

from crossfool.errors import UserError
from crossfool.report.leaderboard import site
from crossfool.report.leaderboard.rank_changes import read_before
from crossfool.version import LEADERBOARD_VERSION

MOMENTUM = {"epsilon": 40, "steps": 20, "step_size": 10, "update": "momentum", "decay": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the committed metrics, with the files that it links to."""
    out = tmp_path_factory.mktemp("site")
    assert site.write_site(ROOT, out, revision="abc123") == []
    return out


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "index.html").read_text(encoding="utf-8")


def rows_of(text: str) -> list[dict[str, Any]]:
    """The attributes of each row, with its cells' texts under `cells`."""
    rows = []
    for attributes, inner in re.findall(r"<tr (data-row=[^>]*)>(.*?)</tr>", text, re.S):
        plain = [re.sub(r"<[^>]*>", " ", cell).split() for cell in re.findall(r"<t[hd].*?</t[hd]>", inner, re.S)]
        found = dict(re.findall(r'data-(\w+)="([^"]*)"', attributes))
        ranks = dict(re.findall(r'data-at(\w+)="([^"]*)"', re.findall(r"<td.*?>", inner)[0]))
        (success,) = re.findall(r'data-value="([\d.]+)"><span class="rate">[\d.]+</span><span class="under"><', inner)
        rows.append(found | {"cells": plain, "ranks": ranks, "success": float(success)})
    return rows


def test_every_row_of_the_list_is_on_the_page_with_its_numbers(text: str) -> None:
    listed = (ROOT / "docs/leaderboard.md").read_text(encoding="utf-8")
    rows = {row["row"].partition("-")[2]: row for row in rows_of(text)}
    expected = set()
    for section in re.split(r"^## ", listed, flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0]
        experiment = "default" if name == "The default benchmark" else name
        for line in re.findall(r"^\| \d+ \| .*$", section, re.MULTILINE):
            _, attack, rate, gradients, per_gradient, what = (part.strip() for part in line.strip("|").split(" | "))
            name, mark = re.fullmatch(r"`(\w+)`( †)?", attack).groups()
            row = rows[f"{experiment}-{name}"]
            cells = row["cells"]
            assert cells[0][0] == name.split("_")[0] or "".join(cells[0]).startswith(name)
            assert ("†" in cells[0]) == bool(mark) and " ".join(cells[2]) == rate
            assert cells[3] == [gradients] and cells[4] == [per_gradient]
            assert row["gradients"] == gradients.replace(",", "") and row["text"] == what
            expected.add(f"{experiment}-{name}")
    assert set(rows) == expected and len(expected) > 60


def test_budgets_rank_the_rows_that_fit_in_them(text: str) -> None:
    """Each rank is counted again from the rates."""
    boards = re.findall(r'<section class="board".*?</details>', text, re.S)
    assert len(boards) >= 6
    for board in boards:
        rows = rows_of(board)
        for budget in ("any", "10", "50", "200"):
            fitting = [row for row in rows if budget == "any" or int(row["gradients"]) <= int(budget)]
            assert [row for row in rows if budget in row["ranks"]] == fitting
            for row in fitting:
                better = sum(other["success"] > row["success"] for other in fitting)
                assert int(row["ranks"][budget]) == 1 + better, (row["row"], budget)


def test_it_is_whole_and_asks_nothing_of_a_network(text: str, folder: Path) -> None:
    parsed = Parsed(text)
    links = [link for name in ("href", "src") for tag in ("a", "link", "img", "script") for link in
             parsed.attributes(tag, name)]  # fmt: skip
    ids = [given["id"] for _, given in parsed.tags if "id" in given]
    assert len(ids) == len(set(ids))
    files = [link for link in links if not link.startswith(("#", "data:"))]
    assert len(files) > 100 and all((folder / unquote(link)).is_file() for link in files)
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert {row["row"] for row in rows_of(text)} <= set(ids)
    assert "default-src 'none'" in text and not re.search(r"https?://|url\(|@import", text)
    everything = [text, *(path.read_text(encoding="utf-8") for path in folder.glob("files/**/*.*"))]
    assert not any(str(ROOT) in one for one in everything)


def test_links_lead_to_the_metrics_and_the_readme_of_the_row(folder: Path) -> None:
    for place in ("metrics/efficientnet_lite0/igsm.json", "metrics/efficientnet_lite1/fgsm.json"):
        assert (folder / "files/default" / place).read_bytes() == (ROOT / place).read_bytes()
    noise = ROOT / "experiments/noise"
    assert (folder / "files/noise/README.txt").read_bytes() == (noise / "README.md").read_bytes()
    rates = json.loads((folder / "files/noise/metrics/efficientnet_lite0/latin_8.json").read_text())
    assert rates["efficientnet_lite1"]["n"] == 300


def test_each_row_has_its_params_and_the_commands_to_type(text: str) -> None:
    sections = dict(re.findall(r'<section id="(t\d+-[^"]+)"(.*?)</section>', text, re.S))
    assert set(sections) == {row["row"] for row in rows_of(text)}
    locks = {name: (path / "dvc.lock").read_text(encoding="utf-8") for name, path in
             {"default": ROOT, "noise": ROOT / "experiments/noise"}.items()}  # fmt: skip
    for id, section in sections.items():
        name, attack = id.partition("-")[2].rpartition("-")[::2]
        folder = ROOT if name == "default" else ROOT / "experiments" / name
        (written,) = re.findall(r"<pre[^>]*>(.*?)</pre>", section, re.S)
        given = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
        assert yaml.safe_load(written) == {attack: given["attacks"][attack]}
        commands = re.findall(r"<code>((?:dvc|crossfool) [^<]*)</code>", section)
        repro, *others = commands
        graph = "" if name == "default" else f"experiments/{name}/dvc.yaml:"
        stages = [f"evaluate@{source}-{attack}" for source in given["sources"]]
        assert sorted(repro.split()[2:]) == sorted(graph + stage for stage in stages)
        assert all(f"\n  {stage}:\n" in locks.get(name, f"\n  {stage}:\n") for stage in stages)
        option = "" if name == "default" else f" --folder {name}"
        explained = [f"crossfool explain {source}/{attack}{option}" for source in given["sources"]]
        assert sorted(others[: len(explained)]) == sorted(explained)
        assert all(command.startswith(f"crossfool compare {attack} ") for command in others[len(explained) :])


def test_what_is_not_known_is_said(text: str) -> None:
    plain = " ".join(re.sub(r"<[^>]*>", " ", text).split())
    assert f"version of the benchmark {LEADERBOARD_VERSION} crossfool" in plain and "git revision abc123" in plain
    assert plain.count("16 images alone: intervals of ±") == 3
    assert "† The code is known to depart from the attack's paper. " in plain.replace("&#39;", "'")
    for name in (name for name in ("noise", "modern") if not (ROOT / f"experiments/{name}/predictions").is_dir()):
        assert re.search(rf"No paired tests of [\w ]*{name}", plain)
    assert "</svg>" in text and text.count('class="front"') == text.count('class="board"')


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository whose second commit ranks sg above fgsm, has migsm, and no longer has gone; with a report."""
    root = tmp_path_factory.mktemp("repository")
    (root / "README.md").write_text("# Made\n", encoding="utf-8")
    (root / ".gitignore").write_text("/subset\n/adversarial\n/report\n", encoding="utf-8")
    more = {"models": ("fnn0", "fnn2"), "sources": ("fnn0",), "transforms": {}}
    first = {"fgsm": FGSM, "sg": SG, "gone": {**FGSM, "step_size": 50}}
    make(root, {("fnn0", "fgsm", "fnn2"): 5, ("fnn0", "sg", "fnn2"): 3, ("fnn0", "gone", "fnn2"): 1},
         attacks=first, **more)  # fmt: skip
    git(root, "init", "--quiet")
    commit(root)
    for name in ("metrics", "predictions", "adversarial", "transformed"):
        shutil.rmtree(root / name)
    second = {"fgsm": FGSM, "sg": SG, "migsm": MOMENTUM}
    hits = {("fnn0", "fgsm", "fnn2"): 5, ("fnn0", "sg", "fnn2"): 6, ("fnn0", "migsm", "fnn2"): 8}
    write_report(root, make(root, hits, attacks=second, **more), root / "report")
    commit(root)
    return root


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "some")


@pytest.fixture(scope="module")
def changed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of that repository, beside its first commit."""
    out = tmp_path_factory.mktemp("changed")
    assert site.write_site(repository, out, before=read_before(repository, "HEAD~1")) == []
    return out / "index.html"


def test_ranks_are_compared_with_a_revision(changed: Path) -> None:
    text = changed.read_text(encoding="utf-8")
    found = {row["row"].rpartition("-")[2]: [*row["cells"][1], " ".join(row["cells"][2])] for row in rows_of(text)}
    assert found == {"migsm": ["1", "new"], "sg": ["2", "="], "fgsm": ["3", "▼ 2"]}
    assert re.search(r'data-atany="=" data-at10="▲ 1" data-at50="="', text)  # sg: 5 gradients, the first of them
    plain = " ".join(re.sub(r"<[^>]*>", " ", text).split())
    assert "Gone since HEAD~1: gone of the default benchmark (its rank was 3)." in plain
    assert "ranks compared with revision HEAD~1" in plain


def test_paired_tests_stand_beside_the_rates(changed: Path) -> None:
    """sg and fgsm cost at most 10, momentum 20: their best is sg, which has no rival."""
    text = changed.read_text(encoding="utf-8")
    cells = {row["row"].rpartition("-")[2]: [" ".join(cell) for cell in row["cells"][7:]] for row in rows_of(text)}
    assert cells["migsm"] == ["–"] and cells["sg"] == ["–"]
    assert re.fullmatch(r"−12\.5 \[−\d+\.\d, \d+\.\d\] p = 1 sg", cells["fgsm"][0])
    assert "No paired tests" not in text


def test_a_revision_that_cannot_be_compared(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nonsense is no git revision"):
        read_before(repository, "nonsense")
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    (copy / "params.yaml").write_text("dataset: {name: mnist}\n", encoding="utf-8")
    commit(copy)
    before = read_before(copy, "HEAD")
    assert before.boards == [] and "no experiment has results" in before.left_out[0]


def test_a_page_of_another_origin_is_kept(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="is not a report of crossfool"):
        site.write_site(repository, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_the_summary_of_a_pull_request_has_what_changed(repository: Path) -> None:
    tool = runpy.run_path(str(ROOT / "tools/metric_changes.py"))
    earlier, now, same = (tool["read_cells_at"](repository, "HEAD~1"), tool["read_cells"](repository),
                          tool["read_cells_at"](repository, "HEAD"))  # fmt: skip
    text = "\n\n".join(tool["summary"](earlier, now, "x"))
    assert "1 of 4 cells changed; rows with new cells: 1; rows that lost cells: 1." in text
    assert "| . | fnn0 | sg | fnn2 | 37.5 → 75.0 (+37.5) | 37.5 → 75.0 (+37.5) | 8 |" in text
    assert "| . | migsm | 2 | 100.0 | 100.0 | 8 |" in text and "| . | gone | 2 | 12.5 | 12.5 | 8 |" in text
    unchanged = "\n\n".join(tool["summary"](same, now, "x"))
    assert "0 of 6 cells" in unchanged and "|" not in unchanged and "crossfool compare" not in unchanged


def test_the_summary_needs_no_installed_library() -> None:
    """So a pull request's job needs no environment."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository, as in an archive")
    command = [sys.executable, "-S", "tools/metric_changes.py", "HEAD"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
                          capture_output=True, check=True)  # fmt: skip
    assert done.stdout.startswith("# Metrics beside those of HEAD\n\n")


def test_workflows_deploy_from_main_alone_and_compare_pull_requests() -> None:
    pages, ci = (yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text()) for name in ("pages", "ci"))
    assert pages[True] == {"push": {"branches": ["main"]}} and pages["permissions"] == {"contents": "read"}
    steps = [step.get("uses", step.get("run", "")) for job in pages["jobs"].values() for step in job["steps"]]
    for part in ("make docs", "make site", "actions/upload-pages-artifact@", "actions/deploy-pages@"):
        assert any(step.startswith(part) for step in steps), part
    assert pages["jobs"]["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    compare = ci["jobs"]["compare"]
    assert compare["if"] == "github.event_name == 'pull_request'" and "permissions" not in compare
    assert compare["steps"][-1]["run"] == '.ci/compare "origin/$BASE" >> "$GITHUB_STEP_SUMMARY"'
    assert (ROOT / ".ci/compare").stat().st_mode & 0o111


# --- in a browser -----------------------------------------------------------------------------------

browser_needed = pytest.mark.skipif(executable() is None, reason="no Chromium (chromium or google-chrome) on the PATH")
SHOWN = "[...document.querySelectorAll('tbody tr:not([hidden])')].map(({cells: [a, b]}) => a.innerText + b.innerText)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@browser_needed
def test_sorting_filtering_and_folds(browser: Page, changed: Path) -> None:
    browser.open(changed)
    assert browser.run(SHOWN) == ["migsm1", "sg2", "fgsm3"]
    browser.run("document.querySelectorAll('thead button')[0].click()")
    assert browser.run(SHOWN) == ["fgsm3", "migsm1", "sg2"]

    def ask(name: str, value: str) -> None:
        field = f"document.querySelector('#choose').elements.{name}"
        browser.run(f"{field}.value = {value!r}; {field}.dispatchEvent(new Event('input', {{bubbles: true}}))")

    ask("budget", "10")
    assert browser.run(SHOWN) == ["fgsm2", "sg1"]  # ranked among themselves
    assert browser.run("[...document.querySelectorAll('.change')].map((one) => one.textContent)") == ["▼ 1", "–", "▲ 1"]
    assert browser.run("document.querySelector('.count').textContent") == "2 of 3 rows"
    assert browser.run("getComputedStyle(document.querySelector('circle[data-gradients=\"20\"]')).display") == "none"
    ask("text", "smoothed")  # of its summary
    assert browser.run(SHOWN) == ["sg1"]
    ask("text", "nothing")
    assert browser.run("document.querySelector('.nothing').innerText") == "No row of this table is chosen."
    browser.run("document.querySelector('#choose [type=reset]').click()")
    browser.until(f"{SHOWN}.length === 3")
    assert browser.run("document.querySelector('.rows').open") is False
    browser.run("document.querySelector('tbody a').focus()")
    browser.press("Enter")
    browser.until("document.querySelector('.rows').open")
    assert browser.run("document.querySelector(':target').id") == "t1-default-fgsm"
    browser.ask("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    try:
        assert browser.run("document.documentElement.scrollWidth") == 390
    finally:
        browser.ask("Emulation.clearDeviceMetricsOverride")
    browser.ask("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.querySelector('#choose')).display") == "none"
    browser.ask("Emulation.setEmulatedMedia", media="")
    assert browser.problems == []
