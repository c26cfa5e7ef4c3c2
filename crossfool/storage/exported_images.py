"""Read an exported folder: clean and adversarial PNG files, their labels, and a record of the cells. Imports no torch.

`experiment/export/write_folder.py` writes such a folder; docs/export.md describes its files.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from crossfool.errors import UserError, brief
from crossfool.storage import hashing

LABELS, RECORD, SUMS = "labels.csv", "cells.json", "SHA256SUMS"
COLUMNS = ("source", "attack", "index", "label", "class", "target_label", "clean", "adversarial")


@dataclass(frozen=True)
class ExportedCell:
    """The images of a cell in an exported folder.

    Attributes:
        source, attack: The cell's.
        record: What `cells.json` says of it: `params`, `compute`, `weights`, ...
        index: The images' ids in the data set, (N,) int64.
        labels: True classes, (N,) int64.
        target_labels: Classes aimed at, (N,) int64; None for an untargeted attack.
        clean, adversarial: Images (N,C,H,W) uint8.
    """

    source: str
    attack: str
    record: Mapping[str, Any]
    index: np.ndarray
    labels: np.ndarray
    target_labels: np.ndarray | None
    clean: np.ndarray
    adversarial: np.ndarray


class ExportedFolder:
    """An exported folder; files are checked by their sha256 when they are read.

    Args:
        folder: The folder.

    Raises:
        UserError: it is no exported folder, or `labels.csv` or `cells.json` is missing, has changed, or is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sums = _read_sums(folder)
        try:
            self.record: dict[str, Any] = json.loads(self._read(RECORD))
            self.records = {(cell["source"], cell["attack"]): cell for cell in self.record["cells"]}
            self.family, self._shape = str(self.record["family"]), tuple(self.record["shape"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, UserError):
                raise
            raise self._damaged(RECORD, f"{type(error).__name__}: {error}") from None
        self._rows = self._read_labels()

    def cells(self) -> Iterator[ExportedCell]:
        """Yield the cells, one at a time, in the order of `labels.csv`.

        Raises:
            UserError: an image is missing, has changed, or is no PNG file of the size and mode of the others.
        """
        clean: dict[str, np.ndarray] = {}
        for (source, attack), rows in self._rows.items():
            clean |= {row["clean"]: self._image(row["clean"]) for row in rows if row["clean"] not in clean}
            aims = [row["target_label"] for row in rows]
            yield ExportedCell(
                source,
                attack,
                self.records[source, attack],
                np.array([int(row["index"]) for row in rows]),
                np.array([int(row["label"]) for row in rows]),
                np.array([int(aim) for aim in aims]) if all(aims) else None,
                np.stack([clean[row["clean"]] for row in rows]),
                np.stack([self._image(row["adversarial"]) for row in rows]),
            )

    def _read(self, name: str) -> bytes:
        """The bytes of a file of the folder, which must have the sha256 that was recorded."""
        if name not in self._sums:
            raise self._damaged(SUMS, f"it does not name {name}")
        try:
            data = (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise UserError(f"{self.folder / name} is missing; export the cells again") from None
        if hashlib.sha256(data).hexdigest() != self._sums[name]:
            raise UserError(
                f"{self.folder / name} has changed since it was exported: {SUMS} has another sha256; "
                "export the cells again"
            )
        return data

    def _read_labels(self) -> dict[tuple[str, str], list[dict[str, str]]]:
        """Rows of `labels.csv` by source and attack; each is checked."""
        cells: dict[tuple[str, str], list[dict[str, str]]] = {key: [] for key in self.records}
        try:
            table = csv.DictReader(io.StringIO(self._read(LABELS).decode("utf-8"), newline=""), strict=True)
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise self._damaged(LABELS, brief(f"its columns are {table.fieldnames}, expected {list(COLUMNS)}"))
            for number, row in enumerate(table, 1):
                aimed = self._is_targeted(row["source"], row["attack"], number)
                for name in ("index", "label", *(["target_label"] if aimed else [])):
                    if not (row[name] or "").isdecimal():
                        raise self._damaged(LABELS, f"{name} of row {number} is {row[name]!r}, expected a number")
                cells[row["source"], row["attack"]].append(row)
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._damaged(LABELS, error) from None
        empty = next(("/".join(key) for key, rows in cells.items() if not rows), None)
        if empty is not None:
            raise self._damaged(LABELS, f"it has no row of {empty}")
        return cells

    def _is_targeted(self, source: str, attack: str, number: int) -> bool:
        """Whether a row's cell is targeted, by the cell's record."""
        if (source, attack) not in self.records:
            raise self._damaged(LABELS, f"row {number} is of {source}/{attack}, which is no cell of {RECORD}")
        params = self.records[source, attack].get("params", {})
        return bool(params.get("objective") == "targeted")

    def _image(self, name: str) -> np.ndarray:
        """An image (C,H,W) uint8 of a PNG file of the folder."""
        try:
            with Image.open(io.BytesIO(self._read(name))) as picture:
                pixels = np.asarray(picture)
        except (OSError, SyntaxError) as error:
            raise self._damaged(name, error) from None
        image = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        if image.dtype != np.uint8 or image.shape != self._shape:
            raise self._damaged(name, f"it is {image.dtype} {image.shape}, expected uint8 {self._shape}")
        return image

    def _damaged(self, name: str, reason: object) -> UserError:
        return UserError(f"{self.folder / name} is damaged ({brief(reason)}); export the cells again")


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image (C,H,W) uint8 of one channel or three as a PNG file, without loss."""
    pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")


def write_sums(folder: Path) -> None:
    """Write `SHA256SUMS` of all files of a folder, as `sha256sum --check` reads it."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashing.sha256(folder / name)}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _read_sums(folder: Path) -> dict[str, str]:
    """File -> sha256, of the folder's `SHA256SUMS`."""
    try:
        text = (folder / SUMS).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder} is no exported folder: it has no {SUMS}; make one by `crossfool export CELL --to FOLDER`"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{folder / SUMS} is damaged (it is no UTF-8); export the cells again") from None
    return {name: digest for digest, _, name in (line.partition("  ") for line in text.splitlines())}
