"""Decode the evaluation images of the data set, and the training images where a model is trained."""

from pathlib import Path

import click

from crossfool.experiment import plan_files, stage_plans
from crossfool.pipeline.stage import stage


@stage
def main() -> None:
    values = plan_files.verified(stage_plans.prepare)
    from crossfool.datasets.preparation import prepare

    images, table, train = (Path("data", name) for name in ("images.safetensors", "images.csv", "train.safetensors"))
    for line in prepare.prepare(values.dataset, images, table, train, training=values.training):
        click.echo(line)


if __name__ == "__main__":
    main()
