"""Rivals of an attack at equal cost, and the paired tests against them that agreement.json records. Imports no torch.

An attack's budget is the smallest of `BUDGETS` that its cost fits in. Its rivals have its objective, norm and epsilon
and cost no more than that budget: the best, and the costliest that is momentum alone (mIGSM, the field's baseline).
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossfool.attacks.config import Attack
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.mean_rates import MeanRates
from crossfool.storage.json_files import read_json

BUDGETS = (10, 50, 200)  # gradient evaluations an image and model
BEST, MIGSM = "best", "migsm"  # the roles of a rival
PairedTests = Mapping[str, Mapping[str, "PairedTest"]]  # attack -> role -> the test against the rival of that role


@dataclass(frozen=True)
class PairedTest:
    """The paired difference of an attack and a rival, pooled over black-box cells.

    Attributes:
        rival: The rival's name.
        difference, low, high: The attack's success less the rival's, in percent points, and its 95% interval.
        p, p_holm: The p-value, and adjusted by Holm's method for all pairs of the experiment, since which rival is the
            best is known from the same images.
    """

    rival: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


def budget_of(gradients: int) -> int | None:
    """The smallest budget that a number of gradient evaluations fits in; None where it exceeds all."""
    return next((budget for budget in BUDGETS if gradients <= budget), None)


def is_migsm(row: Attack) -> bool:
    """Whether a row of `attacks` is momentum alone: equation 5 without any other part."""
    if row.method is not None or row.loss is not None:
        return False
    return row.update == "momentum" and row.gradient == "plain" and not row.parts.inputs


def find_rivals(experiment: Experiment, success: Mapping[str, float], attack: str) -> dict[str, str]:
    """Role -> the name of an attack's rival; a role is left out where there is none, or it is the attack itself.

    Args:
        experiment: The experiment.
        success: Attack -> mean success in percent, of those with black-box cells.
        attack: The attack's name.
    """
    rows, own = experiment.attacks, experiment.attacks[attack]
    budget = budget_of(own.gradient_evaluations_per_seed)
    alike = [
        name
        for name in success
        if all(rows[name].value(key) == own.value(key) for key in ("objective", "norm", "epsilon"))
        and (budget is None or rows[name].gradient_evaluations_per_seed <= budget)
    ]

    def cost(name: str) -> int:
        return rows[name].gradient_evaluations_per_seed

    found = {BEST: min(alike, key=lambda name: (-success[name], cost(name)))}
    momentum = [name for name in alike if is_migsm(rows[name])]
    if momentum:
        found[MIGSM] = max(momentum, key=cost)
    return {role: name for role, name in found.items() if name != attack}


def paired_record(
    experiment: Experiment, rates: MeanRates, pairs: Iterable[Mapping[str, Any]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Tests of each attack against its rivals, as agreement.json has them under `paired`.

    Args:
        experiment: The experiment.
        rates: Its mean rates.
        pairs: The rows of `ranking.pairwise_rows`.
    """
    tests = dict[tuple[str, str], PairedTest]()
    for row in pairs:
        first, second, p, p_holm = row["first"], row["second"], row["p"], row["p_holm"]
        difference, low, high = row["difference"], row["low"], row["high"]
        tests[first, second] = PairedTest(second, difference, low, high, p, p_holm)
        # 0 less it: 0, not -0, where they are equal
        tests[second, first] = PairedTest(first, 0.0 - difference, 0.0 - high, 0.0 - low, p, p_holm)
    success = {attack: rate.percent for attack, rate in rates.items()}
    record = dict[str, dict[str, dict[str, Any]]]()
    for attack in success:
        rivals = find_rivals(experiment, success, attack)
        record[attack] = {role: asdict(tests[attack, name]) for role, name in rivals.items() if (attack, name) in tests}
    return record


def recorded_tests(folder: Path, success: Mapping[str, float]) -> PairedTests:
    """The tests in an experiment's agreement.json that fit its metrics; none where the file is older or damaged.

    Args:
        folder: The experiment's.
        success: Attack -> mean success in percent by metrics; a test of other rates is left out.
    """
    try:
        values = read_json(folder / "agreement.json")
        tests = {
            attack: {role: PairedTest(**test) for role, test in roles.items()}
            for attack, roles in values["paired"].items()
        }
        return {attack: _fitting(attack, roles, success) for attack, roles in tests.items() if attack in success}
    except (UserError, OSError, KeyError, TypeError, AttributeError):
        return {}


def _fitting(attack: str, tests: Mapping[str, PairedTest], success: Mapping[str, float]) -> dict[str, PairedTest]:
    """The tests whose difference is that of the mean success rates."""
    return {
        role: test
        for role, test in tests.items()
        if test.rival in success and abs(success[attack] - success[test.rival] - test.difference) < 1e-3
    }
