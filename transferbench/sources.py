"""A source's fingerprint: whose weights an attack uses, so that a cell reruns only for its own. No torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transferbench.artefacts import TensorFile, sha256
from transferbench.errors import UserError


def fingerprint(source: str, weights: Path) -> dict[str, Any]:
    """The members of a source (names joined by +): the hash of each weights file, and what is known of it."""
    members = {name: described(weights / f"{name}.safetensors") for name in source.split("+")}
    return {"source": source, "members": members}


def described(path: Path) -> dict[str, Any]:
    """The hash of a weights file, and what it says of itself."""
    said = TensorFile(path).metadata.get("model")
    if said is None:
        raise UserError(f"{path} does not say what model it is of; delete it and run `dvc repro`")
    return {"sha256": sha256(path), **json.loads(said)}


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
