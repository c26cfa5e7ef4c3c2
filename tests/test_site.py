"""The site of `make docs`: a page for each public module, no broken link, nothing of the machine."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pdoc")
ROOT = Path(__file__).parents[1]


def test_site_has_a_page_for_each_public_module_and_no_broken_link(tmp_path):
    subprocess.run([sys.executable, "tools/site.py", str(tmp_path)], cwd=ROOT, check=True)
    names = runpy.run_path(str(ROOT / "tools" / "site.py"))["PUBLIC"]
    assert len(names) > 15
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert {f"transferbench/{name}.html" for name in names} <= set(pages)
    ids = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in pages.items()}
    broken = []
    for page, text in pages.items():
        assert str(ROOT) not in text and str(Path.home()) + "/" not in text, page
        for link in re.findall(r'\bhref="([^"]+)"', re.sub(r"(?s)<script.*?</script>", "", text)):
            if link.startswith(("http:", "https:", "data:", "mailto:")):
                continue
            file, _, anchor = link.partition("#")
            target = (tmp_path / page).parent.joinpath(file).resolve() if file else tmp_path.resolve() / page
            name = target.relative_to(tmp_path.resolve()).as_posix()
            if name not in pages or (anchor and anchor not in ids[name]):
                broken.append((page, link))
    assert not broken
