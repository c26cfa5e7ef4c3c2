"""The site of `make docs` has a page for each module and guide, and no broken link; the tutorial does what it shows."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def test_site_has_a_page_for_each_public_module_and_no_broken_link(tmp_path):
    subprocess.run([sys.executable, "tools/site.py", str(tmp_path)], cwd=ROOT, check=True)
    names = runpy.run_path(str(ROOT / "tools" / "site.py"))["PUBLIC"]
    files = [ROOT / "crossfool" / f"{name}.py" for name in names if name == "config"]
    files += [file for name in names for file in (ROOT / "crossfool" / name).rglob("*.py") if file.stem != "__init__"]
    modules = {file.relative_to(ROOT).with_suffix(".html").as_posix() for file in files}
    assert len(modules) > 100
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    guides = {"docs/parameters.html", "docs/tutorial.html", "experiments/README.html", "experiments/modern/README.html"}
    assert modules | {f"crossfool/{name}.html" for name in names} | guides <= set(pages)
    assert all(f'href="{page}"' in pages["crossfool.html"] for page in guides)
    assert "points [" in pages["docs/tutorial.html"] and 'href="contributing.html#' in pages["docs/tutorial.html"]
    assert "<img" in pages["docs/performance.html"] and (tmp_path / "docs" / "throughput.png").is_file()
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


def printed(path):
    """What each cell of a notebook prints or shows as text; a kernel may send what one cell prints in several parts.

    Not what it says on standard error: where nothing was fetched yet, that it is fetched now.
    """
    cells = [
        [one for one in cell.get("outputs", []) if one.get("name") != "stderr"]
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    assert not [one for outputs in cells for one in outputs if one["output_type"] == "error"]
    texts = [[one["text"] if "text" in one else one["data"]["text/plain"] for one in outputs] for outputs in cells]
    return ["".join("".join(text) for text in some) for some in texts if some]


@pytest.mark.exhaustive  # half a minute
@pytest.mark.slow
def test_the_tutorial_does_what_it_shows(tmp_path):
    subprocess.run([sys.executable, "-c", RUN, NOTEBOOK, tmp_path / "run.ipynb"], check=True, capture_output=True)
    shown, found = printed(NOTEBOOK), printed(tmp_path / "run.ipynb")
    assert found[:3] == shown[:3] and len(found) == len(shown)  # shapes, images that count, within epsilon
    rates = [dict(re.findall(r"(\w+ +onto \w+): +([\d.]+)%", "".join(some))) for some in (shown, found)]
    assert len(rates[0]) == 6 and rates[0].keys() == rates[1].keys()
    for what, rate in rates[0].items():  # another processor's kernels may tip an image or two of the 16
        assert abs(float(rate) - float(rates[1][what])) < 100 * 2.5 / 16, what
    assert len(re.findall(r"points \[", "".join(found))) == 6


def test_the_tutorial_says_nothing_of_a_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 300_000 and not re.search(r"/(home|root|tmp|work|usr)/", text)
    metadata = json.loads(text)["metadata"]
    assert metadata.keys() == {"kernelspec", "language_info"} and metadata["language_info"] == {"name": "python"}
