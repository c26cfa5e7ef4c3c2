"""A model's weights: trained here, or published ones fetched and verified."""

from pathlib import Path

import click

from crossfool import networks, training, weights, zoo
from crossfool.experiment import loading
from crossfool.runtime import device, keep_memory
from crossfool.stage import stage
from crossfool.storage.clean_images import read_clean_images


@stage
@click.option("--model", required=True, help="A name from models in params.yaml.")
def main(model: str) -> None:
    experiment = loading.load()
    spec, recipe = zoo.spec(model), experiment.training
    checkpoint = Path(".crossfool/train") / f"{model}.safetensors"
    if experiment.is_trained(model):
        assert recipe is not None
        keep_memory()
        images = read_clean_images("data/train.safetensors")
        network = training.seeded_init(lambda: networks.build(spec.network or model, spec.library), recipe.seed)
        state = training.train(
            network,
            images["images"],
            images["labels"],
            recipe,
            normalise=(spec.mean, spec.std),
            device=device(),
            checkpoint=checkpoint,
            label=model,
        )
        about = weights.describe(spec, network) | {"recipe": recipe.model_dump(exclude={"retrain"})}
    else:
        state, about = weights.fetch(spec, experiment.weights)
    weights.write(Path("weights") / f"{model}.safetensors", state, about)
    checkpoint.unlink(missing_ok=True)  # not sooner: a kill in between would lose all epochs


if __name__ == "__main__":
    main()
