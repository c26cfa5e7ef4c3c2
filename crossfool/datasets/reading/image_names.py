"""Names of image files: which files are images, which are passed over and why."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from crossfool.errors import UserError, escape_unprintable

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
SYSTEM_FILES = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini")
HIDDEN, NO_FILE = "hidden or a system's own", "a link or no file"  # reasons to pass a file over, beside its ending


def is_image(name: str) -> bool:
    """Whether a file's name has an image's extension, in any case."""
    return name.lower().endswith(EXTENSIONS)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden or a system's own (.DS_Store, ._photo.jpg, __MACOSX, Thumbs.db)."""
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def ending(name: str) -> str:
    """A name's ending in lower case, as the reason why a file is passed over."""
    return PurePosixPath(name).suffix.lower()[:12] or "no ending"


def lies_under(name: str, folder: str) -> bool:
    """Whether a path lies in a folder at any depth; everything lies in the folder ""."""
    return not folder or name.startswith(folder + "/")


def checked_utf8(name: str, path: Path) -> str:
    """A name, if it is UTF-8.

    Args:
        name: The name.
        path: The folder or tar file with the name in it, for the error.

    Raises:
        UserError: the name is no UTF-8.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"{path}: the name {name!r} is no UTF-8; rename it") from None
    return name


def passed_over_note(reasons: Mapping[str, str]) -> str:
    """A note on files that were passed over: how many, why, and the first of them; "" if there are none.

    Args:
        reasons: Name -> reason, as `ImageFiles.passed_over` has them.
    """
    if not reasons:
        return ""
    counts = Counter(reasons.values())
    hidden, frequent = counts.pop(HIDDEN, 0), counts.most_common()
    shown = [*frequent[:6], ("others", sum(count for _, count in frequent[6:])), (HIDDEN, hidden)]
    parts = [f"{reason} ({count:,})" for reason, count in shown if count]
    first = next((name for name, reason in reasons.items() if reason != HIDDEN), next(iter(reasons)))
    files = "1 file" if len(reasons) == 1 else f"{len(reasons):,} files"
    endings = f"{', '.join(EXTENSIONS[:-1])} and {EXTENSIONS[-1]}"
    return escape_unprintable(f"passed over: {files}: {', '.join(parts)}; first {first} (images are {endings})")
