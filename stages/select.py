"""The subset: images that all models classify correctly, drawn with a seed, and a target label for each."""

from pathlib import Path

from transferbench import leftovers, params, selection
from transferbench.artefacts import TensorFile
from transferbench.stage import stage


@stage
def main() -> None:
    experiment = params.load()
    leftovers.refuse(Path(), experiment, "weights", "predictions/clean")
    available = selection.commonly_correct(Path("predictions/clean"), experiment.models)
    ids = selection.draw(available, experiment.subset)
    images = TensorFile("data/images.safetensors")
    selection.write(ids, images, Path("data/images.csv"), experiment.subset, Path("subset"))


if __name__ == "__main__":
    main()
