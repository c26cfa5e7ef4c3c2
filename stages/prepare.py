"""Decode the evaluation images of the data set, and the training images where a model is trained."""

from pathlib import Path

import click

from crossfool.datasets import prepare
from crossfool.experiment import loading
from crossfool.pipeline.stage import stage


@stage
def main() -> None:
    experiment = loading.load_experiment()
    for line in prepare.prepare(
        experiment.dataset,
        Path("data/images.safetensors"),
        Path("data/images.csv"),
        Path("data/train.safetensors"),
        training=experiment.training is not None,
    ):
        click.echo(line)


if __name__ == "__main__":
    main()
