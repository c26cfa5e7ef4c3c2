"""The sections `weights` and `training` of params.yaml."""

from typing import Annotated

from pydantic import Field

from crossfool.config import Count, Name, NotNegative, Positive, Precision, Section, Seed


class Weights(Section):
    """Settings of published weights: where they come from.

    Attributes:
        dir: A local folder that is searched first; relative to params.yaml.
        sha256: Model name -> the sha256 that its weights file must have, where the registry pins none.
    """

    dir: str | None = None
    sha256: dict[Name, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(default_factory=dict)


class Training(Section):
    """The recipe of the `train` stage for models that have no published weights.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images a step.
        learning_rate: Peak of the one-cycle schedule.
        momentum: Nesterov momentum of SGD.
        weight_decay: L2 penalty.
        label_smoothing: Share of the label that goes to all classes; 0 for none.
        augment: Random shifts of four pixels and mirror images.
        precision: Arithmetic: float32; or tf32 or bfloat16, for a GPU's speed.
        seed: Decides initial weights, order and augmentation, of models whose names give no seed (`fnn0_seed3`).
        retrain: Models, without seeds, that are trained here although `weights: dir` holds published weights of them.
    """

    epochs: Count
    batch_size: Count
    learning_rate: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: bool = False
    precision: Precision = "float32"
    seed: Seed = 0
    retrain: tuple[Name, ...] = ()
