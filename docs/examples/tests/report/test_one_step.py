"""The claim about attacks of one step, on a made experiment."""

from pathlib import Path

from made_experiments import make

from crossfool.experiment.results import metrics, outcomes
from crossfool.report.paper_claims import check_claims

ATTACKS = {
    "fgsm": {"epsilon": 40, "steps": 1, "step_size": 40},
    "igsm": {"epsilon": 40, "steps": 4, "step_size": 20},
}


def test_one_step_by_hand(tmp_path: Path) -> None:
    # the only black-box cell: seven images against none
    fooled = {("fnn0", "fgsm", "fnn2"): 7, ("fnn0", "igsm", "fnn2"): 0}
    experiment = make(tmp_path, fooled, models=("fnn0", "fnn2"), sources=("fnn0",), attacks=ATTACKS)
    results = metrics.load_metrics(tmp_path, experiment)
    claims = {claim.name: claim for claim in check_claims(outcomes.read_evidence(tmp_path, results))}
    found = claims["one_step"]
    assert (found.verdict, found.effect, found.p, found.comparisons) == ("supported", 87.5, 2 / 2**7, 1)
