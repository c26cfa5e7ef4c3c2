"""Where the project lies, and its experiments. Imports nothing heavy."""

import os
from pathlib import Path

from transferbench.errors import UserError, unknown


def root(start: Path) -> Path:
    """The project's folder: the nearest above `start` that holds the shared graph and its stages.

    Raises:
        UserError: there is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "dvc.yaml").is_file() and (folder / "stages").is_dir():
            return folder
    raise UserError(f"{start.resolve()} is in no transferbench repository; run the command inside a clone of it")


def experiments(project: Path) -> dict[str, Path]:
    """Name -> folder of each experiment: the root's, `.`, then those of `experiments/`, by name."""
    found = {path.parent.name: path.parent for path in sorted(project.glob("experiments/*/params.yaml"))}
    return ({".": project} if (project / "params.yaml").is_file() else {}) | found


def experiment(name: str, start: Path = Path()) -> Path:
    """An experiment's folder, by its path or its name.

    Raises:
        UserError: neither.
    """
    if (start / name).is_dir():
        return start / name
    known = experiments(root(start))
    if name in known:
        return start / os.path.relpath(known[name], start)
    raise unknown("experiment", name, known)
