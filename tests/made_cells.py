"""Cells on the made subset of `conftest.py` and its fully connected networks, and their files."""

from pathlib import Path

import torch

from crossfool.attacks.config import Attack
from crossfool.models import build, weights_file
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.weights import model_description, registry
from crossfool.pipeline.crafting import compute_cell, weights_record
from crossfool.pipeline.crafting.cell_inputs import Cell

CPU = torch.device("cpu")
SG = {"epsilon": 15, "steps": 3, "step_size": 6, "gradient": "smoothed", "samples": 4, "sigma": 15}
ROWS = {
    "fgsm": {"epsilon": 15, "steps": 1, "step_size": 15},
    "migsm": {"epsilon": 15, "steps": 4, "step_size": 5, "update": "momentum", "decay": 1.0},
    "sg": SG,
    "targeted": {**SG, "objective": "targeted"},
    "fractional": {"epsilon": 2.5, "steps": 3, "step_size": 0.7},
    "takes": {**SG, "step_size": 6.5, "record_steps": [1, 2], "seeds": [0, 5], "quantisation": True},
    "admix": {"epsilon": 15, "steps": 2, "step_size": 8, "seed": 3, "admix": 2, "admix_strength": 0.5, "scales": 2},
    "today": {
        "epsilon": 15,
        "steps": 4,
        "step_size": 5,
        "gradient": "varied",
        "samples": 2,
        "radius": 20,
        "seed": 3,
        "diversity": 0.7,
        "kernel": 3,
        "scales": 2,
        "update": "nesterov",
        "decay": 1.0,
    },
}


def make_weights(folder: Path) -> Path:
    """Write weights files of fnn0 and fnn2, random but seeded, and return their folder."""
    for seed, name in enumerate(("fnn0", "fnn2")):
        torch.manual_seed(seed)
        network = build.crossfool_network(name)
        about = model_description.describe(registry.spec(name), network)
        weights_file.write_weights(folder / "weights" / f"{name}.safetensors", network.state_dict(), about)
    return folder / "weights"


def cell(subset: Path, weights: Path, row: str = "sg", *, source: str = "fnn2", chunk: int = 4) -> Cell:
    return Cell(weights_record.make_record(source, weights), row, Attack(**ROWS[row]), Compute(chunk=chunk), subset)


def run(cell: Cell, weights: Path, out: Path) -> Path:
    members = [pixel_model.load(path, device=CPU) for path in weights_record.verified_paths(cell.source, weights)]
    compute_cell.compute_here(cell, members, out, device=CPU, scratch=out.parent / "scratch")
    return out
