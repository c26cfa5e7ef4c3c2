"""Files in and out: safetensors, parquet, JSON, CSV; written whole or not at all.

Every writer fills a temporary file beside the destination, flushes it to the disk and renames it, so that a killed
stage leaves no half-written artefact, and a file that DVC has hard-linked to its cache is never altered.
"""

import contextlib
import csv
import glob
import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from crossfool import advice
from crossfool.errors import UserError, writing

if TYPE_CHECKING:
    import pyarrow as pa

DTYPES = {"uint8": "U8", "int64": "I64", "float32": "F32"}  # numpy -> safetensors
DIGESTS = "sha256"  # the metadata in which a file of ours says what its bytes are
SIZES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32), "imagenet": (3, 224, 224)}  # of a family's images, (C,H,W)
BLANK = "0" * 64  # in place of the header's own sha256, when that is taken


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, flushed to the disk and renamed to `path` when the block ends well.

    What a process killed outright left there is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if not _alive(left.name.split(".")[-2]):
            left.unlink(missing_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        with writing(path):
            temporary.touch()
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())  # renamed before its bytes are there, it could be empty after a power failure
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _alive(pid: str) -> bool:
    """Whether a process of this number runs; a name that is no number counts as one."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError, OverflowError):
        return True
    return True


class TensorWriter:
    """Write arrays to a safetensors file piece by piece, in order, without holding them in memory.

    The header is sorted, so equal content is equal bytes (the library's own writer orders metadata
    by a random hash), and holds the sha256 of every tensor and of itself, so that `TensorFile` notices a
    byte that has changed since. Use through `write_tensors` or `tensor_writer`.
    """

    def __init__(
        self,
        file: BinaryIO,
        shapes: Mapping[str, tuple[str, Sequence[int]]],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        assert DIGESTS not in (metadata or {}), f"{DIGESTS} is the writer's to say"
        self._metadata, self._header = dict(metadata or {}), {}
        offset = 0
        # safetensors aligns by item size: the widest first, then by name
        order = sorted(shapes, key=lambda name: (-np.dtype(shapes[name][0]).itemsize, name))
        self._place: dict[str, tuple[int, int]] = {}
        for name in order:
            dtype, shape = shapes[name]
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            self._header[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [offset, offset + size]}
            self._place[name] = (offset, offset + size)
            offset += size
        self._digests = {name: hashlib.sha256() for name in shapes}
        text = self._text(BLANK)
        self._data = 8 + len(text)
        self._filled = dict.fromkeys(shapes, 0)
        self._dtypes = {name: np.dtype(dtype) for name, (dtype, _) in shapes.items()}
        self._file = file
        self._file.write(len(text).to_bytes(8, "little") + text)
        self._file.truncate(self._data + offset)

    def _text(self, own: str) -> bytes:
        """The header, with the digests of what has been written, and its own; always of one length."""
        digests = {"": own, **{name: digest.hexdigest() for name, digest in self._digests.items()}}
        said = {**self._metadata, DIGESTS: json.dumps(dict(sorted(digests.items())))}
        text = json.dumps({"__metadata__": dict(sorted(said.items())), **self._header}, separators=(",", ":")).encode()
        return text + b" " * (-len(text) % 8)

    def append(self, name: str, values: np.ndarray) -> None:
        """Write the next values of one tensor: any number of leading rows."""
        assert values.dtype == self._dtypes[name], f"{name} is {self._dtypes[name]}, not {values.dtype}"
        start, end = self._place[name]
        data = np.ascontiguousarray(values).data.cast("B") if values.size else b""
        position = start + self._filled[name]
        assert position + len(data) <= end, f"{name}: more values than declared"
        self._file.seek(self._data + position)
        self._file.write(data)
        self._digests[name].update(data)
        self._filled[name] += len(data)

    def finish(self) -> None:
        """Write the digests, now that all values are there."""
        for name, (start, end) in self._place.items():
            assert self._filled[name] == end - start, f"{name}: fewer values than declared"
        self._file.seek(8)
        self._file.write(self._text(hashlib.sha256(self._text(BLANK)).hexdigest()))


@contextlib.contextmanager
def tensor_writer(
    path: str | Path,
    shapes: Mapping[str, tuple[str, Sequence[int]]],
    metadata: Mapping[str, str] | None = None,
) -> Iterator[TensorWriter]:
    """A `TensorWriter` for `path`, which appears when the block ends well.

    Args:
        path: The safetensors file to make.
        shapes: Tensor name -> (numpy dtype name: uint8, int64 or float32; shape).
        metadata: Strings kept in the header.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        writer = TensorWriter(file, shapes, metadata)
        yield writer
        writer.finish()


def write_tensors(path: str | Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays or CPU tensors (uint8, int64, float32) to a safetensors file."""
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise UserError(f"{path}: tensor {name} is {array.dtype}, expected one of {', '.join(DTYPES)}")
    shapes = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    with tensor_writer(path, shapes, metadata) as writer:
        for name, array in arrays.items():
            writer.append(name, array)


def _changed(path: str | Path, what: str) -> UserError:
    return UserError(
        f"{path} has changed since it was written: {what} another sha256; "
        f"delete it, and its copy in .dvc/cache, and run {advice.again(path)}"
    )


class TensorFile:
    """A safetensors file, memory-mapped: `file["images"]` is a read-only array.

    Of a file that `TensorWriter` has written, the header is checked at once against its sha256, and a tensor as a
    whole when it is first asked for. Other files are read as they are, and only where they are touched.

    Raises:
        UserError: the file is missing, truncated, no safetensors file, or no longer what was written.
    """

    def __init__(self, path: str | Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = Path(path)
        try:
            with safe_open(self.path, "np") as checked:  # the library checks header, shapes and offsets
                self.metadata: dict[str, str] = checked.metadata() or {}
            with open(self.path, "rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = file.read(length)
            self._entries = {k: v for k, v in json.loads(header).items() if k != "__metadata__"}
            if not all(isinstance(entry, dict) for entry in self._entries.values()):
                raise ValueError("a tensor's entry in its header is no object")
            self._data = 8 + length
            self._digests = _digests(self.metadata.pop(DIGESTS, "{}"))
            self._checked: dict[str, np.ndarray] = {}
            own = self._digests.pop("", None)
            if own and hashlib.sha256(header.replace(own.encode(), BLANK.encode())).hexdigest() != own:
                raise _changed(path, "its header has")
        except FileNotFoundError:
            raise advice.missing(path) from None
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path} is no whole safetensors file ({reason}); delete it and run `dvc repro`") from None

    def said(self, name: str) -> str:
        """What the metadata say under a name.

        Raises:
            UserError: nothing.
        """
        if name not in self.metadata:
            raise UserError(f"{self.path}: its metadata lacks {name!r}; delete it and run `dvc repro`")
        return self.metadata[name]

    def said_json(self, name: str) -> dict[str, Any]:
        """What the metadata say under a name, which must be a JSON object.

        Raises:
            UserError: nothing, or something else.
        """
        try:
            found = json.loads(self.said(name))
        except (json.JSONDecodeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise UserError(f"{self.path}: {name!r} in its metadata is no JSON object; delete it and run `dvc repro`")
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        return sorted(self._entries)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._entries:
            only = " ".join(", ".join(self.names()).split())[:200]
            raise UserError(f"{self.path}: holds no tensor {name!r}, only {only}")
        entry = self._entries[name]
        kinds = {code: dtype for dtype, code in DTYPES.items()}
        if entry["dtype"] not in kinds:
            raise UserError(f"{self.path}: tensor {name!r} is {entry['dtype']}, expected one of {', '.join(kinds)}")
        dtype, shape = np.dtype(kinds[entry["dtype"]]), tuple(entry["shape"])
        try:
            if 0 in shape:
                return np.zeros(shape, dtype)
            if name in self._checked:
                return self._checked[name]
            values = np.memmap(self.path, dtype, "r", offset=self._data + entry["data_offsets"][0], shape=shape)
        except (ValueError, OverflowError) as error:  # numpy takes neither so many axes nor such long ones
            shown = str(list(shape))[:60]
            raise UserError(f"{self.path}: tensor {name!r} cannot have the shape {shown} ({error})") from None
        if name in self._digests and hashlib.sha256(values.data.cast("B")).hexdigest() != self._digests[name]:
            raise _changed(self.path, f"tensor {name!r} has")
        self._checked[name] = values
        return values


def _digests(text: str) -> dict[str, str]:
    """Tensor name -> its sha256, as a file's metadata have them."""
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(digest, str) for digest in found.values()):
        raise ValueError(f"{DIGESTS} in its metadata is no JSON object of text")
    return found


def clean(path: str | Path) -> TensorFile:
    """A file of clean images, the data set's or the subset's, which is what it says it is.

    Raises:
        UserError: `images` are not (N,C,H,W) uint8 of their family's size; `labels` or the subset's `target_labels` not
            (N,) int64 of its classes, or its `index` not (N,) int64, rising; or the file is damaged.
    """
    file = TensorFile(path)
    for wrong in _wrong(file):
        raise UserError(f"{path}: {wrong}; delete it and run `dvc repro`")
    return file


def _wrong(file: TensorFile) -> Iterator[str]:
    images, family, classes = file["images"], file.metadata.get("family", ""), file.metadata.get("classes", "")
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        yield f"images are {images.dtype} of shape {images.shape}, expected uint8 (N, C, H, W)"
        return
    if images.shape[1:] != SIZES.get(family, images.shape[1:]):
        yield f"an image is {images.shape[1:]}, expected {SIZES[family]}, {family}'s"
    most = int(classes) if classes.isdecimal() and len(classes) < 5 else 2**31
    for name in ("labels", "target_labels", "index"):
        if name not in file and name != "labels":
            continue
        values = file[name]
        if values.dtype != np.int64 or values.shape != (len(images),):
            yield f"{name} are {values.dtype} of shape {values.shape}, expected int64 ({len(images)},), one an image"
        elif values.min() < 0 or (name != "index" and values.max() >= most):
            what = "ids" if name == "index" else "classes"
            yield f"{name} are {values.min()} to {values.max()}, which are not all {what}"
        elif name == "index" and (np.diff(values) <= 0).any():
            yield "ids of images do not rise"


def account(file: TensorFile, name: str | None = None) -> dict[str, Any]:
    """What a weights file says of its model (`weights.describe`), checked as far as it is made use of.

    Args:
        file: The file.
        name: Whose weights it is to hold; anybody's, where not given.

    Raises:
        UserError: it says nothing, something that describes no model, or is another model's.
    """
    about = file.said_json("model")

    def number(value: Any, least: float) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < 1e6

    def numbers(value: Any, least: float) -> bool:
        channels = 1 if about["family"] == "mnist" else 3
        return isinstance(value, list) and len(value) == channels and all(number(one, least) for one in value)

    right: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(("name", "family", "library", "published_preprocessing"), lambda value: isinstance(value, str)),
        "mean": lambda value: numbers(value, -1e6),
        "std": lambda value: numbers(value, 1e-6),
        "side": lambda value: isinstance(value, int) and number(value, 1),
        "interpolation": lambda value: value in ("bilinear", "bicubic"),
        "published_top1": lambda value: value is None or number(value, 0),
    }
    for key, fits in right.items():
        if key not in about:
            raise UserError(f"{file.path}: its metadata lacks {key!r} of the model; delete it and run `dvc repro`")
        if not fits(about[key]):
            shown = ascii(about[key])[:60]
            raise UserError(f"{file.path}: {key} of its model cannot be {shown}; delete it and run `dvc repro`")
    if name is not None and about["name"] != name:
        raise UserError(f"{file.path} holds the weights of {about['name'][:60]!r}; delete it and run `dvc repro`")
    return about


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON, indented, in the order given."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        UserError: the file is missing or no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise advice.missing(path) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}); delete it and run `dvc repro`") from None


def write_table(path: str | Path, columns: Mapping[str, Any]) -> None:
    """Write named columns of equal length to a parquet file, and their sha256 with them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns))
    table = table.replace_schema_metadata({DIGESTS: _digest(table)})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _digest(table: "pa.Table") -> str:
    """The sha256 of a table's names and values."""
    digest = hashlib.sha256()
    for name in table.column_names:
        values = np.asarray(table[name])
        digest.update(json.dumps([name, str(table[name].type), len(values)]).encode())
        data = repr(values.tolist()).encode() if values.dtype == object else np.ascontiguousarray(values).data
        digest.update(data)
    return digest.hexdigest()


def read_table(path: str | Path) -> "pa.Table":
    """Read a parquet file.

    Raises:
        UserError: the file is missing, no parquet file, or no longer what was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # by this thread alone: pyarrow's pools abort a process that ends while they start a thread
        with pq.ParquetFile(path, pre_buffer=False) as file:
            table = file.read(use_threads=False)
        written = (table.schema.metadata or {}).get(DIGESTS.encode())
        found = None if written is None else _digest(table).encode()
    except FileNotFoundError:
        raise advice.missing(path) from None
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is no whole parquet file ({reason}); delete it and run `dvc repro`") from None
    if written != found:
        raise _changed(path, "its values have")
    return table


def sha256(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_csv(
    path: str | Path, columns: Mapping[str, type | UnionType], *, others: bool = False
) -> list[dict[str, str]]:
    """Rows of a CSV with a head, as text.

    Args:
        path: The file.
        columns: Name -> what its text must be: int, float (a finite one), float | None (that, or nothing) or str.
        others: Whether it may have other columns, in any order.

    Raises:
        UserError: the file is missing, cut off, no CSV in UTF-8, has other columns, or something else in one.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
        if not text.endswith("\n"):
            raise ValueError("its last line is cut off")
        table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        heads = list(table.fieldnames or ())
        if not set(columns) <= set(heads) or len(set(heads)) < len(heads) or (not others and heads != list(columns)):
            raise ValueError(f"its columns are {heads}, expected {list(columns)}"[:200])
        rows = list(table)
        for number, row in enumerate(rows, 1):
            if None in row or None in row.values():
                raise ValueError(f"row {number} has not {len(heads)} values")
            for name, kind in columns.items():
                _checked(row[name], kind, f"{name} of row {number}")
    except FileNotFoundError:
        raise advice.missing(path) from None
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run `dvc repro`") from None
    return rows


def _checked(text: str, kind: type | UnionType, where: str) -> None:
    """Refuse a text that is no value of its kind."""
    if kind == float | None and not text:
        return
    number = int if kind is int else float
    try:
        right = kind is str or math.isfinite(number(text))
    except (ValueError, OverflowError):
        right = False
    if not right:
        raise ValueError(f"{where} is {text[:40]!r}, expected {number.__name__}")
