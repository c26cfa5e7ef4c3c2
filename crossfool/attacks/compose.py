"""A row of `attacks` as the parts that the loop takes."""

from collections.abc import Sequence

from crossfool.attacks import gradients, noise, update_rules
from crossfool.attacks.config import Attack
from crossfool.attacks.input_diversity import diverse
from crossfool.attacks.loop import Estimate, Loss, Update

SETTLING = 0.94  # GRA's eta (Zhu et al. 2023)


def loss(row: Attack, given: Loss, ids: Sequence[int]) -> Loss:
    """The loss whose gradients a row takes, of the source's; for one attack on images of these ids."""
    if row.diversity is None:
        return given
    return diverse(given, row.seed or 0, ids, row.diversity, row.smallest, row.copies)


def estimate(row: Attack, ids: Sequence[int], together: int = 1) -> Estimate:
    """A row's gradient estimator for one attack on images of these ids, `together` copies of each in a pass."""
    scales = row.scales or 1
    found: Estimate = gradients.plain
    if row.gradient == "smoothed":
        assert row.samples is not None
        found = gradients.smoothed(row.samples, _noise(row, ids), together, scales)
    elif row.gradient in ("varied", "relevant"):
        assert row.samples is not None and row.radius is not None
        made = gradients.varied if row.gradient == "varied" else gradients.relevant
        found = made(row.samples, noise.uniform(row.seed or 0, ids, row.radius), together, scales)
    elif scales > 1:
        found = gradients.smoothed(1, noise.still, together, scales)
    return found if row.kernel is None else gradients.convolved(found, row.kernel)


def _noise(row: Attack, ids: Sequence[int]) -> noise.Noise:
    assert row.samples is not None and row.sigma is not None
    if row.noise == "latin":
        return noise.latin(row.seed or 0, ids, row.sigma, row.samples)
    drawn = noise.gaussian(row.seed or 0, ids, row.sigma)
    return noise.antithetic(drawn) if row.noise == "antithetic" else drawn


def update(row: Attack) -> Update:
    """A row's update rule."""
    found: Update = update_rules.sign
    if row.decay is not None:
        nesterov = row.update == "nesterov"
        found = update_rules.nesterov(row.decay, row.step_size) if nesterov else update_rules.momentum(row.decay)
    return update_rules.settling(found, SETTLING) if row.gradient == "relevant" else found
