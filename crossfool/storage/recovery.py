"""How to get a file that is not here: the command that computes it, and a pull where there is a remote. Error texts."""

import os
import shlex
from pathlib import Path

from crossfool.errors import UserError
from crossfool.storage import recovery


def missing(path: str | Path) -> UserError:
    """An error for a file that is not there."""
    return UserError(f"{path} is missing; {getting(path)}")


def getting(path: str | Path) -> str:
    """How to get an output of a stage, as a message's end; commands are for where one stands."""
    folder = _experiment(path)
    stage = None if folder is None else _stage(folder, os.path.relpath(path, folder))
    alone = f" (it alone: `{repro(folder, stage)}`)" if stage else ""
    making = f"run `{repro(folder)}`{{}} to make {{}}it{alone}"
    if folder is not None and Path(os.path.relpath(path, folder)).parts[0] == "metrics":  # in git, and in no cache
        return making.format("", "") + f", or `git checkout -- {shlex.quote(str(path))}` if it was committed"
    pull = None if folder is None else pulling(folder)
    if pull is None:
        return making.format("", "")
    return making.format(f" or `{pull} {shlex.quote(str(path))}`", "or fetch ")


def again(path: str | Path) -> str:
    """The commands that bring a damaged output back once it is deleted."""
    folder = _experiment(path)
    pull = None if folder is None else pulling(folder)
    return f"`{pull}` or `dvc repro`" if pull else f"`{repro(folder)}`"


def repro(folder: Path | None, stage: str | None = None) -> str:
    """The command that computes all of an experiment, or what a stage of it makes."""
    here = folder is None or os.path.relpath(folder) == "."
    place = "" if folder is None or here else os.path.join(os.path.relpath(folder), "dvc.yaml")
    target = ":".join(part for part in (place, stage) if part)
    return f"dvc repro {shlex.quote(target)}" if target else "dvc repro"


def pulling(folder: Path) -> str | None:
    """The command that fetches from the folder's DVC remote, but for what; None where none is configured."""
    place = next((parent / ".dvc" for parent in (folder, *folder.parents) if (parent / ".dvc").is_dir()), None)
    if place is None:
        return None
    try:
        from dvc.config import Config

        values = Config(str(place), validate=False)
        names = list(values.get("remote", {}))
        named = "" if values.get("core", {}).get("remote") else f" -r {shlex.quote(names[0])}" if names else None
    except Exception:  # a configuration that cannot be read, or no home: the command itself will say so
        return None
    return None if named is None else f"dvc pull{named}"


def _experiment(path: str | Path) -> Path | None:
    """The folder whose graph makes a file: the nearest above it that has one."""
    return next((folder for folder in Path(os.path.abspath(path)).parents if (folder / "dvc.yaml").is_file()), None)


def _stage(folder: Path, path: str) -> str | None:
    """The stage that makes a file, as the folder's dvc.lock knows; None where it does not."""
    from crossfool.storage.dvc_lock import outputs

    try:
        known = outputs((folder / "dvc.lock").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there, or broken: not what is asked here
        return None
    places = [Path(path), *Path(path).parents]
    return next((str(known[place.as_posix()]["stage"]) for place in places if place.as_posix() in known), None)


def changed(path: str | Path, what: str) -> UserError:
    return UserError(
        f"{path} has changed since it was written: {what} another sha256; "
        f"delete it, and its copy in .dvc/cache, and run {recovery.again(path)}"
    )
