"""Predict the classes of a cell's stored adversarial images by every target model, and compute success rates."""

from pathlib import Path

import click
import numpy as np

from crossfool.experiment import loading
from crossfool.models.inference import pixel_model
from crossfool.pipeline.evaluation import adversarial_file, detail_metrics, lpips, predict, predictions_file, success
from crossfool.pipeline.stage import stage
from crossfool.runtime import choose_device
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile


@stage
@click.option("--source", required=True, help="A name from sources in params.yaml.")
@click.option("--attack", required=True, help="A name from attacks in params.yaml, or of a grid's cell.")
def main(source: str, attack: str) -> None:
    experiment = loading.load_experiment()
    subset, compute = Path("subset/images.safetensors"), experiment.compute
    row, path = experiment.row(attack), Path("adversarial") / source / f"{attack}.safetensors"
    images = adversarial_file.read_adversarial(path, subset, source, row)
    distance = lpips.load_lpips(Path("data/lpips.safetensors"), choose_device(), asked=experiment.lpips)
    targets = pixel_model.load_all(experiment.answering, Path("weights"), device=choose_device(), compute=compute)

    def predictions(images: np.ndarray) -> dict[str, np.ndarray]:
        return {
            name: predict.top5(model, images, batch=compute.chunk, device=choose_device(), label=name)
            for name, model in targets.items()
        }

    top = predictions(images)
    table = Path("predictions") / source / f"{attack}.parquet"
    predictions_file.write_cell(table, top, TensorFile(subset))
    stored, labels, target_labels = predictions_file.read_cell(table)
    metrics = success.cell_metrics(stored, labels, target_labels if row.targeted else None, source)
    write_json(Path("metrics") / source / f"{attack}.json", metrics)
    detail = detail_metrics.cell_details(path, subset, source, row, top, predictions, distance)
    write_json(Path("metrics") / source / f"{attack}.detail.json", detail)


if __name__ == "__main__":
    main()
