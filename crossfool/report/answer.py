"""The question that an experiment asks, and its answer: which attack transfers best, and by how much at equal cost.

Success is the mean over black-box cells; the paired test is that of `ranking.pairwise_rows`. Rates are percent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.detail_rows import OBJECTIVES
from crossfool.experiment.results.equal_cost import PairedTest, budget_of
from crossfool.experiment.results.outcomes import OutcomesMissing
from crossfool.report.findings import Findings
from crossfool.report.number_text import (
    count_text,
    difference_text,
    gradients_text,
    interval_text,
    p_equation,
    rate_text,
)
from crossfool.stats.mean_rate import MeanRate
from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL

DECIDED, UNDECIDED = "decided", "undecided"


@dataclass(frozen=True)
class Answer:
    """The attack of an objective that succeeds most often, beside the next best one at equal cost.

    Attributes:
        attack, objective: The attack's name and objective.
        rate: Its mean success over black-box cells.
        gradients: Its gradient evaluations an image and model.
        rival: The attack with the next best success, of those of the same objective, norm and epsilon within the
            attack's budget of gradient evaluations; "" for none.
        rival_gradients: The rival's gradient evaluations.
        test: Their paired test; None where there is no rival, or outcomes are missing.
    """

    attack: str
    objective: str
    rate: MeanRate
    gradients: int
    rival: str
    rival_gradients: int
    test: PairedTest | None

    @property
    def verdict(self) -> str:
        """Whether the attack is better than its rival, by the adjusted p-value; "" without a test."""
        if self.test is None:
            return ""
        return DECIDED if self.test.p_holm < SIGNIFICANCE_LEVEL else UNDECIDED

    @property
    def success(self) -> str:
        """The success rate with its interval, what it is a mean over, and what the attack costs."""
        cells = "1 black-box cell" if self.rate.cells == 1 else f"{count_text(self.rate.cells)} black-box cells"
        metric = "top-5" if self.objective == "targeted" else "top-1"
        rate, interval = rate_text(self.rate.percent), interval_text(self.rate.low, self.rate.high)
        return f"{rate}% {interval} mean {metric} success over {cells}, at {gradients_text(self.gradients)}"

    @property
    def margin(self) -> str:
        """The difference to the next best attack at equal cost, with the paired test."""
        budget = budget_of(self.gradients)
        within = "at any cost" if budget is None else f"within {budget} gradient evaluations"
        if not self.rival:
            return f"no other {self.objective} attack has its ε {within}"
        rival = f"{self.rival}, the next best {within} (it has {count_text(self.rival_gradients)})"
        if self.test is None:
            return f"the paired test against {rival}, needs predictions that are not here"
        test = self.test
        return (
            f"{difference_text(test.difference)} points {interval_text(test.low, test.high)} over {rival}; paired "
            f"{p_equation(test.p)}, by Holm's method for all pairs of attacks {p_equation(test.p_holm)}"
        )

    @property
    def command(self) -> str:
        """The command that compares the two cell by cell, in the experiment's folder; "" without a rival."""
        metric = " --metric top5" if self.objective == "targeted" else ""
        return f"crossfool compare {self.attack} {self.rival}{metric}" if self.rival else ""


def question(experiment: Experiment, images: int) -> str:
    """The question that an experiment asks.

    Args:
        experiment: The experiment.
        images: How many were attacked.
    """
    attacks = list(experiment.attacks)
    if len(attacks) > 1:
        asked = f"Which of {len(attacks)} attacks transfers best"
    else:
        asked = f"How well does {attacks[0]} transfer" if attacks else "How well do adversarial images transfer"
    sources, targets = _count(len(experiment.sources), "source"), _count(len(experiment.answering), "target model")
    return f"{asked} from {sources} to {targets}, on {_count(images, 'image')} of {experiment.dataset.name}?"


def _count(number: int, what: str) -> str:
    return f"{count_text(number)} {what}{'' if number == 1 else 's'}"


def find_answers(findings: Findings) -> Iterator[Answer]:
    """The answer for each objective that has attacks with black-box cells; none where no mean rate is known."""
    rows, rates = findings.experiment.attacks, findings.mean_rates
    for objective in OBJECTIVES:
        ranked = [name for name in rates if name in rows and rows[name].objective == objective]
        ranked.sort(key=lambda name: (-rates[name].percent, rows[name].gradient_evaluations_per_seed))
        if not ranked:
            continue
        best, rival = ranked[0], _rival(findings.experiment, ranked)
        yield Answer(
            attack=best,
            objective=objective,
            rate=rates[best],
            gradients=rows[best].gradient_evaluations_per_seed,
            rival=rival,
            rival_gradients=rows[rival].gradient_evaluations_per_seed if rival else 0,
            test=_test(findings, best, rival),
        )


def _rival(experiment: Experiment, ranked: Sequence[str]) -> str:
    """The next best attack to the first of `ranked`, of its norm and epsilon and within its budget; "" for none."""
    best, *others = (experiment.attacks[name] for name in ranked)
    budget = budget_of(best.gradient_evaluations_per_seed)
    for name, row in zip(ranked[1:], others, strict=True):
        within = budget is None or row.gradient_evaluations_per_seed <= budget
        if (row.norm, row.epsilon) == (best.norm, best.epsilon) and within:
            return name
    return ""


def _test(findings: Findings, attack: str, rival: str) -> PairedTest | None:
    """The paired test of an attack against its rival; None where there is none, or outcomes are missing."""
    try:
        pairs = findings.pairs
    except OutcomesMissing:
        return None
    for row in pairs:
        if {row["first"], row["second"]} == {attack, rival}:
            sign = 1 if row["first"] == attack else -1
            low, high = sorted((sign * row["low"], sign * row["high"]))
            # plus 0: no -0 where they are equal
            return PairedTest(sign * row["difference"] + 0.0, low + 0.0, high + 0.0, row["p"], row["p_holm"])
    return None
