"""Predict the classes of the data set's clean images by a model, and compute its accuracy."""

from pathlib import Path

import click
import numpy as np

from crossfool.experiment import loading
from crossfool.models.inference import pixel_model
from crossfool.models.weights_file import read_description
from crossfool.pipeline.evaluation import predict, predictions_file
from crossfool.pipeline.stage import stage
from crossfool.runtime import choose_device
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile


@stage
@click.option("--model", required=True, help="A name from models in params.yaml.")
def main(model: str) -> None:
    compute = loading.load_experiment().compute
    images, weights = read_clean_images("data/images.safetensors"), Path("weights") / f"{model}.safetensors"
    labels = np.asarray(images["labels"])
    network = pixel_model.load(weights, device=choose_device(), compute=compute)
    predictions = predict.top5(network, images["images"], batch=compute.chunk, device=choose_device(), label=model)
    about = read_description(TensorFile(weights), model)
    accuracy = predict.accuracy(predictions, labels, dataset=images.metadata_text("dataset"), about=about)
    predictions_file.write_clean(Path("predictions/clean") / f"{model}.parquet", predictions, labels)
    write_json(Path("metrics/clean") / f"{model}.json", accuracy)


if __name__ == "__main__":
    main()
