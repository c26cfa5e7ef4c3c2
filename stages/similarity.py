"""Compute the cosine of a source's gradient, plain and smoothed, with a target's, image by image."""

import click

from crossfool.experiment import plan_files, stage_plans
from crossfool.pipeline.stage import stage


@stage
@click.option("--analysis", "name", required=True, help="A name from similarity in params.yaml.")
def main(name: str) -> None:
    values = plan_files.verified(stage_plans.similarity, name)
    from crossfool.pipeline.gradient_analysis.similarity import write_similarity

    write_similarity(name, values.row, values.compute)


if __name__ == "__main__":
    main()
