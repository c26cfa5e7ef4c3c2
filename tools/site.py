"""Write the API of the public modules as pages, README.md in front: `make docs`, into .transferbench/site."""

import re
import sys
import tempfile
from pathlib import Path

import pdoc

import transferbench
from transferbench import params

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = [
    "adapter",
    "artefacts",
    "attack",
    "classes",
    "datasets",
    "differences",
    "diversity",
    "gradients",
    "images",
    "intervals",
    "methods",
    "models",
    "networks",
    "objectives",
    "pairing",
    "params",
    "rows",
    "stats",
    "transforms",
    "updates",
    "weights",
    "zoo",
]

STYLE = "nav.pdoc h2 { font-size: 1.5rem; }\n"  # pdoc's own size touches the border of the side bar


def front(readme: str) -> str:
    """The README without its title, which the page has, and its links to files of the repository, which it has not."""
    readme = re.sub(r"\A# .*\n+", "", readme)
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", readme)


def build(folder: Path) -> None:
    """Write index.html, transferbench.html and a page for each public module into `folder`."""
    transferbench.__doc__ = front((ROOT / "README.md").read_text())
    params.Section.__doc__ = "A section of params.yaml: frozen, with no other keys than its own."  # not pydantic's own
    every = {path.stem if path.is_file() else path.name for path in (ROOT / "transferbench").iterdir()}
    hidden = [f"!transferbench\\.{name}(\\..*)?$" for name in sorted(every - set(PUBLIC)) if name.isidentifier()]
    with tempfile.TemporaryDirectory() as templates:
        (Path(templates) / "custom.css").write_text(STYLE)
        pdoc.render.configure(docformat="google", show_source=False, template_directory=Path(templates))
        pdoc.pdoc("transferbench", *hidden, output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".transferbench" / "site")
