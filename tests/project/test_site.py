"""The site of `make docs`: strict, a page for each guide and public module, and nothing that other hosts would send."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT

PUBLIC = ("api", "attacks", "config", "datasets", "experiment", "models", "pipeline", "stats", "storage")
LOADED = re.compile(
    r"<(?:script|img|iframe)\b[^>]*\bsrc=\"([^\"]+)\"|<link\b(?=[^>]*\brel=\"(?:stylesheet|icon|preconnect)\")[^>]*\bhref=\"([^\"]+)\""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name and text of each page; a warning of MkDocs (a broken link, a page that the menu lacks) fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def test_each_guide_and_experiment_has_a_page(site):
    guides = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    experiments = {f"experiments/{path.parent.name}/index.html" for path in ROOT.glob("experiments/*/README.md")}
    assert guides | experiments | {"index.html", "changelog.html", "experiments/index.html"} <= site.keys()
    assert 'href="statistics.html"' in site["index.html"] and 'href="experiments/index.html"' in site["index.html"]


def test_each_public_module_is_documented(site):
    names = [path for name in PUBLIC for path in (ROOT / "crossfool" / name).rglob("*.py") if path.stem[0] != "_"]
    modules = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in names}
    text = "".join(site[f"reference/{name}.html"] for name in PUBLIC)
    assert len(modules) > 100
    assert [name for name in sorted(modules) if f'id="{name}"' not in text] == []


def test_pages_load_nothing_from_other_hosts_and_name_no_folder_of_this_machine(site):
    for page, text in site.items():
        loaded = [first or second for first, second in LOADED.findall(text)]
        assert loaded and not [url for url in loaded if re.match("(https?:)?//", url)], page
        assert str(ROOT) not in text and str(Path.home()) + "/" not in text, page


def test_markdown_that_github_renders_is_rendered_here(site):
    """A list without an empty line before it, or a table inside a paragraph, would stay as it is written."""
    for page, text in site.items():
        body = re.search(r"(?s)<article.*?</article>", text)
        plain = re.sub(r"(?s)<(pre|code)\b.*?</\1>", "", body[0]) if body else ""
        assert not re.findall(r"(?m)^\s*(?:<p>)?(?:- |\* |\|).*", plain), page
