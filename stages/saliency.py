"""Compute a model's gradient, plain and smoothed, at the images that params.yaml names."""

import click

from crossfool.experiment import plan_files, stage_plans
from crossfool.pipeline.stage import stage


@stage
@click.option("--analysis", "name", required=True, help="A name from saliency in params.yaml.")
def main(name: str) -> None:
    values = plan_files.verified(stage_plans.saliency, name)
    from crossfool.pipeline.gradient_analysis.saliency import write_saliency

    write_saliency(name, values.row, values.compute)


if __name__ == "__main__":
    main()
