"""Fingerprints of code: what changes them, what does not, and that all supported versions of Python agree."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT

from crossfool.experiment import fingerprint, stage_plans

CODE = (
    '''"""A module."""

import numpy as np
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A class."""

    side: int = 3
    text: str = f"{np.pi:.3f} and {1!r:>{2}}" "joined"

    def area[T](self, *others: T, scale: float = 1e-3, **more: object) -> float:
        """A method."""
        match others:
            case [first, *rest] if rest:
                return float(self.side**2) * scale
        return -1.5 if not more else sum(x async for x in more)  # a remark
'''.replace("area[T]", "area")
    .replace(": T,", ": int,")
    .replace("x async for", "x for")
)
PINNED = "b7f6aeea208f6607"


def test_a_hash_is_pinned():
    """CI runs this on every supported Python: a colleague's clone must not rerun everything."""
    assert fingerprint.code_hash(CODE.encode()) == PINNED


PYTHONS = [name for minor in range(11, 16) if (name := shutil.which(f"python3.{minor}"))]


@pytest.mark.parametrize("python", PYTHONS, ids=os.path.basename)
def test_other_pythons_here_give_the_hashes_of_this_one(python: str) -> None:
    probe = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from crossfool.experiment import fingerprint; "
        "print(*(fingerprint.code_hash(source) for source in fingerprint._SOURCES.values()))"
    )
    done = subprocess.run([python, "-c", probe], text=True, capture_output=True)
    if done.returncode and "not found" in done.stderr:
        pytest.skip(f"{python} does not start")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [fingerprint.code_hash(source) for source in fingerprint._SOURCES.values()]


@pytest.mark.parametrize(
    "edit",
    [
        ("# a remark", "# another"),
        ('"""A class."""', '"""Another class."""'),
        ('        """A method."""\n', ""),
        ("float(self.side**2) * scale", "(float( self.side ** 2 )*scale)"),
        ("side: int = 3\n", "side: int = 3\n\n\n"),
    ],
    ids=str,
)
def test_what_computes_nothing_changes_no_hash(edit: tuple[str, str]) -> None:
    assert edit[0] in CODE
    assert fingerprint.code_hash(CODE.replace(*edit).encode()) == PINNED


@pytest.mark.parametrize(
    "edit",
    [
        ("side: int = 3", "side: int = 4"),
        ("1e-3", "1e-4"),
        ('"joined"', '"Joined"'),
        ("frozen=True", "frozen=False"),
        ("1!r", "1!s"),
        (".3f", ".4f"),
        ("-1.5", "1.5"),
        ("if rest", "if first"),
        ("float(self.side**2)", "int(self.side**2)"),
        ("*others", "others"),
        ("side: int = 3\n", "side: int = True\n"),
        ("side: int = 3\n", "side: int = 3.0\n"),
    ],
    ids=str,
)
def test_what_computes_changes_the_hash(edit: tuple[str, str]) -> None:
    assert edit[0] in CODE
    assert fingerprint.code_hash(CODE.replace(*edit).encode()) != PINNED


def test_each_reason_is_of_a_module_or_folder_that_exists():
    names = set(fingerprint._SOURCES)
    for name in fingerprint.NO_RESULT:
        assert name in names or any(other.startswith(f"{name}.") for other in names), name


def test_the_package_has_no_code_in_init_files():
    """A fingerprint has modules, and none of the packages that they lie in."""
    for path in (ROOT / "crossfool").rglob("__init__.py"):
        assert not path.read_bytes(), path


def test_the_closure_follows_imports_within_functions_and_not_those_for_type_checking():
    tree = ast.parse(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from crossfool.attacks import loop\n"
        "def f():\n    from crossfool.attacks.losses import untargeted\n    import crossfool.seeds\n"
    )
    assert set(fingerprint._imports(tree)) == {"attacks.losses", "seeds"}


def test_data_that_a_module_reads_is_in_its_fingerprint():
    """Each file of the package that is no module: it is in the fingerprint of what reads it, or read by no stage."""
    plans = {
        "datasets/preparation/imagenet_classes.csv": "datasets.preparation.class_names",
        "datasets/imagenet_sample_images.csv": "datasets.imagenet_sample_images",
        "experiment/operations.csv": "experiment.costs",
        "report/reported/paper_rates.csv": "report.reported.published_rates",
        "report/reported/paper_attacks.csv": "report.reported.published_rates",
        "report/reported/paper_panels.csv": "report.reported.published_panels",
        **{
            path.relative_to(fingerprint._PACKAGE).as_posix(): module
            for folder, module in (("html", "report.html.environment"), ("leaderboard", "report.leaderboard.site"))
            for path in (fingerprint._PACKAGE / f"report/{folder}/templates").iterdir()
        },
        **{
            f"experiment/protocols/{path.name}": f"experiment.protocols.{path.stem}"
            for path in (fingerprint._PACKAGE / "experiment/protocols").glob("*.csv")
        },
    }
    unread = {"models/weights/torchvision_models.csv", "models/weights/unusable.csv", "py.typed"}  # resolved by plans
    files = {
        path.relative_to(fingerprint._PACKAGE).as_posix()
        for path in fingerprint._PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
    }
    assert files - unread - {name for name in files if name.startswith("cli/")} == plans.keys()
    for file, module in plans.items():
        assert file in fingerprint.fingerprint([f"crossfool.{module}"])


def test_properties_of_a_row_that_stages_compute_with_are_in_the_plan():
    """config modules are in no fingerprint, so that what their properties give has to be in the plan."""
    from crossfool.attacks import parts
    from crossfool.attacks.config import Attack

    properties = {name for name, value in vars(Attack).items() if isinstance(value, property)}
    stages = ["pipeline.crafting.craft_cell", "pipeline.evaluation.evaluate_cell", "attacks.torchattack.adapter"]
    stages += [parts.module(kind, name).partition(".")[2] for kind in parts.FOLDERS for name in parts.names(kind)]
    used: set[str] = set()
    for module in fingerprint.closure(stages):
        nodes = ast.walk(ast.parse(fingerprint._SOURCES[module]))
        used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)} & properties
    # another library's attack: the plan has its fields; parts: the plan has their keys, and their modules in order
    # `whole` is another class's field of that name: of transforms' and defences' levels
    derived = {"library_method", "parts", "whole"}
    assert used <= {*stage_plans.ATTACK_PROPERTIES, *derived}


def test_code_that_changes_while_it_is_loaded_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "crossfool", tmp_path / "crossfool", ignore=shutil.ignore_patterns("__pycache__"))
    probe = (
        "from crossfool.experiment import fingerprint; names = fingerprint.fingerprint(['crossfool.attacks.loop']); "
        "print(fingerprint.changed_since_import(names)); path = fingerprint._PACKAGE / 'attacks/loop.py'; "
        "path.write_text(path.read_text() + '# a remark'); print(fingerprint.changed_since_import(names))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, text=True, capture_output=True, check=True)
    assert done.stdout.split() == ["None", "attacks.loop"]
