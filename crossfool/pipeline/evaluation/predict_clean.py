"""Predict the data set's clean images by a model, and compute its accuracy."""

from pathlib import Path

import numpy as np

from crossfool.models.inference.config import Compute
from crossfool.models.weights_file import read_description
from crossfool.pipeline.evaluation import predict, predictions_file, target_predictions
from crossfool.pipeline.evaluation.compute_predictions import ImageSet
from crossfool.pipeline.evaluation.predict_order import PLAIN
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile


def predict_clean(model: str, compute: Compute, known_top1: float | None = None) -> None:
    """Predict the clean images of the experiment in the current folder by a model, and write its table and accuracy.

    Reads `data/images.safetensors` and the model's weights file; writes `predictions/clean/<model>.parquet` and
    `metrics/clean/<model>.json`.

    Args:
        model: The model's name.
        compute: The section `compute` of params.yaml.
        known_top1: The model's accuracy in percent on this data set, which is demanded; None where none is known.

    Raises:
        UserError: a file is missing, damaged or misfits, a logit is not finite, or the accuracy is not
            the published or known one.
    """
    images, weights = read_clean_images("data/images.safetensors"), Path("weights") / f"{model}.safetensors"
    labels = np.asarray(images["labels"])
    sets = {"images": ImageSet(images["images"], range(len(labels)))}
    found = target_predictions.predict_sets(
        {model: weights}, sets, compute=compute, fingerprints=None, name=f"clean.{model}"
    )
    predictions = found["images"][model][PLAIN]
    about = read_description(TensorFile(weights), model)
    dataset = images.metadata_text("dataset")
    accuracy = predict.accuracy(predictions, labels, dataset=dataset, about=about, known_top1=known_top1)
    predictions_file.write_clean(Path("predictions/clean") / f"{model}.parquet", predictions, labels)
    write_json(Path("metrics/clean") / f"{model}.json", accuracy)
