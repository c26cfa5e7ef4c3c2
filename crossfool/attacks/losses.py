"""Losses that an attack maximises: the cross-entropy of the source model's prediction for each image.

A source is a model or an ensemble; `fusion` says what an ensemble takes the mean of (paper equation 3 leaves it open).
All three fusions give log-probabilities, so that the same cross-entropy serves them.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from crossfool.attacks.loop import Loss

Model = Callable[[Tensor], Tensor]  # images (N,C,H,W), pixels 0..255 -> logits (N,K)


def mean_probabilities(logits: Tensor) -> Tensor:
    """Log of the mean of the members' softmax (Liu et al. 2017); logits (M,N,K) -> (N,K)."""
    return logits.log_softmax(-1).logsumexp(0) - math.log(len(logits))


def mean_logits(logits: Tensor) -> Tensor:
    """Log-softmax of the mean of the members' logits (Dong et al. 2018); (M,N,K) -> (N,K)."""
    return logits.mean(0).log_softmax(-1)


def mean_log_probabilities(logits: Tensor) -> Tensor:
    """Mean of the members' log-softmax, whose cross-entropy is the mean of theirs; (M,N,K) -> (N,K)."""
    return logits.log_softmax(-1).mean(0)


FUSIONS = {"probabilities": mean_probabilities, "logits": mean_logits, "losses": mean_log_probabilities}


def source_log_probabilities(members: Sequence[Model], fusion: str) -> Model:
    """A source's log-probabilities (N,K). An ensemble of one member is that model, whatever the fusion."""
    fuse = FUSIONS[fusion]
    return lambda x: fuse(torch.stack([member(x).float() for member in members]))


def untargeted(log_probabilities: Model, labels: Tensor) -> Loss:
    """Cross-entropy of the true label, to be driven up; labels (N,), repeated k times for images (kN,C,H,W)."""
    return lambda x: -_label_log_probability(labels, log_probabilities(x))


def targeted(log_probabilities: Model, target_labels: Tensor) -> Loss:
    """Minus the cross-entropy of the target label, to be driven up; target_labels (N,), as in `untargeted`."""
    return lambda x: _label_log_probability(target_labels, log_probabilities(x))


def _label_log_probability(labels: Tensor, log_probabilities: Tensor) -> Tensor:
    return log_probabilities.gather(1, labels.repeat(len(log_probabilities) // len(labels))[:, None])[:, 0]
