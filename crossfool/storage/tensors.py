"""Safetensors files: written piece by piece, atomically; memory-mapped and checked by sha256 when read.

The writer fills a temporary file beside the destination, flushes it to the disk and renames it, so that a killed
stage leaves no half-written artefact, and a file that DVC has hard-linked to its cache is never altered.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from crossfool.errors import UserError, brief
from crossfool.storage import recovery
from crossfool.storage.atomic import replacing
from crossfool.storage.recovery import changed_file

DTYPES = {"uint8": "U8", "int64": "I64", "float32": "F32"}  # numpy -> safetensors
DIGESTS_KEY = "sha256"  # the metadata key that holds the sha256 of each tensor and, under "", of the header
BLANK_DIGEST = "0" * 64  # stands in the header for the header's sha256 while that is computed


class TensorWriter:
    """A writer of arrays to a safetensors file, piece by piece, in order, without holding them in memory.

    The header is sorted, so equal content is equal bytes (the library's own writer orders metadata by a random hash).
    It holds the sha256 of every tensor and of itself, so that `TensorFile` notices a byte that has changed since.
    Use through `write_tensors` or `tensor_writer`.
    """

    def __init__(
        self,
        file: BinaryIO,
        shapes: Mapping[str, tuple[str, Sequence[int]]],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        assert DIGESTS_KEY not in (metadata or {}), f"the key {DIGESTS_KEY} is reserved for the writer"
        self._metadata, self._entries = dict(metadata or {}), {}
        offset = 0
        # safetensors aligns by item size: the widest first, then by name
        order = sorted(shapes, key=lambda name: (-np.dtype(shapes[name][0]).itemsize, name))
        self._offsets: dict[str, tuple[int, int]] = {}
        for name in order:
            dtype, shape = shapes[name]
            end = offset + int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            self._entries[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [offset, end]}
            self._offsets[name] = (offset, end)
            offset = end
        self._digests = {name: hashlib.sha256() for name in shapes}
        header = self._header(BLANK_DIGEST)
        self._data_start = 8 + len(header)
        self._written = dict.fromkeys(shapes, 0)  # bytes
        self._dtypes = {name: np.dtype(dtype) for name, (dtype, _) in shapes.items()}
        self._file = file
        self._file.write(len(header).to_bytes(8, "little") + header)
        self._file.truncate(self._data_start + offset)

    def _header(self, header_digest: str) -> bytes:
        """The header, always of one length, with the digests of the values written so far and of the header itself."""
        digests = {"": header_digest, **{name: digest.hexdigest() for name, digest in self._digests.items()}}
        metadata = {**self._metadata, DIGESTS_KEY: json.dumps(dict(sorted(digests.items())))}
        content = {"__metadata__": dict(sorted(metadata.items())), **self._entries}
        header = json.dumps(content, separators=(",", ":")).encode()
        return header + b" " * (-len(header) % 8)

    def append(self, name: str, values: np.ndarray) -> None:
        """Write the next values of one tensor: any number of leading rows."""
        assert values.dtype == self._dtypes[name], f"{name} is {self._dtypes[name]}, not {values.dtype}"
        start, end = self._offsets[name]
        data = np.ascontiguousarray(values).data.cast("B") if values.size else b""
        position = start + self._written[name]
        assert position + len(data) <= end, f"{name}: more values than declared"
        self._file.seek(self._data_start + position)
        self._file.write(data)
        self._digests[name].update(data)
        self._written[name] += len(data)

    def finish(self) -> None:
        """Write the header again, with the digests of all values."""
        for name, (start, end) in self._offsets.items():
            assert self._written[name] == end - start, f"{name}: fewer values than declared"
        self._file.seek(8)
        self._file.write(self._header(hashlib.sha256(self._header(BLANK_DIGEST)).hexdigest()))


@contextlib.contextmanager
def tensor_writer(
    path: str | Path,
    shapes: Mapping[str, tuple[str, Sequence[int]]],
    metadata: Mapping[str, str] | None = None,
) -> Iterator[TensorWriter]:
    """Open a `TensorWriter` for `path`, which appears when the block ends well.

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
    """Write arrays or CPU tensors (uint8, int64, float32) to a safetensors file.

    Raises:
        UserError: a tensor has another dtype.
    """
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise UserError(f"{path}: tensor {name} is {array.dtype}, expected one of {', '.join(DTYPES)}")
    shapes = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    with tensor_writer(path, shapes, metadata) as writer:
        for name, array in arrays.items():
            writer.append(name, array)


class TensorFile:
    """A safetensors file, memory-mapped: `file["images"]` is a read-only array.

    In a file that `TensorWriter` has written, the header is checked at once against its sha256, and each tensor as a
    whole when it is first read. Other files are not checked, and only the values in use are read.

    Raises:
        UserError: the file is missing, truncated, no safetensors file, or has changed since it was written.
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
            self._entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
            if not all(isinstance(entry, dict) for entry in self._entries.values()):
                raise ValueError("a tensor's entry in its header is no object")
            self._data_start = 8 + length
            self._digests = _parse_digests(self.metadata.pop(DIGESTS_KEY, "{}"))
            self._checked: dict[str, np.ndarray] = {}
            digest = self._digests.pop("", None)
            if digest and hashlib.sha256(header.replace(digest.encode(), BLANK_DIGEST.encode())).hexdigest() != digest:
                raise changed_file(path, "its header has")
        except FileNotFoundError:
            raise recovery.missing_file(path) from None
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            reason = brief(error, 200)
            raise UserError(f"{path} is no whole safetensors file ({reason}); delete it and run `dvc repro`") from None

    def metadata_text(self, name: str) -> str:
        """The text that the metadata hold under a name.

        Raises:
            UserError: the metadata lack the name.
        """
        if name not in self.metadata:
            raise UserError(f"{self.path}: its metadata lacks {name!r}; delete it and run `dvc repro`")
        return self.metadata[name]

    def metadata_object(self, name: str) -> dict[str, Any]:
        """The JSON object that the metadata hold under a name.

        Raises:
            UserError: the metadata lack the name, or hold something else.
        """
        try:
            value = json.loads(self.metadata_text(name))
        except (json.JSONDecodeError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise UserError(f"{self.path}: {name!r} in its metadata is no JSON object; delete it and run `dvc repro`")
        return value

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        """The tensors' names, sorted."""
        return sorted(self._entries)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._entries:
            names = brief(", ".join(self.names()), 200) if self._entries else ""
            raise UserError(f"{self.path}: holds no tensor {name!r}, only {names}")
        entry = self._entries[name]
        known = {code: dtype for dtype, code in DTYPES.items()}
        if entry["dtype"] not in known:
            raise UserError(f"{self.path}: tensor {name!r} is {entry['dtype']}, expected one of {', '.join(known)}")
        dtype, shape = np.dtype(known[entry["dtype"]]), tuple(entry["shape"])
        try:
            if 0 in shape:
                return np.zeros(shape, dtype)
            if name in self._checked:
                return self._checked[name]
            values = np.memmap(self.path, dtype, "r", offset=self._data_start + entry["data_offsets"][0], shape=shape)
        except (ValueError, OverflowError) as error:  # numpy takes neither so many axes nor such long ones
            short = brief(list(shape), 60)
            raise UserError(f"{self.path}: tensor {name!r} cannot have the shape {short} ({error})") from None
        if name in self._digests and hashlib.sha256(values.data.cast("B")).hexdigest() != self._digests[name]:
            raise changed_file(self.path, f"tensor {name!r} has")
        self._checked[name] = values
        return values


def _parse_digests(text: str) -> dict[str, str]:
    """Tensor name -> sha256 in hex, from a file's metadata."""
    digests = json.loads(text)
    if not isinstance(digests, dict) or not all(isinstance(digest, str) for digest in digests.values()):
        raise ValueError(f"{DIGESTS_KEY} in its metadata is no JSON object of text")
    return digests
