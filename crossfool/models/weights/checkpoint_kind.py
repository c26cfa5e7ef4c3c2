"""Kind of a file that is given as a checkpoint, by its first bytes; kinds that hold no weights are named."""

import zipfile
from pathlib import Path, PurePosixPath

SAVE = "save the state dict alone: torch.save(model.state_dict(), FILE)"
STARTS = {  # first bytes of files that are now and then mistaken for weights
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
LEVELDB = bytes.fromhex("57fb808b247547db")  # last bytes of a TensorFlow checkpoint's index


def foreign_kind(path: Path) -> str:
    """Kind of a file that holds no weights for PyTorch, with advice behind "; "; "" where the kind is not known."""
    with open(path, "rb") as file:
        start = file.read(512)
        file.seek(max(path.stat().st_size - len(LEVELDB), 0))
        end = file.read()
    if not start:
        return "empty; fetch it again"
    if is_safetensors(path):  # first: its length may look like anything
        return ""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--", b"<error")):
        return "a web page (HTML or XML) and not the file itself; fetch it from the file's own address"
    if text.startswith((b"{", b"[")):
        return "JSON text"
    kind = next((kind for magic, kind in STARTS.items() if start.startswith(magic)), "")
    if kind:
        return kind
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
    return _archive_kind(path) if start.startswith(b"PK\x03\x04") else ""


def _archive_kind(path: Path) -> str:
    """Kind of a zip archive that holds no weights; "" if torch.save wrote it, or it is damaged."""
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


def is_safetensors(path: Path) -> bool:
    """Whether a file is safetensors: it begins with a possible length of its header, and a JSON object."""
    with open(path, "rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8
