"""Smoothed against plain gradients of targeted attacks, by the top-1 criterion."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import of_equal_steps
from crossfool.report.claims._instances import departure
from crossfool.report.claims._verdict import Verdict, contrast, joined_unique, not_tested

CLAIM = {
    "statement": "Smoothed gradients make targeted attacks transfer better by the top-1 rate, too.",
    "section": "appendix C, table 7",
    "test": "paired test of both top-1 success rates, on the same images",
    "order": 165,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check smoothed against plain targeted attacks in equal steps, on all black-box cells."""
    pairs, contrasts, left_out, rows = [], [], [], evidence.experiment.attacks
    for smoothed, plain in of_equal_steps(evidence.experiment):
        cells = evidence.common(smoothed, plain) if rows[smoothed].targeted else []
        reasons = [f"{name}: {text}" for name in (smoothed, plain) if (text := departure(rows[name]))]
        if cells and reasons:
            left_out += reasons
            continue
        pairs += [(evidence.hits[source, smoothed, to], evidence.hits[source, plain, to]) for source, to in cells]
        contrasts += [f"{smoothed} against {plain}"] if cells else []
    if left_out and not pairs:
        return [not_tested(f"rows depart from the paper's: {joined_unique(left_out)}", evidence.images)]
    return contrast(pairs, joined_unique(contrasts))
