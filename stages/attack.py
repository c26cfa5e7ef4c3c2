"""Craft the adversarial images of one cell: a source, an attack, all images of the subset."""

from pathlib import Path

import click

from crossfool.experiment import loading
from crossfool.pipeline.crafting import compute_cell, weights_record
from crossfool.pipeline.crafting.cell_inputs import Cell, load_member
from crossfool.pipeline.stage import stage
from crossfool.pipeline.workers import choose_engine
from crossfool.runtime import choose_device


@stage
@click.option("--source", required=True, help="A name from sources in params.yaml.")
@click.option("--attack", required=True, help="A name from attacks in params.yaml, or of a grid's cell.")
def main(source: str, attack: str) -> None:
    experiment = loading.load_experiment()
    record = weights_record.read_weights_record(Path("sources") / f"{source}.json")
    cell = Cell(record, attack, experiment.row(attack), experiment.compute, Path("subset/images.safetensors"))
    weights = weights_record.verified_paths(record, Path("weights"))
    out, scratch = Path("adversarial") / source / f"{attack}.safetensors", Path(".crossfool/chunks")
    engine = choose_engine.choose_engine()
    if engine is not None:
        compute_cell.compute_with_engine(cell, weights, out, engine=engine, scratch=scratch)
        return
    members = [load_member(cell, path, choose_device()) for path in weights]
    compute_cell.compute_here(cell, members, out, device=choose_device(), scratch=scratch)


if __name__ == "__main__":
    main()
