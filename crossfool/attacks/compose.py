"""The loss, the gradient estimator and the update rule that a row of `attacks` in params.yaml describes."""

from collections.abc import Sequence

from crossfool.attacks import parts, update_rules
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import Estimate, Loss, Update


def build_loss(row: Attack, given: Loss, ids: Sequence[int]) -> Loss:
    """The loss whose gradients a row takes: the source's loss, of diverse images where the row says so.

    Args:
        row: The attack.
        given: The source's loss.
        ids: The images' ids in the data set, (N,). Make a new loss for each attack on images.
    """
    if row.diversity is None:
        return given
    loss: Loss = parts.load(row, parts.DIVERSITY).with_diversity(
        given, row.seed or 0, ids, row.diversity, row.smallest_side, row.gradient_evaluations_per_step
    )
    return loss


def build_estimator(row: Attack, ids: Sequence[int], together: int = 1) -> Estimate:
    """A row's gradient estimator, fresh for one attack on images: that of the module `gradients/<gradient>.py`.

    Args:
        row: The attack.
        ids: The images' ids in the data set, (N,).
        together: Number of copies of each image that share a pass through the model.
    """
    estimate: Estimate = parts.load(row, parts.estimator_module(row)).estimator(row, ids, together)
    if row.kernel is not None:
        estimate = parts.load(row, parts.CONVOLVED).convolved(estimate, row.kernel)
    return estimate


def build_update(row: Attack) -> Update:
    """A row's update rule; its steps shrink where the module of the row's estimator has a STEP_DECAY."""
    update_rule: Update = update_rules.sign
    if row.decay is not None and row.update == "nesterov":
        update_rule = update_rules.nesterov(row.decay, row.step_size)
    elif row.decay is not None:
        update_rule = update_rules.momentum(row.decay)
    step_decay: float | None = getattr(parts.load(row, parts.estimator_module(row)), "STEP_DECAY", None)
    return update_rule if step_decay is None else update_rules.shrinking_steps(update_rule, step_decay)
