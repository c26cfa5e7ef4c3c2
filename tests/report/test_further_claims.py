"""Claims of the paper's text beside its tables, on made outcomes: numbers by hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from made_evidence import FGSM, IGSM, SAMPLES, SIGMAS, SMOOTHED, STEPS, checked, first, made

from crossfool.attacks import sweeps
from crossfool.report.claims._lines import split_images
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


def nearly_twice(near: int, far: int, *sources: str, attack: Mapping[str, Any] = IGSM) -> dict[str, Claim]:
    """Claims of two VGGs that fool one another on `near` images, and that each source fools on `far`."""
    hits = {("vgg13_bn", "igsm", "vgg16_bn"): near, ("vgg16_bn", "igsm", "vgg13_bn"): near}
    hits |= {(source, "igsm", target): far for source in sources for target in ("vgg13_bn", "vgg16_bn")}
    return checked(made(hits, {"igsm": attack}))


def test_nearly_twice_is_a_multiple_of_every_other_architecture() -> None:
    # of 8 - 1.5 only the sums of all signs and of all but the -0.5 are as far: p = 4/2^8
    claim = nearly_twice(8, 1, "resnet18", "resnet34")["nearly_twice"]
    assert (claim.verdict, claim.effect, claim.unit, claim.p) == ("supported", 8, "times", pytest.approx(4 / 256))
    assert claim.detail == ("best of 1 architectures is vgg; vgg16_bn: 8.00 times resnet; vgg13_bn: 8.00 times resnet")
    # half as often: 4 images of -0.5 and 4 of -1.5 on each of two targets, p = 2/2^8 by Holm's method for two
    claim = nearly_twice(4, 8, "resnet18")["nearly_twice"]
    assert (claim.effect, claim.sign, claim.p) == (0.5, -1, pytest.approx(2 * 2 / 256))
    claim = nearly_twice(6, 4, "resnet18")["nearly_twice"]  # the multiple is one and a half
    assert (claim.verdict, claim.effect, claim.sign) == ("undecided", 1.5, 0)
    claim = nearly_twice(8, 0, "resnet18")["nearly_twice"]
    assert claim.effect == 16  # none counts as half an image


def test_nearly_twice_takes_the_nearest_of_all_other_architectures() -> None:
    hits = {("vgg13_bn", "igsm", "vgg16_bn"): 8, ("resnet18", "igsm", "vgg16_bn"): 1}
    assert checked(made(hits, {"igsm": IGSM}))["nearly_twice"].effect == 8
    hits["densenet121", "igsm", "vgg16_bn"] = 4
    claim = checked(made(hits, {"igsm": IGSM}))["nearly_twice"]
    assert (claim.effect, claim.comparisons) == (2, 2) and "2.00 times densenet" in claim.detail
    # another architecture that is tried makes p twice as large
    p = claim.p
    hits |= {("resnet34", "igsm", "resnet18"): 4, ("vgg13_bn", "igsm", "resnet18"): 8}
    claim = checked(made(hits, {"igsm": IGSM}))["nearly_twice"]
    assert "best of 2 architectures is vgg" in claim.detail and p is not None
    assert claim.p == pytest.approx(min(1, 2 * p))


def test_nearly_twice_is_of_iterated_attacks_within_and_across_architectures() -> None:
    assert "nearly_twice" not in nearly_twice(8, 1, "resnet18", attack=FGSM)
    assert "nearly_twice" not in nearly_twice(8, 1)


def gains(*counts: int, n: int = 2000) -> Claim | None:
    """The claim of ensembles: so many of n images by sg and plain, from the ensemble, then from the single model."""
    rows = {"sg": {**FGSM, **SMOOTHED}, "plain": FGSM}
    cells = [(source, name) for source in ("resnet18+alexnet", "resnet18") for name in rows]
    hits = {(source, name, "vgg13_bn"): first(count, n) for (source, name), count in zip(cells, counts, strict=True)}
    return checked(made(hits, rows)).get("ensembles_gain_no_less")


def test_ensembles_gain_no_less_than_single_models() -> None:
    equal = gains(1200, 600, 1000, 400)  # both 30 points
    assert equal is not None and (equal.verdict, equal.effect, equal.comparisons) == ("supported", 0, 1)
    assert equal.low is not None and -5 < equal.low < 0 and equal.p is not None and equal.p < 0.05
    assert "ensembles 30.0 to 60.0%, single models 20.0 to 50.0%; margin 5 points" in equal.detail
    few = gains(12, 6, 10, 4, n=20)  # the same rates of 20 images: not shown
    assert few is not None and (few.verdict, few.effect) == ("undecided", 0)
    assert few.low is not None and few.low < -5 and few.p is not None and few.p > 0.05
    assert few.detectable == pytest.approx(1.4294 * (few.high - few.low) / 2 - 5, rel=1e-3)
    less = gains(1200, 600, 1600, 400)
    assert less is not None and (less.verdict, less.effect) == ("contradicted", -30)
    assert less.high is not None and less.high < -5


def test_ensembles_without_room_are_not_tested() -> None:
    none = gains(2000, 1400, 1600, 400)  # 30% are left, and single models gain 60 points
    assert none is not None and none.verdict == "not tested"
    assert none.detail.startswith("plain attacks from ensembles leave 30.0% of images; sg against plain")
    hits = {("resnet18+alexnet", name, "vgg13_bn"): 8 for name in ("sg", "plain")}
    rows = {"sg": {**FGSM, **SMOOTHED}, "plain": FGSM}
    assert "ensembles_gain_no_less" not in checked(made(hits, rows))


def test_sigma_is_best_near_epsilon() -> None:
    """The claim on the best sigma: of 1, 5 and 25 only 5 is near epsilon, 4; p is of twenty images, 2/2^20."""
    none, every = np.zeros(40, bool), np.ones(40, bool)
    names = list(sweeps.Grid.model_validate(SIGMAS).cells("b"))

    def found(*hits: np.ndarray, **changed: Any) -> Claim:
        cells = {("resnet18", name, "vgg13_bn"): hit for name, hit in zip(names, hits, strict=True)}
        return checked(made(cells, {"fgsm": FGSM}, grids={"b": {**SIGMAS, **changed}}))["sigma_near_epsilon"]

    claim = found(none, every, none)
    assert (claim.verdict, claim.effect, claim.p, claim.images) == ("supported", 100, 2 / 2**20, 20)
    assert "sigma = 5, chosen on half of the images, against 1, 25 on the others" in claim.detail
    claim = found(none, none, every)
    assert (claim.verdict, claim.effect, claim.sign) == ("contradicted", -100, -1) and claim.high < 0
    claim = found(none, every, every)  # one that is far is as good
    assert (claim.verdict, claim.effect, claim.p) == ("undecided", 0, 1)
    chosen = np.isin(np.arange(40), split_images(40)[0])
    assert found(none, chosen, none).verdict == "undecided"  # best where it was chosen and nowhere else
    names = list(sweeps.Grid.model_validate({**SIGMAS, "sigma": [4, 5]}).cells("b"))
    assert found(none, every, sigma=[4, 5]).verdict == "not tested"


def test_targeted_attacks_want_larger_steps_than_untargeted_ones() -> None:
    none, every = np.zeros(40, bool), np.ones(40, bool)
    grids = {"a": STEPS, "b": {**STEPS, "attack": {}}}  # T = 5 and 10, step sizes 2, 5, 15; T = 5 does not count

    def found(targeted: int, untargeted: int, only: str = "ab") -> Claim:
        cells = {}
        for name, best in (("a", targeted), ("b", untargeted)):
            attacks = sweeps.Grid.model_validate(grids[name]).cells(name)
            cells |= {
                ("resnet18", attack, "vgg13_bn"): every if row.step_size == best and row.steps == 10 else none
                for attack, row in attacks.items()
                if name in only
            }
        given = {name: grid for name, grid in grids.items() if name in only}
        return checked(made(cells, {"fgsm": FGSM}, grids=given))["targeted_larger_steps"]

    claim = found(15, 2)
    assert (claim.verdict, claim.effect, claim.p) == ("supported", 100, 2 / 2**20)
    assert claim.detail.startswith("best of step sizes 2, 5, 15 are 15 (targeted) and 2, chosen on half of the images")
    claim = found(2, 15)
    assert (claim.verdict, claim.effect, claim.p) == ("contradicted", -100, 2 / 2**20)
    claim = found(5, 5)
    assert (claim.verdict, claim.effect, claim.p) == ("undecided", 0, 1)
    assert (found(15, 2, only="a").verdict, found(15, 2, only="a").p) == ("not tested", None)
