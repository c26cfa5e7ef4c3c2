"""A cell: one source, one attack, all images of the subset; computed in chunks that survive a kill.

A chunk is the unit of work and of resume. Its result depends on its images and the cell's parameters,
not on which other chunks were computed, in what order, or by whom.
"""

import importlib.metadata
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossfool.attacks.config import Attack
from crossfool.attacks.torchattack import catalogue
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.storage.hashing import sha256
from crossfool.version import VERSION

Tensors = Mapping[str, np.ndarray]  # what a cell or a chunk holds: `images`, and what `craft` says of the others
Found = Generator[tuple[slice, Tensors], None, None]


@dataclass(frozen=True)
class Cell:
    """What a cell computes, and on what."""

    source: Mapping[str, Any]  # `sources.fingerprint`
    name: str
    attack: Attack
    compute: Compute
    subset: Path


def loaded(cell: Cell, path: Path, device: torch.device) -> pixel_model.Pixels:
    """A model of a cell's source, from its weights file, as the cell's attack wants it."""
    return pixel_model.load(path, device=device, compute=cell.compute, as_built=cell.attack.as_built)


def describe(cell: Cell) -> dict[str, str]:
    """A cell's metadata: what was computed from what. Strings, as safetensors wants them."""
    return {
        "source": cell.source["source"],
        "attack": cell.name,
        "params": cell.attack.model_dump_json(exclude_none=True),
        "compute": cell.compute.model_dump_json(),
        "epsilon": f"{cell.attack.epsilon:g}",
        "seed": str(cell.attack.first_seed),
        "weights": json.dumps({name: member["sha256"] for name, member in cell.source["members"].items()}),
        "subset": sha256(cell.subset),
        "crossfool": VERSION,
        "torch": torch.__version__,
        **_takes(cell.attack),
        **_libraries(cell),
    }


def _takes(row: Attack) -> dict[str, str]:
    """What the images of `takes` are, for who reads the file without params.yaml."""
    found = [{"seed": seed, "step": step} for seed, step in row.takes]
    return {"takes": json.dumps(found)} if found else {}


def _libraries(cell: Cell) -> dict[str, str]:
    """Versions of the libraries whose networks the source is made of, and of the one whose attack it is."""
    names = {member["library"] for member in cell.source["members"].values()} - {"crossfool"}
    versions = {name: importlib.metadata.version(name) for name in sorted(names)}
    if cell.attack.method is not None:
        from crossfool.attacks.torchattack import adapter

        versions[catalogue.LIBRARY] = adapter.version()
    return versions
