"""Adversarial images of one cell: a source, an attack, all images of the subset."""

from pathlib import Path

import click

from crossfool.experiment import loading
from crossfool.pipeline.crafting import cell as crafting_cell
from crossfool.pipeline.crafting import chunks, weights_record
from crossfool.pipeline.stage import stage
from crossfool.pipeline.workers import choose
from crossfool.runtime import device


@stage
@click.option("--source", required=True, help="A name from sources in params.yaml.")
@click.option("--attack", required=True, help="A name from attacks in params.yaml, or of a grid's cell.")
def main(source: str, attack: str) -> None:
    experiment = loading.load()
    fingerprint = weights_record.read(Path("sources") / f"{source}.json")
    cell = crafting_cell.Cell(
        fingerprint, attack, experiment.row(attack), experiment.compute, Path("subset/images.safetensors")
    )
    weights = weights_record.verify(fingerprint, Path("weights"))
    out, scratch = Path("adversarial") / source / f"{attack}.safetensors", Path(".crossfool/chunks")
    engine = choose.chosen()
    if engine is not None:
        chunks.run_elsewhere(cell, weights, out, engine=engine, scratch=scratch)
        return
    members = [crafting_cell.loaded(cell, path, device()) for path in weights]
    chunks.run(cell, members, out, device=device(), scratch=scratch)


if __name__ == "__main__":
    main()
