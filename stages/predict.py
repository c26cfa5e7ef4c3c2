"""Predict the classes of the data set's clean images by a model, and compute its accuracy."""

import click

from crossfool.experiment import plan_files, stage_plans
from crossfool.pipeline.stage import stage


@stage
@click.option("--model", required=True, help="A name from models in params.yaml.")
def main(model: str) -> None:
    values = plan_files.verified(stage_plans.predict, model)
    from crossfool.pipeline.evaluation.predict_clean import predict_clean

    predict_clean(model, values.compute, values.known_top1)


if __name__ == "__main__":
    main()
