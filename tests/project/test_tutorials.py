"""The tutorials in docs/tutorials do what they show.

Blocks of `console` are commands and their output, `python` is code and the `text` behind it its output, `yaml` replaces
sections in the params.yaml of the last new experiment. Blocks of `sh` install, or need a GPU or ImageNet: not run here.
"""

import ast
import importlib
import re
import shlex
import shutil
import sys
from pathlib import Path

import click
import pytest
import yaml
from builders import ROOT
from repositories import Repository, made

from crossfool.cli.main import main

TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.md"))
NUMBER = r"[-+−]?\d[\d.,]*"
RATE = re.compile(r"^(\w+ +on \w+): +([\d.]+)%", re.MULTILINE)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[tuple[list[str], str]]:
    """The commands of a console block, each with the output that stands below it."""
    return [
        (shlex.split(line), shown) for line, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    ]


def pattern(shown: str) -> str:
    """A regular expression of an output: any number for a number, anything for `...`, any lines for a line of it."""
    texts = []
    for line in shown.splitlines():
        parts = [NUMBER.join(map(re.escape, re.split(NUMBER, part))) for part in line.split("...")]
        texts.append("(?:.*\n)*?" if line == "..." else ".*".join(parts) + "\n")
    return "".join(texts)


def python_of(page: Path) -> tuple[list[str], list[str]]:
    """The code blocks of a page, and the output that it shows."""
    found = blocks(page)
    return [text for kind, text in found if kind == "python"], [text for kind, text in found if kind == "text"]


def follow(page: Path, repository: Repository, *, results: bool) -> int:
    """Do what the page shows, comparing outputs; return the number of commands that were run.

    Without `results`, commands from the first `dvc repro` on are parsed, not run.
    """
    experiment, computed, ran = Path(), False, 0
    for kind, block in blocks(page):
        if kind == "yaml":
            params = experiment / "params.yaml"
            values = yaml.safe_load(params.read_text()) | yaml.safe_load(block)
            params.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
        for (program, *arguments), shown in commands(block) if kind == "console" else ():
            computed = computed or program == "dvc"
            if program == "crossfool":
                whole = click.Context(main, **main.context_settings)
                # raises on a wrong option
                main.commands[arguments[0]].make_context(arguments[0], arguments[1:], parent=whole)
            if computed and not results:
                continue
            if program in ("cp", "mkdir"):
                output = repository.run(program, *arguments)
            else:
                output = repository.run(sys.executable, "-m", program, *arguments)
            assert re.match(pattern(shown), output), f"{page.name}: {arguments} printed\n{output}"
            if arguments[0] == "new":
                experiment = repository.path / "experiments" / arguments[1]
            ran += 1
    return ran


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A clone, as far as the tutorials need one."""
    (tmp_path / "clone").mkdir()
    repository = made(tmp_path / "clone", tmp_path)
    for folder in ("docs/examples", "experiments/depth-mnist"):
        shutil.copytree(ROOT / folder, repository.path / folder, ignore=shutil.ignore_patterns("adversarial", "report"))
    shutil.copy(ROOT / "experiments/README.md", repository.path / "experiments")
    repository.commit("experiments")
    return repository


def test_there_are_tutorials_to_follow():
    assert {page.stem for page in TUTORIALS} == {"first-run", "paper-table", "your-attack", "your-model"}


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_commands_before_a_run_do_what_the_tutorial_shows(page, repository):
    assert follow(page, repository, results=False) >= 2


@pytest.mark.exhaustive  # minutes; the test above does what needs no results
@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_whole_tutorial_does_what_it_shows(page, repository):
    assert follow(page, repository, results=True) == sum(
        len(commands(text)) for kind, text in blocks(page) if kind == "console"
    )


def test_the_python_of_the_tutorials_imports_what_is_there():
    codes = [code for page in TUTORIALS for code in python_of(page)[0]]
    tree = ast.parse("".join(codes))
    names = [(node.module, name.name) for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names]
    assert len(names) > 10
    for module, name in names:
        if not hasattr(importlib.import_module(module), name):
            importlib.import_module(f"{module}.{name}")


@pytest.mark.exhaustive  # half a minute; the test above looks at its imports
@pytest.mark.slow
def test_the_python_of_the_tutorial_prints_what_it_shows(repository):
    codes, shown = python_of(ROOT / "docs/tutorials/your-attack.md")
    script = "".join(f"{code}\nprint('\\x1e', end='')\n" for code in codes)
    printed = [
        text for text in repository.run(sys.executable, "-W", "ignore", "-c", script).split("\x1e") if text.strip()
    ]
    printed[0] = printed[0][printed[0].index("(20,") :]  # what is fetched is told before
    assert printed[:3] == shown[:3]  # shapes, images that count, within epsilon
    assert len(printed) == len(shown) == 4 and re.fullmatch(pattern(shown[3]), printed[3])
    rates = [dict(RATE.findall(text)) for text in (shown[3], printed[3])]
    assert len(rates[0]) == 6
    for what, rate in rates[0].items():  # another processor's kernels may tip an image or two of the 16
        assert abs(float(rate) - float(rates[1][what])) < 100 * 2.5 / 16, what


def test_an_output_is_matched_by_its_words_and_not_by_its_numbers():
    assert re.match(pattern("a 1.5%\n...\nb ... c\n"), "a 20%\nx\ny\nb z c\nmore\n")
    assert not re.match(pattern("a 1.5%\n"), "b 1.5%\n")
    assert not re.match(pattern("a\n...\nb\n"), "a\nc\n")
