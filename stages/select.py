"""The subset: images that all models classify correctly (or any), drawn with a seed, and a target label for each."""

from pathlib import Path

import click

from crossfool import leftovers, selection
from crossfool.experiment import loading
from crossfool.stage import stage
from crossfool.storage.clean_images import read_clean_images


@stage
def main() -> None:
    experiment = loading.load()
    leftovers.refuse(Path(), experiment, "weights", "predictions/clean")
    right = selection.classified(Path("predictions/clean"), experiment.models)
    ids = selection.draw(selection.available(right, experiment.subset), experiment.subset)
    images, subset = read_clean_images("data/images.safetensors"), experiment.subset
    said = selection.warning(right[ids])
    if said:
        click.echo(f"note     {said}")
    kept = dict(zip(experiment.models, right.T, strict=True)) if subset.of == "all" else None
    selection.write(ids, images, Path("data/images.csv"), subset, Path("subset"), kept)


if __name__ == "__main__":
    main()
