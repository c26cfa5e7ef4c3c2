"""Inputs of a cell, and the metadata of its file; the computing is in `compute_cell`.

A cell is computed in chunks, the unit of work and of resume (`chunks`). A chunk's result depends on its images and the
cell's parameters, not on which other chunks were computed, in what order, or by whom.
"""

import importlib
import importlib.metadata
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossfool.attacks import parts
from crossfool.attacks.config import Attack
from crossfool.attacks.torchattack import catalogue
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.storage.hashing import sha256
from crossfool.version import VERSION

Tensors = Mapping[str, np.ndarray]  # of a cell or a chunk: `images`, and the others that `craft` returns
ComputedChunks = Generator[tuple[slice, Tensors], None, None]  # each chunk's place in the subset, and its tensors


@dataclass(frozen=True)
class Cell:
    """All that a cell is computed from.

    Attributes:
        source: The source's weights record, see `weights_record.make_record`.
        name: The attack's name.
        attack: The attack's row of params.yaml.
        compute: The section `compute` of params.yaml.
        subset: The subset's file of images, `subset/images.safetensors`.
    """

    source: Mapping[str, Any]
    name: str
    attack: Attack
    compute: Compute
    subset: Path


def load_member(cell: Cell, path: Path, device: torch.device) -> pixel_model.PixelModel:
    """Load a model of a cell's source from its weights file, as the cell's attack wants it."""
    return pixel_model.load(path, device=device, compute=cell.compute, as_built=cell.attack.needs_original_network)


def cell_metadata(cell: Cell) -> dict[str, str]:
    """Metadata of a cell's file: source, attack, parameters, hashes and versions, as strings for safetensors."""
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
        **_snapshots(cell.attack),
        **_libraries(cell),
    }


def unmoved(images: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Adversarial images that equal their clean ones, as (N,) bool; both are (N,C,H,W) uint8."""
    equal: np.ndarray = (images == originals).reshape(len(images), -1).all(1)
    return equal


def _snapshots(row: Attack) -> dict[str, str]:
    """Seed and step of each snapshot in the file, for readers that have no params.yaml."""
    snapshots = [{"seed": seed, "step": step} for seed, step in row.snapshots]
    return {"takes": json.dumps(snapshots)} if snapshots else {}


def _libraries(cell: Cell) -> dict[str, str]:
    """Versions of the libraries that the networks come from, and of the library that the attack comes from."""
    names = {member["library"] for member in cell.source["members"].values()} - {"crossfool"}
    versions = {name: importlib.metadata.version(name) for name in sorted(names)}
    if cell.attack.method is not None:
        versions[catalogue.LIBRARY] = importlib.import_module(parts.ADAPTER).library_version()
    return versions
