"""The loss, the gradient estimator and the update rule that a row of `attacks` in params.yaml describes."""

import dataclasses
import functools
import importlib
import math
from collections.abc import Sequence

from torch import Tensor

from crossfool.attacks.chunk import Pool
from crossfool.attacks.config import NORM_MODULES, Attack
from crossfool.attacks.projection import LINF
from crossfool.attacks.types import Context, Estimate, Loss, Model, Norm, Update


def build_source_loss(row: Attack, source: Model, labels: Tensor, target_labels: Tensor) -> Loss:
    """The loss of a source that a row drives up.

    Args:
        row: The attack.
        source: Images -> log-probabilities, or logits where the row's loss `takes_logits`.
        labels: True labels, (N,).
        target_labels: Labels to reach where the row is targeted, (N,).
    """
    return row.parts.loss.loss_of_both(source, labels, target_labels, row.targeted)


def build_loss(row: Attack, given: Loss, ids: Sequence[int], pool: Pool | None = None) -> Loss:
    """The loss whose gradients a row uses: the source's loss, of transformed images where the row has them.

    Args:
        row: The attack.
        given: The source's loss.
        ids: The images' ids in the data set, (N,). Make a new loss for each attack on images.
        pool: The subset that the images are of, which a row needs that `takes_pool`.
    """
    context = _context(row, ids, pool=pool)
    return functools.reduce(lambda loss, part: part.loss(loss, context), row.parts.inputs, given)


def build_estimator(row: Attack, ids: Sequence[int], together: int = 1, pool: Pool | None = None) -> Estimate:
    """A row's gradient estimator, fresh for one attack on images, with its input transformations of gradients.

    Args:
        row: The attack.
        ids: The images' ids in the data set, (N,).
        together: Number of copies of each image that share a pass through the model.
        pool: As for `build_loss`.
    """
    parts = row.parts
    estimate = parts.gradient.estimator(_context(row, ids, together, pool))
    later = [part for part in parts.inputs if part.stage() == 2]
    if not later:
        return estimate

    def transformed(loss: Loss, x: Tensor) -> Tensor:
        return functools.reduce(lambda gradient, part: part.gradient(gradient), later, estimate(loss, x))

    return transformed


def build_update(row: Attack, values: int | None = None) -> Update:
    """A row's update rule, adjusted to its estimator.

    Args:
        row: The attack.
        values: Number of an image's values (C·H·W), which a row with `norm: l2` needs.
    """
    step_size = row.step_size
    if row.norm == "l2":
        assert values is not None
        step_size /= math.sqrt(values)  # what a step adds to each value where it adds the same to all
    return row.parts.gradient.adjusted(row.parts.update.update(step_size))


def build_norm(row: Attack) -> Norm:
    """The norm of a row's ball; the module of L2 is loaded for rows that name it alone."""
    if row.norm is None:
        return LINF
    norm: Norm = importlib.import_module(NORM_MODULES[row.norm]).NORM
    return norm


def _context(row: Attack, ids: Sequence[int], together: int = 1, pool: Pool | None = None) -> Context:
    parts, seed = row.parts, row.seed or 0
    noise = None if parts.noise is None else parts.noise.draw(ids, seed, parts.gradient.drawn)
    context = Context(ids, seed, together, parts.evaluations, pool, noise)
    views = [made for part in parts.inputs if (made := part.views(context)) is not None]
    joined = functools.reduce(lambda first, second: first.then(second), views) if views else None
    return dataclasses.replace(context, views=joined)
