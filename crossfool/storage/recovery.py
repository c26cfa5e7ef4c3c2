"""Errors for files that are missing or have changed, with the commands that compute or pull them again."""

import os
import shlex
from pathlib import Path

from crossfool.errors import UserError


def missing_file(path: str | Path) -> UserError:
    """Make the error for a file that is missing."""
    return UserError(f"{path} is missing; {how_to_get(path)}")


def changed_file(path: str | Path, part: str) -> UserError:
    """Make the error for a file whose content no longer has its sha256.

    Args:
        path: The file.
        part: The part of its content, with a verb: "its header has".
    """
    return UserError(
        f"{path} has changed since it was written: {part} another sha256; "
        f"delete it, and its copy in .dvc/cache, and run {how_to_restore(path)}"
    )


def how_to_get(path: str | Path) -> str:
    """The end of a message: the commands that get a stage's output, for the current folder."""
    folder = _experiment(path)
    stage = None if folder is None else _stage(folder, os.path.relpath(path, folder))
    alone = f" (it alone: `{repro_command(folder, stage)}`)" if stage else ""
    if folder is not None and _is_in_git(Path(os.path.relpath(path, folder))):
        checkout = f"`git checkout -- {shlex.quote(str(path))}`"
        return f"run `{repro_command(folder)}` to make it{alone}, or {checkout} if it was committed"
    pull = None if folder is None else pull_command(folder)
    if pull is None:
        return f"run `{repro_command(folder)}` to make it{alone}"
    return f"run `{repro_command(folder)}` or `{pull} {shlex.quote(str(path))}` to make or fetch it{alone}"


def _is_in_git(place: Path) -> bool:
    """Whether a stage's output is one that git keeps: metrics and predictions."""
    return place.parts[0] in ("metrics", "predictions", "transformed")


def how_to_restore(path: str | Path) -> str:
    """The commands that restore a damaged output once it is deleted."""
    folder = _experiment(path)
    pull = None if folder is None else pull_command(folder)
    return f"`{pull}` or `dvc repro`" if pull else f"`{repro_command(folder)}`"


def repro_command(folder: Path | None, stage: str | None = None) -> str:
    """The command that computes a whole experiment, or the outputs of one stage."""
    here = folder is None or os.path.relpath(folder) == "."
    graph = "" if folder is None or here else os.path.join(os.path.relpath(folder), "dvc.yaml")
    target = ":".join(part for part in (graph, stage) if part)
    return f"dvc repro {shlex.quote(target)}" if target else "dvc repro"


def pull_command(folder: Path) -> str | None:
    """The command, without targets, that pulls from the folder's DVC remote; None where no remote is configured."""
    settings = next((parent / ".dvc" for parent in (folder, *folder.parents) if (parent / ".dvc").is_dir()), None)
    if settings is None:
        return None
    try:
        from dvc.config import Config

        values = Config(str(settings), validate=False)
        remotes = list(values.get("remote", {}))
        if values.get("core", {}).get("remote"):
            return "dvc pull"
        return f"dvc pull -r {shlex.quote(remotes[0])}" if remotes else None
    except Exception:  # the configuration cannot be read, or there is no home: `dvc` itself will report it
        return None


def _experiment(path: str | Path) -> Path | None:
    """The folder whose graph makes a file: the nearest parent that has a dvc.yaml."""
    return next((folder for folder in Path(os.path.abspath(path)).parents if (folder / "dvc.yaml").is_file()), None)


def _stage(folder: Path, path: str) -> str | None:
    """The stage that makes a file, by the folder's dvc.lock; None where the lock does not name the file."""
    from crossfool.storage.dvc_lock import parse_outputs

    try:
        recorded = parse_outputs((folder / "dvc.lock").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a lock that is missing or broken is another command's concern
        return None
    candidates = [candidate.as_posix() for candidate in (Path(path), *Path(path).parents)]
    return next((str(recorded[candidate]["stage"]) for candidate in candidates if candidate in recorded), None)
