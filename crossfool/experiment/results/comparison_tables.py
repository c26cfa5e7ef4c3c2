"""Tables that compare an experiment's attacks: ranking, pairs, samples, budget, cost, seeds, denominators."""

from crossfool.experiment.results import sample_equivalence
from crossfool.experiment.results.detail_rows import budget_rows, cost_rows, denominator_rows, seed_rows
from crossfool.experiment.results.metrics import Results
from crossfool.experiment.results.outcomes import Evidence
from crossfool.experiment.results.ranking import Rows, mcnemar_rows, pairwise_rows, ranking_rows

TABLE_COLUMNS = {
    "ranking": [
        *("rank", "attack", "objective", "success", "low", "high", "cells", "n"),
        *("gradients", "success_per_gradient", "l2", "linf", "ssim", "lpips"),
    ],
    "pairwise": [
        *("first", "second", "objective", "difference", "low", "high", "p", "p_holm", "differs", "cells", "n"),
    ],
    "mcnemar": [
        *("first", "second", "objective", "source", "target", "first_rate", "second_rate", "difference", "low", "high"),
        *("first_alone", "second_alone", "p", "p_holm", "differs", "n"),
    ],
    "samples": sample_equivalence.COLUMNS,
    "budget": ["objective", "budget", "place", "attack", "gradients", "success", "low", "high", "cells", "n"],
    "cost": ["attack", "source", "target", "step", "gradients", "rate", "low", "high", "n"],
    "seeds": ["attack", "source", "target", "whitebox", "seeds", "mean", "deviation", "least", "most", "n"],
    "quantisation": ["attack", "source", "target", "whitebox", "way", "rate", "low", "high", "n"],
    "denominators": [
        *("attack", "source", "target", "whitebox", "counted", "rate", "low", "high", "n"),
        *("clean_error", "clean_low", "clean_high"),
    ],
}


def comparison_tables(results: Results, evidence: Evidence) -> dict[str, Rows]:
    """Table name (a key of `TABLE_COLUMNS`) -> its rows; no rows where the experiment has none. Rates are percent."""
    return {
        "ranking": ranking_rows(results, evidence),
        "pairwise": pairwise_rows(evidence),
        "mcnemar": mcnemar_rows(evidence),
        "samples": sample_equivalence.sample_equivalence_rows(evidence),
        "budget": list(budget_rows(results)),
        "cost": list(cost_rows(results)),
        "seeds": list(seed_rows(results)),
        "quantisation": list(denominator_rows(results, "quantisation")),
        "denominators": list(denominator_rows(results, "denominators")),
    }
