"""Predict classes by target models in the plane of a source's smoothed gradient and its noise, around one image."""

import click

from crossfool.experiment import plan_files, stage_plans
from crossfool.pipeline.stage import stage


@stage
@click.option("--analysis", "name", required=True, help="A name from boundary in params.yaml.")
def main(name: str) -> None:
    values = plan_files.verified(stage_plans.boundary, name)
    from crossfool.pipeline.gradient_analysis.boundary import write_boundary

    write_boundary(name, values.row, values.compute)


if __name__ == "__main__":
    main()
