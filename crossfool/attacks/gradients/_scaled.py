"""Mean gradient over halvings of the images, without noise (SI, arXiv 1908.06281)."""

from torch import Tensor

from crossfool.attacks.gradients._samples import mean, sample_gradients
from crossfool.attacks.loop import Estimate, Loss
from crossfool.attacks.noise import no_noise


def scaled(scales: int, together: int = 1) -> Estimate:
    """An estimator of the mean of the gradients of J(x / 2^i) by x over i < scales (SI, arXiv 1908.06281).

    Args:
        scales: Number of halvings, the whole image among them.
        together: Number of halvings that share a pass through the model, one batch of images behind the other.
    """

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        return mean(sample_gradients(loss, x, no_noise(0, x), 1, together, scales), 1, x)

    return estimate
