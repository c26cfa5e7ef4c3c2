"""Transfer to a target from sources of its own architecture against transfer from all others."""

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.models.families import family
from crossfool.report.claims._sources import rates_by_target
from crossfool.report.claims._verdict import Verdict, judged, not_tested, smallest_p
from crossfool.stats.paired_tests import sign_flip_p

CLAIM = {
    "statement": "Success rates between models of one architecture are always higher than from any other source.",
    "section": "section 5.1, table 1",
    "test": "sign-flip test over targets of the mean rate from the own family less that from others; no counterexample",
    "order": 20,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check for each target that its own family's sources succeed more often than any other; the unit is the target.

    The paper says "always": the claim is supported only where no target and attack is a counterexample, one of another
    family that succeeds at least as often as one of the target's own.
    """
    margins: dict[str, list[float]] = {}
    counterexamples = []
    for attack in evidence.untargeted:
        for target, rates in rates_by_target(evidence, attack).items():
            near = [source for source in rates if family(source) == family(target)]
            far = [source for source in rates if source not in near]
            if near and far:
                worst, best = min(near, key=rates.__getitem__), max(far, key=rates.__getitem__)
                means = [float(np.mean([rates[source] for source in some])) for some in (near, far)]
                margins.setdefault(target, []).append(means[0] - means[1])
                if rates[worst] <= rates[best]:
                    counterexamples.append(
                        f"{attack} on {target}: {best} {rates[best]:.1f}%, {worst} {rates[worst]:.1f}%"
                    )
    if not margins:
        return []
    compared = sum(map(len, margins.values()))
    mean = np.array([np.mean(values) for values in margins.values()])
    detail = f"own family ahead in {compared - len(counterexamples)} of {compared} targets and attacks" + "".join(
        f"; {text}" for text in counterexamples
    )
    if len(mean) < 2:
        return [not_tested(f"k = 1 target network; {detail}", evidence.images, effect=float(mean.mean()))]
    sign = 1 if not counterexamples else min(0, int(np.sign(round(float(mean.mean()), 9))))
    return [
        judged(
            float(mean.mean()),
            sign_flip_p(mean),
            compared,
            evidence.images,
            detail,
            sign=sign,
            smallest_p=smallest_p(len(mean)),
            units="targets",
            count=len(mean),
        )
    ]
