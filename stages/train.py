"""Write a model's weights: trained here, or published ones fetched and verified."""

from pathlib import Path

import click

from crossfool.experiment import plan_files, stage_plans
from crossfool.experiment.stage_plans import TrainValues
from crossfool.pipeline.stage import stage


@stage
@click.option("--model", required=True, help="A name from models in params.yaml.")
def main(model: str) -> None:
    values = plan_files.verified(stage_plans.train, model)
    write(values, Path("weights") / f"{model}.safetensors", Path(".crossfool/train"))


def write(values: TrainValues, out: Path, scratch: Path) -> None:
    if values.plain is not None:
        from crossfool.models.weights.defended_weights import write_defended_weights

        plain = scratch / "defended" / f"{values.spec.name}.safetensors"
        write(values.plain, plain, scratch / "defended" / values.spec.name)
        write_defended_weights(values.spec, plain, out)
        plain.unlink()
        return
    if values.own_sha256 is not None:
        from crossfool.models.weights.own_weights import write_own_weights

        write_own_weights(values.spec, values.own_sha256, out)
        return
    if values.recipe is None:
        from crossfool.models.weights.fetch_model import fetch_model

        fetch_model(values.spec, values.weights, out)
        return
    from crossfool.models.weights.train_model import train_model
    from crossfool.runtime import choose_device

    images = Path("data/train.safetensors")
    train_model(values.spec, values.recipe, images, out, device=choose_device(), scratch=scratch)


if __name__ == "__main__":
    main()
