"""Files in and out: safetensors, parquet, JSON, CSV; written whole or not at all.

Every writer fills a temporary file beside the destination and renames it, so that a killed stage
leaves no half-written artefact, and a file that DVC has hard-linked to its cache is never altered.
"""

import contextlib
import csv
import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transferbench.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

DTYPES = {"uint8": "U8", "int64": "I64", "float32": "F32"}  # numpy -> safetensors


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, renamed to `path` when the block ends well.

    What a process killed outright left there is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if not _alive(left.name.split(".")[-2]):
            left.unlink(missing_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        temporary.touch()
        yield temporary
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
    by a random hash). Use through `write_tensors` or `tensor_writer`.
    """

    def __init__(
        self,
        path: Path,
        shapes: Mapping[str, tuple[str, Sequence[int]]],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        header: dict[str, Any] = {"__metadata__": dict(sorted((metadata or {}).items()))}
        offset = 0
        # safetensors aligns by item size: the widest first, then by name
        order = sorted(shapes, key=lambda name: (-np.dtype(shapes[name][0]).itemsize, name))
        self._place: dict[str, tuple[int, int]] = {}
        for name in order:
            dtype, shape = shapes[name]
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            header[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [offset, offset + size]}
            self._place[name] = (offset, offset + size)
            offset += size
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._data = 8 + len(text)
        self._filled = dict.fromkeys(shapes, 0)
        self._dtypes = {name: np.dtype(dtype) for name, (dtype, _) in shapes.items()}
        self._file = open(path, "wb")  # noqa: SIM115 (closed by the context manager below)
        self._file.write(len(text).to_bytes(8, "little") + text)
        self._file.truncate(self._data + offset)

    def append(self, name: str, values: np.ndarray) -> None:
        """Write the next values of one tensor: any number of leading rows."""
        assert values.dtype == self._dtypes[name], f"{name} is {self._dtypes[name]}, not {values.dtype}"
        start, end = self._place[name]
        data = np.ascontiguousarray(values).data.cast("B") if values.size else b""
        position = start + self._filled[name]
        assert position + len(data) <= end, f"{name}: more values than declared"
        self._file.seek(self._data + position)
        self._file.write(data)
        self._filled[name] += len(data)

    def close(self) -> None:
        for name, (start, end) in self._place.items():
            assert self._filled[name] == end - start, f"{name}: fewer values than declared"
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


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
    with replacing(path) as temporary:
        writer = TensorWriter(temporary, shapes, metadata)
        try:
            yield writer
            writer.close()
        finally:
            writer._file.close()


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


class TensorFile:
    """A safetensors file, memory-mapped: `file["images"]` is a read-only array that loads what is touched.

    Raises:
        UserError: the file is missing, truncated or no safetensors file.
    """

    def __init__(self, path: str | Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = Path(path)
        try:
            with safe_open(self.path, "np") as checked:  # the library checks header, shapes and offsets
                self.metadata: dict[str, str] = checked.metadata() or {}
            with open(self.path, "rb") as file:
                length = int.from_bytes(file.read(8), "little")
                self._entries = {k: v for k, v in json.loads(file.read(length)).items() if k != "__metadata__"}
            self._data = 8 + length
        except FileNotFoundError:
            raise UserError(f"{path} is missing; run `dvc repro` or `dvc pull` to make or fetch it") from None
        except (SafetensorError, OSError, ValueError) as error:
            raise UserError(f"{path} is no whole safetensors file ({error}); delete it and run `dvc repro`") from None

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        return sorted(self._entries)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._entries:
            raise UserError(f"{self.path}: holds no tensor {name!r}, only {', '.join(self.names())}")
        entry = self._entries[name]
        kinds = {code: dtype for dtype, code in DTYPES.items()}
        if entry["dtype"] not in kinds:
            raise UserError(f"{self.path}: tensor {name!r} is {entry['dtype']}, expected one of {', '.join(kinds)}")
        dtype, shape = np.dtype(kinds[entry["dtype"]]), tuple(entry["shape"])
        if 0 in shape:
            return np.zeros(shape, dtype)
        return np.memmap(self.path, dtype, "r", offset=self._data + entry["data_offsets"][0], shape=shape)


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
        raise UserError(f"{path} is missing; run `dvc repro` or `dvc pull` to make or fetch it") from None
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); delete it and run `dvc repro`") from None


def write_table(path: str | Path, columns: Mapping[str, Any]) -> None:
    """Write named columns of equal length to a parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(pa.table(dict(columns)), temporary, compression="zstd")


def read_table(path: str | Path) -> "pa.Table":
    """Read a parquet file.

    Raises:
        UserError: the file is missing or no parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro` or `dvc pull` to make or fetch it") from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is no whole parquet file ({error}); delete it and run `dvc repro`") from None


def sha256(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_csv(path: str | Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV with a head.

    Raises:
        UserError: the file is missing, or has other columns.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            rows = list(table)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro`") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if list(table.fieldnames or ()) != list(columns):
        raise UserError(
            f"{path} has columns {table.fieldnames}, expected {list(columns)}; delete it and run `dvc repro`"
        )
    return rows
