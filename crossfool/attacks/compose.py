"""The loss, the gradient estimator and the update rule that a row of `attacks` in params.yaml describes."""

from collections.abc import Sequence

from crossfool.attacks import gradients, noise, update_rules
from crossfool.attacks.config import Attack
from crossfool.attacks.input_diversity import with_diversity
from crossfool.attacks.loop import Estimate, Loss, Update

STEP_DECAY = 0.94  # GRA's eta (Zhu et al. 2023)


def build_loss(row: Attack, given: Loss, ids: Sequence[int]) -> Loss:
    """The loss whose gradients a row takes: the source's loss, of diverse images where the row says so.

    Args:
        row: The attack.
        given: The source's loss.
        ids: The images' ids in the data set, (N,). Make a new loss for each attack on images.
    """
    if row.diversity is None:
        return given
    return with_diversity(
        given, row.seed or 0, ids, row.diversity, row.smallest_side, row.gradient_evaluations_per_step
    )


def build_estimator(row: Attack, ids: Sequence[int], together: int = 1) -> Estimate:
    """A row's gradient estimator, fresh for one attack on images.

    Args:
        row: The attack.
        ids: The images' ids in the data set, (N,).
        together: Number of copies of each image that share a pass through the model.
    """
    scales = row.scales or 1
    estimator: Estimate = gradients.plain
    if row.gradient == "smoothed":
        assert row.samples is not None
        estimator = gradients.smoothed(row.samples, _gaussian_noise(row, ids), together, scales)
    elif row.gradient in ("varied", "relevant"):
        assert row.samples is not None and row.radius is not None
        make_estimator = gradients.varied if row.gradient == "varied" else gradients.relevant
        estimator = make_estimator(row.samples, noise.uniform(row.seed or 0, ids, row.radius), together, scales)
    elif scales > 1:
        estimator = gradients.smoothed(1, noise.no_noise, together, scales)
    return estimator if row.kernel is None else gradients.convolved(estimator, row.kernel)


def _gaussian_noise(row: Attack, ids: Sequence[int]) -> noise.Noise:
    """The smoothed gradient's noise: Gaussian, its antithetic pairs, or a Latin hypercube of it."""
    assert row.samples is not None and row.sigma is not None
    if row.noise == "latin":
        return noise.latin(row.seed or 0, ids, row.sigma, row.samples)
    gaussian = noise.gaussian(row.seed or 0, ids, row.sigma)
    return noise.antithetic(gaussian) if row.noise == "antithetic" else gaussian


def build_update(row: Attack) -> Update:
    """A row's update rule."""
    update_rule: Update = update_rules.sign
    if row.decay is not None and row.update == "nesterov":
        update_rule = update_rules.nesterov(row.decay, row.step_size)
    elif row.decay is not None:
        update_rule = update_rules.momentum(row.decay)
    return update_rules.shrinking_steps(update_rule, STEP_DECAY) if row.gradient == "relevant" else update_rule
