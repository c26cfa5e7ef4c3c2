"""Write the API of the public modules as pages, README.md in front: `make docs`, into .transferbench/site."""

import re
import sys
from pathlib import Path

import pdoc

import transferbench
from transferbench import params

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = [
    "adapter",
    "artefacts",
    "attack",
    "datasets",
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


def front(readme: str) -> str:
    """The README without its links to files of the repository, which are not on the site."""
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", readme)


def build(folder: Path) -> None:
    """Write index.html, transferbench.html and a page for each public module into `folder`."""
    transferbench.__doc__ = front((ROOT / "README.md").read_text())
    params.Section.__doc__ = "A section of params.yaml: frozen, with no other keys than its own."  # not pydantic's own
    every = {path.stem if path.is_file() else path.name for path in (ROOT / "transferbench").iterdir()}
    hidden = [f"!transferbench\\.{name}(\\..*)?$" for name in sorted(every - set(PUBLIC)) if name.isidentifier()]
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc("transferbench", *hidden, output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".transferbench" / "site")
