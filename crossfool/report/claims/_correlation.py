"""Checks that success falls with a value of the source."""

import itertools
from collections.abc import Callable

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.models.families import family
from crossfool.report.claims._verdict import Verdict, judged
from crossfool.stats.paired_tests import holm_adjusted, rank_permutation_p, spearman_rho


def correlated(evidence: Evidence, value: Callable[[str], float]) -> list[Verdict]:
    """Check that success falls with a value of the source, over at least three sources of the scatter plots.

    Args:
        evidence: The experiment's outcomes.
        value: Source model -> the value.
    """
    panels, scatter = [], evidence.experiment.scatter
    for attack, target in itertools.product(scatter.attacks, evidence.experiment.models):
        sources = [source for source, cell_target in evidence.single(attack) if cell_target == target]
        sources = [source for source in sources if scatter.same_family or family(source) != family(target)]
        rates = np.array([evidence.success(source, attack, target).mean() for source in sources])
        values = np.array([value(source) for source in sources])
        correlation = spearman_rho(values, rates) if len(sources) >= 3 else None
        if correlation is not None:
            panels.append((f"{attack} on {target}", correlation, rank_permutation_p(values, rates), len(sources)))
    if not panels:
        return []
    adjusted = holm_adjusted([p for _, _, p, _ in panels])
    effect = float(np.mean([correlation for _, correlation, _, _ in panels]))
    p = min((p for panel, p in zip(panels, adjusted, strict=True) if panel[1] < 0), default=1.0)
    details = [f"{panel}: rho {rank:+.3f}, p {p:.3g}, {count} sources" for panel, rank, p, count in panels]
    detail = "; ".join([*details, "p of each before Holm's adjustment"])
    unit = "rank correlation"
    return [judged(effect, p, len(panels), evidence.images, detail, unit=unit, holds=effect < 0)]
