"""Claims of the paper's text beside its tables, on made outcomes: numbers by hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from made_evidence import FGSM, SAMPLES, SMOOTHED, STEPS, checked, first, made

from crossfool.attacks import sweeps
from crossfool.report.paper_claims import Claim

LINE = {**SAMPLES, "epsilon": [15], "samples": [0, 5, 30, 50]}


def along(grid: Mapping[str, Any], hits: list[np.ndarray]) -> dict[str, Claim]:
    names = list(sweeps.Grid.model_validate(grid).cells("a"))
    cells = {("resnet18", name, "vgg13_bn"): hit for name, hit in zip(names, hits, strict=True)}
    return checked(made(cells, {"fgsm": FGSM}, grids={"a": grid}))


@pytest.mark.parametrize(
    ("counts", "expected", "effect"),
    [((0, 0, 8, 8), "supported", 100), ((0, 0, 0, 8), "contradicted", -100), ((0, 0, 4, 8), "undecided", 0)],
)
def test_samples_saturate_from_thirty_on(counts: tuple[int, ...], expected: str, effect: float) -> None:
    claim = along(LINE, [first(count) for count in counts])["samples_saturate"]
    assert (claim.verdict, claim.effect) == (expected, effect)
    assert claim.detail == "m = 5 to 30 against 30 to 50"
    assert "samples_saturate" not in along({**LINE, "samples": [0, 5, 10, 20]}, [first(8)] * 4)


def test_too_large_a_step_and_too_many_small_ones_harm() -> None:
    none, every = np.zeros(40, bool), np.ones(40, bool)
    # T = 5 and 10, step sizes 2, 5 and 15: small is a quarter of epsilon = 20 or less
    claims = along(STEPS, [none, every, every, none, none, none])
    assert (claims["iterations_overfit"].verdict, claims["iterations_overfit"].effect) == ("supported", 100)
    assert claims["iterations_overfit"].detail.startswith("step size 5: T = 5 against 10")
    assert claims["steps_too_large"].verdict == "undecided" and claims["steps_too_large"].effect == 0
    claims = along(STEPS, [none, none, every, none, every, none])
    assert claims["iterations_overfit"].verdict == "contradicted"
    assert (claims["steps_too_large"].verdict, claims["steps_too_large"].images) == ("supported", 20)
    assert "best is step size 5 of 2, 5, 15" in claims["steps_too_large"].detail
    assert along(STEPS, [none] * 5 + [every])["steps_too_large"].verdict == "contradicted"
    assert not along({**STEPS, "attack": {}}, [none] * 6)


def test_targeted_attacks_by_top1() -> None:
    rows = {"sg": {**FGSM, **SMOOTHED, "objective": "targeted"}, "plain": {**FGSM, "objective": "targeted"}}
    hits = {("resnet18", "sg", "vgg13_bn"): 8, ("resnet18", "plain", "vgg13_bn"): 0}
    hits5 = dict.fromkeys(hits, 8)
    claims = checked(made(hits, rows, hits5=hits5))
    assert claims["targeted_top1"].effect == 100 and claims["targeted_top1"].verdict == "supported"
    assert claims["smoothing_equal_steps_targeted"].effect == 0
    rows["sg"]["samples"] = 1
    assert checked(made(hits, rows, hits5=hits5))["targeted_top1"].verdict == "not tested"
    assert "targeted_top1" not in checked(made(hits, {"sg": {**FGSM, **SMOOTHED}, "plain": FGSM}))


def test_asymmetry_across_architectures_is_a_test_over_pairs_of_models() -> None:
    models = ("resnet18", "resnet34", "resnet50", "vgg13_bn", "vgg16_bn", "vgg19_bn")

    def found(across: int, within: int) -> Claim:
        hits = {}
        for place, a in enumerate(models):
            for b in models[place + 1 :]:
                gap = within if a[:3] == b[:3] else across
                hits |= {(a, "fgsm", b): gap, (b, "fgsm", a): 0}
        return checked(made(hits, {"fgsm": FGSM}))["asymmetry_across"]

    claim = found(8, 2)
    assert (claim.verdict, claim.effect, claim.units, claim.count) == ("supported", 75, "pairs of models", 15)
    assert claim.detail == "9 pairs of two architectures 100.0 points apart, 6 of one 25.0"
    assert found(2, 8).verdict == "contradicted"
