"""Gain of smoothed gradients from ensembles against the gain from single models."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import Counterparts, by_objective, instances, of_any_kind
from crossfool.report.claims._verdict import Verdict, detectable_effect, joined_unique, judged, not_tested
from crossfool.stats.mean_difference import square_and_add
from crossfool.stats.rates import Z

CLAIM = {
    "statement": "Smoothed gradients gain no less from ensembles than from single models (less by under 5 points).",
    "section": "section 7.3, table 4",
    "test": (
        "non-inferiority on the same images and targets: the interval of the ensembles' gain less the single models', "
        "held against -5 points"
    ),
    "order": 162,
}
MARGIN = 0.05  # in shares of 1: a gain that is smaller by less than this counts as no less


def check(evidence: Evidence) -> list[Verdict]:
    """Check the gain of each smoothed attack from ensembles against its gain from single models, target by target.

    An image's outcomes enter as two shares of 1: of ensembles by smoothed and of single models by plain gradients, and
    of ensembles by plain and of single models by smoothed gradients. Their difference is half of that of the gains.
    Not tested where plain attacks from ensembles leave fewer images than smoothing gains from single models: there the
    gain in points cannot be as large.
    """
    verdicts = []
    for variant, alike in by_objective(evidence.experiment, of_any_kind(evidence.experiment)):
        kept, _, varied = instances(evidence.experiment, alike)
        found = list(_rates(evidence, kept))
        if found:
            compared = f"{joined_unique(name for name, _ in found)}{varied}"
            verdicts.append(replace(_verdict(np.array([rates for _, rates in found]), compared), variant=variant))
    return verdicts


def _rates(evidence: Evidence, counterparts: Counterparts) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what is compared, and rates (4, N), of each attack and target that ensembles and single models share.

    They are the shares of sources that an image is won from: ensembles by smoothed and by plain gradients, single
    models by smoothed and by plain ones.
    """
    for smoothed, plain in counterparts:
        cells = evidence.common(smoothed, plain)
        for target in dict.fromkeys(target for _, target in cells):
            sources = [source for source, to in cells if to == target]
            kinds = [source for source in sources if "+" in source], [source for source in sources if "+" not in source]
            if all(kinds):
                success = [
                    np.mean([evidence.success(source, attack, target) for source in some], 0)
                    for some in kinds
                    for attack in (smoothed, plain)
                ]
                yield f"{smoothed} against {plain}", np.array(success)


def _verdict(rates: np.ndarray, compared: str) -> Verdict:
    """The verdict on rates (comparisons, 4, N), as `_rates` gives them."""
    comparisons, _, images = rates.shape
    ensemble_smoothed, ensemble_plain, single_smoothed, single_plain = rates.mean(0)
    gains = float((ensemble_smoothed - ensemble_plain).mean()), float((single_smoothed - single_plain).mean())
    detail = (
        f"{compared}; ensembles {100 * ensemble_plain.mean():.1f} to {100 * ensemble_smoothed.mean():.1f}%, single "
        f"models {100 * single_plain.mean():.1f} to {100 * single_smoothed.mean():.1f}%; margin {100 * MARGIN:g} points"
    )
    effect, room = gains[0] - gains[1], 1 - float(ensemble_plain.mean())
    if room < gains[1]:
        return not_tested(f"plain attacks from ensembles leave {100 * room:.1f}% of images; {detail}", images)
    ends = square_and_add(
        (ensemble_smoothed + single_plain) / 2, (ensemble_plain + single_smoothed) / 2, 2 * comparisons
    )
    low, high = 2 * ends[0], 2 * ends[1]
    above = effect + MARGIN
    half_width = effect - low if above > 0 else high - effect
    p = math.erfc(Z * abs(above) / half_width / math.sqrt(2))  # below 0.05 where the interval excludes the margin
    verdict = judged(
        100 * effect,
        p,
        comparisons,
        images,
        detail,
        sign=int(np.sign(round(above, 9))),
        interval=(100 * low, 100 * high),
    )
    shown = detectable_effect(100 * low, 100 * high)
    return replace(verdict, detectable=None if shown is None else shown - 100 * MARGIN)
