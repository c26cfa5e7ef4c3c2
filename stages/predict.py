"""Predict the classes of the data set's clean images by a model, and compute its accuracy."""

import click

from crossfool.experiment import loading
from crossfool.pipeline.evaluation import predict_clean
from crossfool.pipeline.stage import stage


@stage
@click.option("--model", required=True, help="A name from models in params.yaml.")
def main(model: str) -> None:
    predict_clean.predict_clean(model, compute=loading.load_experiment().compute, fingerprint="")


if __name__ == "__main__":
    main()
