"""The package's rooms: imports go one way, no modules import each other in a circle, and heavy libraries stay below."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from builders import ROOT

PACKAGE = ROOT / "crossfool"
# A room imports what stands in a lower line; rooms of one line do not import one another. "" is the ground floor.
LEVELS = (
    ("",),
    ("storage", "stats"),
    ("attacks", "models", "datasets"),
    ("pipeline",),
    ("experiment",),
    ("api",),
    ("report",),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
LIGHT = ("experiment", "report", "cli")  # no torch: what a terminal waits for
DEEPER = {("models", "inference", "cpu")}  # the only folder below crossfool/room/sub
LONG = 300  # lines of a module; a longer one says in its docstring why it is "one module"

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))


def name(path: Path) -> str:
    return ".".join(("crossfool", *path.relative_to(PACKAGE).with_suffix("").parts))


NAMES = {name(path): path for path in FILES}


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 2 or module == "crossfool.api" else ""  # a room that is one module


def imported(path: Path) -> Iterator[str]:
    """The package's modules that a file imports anywhere in it, under TYPE_CHECKING and inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "crossfool":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in NAMES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "crossfool")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_one_way(path):
    own = room(name(path))
    for module in imported(path):
        other = room(module)
        assert other == own or LEVEL[other] < LEVEL[own], f"{name(path)} imports {module}"


def test_every_folder_is_a_room_of_the_list():
    folders = {path.relative_to(PACKAGE).parts[:-1] for path in FILES}
    assert {room(module) for module in NAMES} == set(LEVEL)
    assert {parts for parts in folders if len(parts) > 2} == DEEPER


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter({module: set(imported(path)) for module, path in NAMES.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_no_module_imports_a_private_name_of_another():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("crossfool"):
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{name(path)} imports {private} of {node.module}"


def test_package_files_are_empty():
    assert [path for path in PACKAGE.rglob("__init__.py") if path.read_text(encoding="utf-8")] == []
    assert {path.parent for path in FILES} == {path.parent for path in PACKAGE.rglob("__init__.py")}


def test_a_long_module_says_why_it_is_one():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > LONG:
            assert "one module" in " ".join((ast.get_docstring(ast.parse(text)) or "").split()), f"{name(path)} is long"


ALONE = re.compile(  # how no first line begins: with a reference to what stands elsewhere, or with a clause
    r"(Of|The same|It|Its|He|They|Their|Them|This|That|These|Those|What|Which|On which|Where|When|And|But|Or|As|So)\b"
)


def test_first_lines_of_docstrings_stand_alone():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                assert not ALONE.match(first), f"{name(path)}: {first}"


@pytest.mark.parametrize("light", LIGHT)
def test_upper_rooms_load_no_torch(light):
    modules = [module for module in NAMES if room(module) == light]
    code = f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_first_name_is_only_where_old_files_are_read():
    """In the package; for the rest of the repository see below."""
    assert [name(path) for path in FILES if "transferbench" in path.read_text(encoding="utf-8").lower()] == [
        "crossfool.first_edition"
    ]


def test_the_first_name_is_in_no_other_file_of_the_repository():
    listed = subprocess.run(["git", "grep", "-lIi", "transferbench"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode > 1:
        pytest.skip("no git repository, as in an archive")
    tested = {"tests/cli/test_upgrade.py", "tests/project/test_rooms.py"}
    named = set(listed.stdout.splitlines())
    assert named - tested == {"CHANGELOG.md", "crossfool/first_edition.py"}
