"""Predict the classes of a cell's stored adversarial images by every target model, and compute success rates."""

import click

from crossfool.experiment import loading
from crossfool.pipeline.evaluation import evaluate_cell
from crossfool.pipeline.stage import stage


@stage
@click.option("--source", required=True, help="A name from sources in params.yaml.")
@click.option("--attack", required=True, help="A name from attacks in params.yaml, or of a grid's cell.")
def main(source: str, attack: str) -> None:
    experiment = loading.load_experiment()
    evaluate_cell.evaluate_cell(
        source,
        attack,
        experiment.row(attack),
        targets=experiment.answering,
        lpips=experiment.lpips,
        transforms=None,  # stages/transform.py writes the destruction rates
        compute=experiment.compute,
        fingerprint="",
    )


if __name__ == "__main__":
    main()
