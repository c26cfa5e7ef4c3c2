"""Craft the adversarial images of one cell: a source, an attack, all images of the subset."""

import click

from crossfool.experiment import plan_files, stage_plans
from crossfool.pipeline.stage import stage


@stage
@click.option("--source", required=True, help="A name from sources in params.yaml.")
@click.option("--attack", required=True, help="A name from attacks in params.yaml, or of a grid's cell.")
def main(source: str, attack: str) -> None:
    plan_files.verified(stage_plans.source, source)
    values = plan_files.verified(stage_plans.craft, attack)
    from crossfool.pipeline.crafting.craft_cell import craft_cell

    craft_cell(source, attack, values.attack, values.compute)


if __name__ == "__main__":
    main()
