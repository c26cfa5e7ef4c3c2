"""The weights of a source, by hash: an attack cell reruns only if its own source's weights change.

Imports no torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossfool import first_edition
from crossfool.errors import UserError
from crossfool.models.weights_file import read_description
from crossfool.storage.hashing import sha256
from crossfool.storage.json_files import read_json, write_json
from crossfool.storage.tensors import TensorFile

RECIPE_KEYS = {"epochs": 0, "seed": 0}  # keys of the recipe of weights trained here
PUBLISHED_KEYS = {"file", "version", "file_sha256"}  # keys of weights from a file


def write_weights_record(source: str, weights: Path, out: Path) -> None:
    """Write the weights record of a source, whose models' weights files lie in a folder, to `out`."""
    write_json(out, make_record(source, weights))


def make_record(source: str, weights: Path) -> dict[str, Any]:
    """Weights record of a source (names joined by +): each member's sha256, and its weights file's own description."""
    members = {name: describe_weights(weights / f"{name}.safetensors") for name in source.split("+")}
    return {"source": source, "members": members}


def describe_weights(path: Path) -> dict[str, Any]:
    """Sha256 of a weights file, and the file's own description of its model."""
    digest = {"sha256": sha256(path)}
    return (
        digest | read_description(TensorFile(path), path.stem) | digest
    )  # first among the keys, and not to be overwritten


def read_weights_record(path: Path) -> dict[str, Any]:
    """Read a source's weights record from its file, sources/<source>.json.

    Raises:
        UserError: the file is missing, or holds no weights record of that source.
    """
    record = read_json(path)
    members = record.get("members") if isinstance(record, dict) else None
    if not isinstance(members, dict) or list(members) != path.stem.split("+") or record.get("source") != path.stem:
        raise UserError(f"{path} is no fingerprint of {path.stem}; delete it and run `dvc repro`")
    for name, member in members.items():
        if not isinstance(member, dict) or not all(isinstance(member.get(key), str) for key in ("sha256", "library")):
            raise UserError(f"{path} lacks the sha256 or library of {name}; delete it and run `dvc repro`")
        recipe, published = member.get("recipe", RECIPE_KEYS), member.keys() if "file" in member else PUBLISHED_KEYS
        if not isinstance(recipe, dict) or not RECIPE_KEYS.keys() <= recipe.keys() or not published >= PUBLISHED_KEYS:
            raise UserError(f"{path} does not say whence the weights of {name} are; delete it and run `dvc repro`")
    for member in members.values():
        member["library"] = first_edition.current(member["library"])
    return dict(record)


def verified_paths(fingerprint: Mapping[str, Any], weights: Path) -> list[Path]:
    """Paths of the weights files of a source's members, checked against the weights record.

    Raises:
        UserError: a file is missing, or has changed since the record was written.
    """
    paths = []
    for name, member in fingerprint["members"].items():
        path = weights / f"{name}.safetensors"
        if not path.is_file() or sha256(path) != member["sha256"]:
            raise UserError(f"{path} is not the file that sources/{fingerprint['source']}.json names; run `dvc repro`")
        paths.append(path)
    return paths
