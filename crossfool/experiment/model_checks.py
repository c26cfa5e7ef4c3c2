"""Checks of the models that params.yaml names, and of its sections `weights` and `training`: each raises ValueError."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from crossfool.datasets.preparation.dataset import Dataset
from crossfool.errors import unknown_name
from crossfool.models import own_models
from crossfool.models.defended_models import DefendedModel, find_defended
from crossfool.models.own_models import OwnModel
from crossfool.models.weights import registry
from crossfool.models.weights.config import Training, Weights


def check_own_models(own: Mapping[str, OwnModel], models: Sequence[str], weights: Weights) -> None:
    """Check that names of the user's own models are no others', and that all are used.

    Args:
        own: The section `own_models`.
        models: All models.
        weights: The section `weights`.
    """
    for name in own:
        if "+" in name:
            raise ValueError(f"own_models: the name {name} may have letters, digits and _ only")
        if name in registry.all_specs() or re.fullmatch(registry.TIMM_NAME, name):
            raise ValueError(f"own_models: {name} is the name of another model; choose another, such as my_{name}")
        if name not in models:
            raise ValueError(f"own_models: {name} is not in models; add it there, or remove it here")
        if name in weights.sha256:
            raise ValueError(f"weights: sha256: {name} is a model of your own; set own_models: {name}: sha256")
    for name in models:  # a name that another params.yaml of this process gives a meaning has none here
        if own_models.find_own(name) and name not in own:
            raise registry.unknown_model(name)


def check_defended(
    defended: Mapping[str, DefendedModel], models: Sequence[str], own: Collection[str], weights: Weights
) -> None:
    """Check that names of defended models are no others', that all are used, and that their plain models are, too.

    Args:
        defended: The section `defended`.
        models: All models.
        own: Names in the section `own_models`.
        weights: The section `weights`.
    """
    for name, row in defended.items():
        if "+" in name:
            raise ValueError(f"defended: the name {name} may have letters, digits and _ only")
        if name in registry.all_specs() or name in own or re.fullmatch(registry.TIMM_NAME, name):
            raise ValueError(
                f"defended: {name} is the name of another model; choose another, such as {name}_{row.defence.name}"
            )
        if name not in models:
            raise ValueError(f"defended: {name} is not in models; add it there, or remove it here")
        if row.model in defended:
            raise ValueError(f"defended: {name}: model: {row.model} has a defence already; name the plain model")
        if row.model not in models:
            error = unknown_name("model", row.model, [model for model in models if model not in defended])
            raise ValueError(f"defended: {name}: model: {error} (the plain model must be in models)")
        if name in weights.sha256:
            raise ValueError(f"weights: sha256: {name} has the weights of {row.model}; set that one's")
    for name in models:  # as for the user's own
        if find_defended(name) and name not in defended and name not in own:
            raise registry.unknown_model(name)


def refuse_defended(differentiated: Iterable[tuple[str, str]]) -> None:
    """Refuse models behind a defence where gradients are taken, given as (place in params.yaml, model)."""
    for where, model in differentiated:
        if defended := find_defended(model):
            raise ValueError(
                f"{where}: {model} is behind a defence, and so a target only; take {defended.plain.name} there"
            )


def check_models(models: Sequence[str], sources: Sequence[str], attacks: Collection[str], dataset: Dataset) -> None:
    """Check that models and sources are given once each, and that models classify the data set's images."""
    for where, names in (("models", models), ("sources", sources), ("attacks", attacks)):
        if not names:
            raise ValueError(f"{where}: is empty, expected at least one")
    for where, listed in (("models", models), ("sources", sources)):
        twice = sorted({name for name in listed if listed.count(name) > 1})
        if twice:
            raise ValueError(f"{where}: {twice[0]} occurs twice; remove one")
    for model in models:
        spec = registry.spec(model)
        if spec.family != dataset.family:
            raise ValueError(
                f"models: {model} classifies {spec.family}, and the data set {dataset.name} "
                f"is {dataset.family}; choose models and images of the same kind"
            )


def check_retrained(models: Sequence[str], training: Training | None, weights: Weights) -> None:
    """Check that the models of `training: retrain` have published weights, and can be trained here."""
    named = dict.fromkeys(registry.spec(model).model for model in models)  # without their seeds
    for model in training.retrain if training else ():
        if model not in named:
            raise ValueError(f"training: retrain: {unknown_name('model', model, named)}")
        if own_models.find_own(model):
            raise ValueError(f"training: retrain: {model} is a model of your own, with weights; remove it")
        if find_defended(model):
            raise ValueError(f"training: retrain: {model} has the weights of its plain model; name that one")
        if registry.is_trained(model, weights.dir is not None):
            raise ValueError(f"training: retrain: {model} is trained here anyway; remove it")
        if registry.spec(model).family == "imagenet":
            raise ValueError(f"training: retrain: {model} is an ImageNet model; none is trained here; remove it")


def check_training(models: Sequence[str], trained: Sequence[str], training: Training | None, weights: Weights) -> None:
    """Check that some model uses the sections `training` and `weights`, and that seeds in names are of trained models.

    Args:
        models: All models.
        trained: Those that are trained here.
        training: The section `training`.
        weights: The section `weights`.
    """
    if trained and training is None:
        raise ValueError(
            f"training: is null, but {trained[0]} has no published weights; give epochs, batch_size, learning_rate"
        )
    if training is not None and not trained:
        raise ValueError("training: no model here uses it, since all have published weights; set training: null")
    for model in weights.sha256:
        if model not in models:
            raise ValueError(f"weights: sha256: {unknown_name('model', model, models)}")
        if model in trained or registry.spec(model).sha256:
            why = "is trained here" if model in trained else "has its hash pinned by the zoo"
            raise ValueError(f"weights: sha256: {model} {why}; remove it")
    _check_seeds(models, trained, training)


def _check_seeds(models: Sequence[str], trained: Sequence[str], training: Training | None) -> None:
    """Check that only models that are trained here have a seed in their names, and that each network has one name."""
    names: dict[tuple[str, int], str] = {}
    for model in models:
        spec = registry.spec(model)
        if model not in trained:
            if spec.seed is not None:
                raise ValueError(
                    f"models: {model}: {spec.model} has published weights, which depend on no seed here; "
                    f"write {spec.model}"
                )
            continue
        assert training is not None
        network = spec.model, training.seed if spec.seed is None else spec.seed
        other = names.setdefault(network, model)
        if other != model:
            raise ValueError(
                f"models: {other} and {model} are one network, {spec.model} trained with seed {network[1]} "
                "(a name without a seed has that of training); remove one"
            )
