"""Questions to git about an experiment's folder; where git refuses, its reason is told in one line."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from crossfool.errors import UserError

NOTHING = "fatal: Needed a single revision"  # what git says of a name that is no revision's


class Refused(UserError):
    """git is not there, or cannot work in the folder: another owner's, a broken repository."""


def commit(name: str, folder: Path) -> str | None:
    """The commit that a name means: git's own names, then those of DVC's experiments; None if it is neither.

    Raises:
        UserError: the name means several commits, or one that this clone does not have.
        Refused: git cannot tell.
    """
    if name.startswith("-"):
        return None
    done = _run(folder, "rev-parse", "--verify", f"{name}^{{commit}}")
    said = _line(done.stderr)
    if done.returncode == 0 and "is ambiguous" not in said:
        return done.stdout.decode("ascii").strip()
    if "is ambiguous" in said:
        advice = f"give refs/heads/{name}, refs/tags/{name} or a commit's hash"
        raise UserError(f"{name} means several revisions (git says: {said}); {advice}")
    if said != NOTHING:
        raise _refused(folder, said)
    found = _experiment(name, folder)
    if found is None:
        _absent(name, folder)
    return found


def _experiment(name: str, folder: Path) -> str | None:
    """The commit of one of DVC's experiments."""
    listed = _said(folder, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or b""
    pairs = (line.split(" ", 1) for line in listed.decode("utf-8", "replace").splitlines())
    found = sorted({commit for commit, ref in pairs if ref.endswith(f"/{name}")})
    if len(found) > 1:
        hashes = ", ".join(commit[:12] for commit in found)
        raise UserError(f"{name} means several DVC experiments, of other commits each: {hashes}; give one of these")
    return found[0] if found else None


def _absent(name: str, folder: Path) -> None:
    """Refuse a name of a commit that this clone does not have."""
    known = _said(folder, "rev-parse", "--verify", "--quiet", name)
    if known is not None:
        found = known.decode("ascii").strip()
        done = _run(folder, "cat-file", "-t", found)
        if done.returncode:
            said = _line(done.stderr)
            raise UserError(f"{name} is {found[:12]}, which this clone does not have ({said}){shallow(folder)}")


def shallow(folder: Path) -> str:
    """How to get what a shallow clone was made without, as a message's end."""
    done = _run(folder, "rev-parse", "--is-shallow-repository")
    cut = done.returncode == 0 and done.stdout.strip() == b"true"
    return "; this clone is shallow: `git fetch --unshallow` brings older revisions" if cut else ""


def file(revision: str, name: str, folder: Path) -> bytes | None:
    """The bytes that a file of the folder has in a revision; None where that has no such file, or there is none.

    Raises:
        Refused: git cannot tell, or its copy is damaged.
    """
    found = _said(folder, "rev-parse", "--verify", "--quiet", f"{revision}:./{name}")
    return None if found is None else _said(folder, "cat-file", "blob", found.decode("ascii").strip())


def patches(folder: Path, name: str) -> str:
    """The changes that all commits, those of DVC's experiments among them, made to a file of the folder, as a patch.

    Empty where git is not installed or knows no such folder.
    """
    try:
        done = _run(folder, "log", "--all", "--patch", "--no-color", "--no-ext-diff", "--format=", "--", name)
    except Refused:
        return ""
    return done.stdout.decode(errors="replace")


def _said(folder: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it ends with 1 and says nothing: there is no such thing."""
    done = _run(folder, *arguments)
    if done.returncode == 0:
        return done.stdout
    if done.returncode == 1 and not done.stderr.strip():
        return None
    raise _refused(folder, _line(done.stderr) or f"it ended with {done.returncode}")


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, env=os.environ | {"LC_ALL": "C"})
    except FileNotFoundError:
        raise Refused("git is not installed, or not on PATH; install it") from None


def _line(said: bytes) -> str:
    return " ".join(said.decode("utf-8", "replace").split())[:500]


def _refused(folder: Path, said: str) -> Refused:
    return Refused(f"git cannot read {folder.resolve()}: {said}")


def versions(folder: Path, name: str) -> Iterator[bytes]:
    """The bytes that a file of the folder has had in each commit that changed it; nothing where git cannot tell."""
    try:
        done = _run(folder, "log", "--all", "--format=%H", "--", name)
        for revision in done.stdout.decode("ascii").split():
            content = file(revision, name, folder)
            if content is not None:
                yield content
    except Refused:
        return
