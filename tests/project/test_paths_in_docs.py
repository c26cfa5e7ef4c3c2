"""Files that the documentation names are there."""

import re

import pytest
from builders import ROOT

PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("experiments/**/README.md")),
]
WRITTEN_BY_THE_READER = {"own/mynet.py", "own/gradients/mirrored.py", "own/losses/confidence.py", "stages/mine.py"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_files_that_a_page_names_are_there(page):
    new_files = r"^(\+\+\+ |--- ).*$"  # in diffs
    text = re.sub(new_files, "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = set(re.findall(r"(?<![\w./-])([\w-]+(?:/[\w-]+)+\.py)\b", text)) - WRITTEN_BY_THE_READER
    places = (page.parent, ROOT, ROOT / "crossfool", ROOT / "tests")
    assert [name for name in sorted(named) if not any((place / name).is_file() for place in places)] == []
