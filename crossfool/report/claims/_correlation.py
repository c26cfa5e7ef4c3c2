"""Checks that success falls with a value of the source, another value held fixed. The unit is the source."""

import itertools
from collections.abc import Callable

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.models.families import family
from crossfool.report.claims._verdict import Verdict, judged, not_tested
from crossfool.stats.paired_tests import spearman_rho
from crossfool.stats.partial_ranks import partial_rank_correlation

Value = Callable[[str], float]
FEWEST = 4  # sources of a partial correlation


def correlated(evidence: Evidence, value: Value, given: Value) -> list[Verdict]:
    """Check that success falls with a value of the source, given another, over the sources of the scatter plots.

    The paper claims both of one corner of figure 1, so that each is tested with the other held fixed. A source's
    success is its mean over the plots that it is in, each rate less its plot's mean.

    Args:
        evidence: The experiment's outcomes.
        value: Source model -> the value.
        given: Source model -> the value that is held fixed.
    """
    excess: dict[str, list[float]] = {}
    details, scatter = [], evidence.experiment.scatter
    for attack, target in itertools.product(scatter.attacks, evidence.experiment.models):
        sources = [source for source, cell_target in evidence.single(attack) if cell_target == target]
        sources = [source for source in sources if scatter.same_family or family(source) != family(target)]
        if len(sources) < 3:
            continue
        rates = np.array([evidence.success(source, attack, target).mean() for source in sources])
        rho = spearman_rho([value(source) for source in sources], rates)
        details.append(f"{attack} on {target}: rho {'none' if rho is None else f'{rho:+.3f}'}, {len(sources)} sources")
        for source, rate in zip(sources, rates - rates.mean(), strict=True):
            excess.setdefault(source, []).append(float(rate))
    if not details:
        return []
    sources = list(excess)
    values, controls = (np.array([of(source) for source in sources]) for of in (value, given))
    found = partial_rank_correlation(values, np.array([np.mean(excess[source]) for source in sources]), controls)
    if found is None:
        few = f"{len(sources)} sources, at least {FEWEST} of different error and size are needed"
        return [not_tested(few, evidence.images, unit="rank correlation")]
    effect, p = found
    detail = "; ".join(["alone, before the other value is held fixed", *details])
    return [
        judged(
            effect,
            p,
            len(details),
            evidence.images,
            detail,
            unit="rank correlation",
            sign=-int(np.sign(round(effect, 9))),
            units="sources",
            count=len(sources),
        )
    ]
