"""Experiments that say in `varies` that they depart from the paper's ratios: their rows are tested, and say so."""

from typing import Any

import pytest
from builders import DIGITS
from made_evidence import FGSM, IGSM, SMOOTHED, made

from crossfool.errors import UserError
from crossfool.experiment import loading, params_file, stage_plans
from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.html.metadata import shown_params
from crossfool.report.paper_claims import Claim, check_claims

ROWS = {"sg": {**IGSM, **SMOOTHED, "sigma": 4}, "plain": IGSM}
SHORT = {name: {**row, "step_size": 3} for name, row in ROWS.items()}


def claim_of(rows: dict[str, Any], varies: tuple[str, ...] | None) -> Claim:
    evidence = made({("resnet18", name, "vgg13_bn"): 8 * (name == "sg") for name in rows}, rows)
    experiment = evidence.experiment.model_copy(update={"varies": varies})
    (claim,) = check_claims(Evidence(experiment, evidence.hits, evidence.hits5, {}, {}, {}))
    return claim


def test_what_an_experiment_varies_on_purpose_is_tested_and_named() -> None:
    assert claim_of(ROWS, None).verdict == "not tested"
    claim = claim_of(ROWS, ("sigma",))
    assert (claim.verdict, claim.effect) == ("supported", 100)
    assert claim.detail == (
        "sg (10 gradients an image) against plain (5); varied on purpose (varies: sigma): sg: σ/ε = 0.267, in the "
        "paper 0.75, 1; ahead in 1 of 1 cells"
    )
    assert "on purpose" not in claim_of({**ROWS, "sg": {**IGSM, **SMOOTHED}}, ("sigma",)).detail


def test_one_key_excuses_no_other() -> None:
    claim = claim_of(SHORT, ("sigma",))  # their steps end at epsilon, too
    assert claim.verdict == "not tested" and "αT/ε = 1" in claim.detail and "σ/ε" not in claim.detail
    assert claim_of(SHORT, ("sigma", "step_size")).verdict == "supported"
    one = claim_of(
        {"sg": {**IGSM, **SMOOTHED, "samples": 1}, "plain": {**IGSM, "step_size": 10}}, ("sigma", "step_size")
    )
    assert one.verdict == "not tested" and "m = 1" in one.detail  # one noisy gradient is no ratio


def test_an_attack_of_no_epsilon_is_none_of_the_papers() -> None:
    claim = claim_of({"sg": {**FGSM, **SMOOTHED, "epsilon": 0}, "plain": {**FGSM, "epsilon": 0}}, ("sigma",))
    assert claim.verdict == "not tested" and "ε = 0" in claim.detail


def parsed(varies: Any, **attack: Any) -> Any:
    fgsm = {"epsilon": 40, "steps": 1, "step_size": 40, **attack}
    values = {**DIGITS, "subset": {"images": "all"}, "compute": {"chunk": 8}, "attacks": {"fgsm": fgsm}}
    values |= {} if varies == "absent" else {"varies": varies}
    return loading.parse_experiment(params_file.to_yaml(values), "params.yaml")


MISTAKES = {
    "a misspelt key": (["sigm"], "varies: unknown key 'sigm'; did you mean sigma?"),
    "no list": ("sigma", "varies: is 'sigma', expected a list of keys: sigma, step_size"),
    "nothing": ([], r"varies: is \[\], expected a list of keys: sigma, step_size"),
    "a key twice": (["step_size", "step_size"], "varies: step_size occurs twice; remove one"),
    "a key that no attack has": (["sigma"], "varies: no attack has the key sigma; remove it"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_varies_are_errors(mistake: str) -> None:
    varies, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        parsed(varies)


def test_an_experiment_that_varies_nothing_has_the_plan_that_it_had() -> None:
    assert parsed("absent").varies is None and parsed(None).varies is None
    assert "varies" not in stage_plans.report(parsed("absent")).content()["values"]
    varied = parsed(["sigma"], gradient="smoothed", samples=4, sigma=10)
    assert "\nvaries: [sigma]\n" in shown_params(varied) and "varies" not in shown_params(parsed("absent"))
    plan = stage_plans.report(varied).content()["values"]
    assert plan["varies"] == ["sigma"]
