"""Large files fetched over HTTP, with a progress bar; what came before a connection broke is kept and resumed."""

import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from crossfool.errors import WRITE_OR_PERMISSION_ERRORS, UserError, brief
from crossfool.storage.locks import locked

ATTEMPTS = 5  # connections that may break before the download is left to the next run
PAUSE = 2.0  # seconds before the second attempt; doubled before each later one
_BLOCK = 1 << 18  # bytes


def download(url: str, destination: Path, advice: str) -> None:
    """Download a file, which appears whole or not at all.

    Bytes that came are kept beside it (`.part`), and the next attempt, in this run or a later one, asks the server for
    the rest. A server that cannot resume sends the file from its start again.

    Args:
        url: The file's address.
        destination: Where to write it; nothing is fetched where it is there already.
        advice: What the user can do without a network, for the error.

    Raises:
        UserError: the server cannot be reached, has no such file, or breaks off again and again.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f"{destination.name}.part")
    with locked(destination.with_name(f"{destination.name}.lock"), destination.name):
        for attempt in range(ATTEMPTS):
            if destination.is_file():
                return
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1))
            try:
                _transfer(url, part)
                os.replace(part, destination)
                _tag(part).unlink(missing_ok=True)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno in WRITE_OR_PERMISSION_ERRORS:
                    raise
                reason = brief(error)
                if isinstance(error, urllib.error.HTTPError):
                    if error.code == 416:  # the kept part is longer than the file
                        part.unlink(missing_ok=True)
                    elif error.code < 500 and error.code not in (408, 429):
                        break  # asking again would not help
        if not destination.is_file():
            kept = f"; {part.stat().st_size:,} bytes are kept and resumed" if part.is_file() else ""
            raise UserError(f"{url} cannot be downloaded ({reason}){kept}; run again, or {advice}")


def _transfer(url: str, part: Path) -> None:
    """Fetch a file, or the rest of it that is not in `part` yet.

    Raises:
        OSError, HTTPException: the server cannot be reached or refuses, or the connection breaks.
    """
    tag = _tag(part)
    kept = tag.read_text(encoding="utf-8") if tag.is_file() else ""
    start = part.stat().st_size if kept and part.is_file() else 0
    request = urllib.request.Request(url)
    if start:
        request.add_header("Range", f"bytes={start}-")
        if not kept.startswith("W/"):
            request.add_header("If-Range", kept)
    with urllib.request.urlopen(request, timeout=60) as response:
        version = response.headers.get("ETag") or ""
        if response.status == 206 and version != kept:
            tag.unlink()
            raise ConnectionError("the file changed on the server")
        if response.status != 206:
            start = 0
            tag.write_text(version, encoding="utf-8")
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        _receive(response, part, start, total)
    if total is not None and part.stat().st_size != total:
        raise ConnectionError(f"the connection broke at {part.stat().st_size:,} of {total:,} bytes")


def _receive(response: http.client.HTTPResponse, part: Path, start: int, total: int | None) -> None:
    """Write what a server sends behind the first `start` bytes of a file, with a progress bar."""
    from tqdm import tqdm

    bar = tqdm(total=total, initial=start, desc="fetching", unit="B", unit_scale=True, file=sys.stderr)
    with bar, open(part, "ab" if start else "wb") as file:
        while block := response.read(_BLOCK):
            file.write(block)
            bar.update(len(block))


def _tag(part: Path) -> Path:
    """The file with the server's name of the version (ETag) that an unfinished download is of."""
    return part.with_name(f"{part.name}.tag")
