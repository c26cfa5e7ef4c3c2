"""Draw the subset: images that all models classify correctly (or any), and a target label for each."""

from pathlib import Path

import click

from crossfool.experiment import leftover_files, loading
from crossfool.pipeline.stage import stage
from crossfool.pipeline.subset import available, classified, draw, warning, write
from crossfool.storage.clean_images import read_clean_images


@stage
def main() -> None:
    experiment = loading.load()
    leftover_files.refuse(Path(), experiment, "weights", "predictions/clean")
    right = classified(Path("predictions/clean"), experiment.models)
    subset = experiment.subset
    ids = draw(available(right, subset), subset)
    images = read_clean_images("data/images.safetensors")
    note = warning(right[ids])
    if note:
        click.echo(f"note     {note}")
    right_by_model = dict(zip(experiment.models, right.T, strict=True)) if subset.of == "all" else None
    write(ids, images, Path("data/images.csv"), subset, Path("subset"), right_by_model)


if __name__ == "__main__":
    main()
