"""The params.yaml of a new experiment on a data set: models of its family, and attacks of one cost. No torch."""

import os
from dataclasses import dataclass
from pathlib import Path

from crossfool.config import expand_path
from crossfool.datasets.preparation import catalogue
from crossfool.datasets.preparation.dataset import Dataset
from crossfool.errors import UserError, unknown_name
from crossfool.experiment import params_file

MOST = 1_000  # images that are attacked where the data set has more

UNUSED_SECTIONS = """\
grids:
  a: {attack: null, epsilon: [], steps: [], step_size: [], samples: [], sigma: []}
  b: {attack: null, epsilon: [], steps: [], step_size: [], samples: [], sigma: []}
transforms: {}

similarity: {}
boundary: {}
saliency: {}
scatter: {attacks: [], same_family: false}
"""
TEMPLATE = """\
# Which question does this experiment answer? All keys: docs/parameters.md; names: `crossfool list`.
# Pixels are 0..255: epsilon, step_size and sigma are in those units.
root: ../..

# {summary}.
dataset: {dataset}

models: [{models}]
targets: all
weights: {{}}
training: {training}

# Attacked are images that all models classify correctly: all of them, or so many, drawn with a seed.
subset: {{images: {images}, seed: 0, targets: random}}
lpips: {lpips}
compute: {{precision: float32, chunk: {chunk}}}

# A source is a model, or models joined by + (an ensemble). Each costs as much again as the first.
sources: [{sources}]

# At equal cost, ten gradient evaluations an image and model each; epsilon is {epsilon} of 255. Attacks that succeed on
# all images cannot be told apart: then take a smaller one.
attacks:
{attacks}
{unused}"""


@dataclass(frozen=True)
class Choices:
    """Values that an experiment on images of a family begins with.

    Attributes:
        models: Its models, each a target.
        sources: How many of them, from the first on, are sources, too; few where a gradient costs much.
        training: The section `training`, as YAML.
        lpips: The key `lpips`.
        chunk: Images a unit of work.
        epsilon: The attacks' radius in pixel values.
        attacks: Rows of ten gradient evaluations: name -> keys behind epsilon.
    """

    models: tuple[str, ...]
    sources: int
    training: str
    lpips: bool
    chunk: int
    epsilon: int
    attacks: dict[str, str]

    @property
    def rows(self) -> str:
        """The rows of the section `attacks`."""
        width = max(map(len, self.attacks)) + 2
        named = ((f"{name}:", keys) for name, keys in self.attacks.items())
        return "".join(f"  {name:{width}}{{epsilon: {self.epsilon}, {keys}}}\n" for name, keys in named)


MOMENTUM = "update: momentum, decay: 1.0"
FAMILIES = {
    "imagenet": Choices(
        ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"),
        1,
        "null",
        True,
        20,
        6,
        {
            "igsm": "steps: 10, step_size: 1",
            "migsm": f"steps: 10, step_size: 1, {MOMENTUM}",
            "di": f"steps: 10, step_size: 1, {MOMENTUM}, diversity: 0.5",
            "sg_igsm": "steps: 5, step_size: 2, gradient: smoothed, samples: 2, sigma: 6",
        },
    ),
    "cifar10": Choices(
        ("lenet", "resnet20"),
        2,
        "{epochs: 24, batch_size: 128, learning_rate: 0.05, weight_decay: 0.0005, augment: true}",
        True,
        200,
        10,
        {
            "igsm": "steps: 10, step_size: 1",
            "migsm": f"steps: 10, step_size: 1, {MOMENTUM}",
            "sg_igsm": "steps: 5, step_size: 2, gradient: smoothed, samples: 2, sigma: 15",
        },
    ),
    "mnist": Choices(
        ("fnn0", "fnn2", "fnn4"),
        3,
        "{epochs: 10, batch_size: 256, learning_rate: 0.02}",
        False,
        250,
        40,
        {
            "igsm": "steps: 10, step_size: 4",
            "migsm": f"steps: 10, step_size: 4, {MOMENTUM}",
            "sg_igsm": "steps: 5, step_size: 8, gradient: smoothed, samples: 2, sigma: 15",
        },
    ),
}


def params_on(dataset: Dataset) -> str:
    """The text of a params.yaml on a data set."""
    choices = FAMILIES[dataset.family]
    row = {"name": dataset.name} | ({} if dataset.given_path is None else {"path": dataset.given_path})
    few = dataset.IMAGES is None or dataset.IMAGES <= MOST
    return TEMPLATE.format(
        summary=dataset.summary(),
        dataset=params_file.to_yaml(row, flow=True).strip(),
        models=", ".join(choices.models),
        sources=", ".join(choices.models[: choices.sources]),
        training=choices.training,
        images="all" if few else MOST,
        lpips=str(choices.lpips).lower(),
        chunk=choices.chunk,
        epsilon=choices.epsilon,
        attacks=choices.rows,
        unused=UNUSED_SECTIONS,
    )


def images_sentence(dataset: Dataset) -> str:
    """Describe the images for an experiment's README: their kind, origin and terms."""
    return f"Images: {dataset.summary()} (`{dataset.name}`, from {dataset.SOURCE}; terms: {dataset.LICENCE})."


def named_dataset(name: str, path: str | None, folder: Path) -> Dataset:
    """The data set of a name and a path, for the params.yaml of a folder.

    Args:
        name: As params.yaml has it.
        path: The folder or tar of images, from the current folder; None where it is fetched.
        folder: The experiment's, from which params.yaml gives a relative path.

    Raises:
        UserError: there is no data set of that name; the path is missing, or of no use; or another key is needed.
    """
    if name not in catalogue.names():
        raise unknown_name("data set", name, catalogue.names())
    part = catalogue.find(name)
    needed = [key for key, field in part.model_fields.items() if field.is_required() and key != "name"]
    if path is not None and "path" not in part.model_fields:
        raise UserError(f"{name} is fetched and takes no path; leave --path out")
    if path is None and "path" in needed:
        meaning = part.keys()["path"]
        raise UserError(f"{name} needs {meaning[:1].lower()}{meaning[1:]}: give --path")
    if others := [key for key in needed if key != "path"]:
        raise UserError(
            f"{name} needs {' and '.join(others)}, too; make the experiment on another data set, and write its section "
            "dataset by hand (docs/parameters.md)"
        )
    if path is None:
        return catalogue.make_dataset(name)
    is_relative = not expand_path(path).is_absolute() and "$" not in path
    return catalogue.make_dataset(name, path=os.path.relpath(path, folder) if is_relative else path)
