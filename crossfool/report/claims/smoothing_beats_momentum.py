"""Smoothed gradients without momentum against plain ones with it."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import STEPS, counterparts_of, smoothed_against_plain
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Smoothed gradients without momentum transfer better than plain ones with momentum.",
    "section": "section 7.3, table 5",
    "test": "paired test of both success rates, on the same images",
    "order": 150,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check smoothed without momentum against plain with it, in equal steps."""
    rows = evidence.experiment.attacks
    plain_only = [
        (smoothed, plain)
        for smoothed, plain in counterparts_of(evidence.experiment, "epsilon", "objective", "fusion", *STEPS)
        if (rows[smoothed].update, rows[plain].update) == ("sign", "momentum")
    ]
    return smoothed_against_plain(evidence, plain_only)
