"""Craft the adversarial images of one cell: a source, an attack, all images of the subset."""

from pathlib import Path

import click

from crossfool.experiment import loading
from crossfool.pipeline.crafting import chunks, weights_record
from crossfool.pipeline.crafting.cell import Cell, loaded
from crossfool.pipeline.stage import stage
from crossfool.pipeline.workers import choose
from crossfool.runtime import device


@stage
@click.option("--source", required=True, help="A name from sources in params.yaml.")
@click.option("--attack", required=True, help="A name from attacks in params.yaml, or of a grid's cell.")
def main(source: str, attack: str) -> None:
    experiment = loading.load()
    record = weights_record.read(Path("sources") / f"{source}.json")
    cell = Cell(record, attack, experiment.row(attack), experiment.compute, Path("subset/images.safetensors"))
    weights = weights_record.verify(record, Path("weights"))
    out, scratch = Path("adversarial") / source / f"{attack}.safetensors", Path(".crossfool/chunks")
    engine = choose.chosen()
    if engine is not None:
        chunks.run_elsewhere(cell, weights, out, engine=engine, scratch=scratch)
        return
    members = [loaded(cell, path, device()) for path in weights]
    chunks.run(cell, members, out, device=device(), scratch=scratch)


if __name__ == "__main__":
    main()
