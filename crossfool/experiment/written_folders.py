"""Folders that stages write: DVC removes what lies there before a stage runs, so no file of the user's may.

Everything is refused before DVC removes anything: when params.yaml is read, which the stage `check` does first.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from crossfool.errors import UserError

WRITTEN = (
    *("weights", "data", "predictions", "subset", "sources", "adversarial", "transformed", "metrics", "analysis"),
    *("report", "dvc_plots", ".crossfool", ".dvc", ".git"),
)


def refuse(folder: Path, root: str, named: Iterable[tuple[str, str, Path]]) -> None:
    """Check that files which params.yaml names lie in no folder that stages write, of this experiment or of another.

    Case is ignored, since some file systems do; links are followed.

    Args:
        folder: The experiment's.
        root: The way from there to the project's.
        named: Key of params.yaml, the path that it says, and where that leads; relative to the current folder.

    Raises:
        UserError: a path is, holds, or lies in such a folder.
    """
    written: dict[tuple[str, ...], str] | None = None
    for key, said, path in named:
        if "\0" in said:
            raise UserError(f"{key}: {said!r} holds a zero byte; give a path")
        written = _written(folder, folder / root) if written is None else written
        place = _parts(path)
        for end in range(len(place), 0, -1):
            if place[:end] in written:
                raise _refused(key, said, "is" if end == len(place) else "lies in", written[place[:end]])
        project = _parts(folder / root)
        # a folder that holds the whole clone is another matter: nothing in the clone is taken for what it holds
        holds = next((name for parts, name in written.items() if parts[: len(place)] == place), None)
        if holds is not None and (len(place) >= len(project) or place == _parts(folder)):
            raise _refused(key, said, "holds", holds)


def _refused(key: str, said: str, relation: str, written: str) -> UserError:
    return UserError(
        f"{key}: {said} {relation} {written}, a folder that stages write: DVC removes what lies there before they run; "
        "give a folder of your own, such as own/, or one outside this repository"
    )


def refuse_strangers(folder: Path, outputs: Iterable[Path]) -> None:
    """Check that weights and images which stages are to write are not there as files of somebody else's.

    Args:
        folder: The experiment's.
        outputs: safetensors files and the table of images, relative to it.

    Raises:
        UserError: one is there and does not say that this package wrote it.
    """
    for output in outputs:
        path = folder / output
        if path.is_file() and not _ours(path):
            named = ", and set weights: {dir: own}" if output.parts[0] == "weights" else ""
            raise UserError(
                f"{path} was not made by crossfool, and a stage is to write it: DVC would remove it; move it away, "
                f"such as to own/{named}"
            )


def _ours(path: Path) -> bool:
    """Whether a file says that this package wrote it."""
    if path.suffix == ".csv":
        with open(path, "rb") as file:
            return file.readline(100) == b"id,label,file\n"
    return "sha256" in _metadata(path)


def _metadata(path: Path) -> Mapping[str, str]:
    """What a safetensors file says of itself; nothing where it is none."""
    try:
        with open(path, "rb") as file:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), 10**8)))
    except (OSError, ValueError, RecursionError):
        return {}
    found = header.get("__metadata__") if isinstance(header, dict) else None
    return found if isinstance(found, dict) else {}


def _written(folder: Path, root: Path) -> dict[tuple[str, ...], str]:
    """Each folder that stages write, by its parts, with its name for a message."""
    found: dict[tuple[str, ...], str] = {}
    for experiment in _experiments(folder, root):
        for name in WRITTEN:
            place = experiment / name
            found.setdefault(_parts(place), os.path.normpath(place))
    return found


def _experiments(folder: Path, root: Path) -> Iterator[Path]:
    yield folder
    yield root
    yield from sorted(path for path in root.glob("experiments/*") if path.is_dir())


def _parts(path: Path) -> tuple[str, ...]:
    """A place's parts with all links followed, in lower case."""
    return Path(os.path.realpath(path).casefold()).parts
