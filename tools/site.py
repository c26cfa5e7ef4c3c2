"""Write the site into .crossfool/site, as `make docs` does.

README.md is its front page; then come the guides, the executed tutorial, the experiments, and the API of the public
modules.
"""

import html
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
import pdoc
from nbconvert import HTMLExporter

import crossfool
from crossfool.config import Section

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = ["api", "attacks", "config", "datasets", "experiment", "models", "pipeline", "stats", "storage"]
FRONT = {"README.md": "crossfool.html"}  # file of the repository -> its page
GUIDES = {
    path.relative_to(ROOT).as_posix(): path.relative_to(ROOT).with_suffix(".html").as_posix()
    for pattern in ("docs/*.md", "docs/*.ipynb", "experiments/README.md", "experiments/*/README.md", "CHANGELOG.md")
    for path in sorted(ROOT.glob(pattern))
}
PAGES = FRONT | GUIDES

STYLE = "nav.pdoc h2 { font-size: 1.5rem; }\n"  # pdoc's own size touches the border of the side bar
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – crossfool</title>
<style>
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: #222; }}
a {{ color: #0a58ca; }}
code, pre {{ font: 0.875em/1.45 ui-monospace, monospace; background: #f3f4f6; border-radius: 4px; }}
code {{ padding: 0.1em 0.3em; overflow-wrap: break-word; }}
pre {{ padding: 0.8em; overflow-x: auto; }}
pre code {{ padding: 0; font-size: 1em; overflow-wrap: normal; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ border: 1px solid #ccc; padding: 0.25em 0.6em; vertical-align: top; }}
img {{ max-width: 100%; }}
.anchor-link {{ display: none; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #15171a; color: #ddd; }}
  a {{ color: #7db4ff; }}
  code, pre {{ background: #24272c; }}
  th, td {{ border-color: #444; }}
}}
</style>
</head>
<body>
<nav><a href="{home}">crossfool</a></nav>
<main>
{body}
</main>
</body>
</html>
"""


def linked(text: str, file: str, folder: Path) -> str:
    """Make links in a file's Markdown lead to pages of the site; links to other files become text.

    Pictures are copied into `folder`.
    """

    def link(match: re.Match[str]) -> str:
        picture, label, place, anchor = match.groups()
        if re.match("[a-z]+:", place) or not place:
            return match[0]
        target = (ROOT / file).parent.joinpath(place).resolve()
        name, start = target.relative_to(ROOT).as_posix(), Path(PAGES[file]).parent
        if picture and target.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, folder / name)
        elif name in PAGES:
            name = PAGES[name]
        else:
            return label
        return f"{picture}[{label}]({os.path.relpath(name, start)}{anchor or ''})"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)", link, text)


def front(folder: Path) -> str:
    """Markdown of the front page: the README without its title, which the page has, and a list of the guides."""
    readme = re.sub(r"\A# .*\n+", "", (ROOT / "README.md").read_text(encoding="utf-8"))
    guides = [f"- [{title(ROOT / file)}]({file})" for file in GUIDES]
    return linked("\n".join([readme, "## Guides and experiments", "", *guides]), "README.md", folder)


def title(path: Path) -> str:
    """Read the first heading of a guide."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = nbformat.reads(text, 4).cells[0].source
    return text.splitlines()[0].removeprefix("# ")


def guide(file: str, folder: Path) -> None:
    """Write the page of a guide, a key of GUIDES."""
    path, page = ROOT / file, folder / GUIDES[file]
    page.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, 4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = linked(cell.source, file, folder)
        body = HTMLExporter(template_name="basic").from_notebook_node(notebook)[0]
    else:
        body = pdoc.render_helpers.to_html(linked(path.read_text(encoding="utf-8"), file, folder))
    home = os.path.relpath(FRONT["README.md"], Path(GUIDES[file]).parent)
    page.write_text(PAGE.format(title=html.escape(title(path)), home=home, body=body), encoding="utf-8")


def build(folder: Path) -> None:
    """Write index.html, crossfool.html, and a page for each guide and public module into `folder`."""
    crossfool.__doc__ = front(folder)
    Section.__doc__ = "A section of params.yaml: frozen, with no other keys than its own."  # not pydantic's own
    names = {path.stem if path.is_file() else path.name for path in (ROOT / "crossfool").iterdir()}
    hidden = [f"!crossfool\\.{name}(\\..*)?$" for name in sorted(names - set(PUBLIC)) if name.isidentifier()]
    with tempfile.TemporaryDirectory() as templates:
        (Path(templates) / "custom.css").write_text(STYLE)
        pdoc.render.configure(docformat="google", show_source=False, template_directory=Path(templates))
        pdoc.pdoc("crossfool", *hidden, output_directory=folder)
    for file in GUIDES:
        guide(file, folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".crossfool" / "site")
