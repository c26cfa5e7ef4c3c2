"""Pickles in checkpoints: plain stand-ins for harmless types, and the reason why torch refuses an unsafe file."""

import datetime
import pickletools
import re
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from crossfool.errors import brief
from crossfool.models.weights.checkpoint_kind import SAVE, is_safetensors


class _Dtype:
    """A stand-in for numpy's dtype, which would parse the file's text: a kind and size such as f8, and a byte order."""

    def __init__(self, kind: object, *_: object) -> None:
        self.kind = str(kind, "ascii") if isinstance(kind, bytes) else str(kind)
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = {"|": "<"}.get(*(2 * (str(order, "ascii") if isinstance(order, bytes) else str(order),)))


def _scalar(dtype: _Dtype, data: Any = b"") -> Any:
    """numpy's number or text as a plain one; for another dtype, the bytes that the pickle holds."""
    import numpy as np

    if not isinstance(data, bytes) or dtype.order not in "<>=":
        return data
    if re.fullmatch(r"U\d+", dtype.kind):
        return data.decode("utf-32-be" if dtype.order == ">" else "utf-32-le").rstrip("\0")
    if re.fullmatch(r"[biufc]\d{1,2}", dtype.kind):
        return np.frombuffer(data, dtype.order + dtype.kind)[0].item()
    return data


def _named(module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of a function under the module and name by which a pickle asks for another one."""
    stand_in = types.FunctionType(function.__code__, function.__globals__, name, function.__defaults__)
    stand_in.__module__, stand_in.__qualname__ = module, name
    return stand_in


def _dtype(*arguments: Any) -> _Dtype:
    """A stand-in for calling numpy.dtype."""
    return _Dtype(*arguments)


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """A stand-in for a defaultdict, which would call its factory."""
    return {}


def _path_text(*parts: Any) -> str:
    """A stand-in for a path: its text, which opens nothing by itself."""
    return "/".join(str(part).rstrip("/") for part in parts)


# Types that stand next to weights in checkpoints and cannot do any harm; torch allows its own.
HARMLESS: tuple[Any, ...] = (
    _Dtype,
    _named("numpy", "dtype", _dtype),
    _named("numpy.core.multiarray", "scalar", _scalar),
    _named("numpy._core.multiarray", "scalar", _scalar),
    *(_named(m, n, _path_text) for m in ("pathlib", "pathlib._local") for n in ("PosixPath", "WindowsPath")),
    _named("collections", "defaultdict", _plain_dict),
    *(list, dict, tuple, frozenset, int, float, bool),  # no type that a short pickle can blow up
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
)


def why_refused(path: Path, error: str) -> str:
    """Explain why torch refused a file, by the name that its pickle asks for, and what to do.

    Args:
        path: The file.
        error: torch's message.

    Returns:
        The end of an error message.
    """
    protocol, requested = _requested_names(path)
    error = error.rpartition("WeightsUnpickler error: ")[2].partition("Check the documentation")[0]
    if "must be imported to load DTensors" in error:
        name = next((full for full in requested if full.endswith("DTensor")), "torch.distributed.tensor.DTensor")
        return f": its tensors are {name}, spread over processes; gather them (full_tensor()) and {SAVE}"
    match = re.search(r"GLOBAL (\S+)", error)
    refused = [full for full in requested if not _allowed(full)]
    name = match[1] if match else next(iter(refused), "")
    name = next((full for full in requested if full == f"builtins.{name}"), name)
    if name:
        shown = name if len(name) <= 200 else f"{name[:200]}..."
        return (
            f": it asks for {shown}, and nothing but tensors and plain values is read, so that no code runs; where you "
            f"trust the file, {SAVE}, or of a checkpoint torch.save(checkpoint['state_dict'], FILE)"
        )
    if protocol > 3 and "operand" in error:
        return f": it is pickled by protocol {protocol}, and torch reads 2; {SAVE}, without pickle_protocol"
    with open(path, "rb") as file:
        start = file.read(24)
    if not protocol and not start.startswith(b"PK") and not is_safetensors(path):
        return f" (it begins with {str(start)[1:]}, and is neither torch's nor safetensors); fetch it again"
    return f" ({brief(error.split('. ')[0])}); fetch it again"


# Names that any state dict of torch's may ask for, wrappers of tensors among them.
TORCH_NAMES = re.compile(
    r"torch\.(\w+|_utils\.\w+|_tensor\.\w+|nn\.parameter\.\w+|serialization\._get_layout|(\w+\.)?\w*Storage)"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.(set|bytearray|complex)"
)


def _allowed(full: str) -> bool:
    """Whether a name that a pickle asks for is on the list of harmless ones."""
    harmless = {f"{kind.__module__}.{kind.__qualname__}" for kind in HARMLESS}
    return full in harmless or TORCH_NAMES.fullmatch(full) is not None


def _requested_names(path: Path) -> tuple[int, list[str]]:
    """The highest protocol of a file's pickles (0 where there is none), and the names they ask for; nothing runs."""
    protocol, names = 0, []
    for opcode, argument, before in _opcodes(path):
        if opcode == "PROTO":
            protocol = max(protocol, argument)
        elif opcode in ("GLOBAL", "INST"):
            names.append(str(argument).replace(" ", ".").replace("__builtin__.", "builtins."))
        elif opcode == "STACK_GLOBAL" and len(before) == 2:
            names.append(".".join(before))
    return protocol, list(dict.fromkeys(names))


def _opcodes(path: Path) -> Iterator[tuple[str, Any, list[str]]]:
    """The operations of a file's pickles, as far as they can be read: name, argument, the two texts before it."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inner = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                with archive.open(inner) as file:
                    yield from _pickle_opcodes(file)
        else:
            with open(path, "rb") as file:
                # torch's old format has five: a number, a version, the machine, the object, its storages
                for _ in range(5):
                    yield from _pickle_opcodes(file)
    except Exception:  # damaged: the caller reports what was read before
        return


def _pickle_opcodes(file: Any) -> Iterator[tuple[str, Any, list[str]]]:
    """The operations of the pickle that begins where the file stands, as `_opcodes` has them."""
    texts: list[str] = []
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(file):
        yield opcode.name, argument, texts[-2:]
        if "UNICODE" in opcode.name or "STRING" in opcode.name:
            texts.append(str(argument))
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = texts[-1] if texts else ""
        elif opcode.name in ("BINGET", "LONG_BINGET") and argument in memo:
            texts.append(memo[argument])
