"""The command line: lists, help, completion, colours, names of experiments, mistakes in one line."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from builders import ROOT
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from command_line import told
from made_experiments import FGSM, FOOLED, make

from crossfool.attacks.config import Attack
from crossfool.attacks.parts import FOLDERS
from crossfool.attacks.parts_table import part_rows
from crossfool.cli import list as listing
from crossfool.cli.completion import KINDS
from crossfool.cli.main import main
from crossfool.datasets.preparation import catalogue
from crossfool.models.weights import registry
from crossfool.pipeline.evaluation.transform_levels import transforms


def test_without_git_mend_removes_what_was_cut_off(project: Path, small: Path) -> None:
    (project / ".dvc/config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    shutil.rmtree(project / ".git")
    (small / "dvc.lock").write_text("schema: '2.0'\nstages:\n  a")
    assert "which was cut off" in told("repair-locks", str(small))
    assert not (small / "dvc.lock").exists()


def test_everything_is_listed_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "tests")
    assert tuple(listing.KINDS) == KINDS
    found = {kind: list(read(Path())) for kind, read in listing.KINDS.items()}
    assert [one.name for one in found["models"]] == [*registry.all_specs(), "timm_<name>", "<name>_seed<number>"]
    assert {one.name for one in found["transforms"]} == transforms().keys()
    assert {one.name for one in found["datasets"]} == set(catalogue.names())
    names = [path.parent.name for path in sorted(ROOT.glob("experiments/*/params.yaml"))]
    assert [one.name for one in found["experiments"]] == [".", *names]
    assert all(one.what and one.source for entries in found.values() for one in entries)
    by = {one.name: one for entries in found.values() for one in entries}
    assert by["resnet18"].source == "torchvision IMAGENET1K_V1, sha256 f37072fd"
    assert by["depth-mnist"].source == "Table 2a of the paper" and "40 cells, mnist" in by["depth-mnist"].what


def test_listed_attacks_are_rows_of_params() -> None:
    """Those that the docstrings of parts have; each row has the part that shows it."""
    rows = {}
    for part in part_rows():
        for name, text in part.rows:
            row = Attack.model_validate(yaml.safe_load(text[text.index("{") :]))
            assert name not in rows and f"crossfool.attacks.{FOLDERS[part.kind]}.{part.name}" in row.parts.modules, name
            assert row.targeted == ("targeted" in name) and (row.steps == 1) == ("fgsm" in name), name
            rows[name] = text
    assert rows.keys() >= {
        "fgsm",
        "igsm",
        "sg_fgsm",
        "sg_igsm",
        "migsm",
        "sg_migsm",
        "ni",
        "di",
        "ti",
        "si",
        "vmi",
        "gra",
    }
    entries = {entry.name: entry for entry in listing.attacks(Path())}
    assert {name: entries[name].what for name in rows} == rows
    assert entries["sg_migsm"].source == "equation 5; arXiv 1710.06081"


def test_a_list_is_filtered() -> None:
    text = told("list", "models", "--filter", "DENSENET")
    assert [line.split()[0] for line in text.splitlines()[2:]] == [
        "densenet", "densenet121", "densenet161", "densenet169", "densenet201"
    ]  # fmt: skip
    assert "no entry of attacks contains 'zzz'" in told("list", "attacks", "--filter", "zzz", code=2)
    text = told("list", "--filter", "momentum")
    assert "attacks\n" in text and "models\n" not in text


def test_lists_and_help_load_nothing_heavy() -> None:
    for arguments in (["list"], ["compare", "--help"], ["new", "../x"]):
        code = (
            "import sys; from crossfool.cli.main import main\n"
            f"try: main({arguments!r})\nexcept SystemExit: pass\n"
            "heavy = {'torch', 'pandas', 'matplotlib', 'scipy', 'pyarrow', 'dvc', 'torchvision'}\n"
            "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [[], *([name] for name in main.commands)])
def test_every_command_has_examples(command: list[str]) -> None:
    text = told(*command, "--help")
    assert "Examples:\n" in text and "  crossfool " in text
    assert text == told(*command, "-h")


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    for name, command in main.commands.items():
        assert f"`crossfool {name}" in text
        options = (one for one in command.params if one.param_type_name == "option" and name != "smoke")
        assert all(option.opts[0] in text for option in options)


def test_exit_codes_of_misuse() -> None:
    for arguments in (["nonsense"], ["compare", "one"], ["check", "--rate", "0"]):
        assert told(*arguments, code=2).startswith("Usage")


def completed(*words: str) -> list[str]:
    *before, incomplete = words
    found = ShellComplete(main, {}, "crossfool", "_CROSSFOOL_COMPLETE").get_completions(before, incomplete)
    return [one.value for one in found]


def test_commands_are_completed() -> None:
    assert completed("") == [
        *("list", "new", "check", "repro", "tune", "show", "report", "compare", "explain", "export", "score"),
        *("coverage", "smoke"),
        *("remove-leftovers", "repair-locks", "upgrade"),
    ]
    assert completed("c") == ["check", "compare", "coverage"]
    assert completed("list", "d") == ["datasets", "defences"]


def test_names_are_completed(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small)
    assert completed("compare", "") == ["fgsm", "sg_fgsm", "far"]
    assert completed("compare", "fgsm", "") == ["sg_fgsm", "far"]
    assert completed("compare", "fgsm", "s") == ["sg_fgsm"]
    assert completed("compare", "fgsm", "far", "--source", "fnn2") == ["fnn2+fnn0"]
    assert completed("compare", "fgsm", "far", "--target", "") == ["fnn0", "fnn2", "fnn4"]
    assert completed("explain", "fnn0/s") == ["fnn0/sg_fgsm"]
    monkeypatch.chdir(small.parents[1])
    assert completed("compare", "--folder", "small", "f") == ["fgsm", "far"]
    assert completed("show", "s") == ["small"]
    assert completed("new", "x", "--from", "s") == ["small"]
    assert completed("compare", "f") == []  # no params.yaml here, and no error


def test_a_shell_asks_in_clicks_way(small: Path) -> None:
    environment = {
        **os.environ,
        "COMP_WORDS": "crossfool compare sg",
        "COMP_CWORD": "2",
        "_CROSSFOOL_COMPLETE": "bash_complete",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "crossfool"], cwd=small, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "plain,sg_fgsm\n"


def on_terminal(folder: Path, *arguments: str, **environment: str) -> bytes:
    """Run a command on a terminal and return its output, standard error too."""
    ours, theirs = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    variables = {**plain, "TERM": "xterm-256color", "COLUMNS": "200", "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "crossfool", *arguments]
    with subprocess.Popen(command, cwd=folder, env=variables, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                written += os.read(ours, 65536)
            except OSError:
                break
        process.wait()
    os.close(ours)
    return written


@pytest.mark.parametrize("arguments", [("list", "transforms"), ("explain", "fnn0/fgms"), ("explain", "fnn0/fgsm")])
def test_colours_are_for_terminals(small: Path, arguments: tuple[str, ...]) -> None:
    coloured, plain = b"\x1b[3", b"\x1b[9"
    written = on_terminal(small, *arguments)
    assert coloured in written
    written = on_terminal(small, *arguments, NO_COLOR="1")
    assert coloured not in written and plain not in written
    command = [sys.executable, "-m", "crossfool", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=small, env=environment, capture_output=True)
    assert b"\x1b" not in done.stdout + done.stderr


def test_an_experiment_is_shown_by_its_name(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parents[1])
    assert "Success rates in percent: 8 images of mnist" in told("show", "small") == told("show", "experiments/small")
    assert "unknown experiment 'smal'; did you mean small?" in told("show", "smal", code=2)


def test_a_page_of_several_experiments(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parents[1])
    shutil.copytree(small, small.parent / "other")
    told("report", "small", "experiments/other", "--out", "both.html")
    page = Path("both.html").read_text(encoding="utf-8")
    assert "experiments/small" in page and "dvc repro experiments/other/dvc.yaml" in page
    assert "unknown experiment 'smal'; did you mean small?" in told("report", "smal", code=2)
    shutil.rmtree(small.parent / "other/metrics")
    said = told("report", "small", "other", "--out", "both.html", code=2)
    assert "other/metrics" in said and "dvc repro" in said
    assert Path("both.html").read_text(encoding="utf-8") == page and not list(Path().glob("*.tmp"))
    assert told("report", "small", "--out", "new/page.html") == "new/page.html (0.1 MB)\n"


def test_a_report_of_all_that_have_results(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small.parents[1]
    monkeypatch.chdir(project)
    make(project / "experiments/other", FOOLED)
    make(project / "experiments/older", FOOLED)
    (project / "experiments/older/metrics/fnn0/fgsm.detail.json").unlink()
    make(project / "experiments/unrun", FOOLED)
    shutil.rmtree(project / "experiments/unrun/metrics")
    done = CliRunner().invoke(main, ["report"])
    assert done.exit_code == 0 and "left out: " in done.output and "older/metrics/fnn0/fgsm.detail.json" in done.output
    page = (project / "report.html").read_text(encoding="utf-8")
    assert "dvc repro experiments/small/dvc.yaml" in page and "dvc repro experiments/other/dvc.yaml" in page
    assert "experiments/older" not in page and "experiments/unrun" not in page
    monkeypatch.chdir(small)  # commands are of the root, wherever the page was made
    told("report", ".", "../other", "--out", "page.html")
    assert "dvc repro experiments/other/dvc.yaml" in (small / "page.html").read_text(encoding="utf-8")
    for name in ("small", "other", "older"):
        shutil.rmtree(project / "experiments" / name / "metrics")
    assert "no experiment has results yet" in told("report", code=2)


def test_errors_of_an_experiments_files_name_its_graph(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parents[1])
    shutil.rmtree(small / "metrics")
    said = told("show", "small", code=2)
    assert "experiments/small/metrics" in said and "`dvc repro experiments/small/dvc.yaml`" in said
    monkeypatch.chdir(small)
    assert "`dvc repro`" in told("show", code=2)


def test_an_attack_of_another_experiment_is_told_where(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small.parents[1]
    make(project / "experiments/other", FOOLED, attacks={"mine": FGSM, "fgsm": FGSM})
    monkeypatch.chdir(small)
    said = told("compare", "mine", "theirs", code=2)
    assert "unknown attack 'mine'" in said and said.rstrip().endswith("other has one: --folder other")
    assert "has one" not in told("compare", "nobodys", "theirs", code=2)


def test_small_mistakes_are_told_in_one_line(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parents[1])
    assert told("list", "experiment", code=2) == "error: unknown kind 'experiment'; did you mean experiments?\n"
    assert told("remove-leftovers", "small") == "nothing is left over in experiments/small\n"
    left = small / "metrics/fnn0/gone.json"
    left.write_text("{}", encoding="utf-8")
    assert told("remove-leftovers", "small").startswith(
        "not made by crossfool, left alone: experiments/small/metrics/fnn0/g"
    )
    left.unlink()  # who deletes what remove-leftovers may: project/test_users_files.py
    assert "did you mean small?" in told("remove-leftovers", "smal", code=2)
    (small / "dvc.lock").unlink()
    assert told("repair-locks", "small") == "experiments/small/dvc.lock is not there yet\n"
