"""Questions to git about an experiment's folder. Where git refuses, the error gives its reason in one line."""

import contextlib
import io
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from crossfool.errors import UserError, brief

NO_REVISION_MESSAGE = "fatal: Needed a single revision"  # what git says of a name that is no revision's


class GitError(UserError):
    """git is not installed, or cannot work in the folder: another owner's, or a broken repository."""


def commit(name: str, folder: Path) -> str | None:
    """The commit that a name means: git's names first, then those of DVC's experiments; None if it is neither.

    Raises:
        UserError: the name means several commits, or one that this clone does not have.
        GitError: git cannot tell.
    """
    if name.startswith("-"):
        return None
    done = _run(folder, "rev-parse", "--verify", f"{name}^{{commit}}")
    message = _line(done.stderr)
    if done.returncode == 0 and "is ambiguous" not in message:
        return done.stdout.decode("ascii").strip()
    if "is ambiguous" in message:
        advice = f"give refs/heads/{name}, refs/tags/{name} or a commit's hash"
        raise UserError(f"{name} is ambiguous: it names several revisions (git says: {message}); {advice}")
    if message != NO_REVISION_MESSAGE:
        raise _refused(folder, message)
    digest = _experiment(name, folder)
    if digest is None:
        _refuse_absent(name, folder)
    return digest


def _experiment(name: str, folder: Path) -> str | None:
    """The commit of a DVC experiment; None where there is none of that name."""
    listed = _output(folder, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or b""
    pairs = (line.split(" ", 1) for line in listed.decode("utf-8", "replace").splitlines())
    commits = sorted({commit for commit, ref in pairs if ref.endswith(f"/{name}")})
    if len(commits) > 1:
        hashes = ", ".join(commit[:12] for commit in commits)
        raise UserError(
            f"{name} is the name of several DVC experiments with different commits: {hashes}; give one of these hashes"
        )
    return commits[0] if commits else None


def _refuse_absent(name: str, folder: Path) -> None:
    """Refuse the name of a commit that this clone does not have."""
    printed = _output(folder, "rev-parse", "--verify", "--quiet", name)
    if printed is not None:
        digest = printed.decode("ascii").strip()
        done = _run(folder, "cat-file", "-t", digest)
        if done.returncode:
            message = _line(done.stderr)
            raise UserError(
                f"{name} is {digest[:12]}, which this clone does not have ({message}){shallow_clone_hint(folder)}"
            )


def shallow_clone_hint(folder: Path) -> str:
    """The hint how to get the revisions that a shallow clone lacks, as a message's end; empty for a whole clone."""
    done = _run(folder, "rev-parse", "--is-shallow-repository")
    is_shallow = done.returncode == 0 and done.stdout.strip() == b"true"
    return "; this clone is shallow: `git fetch --unshallow` brings older revisions" if is_shallow else ""


def file(revision: str, name: str, folder: Path) -> bytes | None:
    """The bytes of a file in a revision; None where the revision has no such file, or there is no such revision.

    Args:
        revision: A name that git knows.
        name: The file, relative to the folder.
        folder: A folder of the repository.

    Raises:
        GitError: git cannot tell, or its copy is damaged.
    """
    digest = _output(folder, "rev-parse", "--verify", "--quiet", f"{revision}:./{name}")
    return None if digest is None else _output(folder, "cat-file", "blob", digest.decode("ascii").strip())


@contextlib.contextmanager
def exported(revision: str, names: Iterable[str], folder: Path) -> Iterator[Path]:
    """Give a temporary folder with files and folders of a revision; those that the revision lacks are left out.

    Args:
        revision: A name that git knows.
        names: Files and folders, relative to the repository's own folder.
        folder: The repository's own folder.

    Raises:
        UserError: there is no such revision; or, a GitError, git cannot tell, or its copy is damaged.
    """
    digest = commit(revision, folder)
    if digest is None:
        raise UserError(f"{revision} is no git revision; see `git log`{shallow_clone_hint(folder)}")
    listed = _output(folder, "ls-tree", "--name-only", digest) or b""
    present = set(listed.decode("utf-8", "replace").splitlines())
    with tempfile.TemporaryDirectory() as temporary:
        if wanted := [name for name in names if name in present]:
            packed = _output(folder, "archive", "--format=zip", digest, "--", *wanted) or b""
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:  # unpacks nothing outside the folder, makes no links
                archive.extractall(temporary)
        yield Path(temporary).resolve()


def patches(folder: Path, name: str) -> str:
    """The patches of all commits, those of DVC's experiments among them, to a file of the folder.

    Empty where git is not installed or knows no such folder.
    """
    try:
        done = _run(folder, "log", "--all", "--patch", "--no-color", "--no-ext-diff", "--format=", "--", name)
    except GitError:
        return ""
    return done.stdout.decode(errors="replace")


def _output(folder: Path, *arguments: str) -> bytes | None:
    """The output of a git command; None where it ends with 1 and no message: there is no such object."""
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
        raise GitError("git is not installed, or not on PATH; install it") from None


def _line(message: bytes) -> str:
    """A message of git's in one line; empty where there is none."""
    text = message.decode("utf-8", "replace")
    return brief(text, 500) if text.strip() else ""


def _refused(folder: Path, message: str) -> GitError:
    return GitError(f"git cannot read {folder.resolve()}: {message}")


def versions(folder: Path, name: str) -> Iterator[bytes]:
    """The bytes that a file of the folder has had in each commit that changed it; empty without git."""
    try:
        done = _run(folder, "log", "--all", "--format=%H", "--", name)
        for revision in done.stdout.decode("ascii").split():
            content = file(revision, name, folder)
            if content is not None:
                yield content
    except GitError:
        return
