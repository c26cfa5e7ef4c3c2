"""A rate over cells that share images, with an interval that counts each image once."""

import numpy as np

from crossfool.stats import rates as stats_rates


def clustered(destroyed: np.ndarray, fooled: np.ndarray) -> tuple[float, float, float]:
    """The share of the fooled that are destroyed, and its 95% interval, in percent; images are drawn, not pairs.

    Wilson's interval for as many independent pairs as tell as much: their number divided by the design effect, the
    ratio estimator's variance over images to the binomial one, but at least 1 (Korn and Graubard, Survey Methodology
    24, 1998). Where all pairs are destroyed, or none, it is the number of images.

    Args:
        destroyed, fooled: Of an image's pairs, (N,) whole numbers; at least one is fooled.
    """
    some = fooled > 0
    destroyed, fooled = destroyed[some], fooled[some]
    images, pairs, share = len(fooled), int(fooled.sum()), destroyed.sum() / fooled.sum()
    count = float(images)
    if 0 < share < 1 and images > 1:
        variance = images / (images - 1) * float(((destroyed - share * fooled) ** 2).sum()) / pairs**2
        count = pairs / max(1.0, variance / (share * (1 - share) / pairs))
    low, high = stats_rates.wilson_share(float(share), pairs if fooled.max() == 1 else count)
    return round(100 * float(share), 4), round(100 * low, 4), round(100 * high, 4)
