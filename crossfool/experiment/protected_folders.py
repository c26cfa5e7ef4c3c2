"""Refuse a user's files in folders that stages write, since DVC would delete them.

Such files are refused before DVC removes anything: when params.yaml is read, which the stage `plan` does first.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from crossfool.errors import UserError

WRITTEN_FOLDERS = (
    *("plan", "weights", "data", "predictions", "subset", "sources", "adversarial", "transformed", "metrics"),
    *("analysis", "report", "dvc_plots", ".crossfool", ".dvc", ".git"),
)


def refuse_user_files(folder: Path, root: str, named: Iterable[tuple[str, str, Path]]) -> None:
    """Refuse files of the user's in a folder that stages write, be it this experiment's or another's.

    Case is ignored, since some file systems do; links are followed.

    Args:
        folder: The experiment's.
        root: The path from there to the project's folder.
        named: For each file that params.yaml names: its key, the path as written, and the place it leads to, relative
            to the current folder.

    Raises:
        UserError: a path is, holds, or lies in such a folder.
    """
    written: dict[tuple[str, ...], str] | None = None
    for key, text, path in named:
        if "\0" in text:
            raise UserError(f"{key}: {text!r} holds a zero byte; give a path")
        written = _written(folder, folder / root) if written is None else written
        place = _parts(path)
        for end in range(len(place), 0, -1):
            if place[:end] in written:
                raise _refused(key, text, "is" if end == len(place) else "lies in", written[place[:end]])
        project = _parts(folder / root)
        # a folder above the clone is allowed: no stage reads the clone's files as that folder's content
        held = next((name for parts, name in written.items() if parts[: len(place)] == place), None)
        if held is not None and (len(place) >= len(project) or place == _parts(folder)):
            raise _refused(key, text, "holds", held)


def _refused(key: str, text: str, relation: str, written: str) -> UserError:
    return UserError(
        f"{key}: {text} {relation} {written}, a folder that stages write: DVC deletes its files before they run; "
        "give a folder of your own, such as own/, or one outside this repository"
    )


def refuse_foreign_outputs(folder: Path, outputs: Iterable[Path]) -> None:
    """Refuse files of another origin in the place of weights and images that stages are to write.

    Args:
        folder: The experiment's.
        outputs: safetensors files and the table of images, relative to it.

    Raises:
        UserError: such a file is there and does not say that this package wrote it.
    """
    for output in outputs:
        path = folder / output
        if path.is_file() and not _is_ours(path):
            advice = ", and set weights: {dir: own}" if output.parts[0] == "weights" else ""
            raise UserError(
                f"{path} was not made by crossfool, and a stage writes this file: DVC would delete yours; "
                f"move it away, such as to own/{advice}"
            )


def _is_ours(path: Path) -> bool:
    """Whether a file says that this package wrote it."""
    if path.suffix == ".csv":
        with open(path, "rb") as file:
            return file.readline(100) == b"id,label,file\n"
    return "sha256" in _metadata(path)


def _metadata(path: Path) -> Mapping[str, str]:
    """The metadata of a safetensors file; empty where the file is none."""
    try:
        with open(path, "rb") as file:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), 10**8)))
    except (OSError, ValueError, RecursionError):
        return {}
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _written(folder: Path, root: Path) -> dict[tuple[str, ...], str]:
    """Each folder that stages write, by its parts, with its name for a message."""
    names: dict[tuple[str, ...], str] = {}
    for experiment in _experiments(folder, root):
        for name in WRITTEN_FOLDERS:
            place = experiment / name
            names.setdefault(_parts(place), os.path.normpath(place))
    return names


def _experiments(folder: Path, root: Path) -> Iterator[Path]:
    """The folders of this experiment, of the project, and of the project's experiments."""
    yield folder
    yield root
    yield from sorted(path for path in root.glob("experiments/*") if path.is_dir())


def _parts(path: Path) -> tuple[str, ...]:
    """The parts of a path with all links followed, in lower case."""
    return Path(os.path.realpath(path).casefold()).parts
