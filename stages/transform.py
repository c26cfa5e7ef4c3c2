"""Compute destruction rates of a cell: which adversarial images still fool after each image transform."""

from pathlib import Path

import click

from crossfool.experiment import loading
from crossfool.pipeline.evaluation import adversarial_file, predictions_file, success
from crossfool.pipeline.stage import stage
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile


@stage
@click.option("--source", required=True, help="A name from sources in params.yaml.")
@click.option("--attack", required=True, help="A name from attacks in params.yaml.")
def main(source: str, attack: str) -> None:
    experiment = loading.load_experiment()
    subset, compute = Path("subset/images.safetensors"), experiment.compute
    path, row = Path("adversarial") / source / f"{attack}.safetensors", experiment.row(attack)
    images = adversarial_file.read_adversarial(path, subset, source, row)
    after: predictions_file.Transformed = {}
    if experiment.transforms:  # torch takes seconds to import
        from crossfool.models.inference import pixel_model
        from crossfool.pipeline.evaluation import transformed_predictions
        from crossfool.runtime import choose_device

        where, ids = choose_device(), TensorFile(subset)["index"].tolist()
        targets = pixel_model.load_all(experiment.answering, Path("weights"), device=where, compute=compute)
        after = transformed_predictions.predict_transformed(
            images, ids, targets, experiment.transforms, batch=compute.chunk, device=where
        )
    out = Path("transformed") / source / f"{attack}.parquet"
    predictions_file.write_transformed(out, after, TensorFile(subset))
    before, labels, _ = predictions_file.read_cell(Path("predictions") / source / f"{attack}.parquet")
    right = predictions_file.right_by_model(TensorFile(subset))
    rates = success.destruction_rates(before, predictions_file.read_transformed(out, len(labels)), labels, right)
    write_json(Path("metrics") / source / f"{attack}.transform.json", rates)


if __name__ == "__main__":
    main()
