"""Predict the classes of a cell's stored adversarial images by every target model, and compute success rates."""

import click

from crossfool.experiment import plan_files, stage_plans
from crossfool.pipeline.stage import stage


@stage
@click.option("--source", required=True, help="A name from sources in params.yaml.")
@click.option("--attack", required=True, help="A name from attacks in params.yaml, or of a grid's cell.")
def main(source: str, attack: str) -> None:
    values = plan_files.verified(stage_plans.evaluate, attack)
    from crossfool.pipeline.evaluation.evaluate_cell import evaluate_cell

    evaluate_cell(
        source,
        attack,
        values.attack,
        targets=values.targets,
        lpips=values.lpips,
        transforms=values.transforms,
        transform_hashes=values.transform_hashes,
        compute=values.compute,
    )


if __name__ == "__main__":
    main()
