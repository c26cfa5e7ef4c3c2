"""The subset: images that all models classify correctly (or any), drawn with a seed, and a target label for each."""

from pathlib import Path

import click

from crossfool.experiment import leftover_files, loading
from crossfool.pipeline import subset as pipeline_subset
from crossfool.pipeline.stage import stage
from crossfool.storage.clean_images import read_clean_images


@stage
def main() -> None:
    experiment = loading.load()
    leftover_files.refuse(Path(), experiment, "weights", "predictions/clean")
    right = pipeline_subset.classified(Path("predictions/clean"), experiment.models)
    ids = pipeline_subset.draw(pipeline_subset.available(right, experiment.subset), experiment.subset)
    images, subset = read_clean_images("data/images.safetensors"), experiment.subset
    said = pipeline_subset.warning(right[ids])
    if said:
        click.echo(f"note     {said}")
    kept = dict(zip(experiment.models, right.T, strict=True)) if subset.of == "all" else None
    pipeline_subset.write(ids, images, Path("data/images.csv"), subset, Path("subset"), kept)


if __name__ == "__main__":
    main()
