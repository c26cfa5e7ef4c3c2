"""Draw the subset: images that all models classify correctly (or any), and a target label for each."""

from pathlib import Path

import click

from crossfool.experiment import leftover_files, loading
from crossfool.pipeline.stage import stage
from crossfool.pipeline.subset import candidate_ids, correct_by_model, draw_ids, warning_none_right, write_subset
from crossfool.storage.clean_images import read_clean_images


@stage
def main() -> None:
    experiment = loading.load_experiment()
    leftover_files.refuse_leftovers(Path(), experiment, "weights", "predictions/clean")
    right = correct_by_model(Path("predictions/clean"), experiment.models)
    subset = experiment.subset
    ids = draw_ids(candidate_ids(right, subset), subset)
    images = read_clean_images("data/images.safetensors")
    note = warning_none_right(right[ids])
    if note:
        click.echo(f"note     {note}")
    right_by_model = dict(zip(experiment.models, right.T, strict=True)) if subset.of == "all" else None
    write_subset(ids, images, Path("data/images.csv"), subset, Path("subset"), right_by_model)


if __name__ == "__main__":
    main()
