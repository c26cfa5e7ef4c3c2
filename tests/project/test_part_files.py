"""Parts that are files: names and declarations are read from a folder, and mistakes in them are one line."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import ROOT

from crossfool.errors import UserError
from crossfool.part_files import declaration, part_names, record, summary
from crossfool.pipeline.evaluation import transform_levels
from crossfool.report import claim_files


def test_the_page_of_parts_is_what_the_files_declare(tmp_path: Path) -> None:
    """Run `python tools/parts_page.py` where this fails."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "docs").mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "tools/parts_page.py"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "docs/parts.md").read_text() == (ROOT / "docs/parts.md").read_text()


def test_every_transform_and_claim_says_what_it_is() -> None:
    for name, transform in transform_levels.transforms().items():
        assert transform.summary and transform.cite and transform.low < transform.high, name
    claims = claim_files.claims()
    assert len({claim.order for claim in claims.values()}) == len(claims)
    assert all(claim.section and claim.test and summary(claim_files.FOLDER / f"{claim.name}.py")
               for claim in claims.values())  # fmt: skip


def test_modules_with_an_underscore_and_folders_of_data_are_no_parts(tmp_path: Path) -> None:
    for file in ("b.py", "a.py", "_shared.py", "table.csv"):
        (tmp_path / file).write_text("")
    assert part_names(tmp_path) == ["a", "b"]


def test_a_declaration_is_read_without_running_the_file(tmp_path: Path) -> None:
    path = tmp_path / "part.py"
    path.write_text(
        '"""What it is.\n\nMore."""\nA: dict[str, int] = {"b": -1}\nC = ("long " "text")\nraise SystemExit\n'
    )
    assert (declaration(path, "A"), declaration(path, "C"), summary(path)) == ({"b": -1}, "long text", "What it is")
    with pytest.raises(UserError, match=r"part\.py declares no B; add it, or begin the file's name with _"):
        declaration(path, "B")


def test_a_part_without_a_docstring_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part.py").write_text("A = 1\n")
    with pytest.raises(UserError, match="begins with no docstring"):
        summary(tmp_path / "part.py")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"low": 0, "high": 1, "unit": "u", "cite": "c", "lou": 0}, "here: unknown key 'lou'; did you mean low"),
        ({"low": 0, "high": 1, "cite": "c"}, "here: unit: Field required"),
        ({"low": "least", "high": 1, "unit": "u", "cite": "c"}, "here: low: Input should be a valid number"),
    ],
)
def test_a_wrong_declaration_is_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        record(transform_levels.Transform, {"name": "mine", **values}, "here")
    assert "\n" not in str(caught.value)
