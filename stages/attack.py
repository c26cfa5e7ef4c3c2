"""Adversarial images of one cell: a source, an attack, all images of the subset."""

from pathlib import Path

import click

from crossfool import cells, engines, sources
from crossfool.experiment import loading
from crossfool.runtime import device
from crossfool.stage import stage


@stage
@click.option("--source", required=True, help="A name from sources in params.yaml.")
@click.option("--attack", required=True, help="A name from attacks in params.yaml, or of a grid's cell.")
def main(source: str, attack: str) -> None:
    experiment = loading.load()
    fingerprint = sources.read(Path("sources") / f"{source}.json")
    cell = cells.Cell(
        fingerprint, attack, experiment.row(attack), experiment.compute, Path("subset/images.safetensors")
    )
    weights = sources.verify(fingerprint, Path("weights"))
    out, scratch = Path("adversarial") / source / f"{attack}.safetensors", Path(".crossfool/chunks")
    engine = engines.chosen()
    if engine is not None:
        cells.run_elsewhere(cell, weights, out, engine=engine, scratch=scratch)
        return
    members = [cells.loaded(cell, path, device()) for path in weights]
    cells.run(cell, members, out, device=device(), scratch=scratch)


if __name__ == "__main__":
    main()
