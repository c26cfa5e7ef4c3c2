"""Tests stand alone: no test module imports another or a conftest, and no two have one name."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import ROOT

MODULES = sorted((ROOT / "tests").rglob("*.py"))
TESTS = [path for path in MODULES if path.name.startswith("test_")]


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, within functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_test_module_is_imported(path: Path) -> None:
    modules = {test.stem for test in TESTS} | {"conftest"}
    assert not [name for name in imported(path) if name.rpartition(".")[2] in modules]


def test_base_names_are_unique() -> None:
    """Folders of tests are no packages, so that a file's base name is its module's."""
    names = Counter(path.name for path in MODULES if path.name != "conftest.py")
    assert not [name for name, count in names.items() if count > 1]
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_folders_are_the_rooms_of_the_package() -> None:
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in TESTS}
    rooms = {path.name for path in (ROOT / "crossfool").iterdir() if (path / "__init__.py").exists()}
    assert folders == {".", "project"} | rooms
