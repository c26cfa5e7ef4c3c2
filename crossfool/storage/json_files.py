"""JSON files, written atomically, with errors that say how to recover a file."""

import json
from pathlib import Path
from typing import Any

from crossfool.errors import UserError
from crossfool.storage import recovery
from crossfool.storage.atomic import replacing


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, with keys in the order given."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(value), encoding="utf-8")


def json_text(value: Any) -> str:
    """A value as the text of a JSON file: indented, keys in the order given, a newline at the end."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise recovery.missing_file(path) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}); delete it and run `dvc repro`") from None
