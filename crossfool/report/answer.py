"""The question that an experiment asks, and its answer: which attack transfers best, and by how much at equal cost.

Success is the mean over black-box cells; the paired test is that of `ranking.pairwise_rows`. Rates are percent.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.detail_rows import OBJECTIVES
from crossfool.experiment.results.outcomes import OutcomesMissing
from crossfool.experiment.results.rivals import BEST, PairedTest, budget_of, find_rivals, paired_tests, recorded_tests
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
        rival: The attack of the same objective and epsilon with the next best success, of those within the attack's
            budget of gradient evaluations; "" for none.
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
        """What sets the attack apart from the next best one at equal cost, with the paired test."""
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
    success = {attack: rate.percent for attack, rate in rates.items() if attack in rows}
    for objective in OBJECTIVES:
        of_objective = {name: percent for name, percent in success.items() if rows[name].objective == objective}
        if not of_objective:
            continue
        best = min(of_objective, key=lambda name: (-of_objective[name], rows[name].gradient_evaluations_per_seed))
        others = {name: percent for name, percent in of_objective.items() if name != best}
        rival = find_rivals(findings.experiment, others, best).get(BEST, "")
        yield Answer(
            attack=best,
            objective=objective,
            rate=rates[best],
            gradients=rows[best].gradient_evaluations_per_seed,
            rival=rival,
            rival_gradients=rows[rival].gradient_evaluations_per_seed if rival else 0,
            test=_test(findings, success, best, rival),
        )


def _test(findings: Findings, success: dict[str, float], attack: str, rival: str) -> PairedTest | None:
    """The paired test of two attacks: from outcomes, else as agreement.json has it in either direction."""
    try:
        return paired_tests(findings.pairs).get((attack, rival))
    except OutcomesMissing:
        recorded = recorded_tests(findings.folder, success)
    tests = {(name, test.rival): test for name, roles in recorded.items() for test in roles.values()}
    if (attack, rival) in tests:
        return tests[attack, rival]
    return tests[rival, attack].mirrored(rival=rival) if (rival, attack) in tests else None
