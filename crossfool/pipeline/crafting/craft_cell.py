"""Craft a cell in the folder of its experiment: in this process, or by an engine's workers."""

from pathlib import Path

from crossfool.attacks.config import Attack
from crossfool.models.inference.config import Compute
from crossfool.pipeline.crafting import compute_cell, weights_record
from crossfool.pipeline.crafting.cell_inputs import Cell, load_member
from crossfool.pipeline.workers import choose_engine
from crossfool.runtime import choose_device


def craft_cell(source: str, attack: str, row: Attack, compute: Compute) -> None:
    """Write a cell's adversarial images to adversarial/<source>/<attack>.safetensors in the current folder.

    Args:
        source: The cell's source; its weights record lies in sources/, its members' weights in weights/.
        attack: The attack's name.
        row: The attack.
        compute: How models compute.

    Raises:
        UserError: a file is missing or damaged, or a gradient was not finite.
    """
    record = weights_record.read_weights_record(Path("sources") / f"{source}.json")
    cell = Cell(record, attack, row, compute, Path("subset/images.safetensors"))
    weights = weights_record.verified_paths(record, Path("weights"))
    out, scratch = Path("adversarial") / source / f"{attack}.safetensors", Path(".crossfool/chunks")
    engine = choose_engine.choose_engine()
    if engine is not None:
        compute_cell.compute_with_engine(cell, weights, out, engine=engine, scratch=scratch)
        return
    members = [load_member(cell, path, choose_device()) for path in weights]
    compute_cell.compute_here(cell, members, out, device=choose_device(), scratch=scratch)
