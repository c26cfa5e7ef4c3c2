"""The command `crossfool upgrade`: an experiment's folder of the first edition, brought over in place."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from crossfool import first_edition
from crossfool.cli.former_names import COMMANDS
from crossfool.errors import UserError
from crossfool.experiment import git, loading, params_file
from crossfool.storage.atomic import replacing

OLD = "dvc.yaml.old"


def upgrade(folder: Path) -> Iterator[str]:
    """Bring an experiment of the first edition over, and say of each file what was done.

    dvc.yaml becomes a copy of the repository's; one that somebody had changed is kept as `dvc.yaml.old`. Aliases in
    params.yaml are written out, comments stay. README.md has today's commands. The scratch folder takes today's name.
    dvc.lock and metrics/ stay as they are: `dvc repro` runs everything once and replaces them.

    Args:
        folder: The experiment's.

    Yields:
        A line for each change; nothing where the folder is of this edition already.

    Raises:
        UserError: no experiment lies there, or its params.yaml is wrong; then nothing is changed.
    """
    graph, params, readme = (folder / name for name in ("dvc.yaml", "params.yaml", "README.md"))
    if not graph.is_file() or not params.is_file():
        missing = next(path for path in (graph, params) if not path.is_file())
        raise UserError(f"{missing} is missing, expected the folder of an experiment; see `crossfool list experiments`")
    text = params_file.read_text(params)
    unshared = params_file.expand_aliases(text)
    experiment = loading.parse_experiment(unshared, params)
    shared_graph = (folder / experiment.root / "dvc.yaml").resolve()
    if not (shared_graph.parent / "stages").is_dir():
        raise UserError(f"{params}: root: {experiment.root} is not a clone of crossfool; give the path to one")
    if unshared != text:
        _write(params, unshared)
        yield f"{params}: aliases written out"
    if graph.resolve() != shared_graph and graph.read_bytes() != shared_graph.read_bytes():
        if not _was_shared(graph, shared_graph):
            _write(folder / OLD, graph.read_text(encoding="utf-8"))
            yield f"{graph}: had changes of its own, which are kept as {folder / OLD}"
        _write(graph, shared_graph.read_text(encoding="utf-8"))
        yield f"{graph}: replaced by today's {os.path.relpath(shared_graph)}"
    if readme.is_file():
        before = readme.read_text(encoding="utf-8")
        after = renamed(before)
        if after != before:
            _write(readme, after)
            yield f"{readme}: commands updated"
    scratch = folder / first_edition.SCRATCH
    if scratch.is_dir() and not (folder / ".crossfool").exists():
        scratch.rename(folder / ".crossfool")
        yield f"{scratch}: is called .crossfool now"


def renamed(text: str) -> str:
    """A text with today's names of the project, its commands and its variables."""
    for before, after in COMMANDS.items():
        text = re.sub(rf"\b{first_edition.NAME} {before}\b", f"crossfool {after}", text)
    return text.replace(first_edition.NAME.upper(), "CROSSFOOL").replace(first_edition.NAME, "crossfool")


def _was_shared(graph: Path, shared_graph: Path) -> bool:
    """Whether the repository's root has had this dvc.yaml in some commit, so that nothing of it is lost."""
    content = graph.read_bytes()
    return any(content == version for version in git.versions(shared_graph.parent, shared_graph.name))


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
