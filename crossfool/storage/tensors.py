"""Files in and out: safetensors, parquet, JSON, CSV; written whole or not at all.

Every writer fills a temporary file beside the destination, flushes it to the disk and renames it, so that a killed
stage leaves no half-written artefact, and a file that DVC has hard-linked to its cache is never altered.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from crossfool.errors import UserError
from crossfool.storage import recovery
from crossfool.storage.atomic import replacing
from crossfool.storage.recovery import changed

DTYPES = {"uint8": "U8", "int64": "I64", "float32": "F32"}  # numpy -> safetensors
DIGESTS = "sha256"  # the metadata in which a file of ours says what its bytes are
BLANK = "0" * 64  # in place of the header's own sha256, when that is taken


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
                raise changed(path, "its header has")
        except FileNotFoundError:
            raise recovery.missing(path) from None
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
            raise changed(self.path, f"tensor {name!r} has")
        self._checked[name] = values
        return values


def _digests(text: str) -> dict[str, str]:
    """Tensor name -> its sha256, as a file's metadata have them."""
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(digest, str) for digest in found.values()):
        raise ValueError(f"{DIGESTS} in its metadata is no JSON object of text")
    return found
