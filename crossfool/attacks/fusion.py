"""Fusion of an ensemble: log-probabilities of a source from its members' logits.

`fusion` says what an ensemble takes the mean of (paper equation 3 leaves it open). All three fusions give
log-probabilities, so that the same losses serve them. Losses of logits take the mean of those.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from crossfool.attacks.types import Model


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


def source_logits(members: Sequence[Model]) -> Model:
    """A source's logits (N,K), for losses that take these: the mean of its members'."""
    return lambda x: torch.stack([member(x).float() for member in members]).mean(0)
