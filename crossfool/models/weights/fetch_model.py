"""Fetch a model's published weights and write its weights file."""

from pathlib import Path

from crossfool.models import weights_file
from crossfool.models.spec import Spec
from crossfool.models.weights import published
from crossfool.models.weights.config import Weights


def fetch_model(spec: Spec, weights: Weights, out: Path) -> None:
    """Fetch a model's published weights, verify them, and write them to `out`.

    Args:
        spec: The model's.
        weights: Where its weights are looked for, and the hash that params.yaml pins.
        out: The weights file.

    Raises:
        UserError: the weights cannot be had, have not the pinned hash, or do not fit the model's network.
    """
    state, description = published.fetch(spec, weights)
    weights_file.write_weights(out, state, description)
