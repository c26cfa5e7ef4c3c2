"""A source's fingerprint: whose weights an attack uses, so that a cell reruns only for its own. No torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossfool import first_edition
from crossfool.errors import UserError
from crossfool.models.weights_file import account
from crossfool.storage.hashing import sha256
from crossfool.storage.json_files import read_json
from crossfool.storage.tensors import TensorFile

TRAINED = {"epochs": 0, "seed": 0}  # what is told of weights trained here, of their recipe
PUBLISHED = {"file", "version", "file_sha256"}  # and of those from a file


def fingerprint(source: str, weights: Path) -> dict[str, Any]:
    """The members of a source (names joined by +): the hash of each weights file, and what is known of it."""
    members = {name: described(weights / f"{name}.safetensors") for name in source.split("+")}
    return {"source": source, "members": members}


def described(path: Path) -> dict[str, Any]:
    """The hash of a weights file, and what it says of itself."""
    own = {"sha256": sha256(path)}
    return own | account(TensorFile(path), path.stem) | own


def read(path: Path) -> dict[str, Any]:
    """A source's fingerprint from its file, sources/<source>.json.

    Raises:
        UserError: the file is missing, or holds no fingerprint of that source.
    """
    found = read_json(path)
    members = found.get("members") if isinstance(found, dict) else None
    if not isinstance(members, dict) or list(members) != path.stem.split("+") or found.get("source") != path.stem:
        raise UserError(f"{path} is no fingerprint of {path.stem}; delete it and run `dvc repro`")
    for name, member in members.items():
        if not isinstance(member, dict) or not all(isinstance(member.get(key), str) for key in ("sha256", "library")):
            raise UserError(f"{path} lacks the sha256 or library of {name}; delete it and run `dvc repro`")
        recipe, published = member.get("recipe", TRAINED), member.keys() if "file" in member else PUBLISHED
        if not isinstance(recipe, dict) or not TRAINED.keys() <= recipe.keys() or not published >= PUBLISHED:
            raise UserError(f"{path} does not say whence the weights of {name} are; delete it and run `dvc repro`")
    for member in members.values():
        member["library"] = first_edition.current(member["library"])
    return dict(found)


def verify(fingerprint: Mapping[str, Any], weights: Path) -> list[Path]:
    """The weights files of a source's members, which must be the ones that were fingerprinted.

    Raises:
        UserError: a file has changed since.
    """
    paths = []
    for name, member in fingerprint["members"].items():
        path = weights / f"{name}.safetensors"
        if not path.is_file() or sha256(path) != member["sha256"]:
            raise UserError(f"{path} is not the file that sources/{fingerprint['source']}.json names; run `dvc repro`")
        paths.append(path)
    return paths
