"""Decode the evaluation images of the data set, and the training images where a model is trained."""

from pathlib import Path

import click

from crossfool import datasets, params
from crossfool.stage import stage


@stage
def main() -> None:
    experiment = params.load()
    for line in datasets.prepare(
        experiment.dataset,
        Path("data/images.safetensors"),
        Path("data/images.csv"),
        Path("data/train.safetensors"),
        training=experiment.training is not None,
    ):
        click.echo(line)


if __name__ == "__main__":
    main()
