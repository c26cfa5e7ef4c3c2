"""Draw the subset: images that all models classify correctly (or any), and a target label for each."""

from pathlib import Path

import click

from crossfool.experiment import leftover_files, loading, plan_files, stage_plans
from crossfool.pipeline.stage import stage


@stage
def main() -> None:
    values = plan_files.verified(stage_plans.select)
    leftover_files.refuse_leftovers(Path(), loading.load_experiment(), "weights", "predictions/clean")
    from crossfool.pipeline import subset

    warning = subset.select(values.models, values.subset)
    if warning:
        click.echo(f"note     {warning}")


if __name__ == "__main__":
    main()
