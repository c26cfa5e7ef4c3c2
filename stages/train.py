"""Write a model's weights: trained here, or published ones fetched and verified."""

from pathlib import Path

import click

from crossfool.experiment import loading
from crossfool.models import weights_file
from crossfool.models.networks import build
from crossfool.models.weights import model_description, published, registry, training
from crossfool.pipeline.stage import stage
from crossfool.runtime import choose_device, keep_freed_memory
from crossfool.storage.clean_images import read_clean_images


@stage
@click.option("--model", required=True, help="A name from models in params.yaml.")
def main(model: str) -> None:
    experiment = loading.load_experiment()
    spec, recipe = registry.spec(model), experiment.training
    checkpoint = Path(".crossfool/train") / f"{model}.safetensors"
    if experiment.is_trained(model):
        assert recipe is not None
        keep_freed_memory()
        images = read_clean_images("data/train.safetensors")
        network = training.init_from_seed(lambda: build.build(spec.network or model, spec.library), recipe.seed)
        state = training.train(
            network,
            images["images"],
            images["labels"],
            recipe,
            normalise=(spec.mean, spec.std),
            device=choose_device(),
            checkpoint=checkpoint,
            label=model,
        )
        description = model_description.describe(spec, network) | {"recipe": recipe.model_dump(exclude={"retrain"})}
    else:
        state, description = published.fetch(spec, experiment.weights)
    weights_file.write_weights(Path("weights") / f"{model}.safetensors", state, description)
    checkpoint.unlink(missing_ok=True)  # not sooner: a kill in between would lose all epochs


if __name__ == "__main__":
    main()
