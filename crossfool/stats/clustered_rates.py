"""The destruction rate over cells that share images, with an interval that counts each image once."""

import numpy as np

from crossfool.stats.rates import wilson_interval_of_share


def clustered_rate(destroyed: np.ndarray, fooled: np.ndarray) -> tuple[float, float, float]:
    """The share of fooled pairs that are destroyed, with its 95% interval, in percent; images are drawn, not pairs.

    A pair is an image and a cell. The interval is Wilson's for the effective number of independent pairs: the number
    of pairs divided by the design effect, which is the ratio estimator's variance over images to the binomial
    variance, and at least 1 (Korn and Graubard, Survey Methodology 24, 1998). Where all pairs are destroyed, or none,
    the effective number is the number of images.

    Args:
        destroyed: Destroyed pairs of each image, (N,) whole numbers.
        fooled: Fooled pairs of each image, (N,) whole numbers; at least one is above 0.

    Returns:
        Rate, and the interval's two ends, rounded to 4 decimals.
    """
    counted = fooled > 0
    destroyed, fooled = destroyed[counted], fooled[counted]
    images, pairs, share = len(fooled), int(fooled.sum()), destroyed.sum() / fooled.sum()
    effective_pairs = float(images)
    if 0 < share < 1 and images > 1:
        variance = images / (images - 1) * float(((destroyed - share * fooled) ** 2).sum()) / pairs**2
        effective_pairs = pairs / max(1.0, variance / (share * (1 - share) / pairs))
    low, high = wilson_interval_of_share(float(share), pairs if fooled.max() == 1 else effective_pairs)
    return round(100 * float(share), 4), round(100 * low, 4), round(100 * high, 4)
