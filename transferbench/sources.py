"""A source's fingerprint: whose weights an attack uses, so that a cell reruns only for its own. No torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transferbench.artefacts import TensorFile, sha256
from transferbench.errors import UserError


def fingerprint(source: str, weights: Path) -> dict[str, Any]:
    """The members of a source (names joined by +): the hash of each weights file, and what is known of it."""
    members = {}
    for name in source.split("+"):
        path = weights / f"{name}.safetensors"
        about = json.loads(TensorFile(path).metadata["model"])
        members[name] = {"sha256": sha256(path), **about}
    return {"source": source, "members": members}


def verify(fingerprint: Mapping[str, Any], weights: Path) -> list[Path]:
    """The weights files of a source's members, which must be the ones that were fingerprinted.

    Raises:
        UserError: a file has changed since.
    """
    paths = []
    for name, member in fingerprint["members"].items():
        path = weights / f"{name}.safetensors"
        TensorFile(path)
        if sha256(path) != member["sha256"]:
            raise UserError(f"{path} is not the file that sources/{fingerprint['source']}.json names; run `dvc repro`")
        paths.append(path)
    return paths
