"""Pickles in checkpoints: plain stand-ins for harmless types, and what an unsafe file asks for, by name."""

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

# --- what a pickle asks for -------------------------------------------------------------------------


class _Dtype:
    """In place of numpy's, whose own would parse what a file says: a kind and size such as f8, and a byte order."""

    def __init__(self, kind: object, *_: object) -> None:
        self.kind = str(kind, "ascii") if isinstance(kind, bytes) else str(kind)
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = {"|": "<"}.get(*(2 * (str(order, "ascii") if isinstance(order, bytes) else str(order),)))


def _scalar(dtype: _Dtype, data: Any = b"") -> Any:
    """numpy's number or text of a dtype as a plain one; of another dtype, what the pickle holds of it."""
    import numpy as np

    if not isinstance(data, bytes) or dtype.order not in "<>=":
        return data
    if re.fullmatch(r"U\d+", dtype.kind):
        return data.decode("utf-32-be" if dtype.order == ">" else "utf-32-le").rstrip("\0")
    if re.fullmatch(r"[biufc]\d{1,2}", dtype.kind):
        return np.frombuffer(data, dtype.order + dtype.kind)[0].item()
    return data


def _named(module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of ours under the name by which a pickle asks for another's."""
    made = types.FunctionType(function.__code__, function.__globals__, name, function.__defaults__)
    made.__module__, made.__qualname__ = module, name
    return made


def _dtype(*arguments: Any) -> _Dtype:
    return _Dtype(*arguments)


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """In place of a defaultdict, which would make what it is asked for."""
    return {}


def _joined(*parts: Any) -> str:
    """A path as text, which leads nowhere by itself."""
    return "/".join(str(part).rstrip("/") for part in parts)


# Beside torch's own: what stands next to weights in checkpoints and cannot do anything.
HARMLESS: tuple[Any, ...] = (
    _Dtype,
    _named("numpy", "dtype", _dtype),
    _named("numpy.core.multiarray", "scalar", _scalar),
    _named("numpy._core.multiarray", "scalar", _scalar),
    *(_named(m, n, _joined) for m in ("pathlib", "pathlib._local") for n in ("PosixPath", "WindowsPath")),
    _named("collections", "defaultdict", _plain_dict),
    *(list, dict, tuple, frozenset, int, float, bool),  # no type that makes much of little
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
)


def why_refused(path: Path, error: str) -> str:
    """The reason why torch refused a file, by the name of what it asks for; and what to do."""
    protocol, asked = _asked(path)
    error = error.rpartition("WeightsUnpickler error: ")[2].partition("Check the documentation")[0]
    if "must be imported to load DTensors" in error:
        name = next((full for full in asked if full.endswith("DTensor")), "torch.distributed.tensor.DTensor")
        return f": its tensors are {name}, spread over processes; gather them (full_tensor()) and {SAVE}"
    found = re.search(r"GLOBAL (\S+)", error)
    refused = [full for full in asked if not _allowed(full)]
    name = found[1] if found else next(iter(refused), "")
    name = next((full for full in asked if full == f"builtins.{name}"), name)
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


# What torch asks for in every state dict, its wrappers of tensors among it.
TORCHS = re.compile(
    r"torch\.(\w+|_utils\.\w+|_tensor\.\w+|nn\.parameter\.\w+|serialization\._get_layout|(\w+\.)?\w*Storage)"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.(set|bytearray|complex)"
)


def _allowed(full: str) -> bool:
    """Whether a name that a pickle asks for is no reason to refuse it, as far as the name tells."""
    ours = {f"{one.__module__}.{one.__qualname__}" for one in HARMLESS}
    return full in ours or TORCHS.fullmatch(full) is not None


def _asked(path: Path) -> tuple[int, list[str]]:
    """The highest protocol of a file's pickles (0 where it is none), and what they ask for by name; nothing runs."""
    protocol, asked = 0, []
    for opcode, argument, before in _opcodes(path):
        if opcode == "PROTO":
            protocol = max(protocol, argument)
        elif opcode in ("GLOBAL", "INST"):
            asked.append(str(argument).replace(" ", ".").replace("__builtin__.", "builtins."))
        elif opcode == "STACK_GLOBAL" and len(before) == 2:
            asked.append(".".join(before))
    return protocol, list(dict.fromkeys(asked))


def _opcodes(path: Path) -> Iterator[tuple[str, Any, list[str]]]:
    """Each of a file's pickles' operations, as far as they can be read: name, argument, the two texts before it."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inner = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                with archive.open(inner) as file:
                    yield from _of_pickle(file)
        else:
            with open(path, "rb") as file:
                for _ in range(5):  # of torch's old format: a number, a version, the machine, the object, its storages
                    yield from _of_pickle(file)
    except Exception:  # damaged, and told as that
        return


def _of_pickle(file: Any) -> Iterator[tuple[str, Any, list[str]]]:
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
