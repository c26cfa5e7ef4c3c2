"""Transfer from shallow models against transfer from deep ones of their family. The unit is the network."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.models import families
from crossfool.report.claims._sources import rates_by_target
from crossfool.report.claims._verdict import Verdict, joined_unique, judged, not_tested
from crossfool.stats.paired_tests import rank_permutation_p, spearman_rho

CLAIM = {
    "statement": "Attacks from a shallow model transfer better than from a deep one of its kind.",
    "section": "section 5.2, table 2",
    "test": "permutation test over networks of the rank correlation of depth and success",
    "order": 30,
}
FEWEST_A_DEPTH = 2  # networks of each depth, without which their spread over training is not known


def check(evidence: Evidence) -> list[Verdict]:
    """Check that success falls with depth over the networks of a family; a verdict on the family with most networks.

    A network's success is its mean over attacks and black-box targets of other depths, each rate less its target's mean
    over the family's sources. Networks that differ in their training's seed alone are no targets of one another: how
    alike they are is another question. p over images is never taken: images do not say how another network of that
    depth would do.
    """
    groups: dict[str, list[str]] = {}
    for source in evidence.experiment.sources:
        if "+" not in source and families.depth(source) is not None:
            groups.setdefault(families.family(source), []).append(source)
    groups = {name: group for name, group in groups.items() if len({families.depth(model) for model in group}) > 1}
    if not groups or not evidence.untargeted:
        return []
    networks = max(groups.values(), key=len)
    scores = _scores(evidence, networks)
    if len({families.depth(model) for model in scores}) < 2:
        return []
    depths = np.array([families.depth(model) or 0 for model in scores])
    success = np.array(list(scores.values()))
    rho, fewest = spearman_rho(depths, success), min(Counter(depths.tolist()).values())
    order = ", ".join(_ordered(scores) if fewest < FEWEST_A_DEPTH else _spread(depths, success))
    detail = f"attacks {joined_unique(evidence.untargeted)}; points above the mean of the target: {order}"
    if rho is None or fewest < FEWEST_A_DEPTH:
        reason = f"k = {fewest} network{'s' * (fewest > 1)} a depth, at least {FEWEST_A_DEPTH} are needed; {detail}"
        return [not_tested(reason, evidence.images, effect=rho, unit="rank correlation")]
    return [
        judged(
            rho,
            rank_permutation_p(depths, success),
            len(scores),
            evidence.images,
            detail,
            unit="rank correlation",
            sign=-int(np.sign(round(rho, 9))),
            smallest_p=rank_permutation_p(depths, -depths),
            units="networks",
            count=len(scores),
        )
    ]


def _ordered(scores: Mapping[str, float]) -> list[str]:
    """Networks and their scores, the highest first."""
    return [f"{model} {score:+.1f}" for model, score in sorted(scores.items(), key=lambda item: -item[1])]


def _spread(depths: np.ndarray, success: np.ndarray) -> list[str]:
    """Mean score, number of networks and their sample deviation, a text for each depth."""
    groups = [(depth, success[depths == depth]) for depth in np.unique(depths)]
    return [
        f"depth {depth} {scores.mean():+.1f} ({len(scores)} networks, deviation {scores.std(ddof=1):.1f})"
        for depth, scores in groups
    ]


def _scores(evidence: Evidence, networks: list[str]) -> dict[str, float]:
    """Network -> mean over attacks and targets of its rate less the mean rate of the networks on that target.

    Only targets count that networks of two depths attack, for what is compared is the depth of sources.
    """
    excess: dict[str, list[float]] = {}
    for attack in evidence.untargeted:
        for target, all_rates in rates_by_target(evidence, attack).items():
            alike = _of_depth(target, networks)
            rates = {source: rate for source, rate in all_rates.items() if source in networks and source not in alike}
            is_compared = len({families.depth(source) for source in rates}) > 1
            for source, rate in rates.items() if is_compared else ():
                excess.setdefault(source, []).append(rate - float(np.mean(list(rates.values()))))
    return {network: float(np.mean(excess[network])) for network in networks if network in excess}


def _of_depth(target: str, networks: list[str]) -> set[str]:
    """Networks of a target's depth, where the target is of their family; none for any other target."""
    if families.family(target) != families.family(networks[0]):
        return set()
    return {network for network in networks if families.depth(network) == families.depth(target)}
