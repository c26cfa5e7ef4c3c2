"""The paper's claims on made answers of eight images: effects and p values worked out by hand.

Where all images that differ do so the same way, k of them, both paired tests give p = 2 / 2^k.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from made_evidence import FGSM, IGSM, MOMENTUM, SAMPLES, SIGMAS, SMOOTHED, STEPS, checked, first, made
from scipy.stats import binomtest, norm

from crossfool.attacks import sweeps
from crossfool.models.families import depth, family
from crossfool.models.weights import registry
from crossfool.report import claim_files
from crossfool.report.claims._lines import split_images
from crossfool.report.paper_claims import COLUMNS, Claim, check_claims, claim_rows
from crossfool.stats import paired_tests


def verdict(claim: Claim) -> tuple[bool, float, float, int]:
    """Whether a claim is supported by its own p, before Holm's method, and its numbers, rounded."""
    assert claim.p is not None and claim.effect is not None
    return claim.sign > 0 and claim.p < 0.05, round(claim.effect, 9), round(claim.p, 9), claim.comparisons


# --- tests ------------------------------------------------------------------------------------------


def test_mcnemar_is_the_binomial_of_the_images_that_differ() -> None:
    # 5 one way, 1 the other: 2 (C(6,0) + C(6,1)) / 2^6
    a, b = np.array([1, 1, 1, 1, 1, 0, 1, 0], bool), np.array([0, 0, 0, 0, 0, 1, 1, 0], bool)
    assert paired_tests.mcnemar_p(a, b) == pytest.approx(14 / 64)
    assert paired_tests.mcnemar_p(b, a) == pytest.approx(14 / 64)
    assert paired_tests.mcnemar_p(a, a) == 1


@pytest.mark.parametrize("n", [1, 4, 10])
def test_the_paired_test_enumerates_all_signs(n: int) -> None:
    difference = np.random.default_rng(n).normal(0.5, 1, n)
    sums = np.array(list(itertools.product([-1, 1], repeat=n))) @ difference
    tails = [(sums >= difference.sum() - 1e-9).mean(), (sums <= difference.sum() + 1e-9).mean()]
    assert paired_tests.sign_flip_p(difference) == pytest.approx(min(1, 2 * min(tails)))
    assert paired_tests.sign_flip_p(np.append(difference, [0, 0])) == pytest.approx(
        paired_tests.sign_flip_p(difference)
    )


def test_the_paired_test_of_many_images_draws_the_same_signs_each_time() -> None:
    difference = np.random.default_rng(0).integers(-2, 3, 300) / 2
    assert paired_tests.sign_flip_p(difference) == paired_tests.sign_flip_p(difference) > 0.05
    assert paired_tests.sign_flip_p(difference + 1) == 2 / 10_000  # the least that 9,999 draws can say
    assert paired_tests.sign_flip_p(np.zeros(5)) == 1


@pytest.mark.parametrize("seed", range(6))
def test_whole_numbers_are_flipped_exactly(seed: int) -> None:
    """Against all sign choices by name, and scipy's permutation test of the same statistic."""
    difference = np.random.default_rng(seed).integers(-3, 4, 11)
    sums = np.array(list(itertools.product([-1, 1], repeat=11))) @ difference
    assert paired_tests.exact_sign_flip_p(difference) == pytest.approx((abs(sums) >= abs(difference.sum())).mean())
    assert paired_tests.exact_sign_flip_p(difference) == pytest.approx(paired_tests.sign_flip_p(difference / 3))
    assert paired_tests.exact_sign_flip_p(-difference) == paired_tests.exact_sign_flip_p(difference)


def test_many_whole_numbers_are_flipped_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(2)
    difference = draw.choice([-2, -1, 0, 1, 2], 900, p=[0.1, 0.2, 0.35, 0.22, 0.13])
    flips = np.abs(draw.choice([-1, 1], (20_000, 900)) @ difference)
    found = paired_tests.exact_sign_flip_p(difference)
    assert found == pytest.approx((flips >= abs(difference.sum())).mean(), abs=0.01) and 0.01 < found < 0.2
    # one size is a binomial, however small its tail
    assert paired_tests.exact_sign_flip_p(np.full(500, 3)) == pytest.approx(2 * 0.5**500, rel=1e-9)
    assert paired_tests.exact_sign_flip_p(np.zeros(5, int)) == paired_tests.exact_sign_flip_p(np.array([0, 4])) == 1
    assert (
        paired_tests.exact_sign_flip_p(np.full(3000, 1)) == 2.0**-1022
    )  # 2^-2999 is none of a float's, and 0 is no chance
    monkeypatch.setattr(paired_tests, "MAX_ADDITIONS", 0)
    assert paired_tests.exact_sign_flip_p(difference) == pytest.approx(found, abs=1e-12)
    assert paired_tests.exact_sign_flip_p(np.zeros(5, int)) == 1
    assert paired_tests.exact_sign_flip_p(np.full(500, 3)) == 1e-12  # none is surer than the transform is exact


def test_a_whole_validation_set_is_flipped_exactly() -> None:
    """One size is a binomial, by scipy; several are near a normal distribution whose sums are 2 apart."""
    difference = np.repeat([2, -2, 0], [24_700, 24_300, 1_000])
    assert paired_tests.exact_sign_flip_p(difference) == pytest.approx(binomtest(24_700, 49_000).pvalue, abs=1e-11)
    draw = np.random.default_rng(4)
    some = draw.integers(-6, 7, 50_000) + (draw.random(50_000) < 0.03)
    normal = 2 * norm.sf((abs(some.sum()) - 1) / np.sqrt((some**2).sum()))
    assert paired_tests.exact_sign_flip_p(some) == pytest.approx(normal, abs=1e-5) and 0.001 < normal < 0.5


def test_a_contrast_of_cells_is_flipped_exactly() -> None:
    draw = np.random.default_rng(3)
    pairs = [(draw.random(40) < 0.6, draw.random(40) < 0.4) for _ in range(3)]
    total = np.sum([a.astype(int) - b for a, b in pairs], 0)
    assert paired_tests.compare_pairs(pairs).p == paired_tests.exact_sign_flip_p(total) < 0.05
    some = [np.arange(40) < count for count in (40, 30, 20)]  # images count differently often: no whole numbers
    mean = np.sum([np.where(mask, a.astype(float) - b, 0) for (a, b), mask in zip(pairs, some, strict=True)], 0)
    assert paired_tests.compare_pairs(pairs, some).p == paired_tests.sign_flip_p(mean / np.sum(some, 0))


def test_holm_by_hand() -> None:
    assert paired_tests.holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert paired_tests.holm_adjusted([0.5, 0.9]) == [1.0, 1.0]
    assert paired_tests.holm_adjusted([0.2]) == [0.2]


def test_ranks_are_permuted_exactly() -> None:
    # of the 3! and 5! orders one is as extreme in each tail
    assert paired_tests.rank_permutation_p(np.array([1.0, 2, 5]), np.array([9.0, 4, 3])) == pytest.approx(2 / 6)
    assert paired_tests.rank_permutation_p(np.arange(5.0), np.arange(5.0) ** 2) == pytest.approx(2 / 120)
    assert paired_tests.spearman_rho([1, 2, 3], [9, 4, 5]) == pytest.approx(-0.5)
    assert paired_tests.spearman_rho([1, 1, 1], [9, 4, 5]) is None


def test_a_contrast_averages_pairs_within_an_image() -> None:
    # images: +1 and 0, +1 and -1, 0 and 0: means 1/2, 0, 0
    a, b = np.array([1, 1, 0], bool), np.array([0, 0, 0], bool)
    c, d = np.array([1, 0, 0], bool), np.array([1, 1, 0], bool)
    found = paired_tests.compare_pairs([(a, b), (c, d)])
    assert (found.points, found.p, found.ahead) == (pytest.approx(100 / 6), 1.0, 1)
    assert (found.comparisons, found.images) == (2, 3)


def test_a_contrast_leaves_out_images_that_a_pair_does_not_count() -> None:
    # first image: +1 by the first pair alone; second: +1 and -1; third by no pair
    a, b = np.array([1, 1, 1], bool), np.array([0, 0, 0], bool)
    counted = [np.array([1, 1, 0], bool), np.array([0, 1, 0], bool)]
    found = paired_tests.compare_pairs([(a, b), (b, a)], counted)
    assert (found.points, found.images, found.ahead) == (50, 2, 1)
    alone = paired_tests.compare_pairs([(a, b)], counted[:1])
    assert (alone.points, alone.images, alone.p) == (100, 2, 0.5)


# --- names ------------------------------------------------------------------------------------------

NAMED = {
    "resnet18": ("resnet", 18),
    "resnet20": ("resnet", 20),
    "timm_resnet18": ("resnet", 18),
    "timm_resnetv2_50": ("resnet", 50),
    "wide_resnet50_2": ("wide_resnet", 50),
    "resnext50_32x4d": ("resnext", 50),
    "vgg19_bn": ("vgg", 19),
    "densenet121": ("densenet", 121),
    "densenet": ("densenet", None),
    "fnn0": ("fnn", 0),
    "fnn8": ("fnn", 8),
    "lenet": ("lenet", None),
    "alexnet": ("alexnet", None),
    "squeezenet1_0": ("squeezenet", None),
    "mnasnet0_75": ("mnasnet", None),
    "mobilenet_v3_large": ("mobilenet", None),
    "timm_mobilenetv3_small_050": ("mobilenet", None),
    "regnet_y_1_6gf": ("regnet", None),
    "efficientnet_b0": ("efficientnet", None),
    "efficientnet_lite0": ("efficientnet_lite", None),
    "timm_tf_efficientnet_lite1": ("efficientnet_lite", None),
    "vit_b_16": ("vit", None),
    "timm_vit_base_patch16_224": ("vit", None),
    "swin_v2_t": ("swin", None),
}


@pytest.mark.parametrize("model", NAMED)
def test_family_and_depth(model: str) -> None:
    assert (family(model), depth(model)) == NAMED[model]


def test_only_layered_families_of_the_zoo_have_a_depth() -> None:
    layered = {"resnet", "wide_resnet", "resnext", "vgg", "densenet", "fnn"}
    for model in registry.all_specs():
        assert (depth(model) is not None) == (family(model) in layered and model != "densenet"), model
        assert model.startswith(family(model))


# --- models -----------------------------------------------------------------------------------------


def test_asymmetry() -> None:
    # fgsm 8 against 0: p = 2/2^8, doubled by Holm; igsm on the same 4 images both ways
    hits = {
        ("resnet18", "fgsm", "vgg13_bn"): 8,
        ("vgg13_bn", "fgsm", "resnet18"): 0,
        ("resnet18", "igsm", "vgg13_bn"): 4,
        ("vgg13_bn", "igsm", "resnet18"): 4,
        ("resnet18", "far", "vgg13_bn"): 8,
        ("vgg13_bn", "far", "resnet18"): 0,
    }
    attacks = {"fgsm": FGSM, "igsm": IGSM, "far": {**FGSM, "objective": "targeted"}}
    claim = checked(made(hits, attacks))["asymmetry"]
    assert verdict(claim) == (True, 50, 4 / 256, 2)
    assert "1 of 2 pairs differ" in claim.detail
    assert "fgsm from resnet18 to vgg13_bn 100.0%, back 0.0%" in claim.detail
    assert (claim.unit, claim.images, claim.section) == ("points", 8, "section 5.1, table 1")

    hits["resnet18", "fgsm", "vgg13_bn"] = 4  # p = 2/2^4, doubled
    claim = checked(made(hits, attacks))["asymmetry"]
    assert verdict(claim) == (False, 25, 0.25, 2)
    assert "0 of 2 pairs differ" in claim.detail


def test_asymmetry_needs_both_ways() -> None:
    one = {("resnet18", "fgsm", "vgg13_bn"): 8, ("resnet18", "fgsm", "resnet18"): 8}
    assert check_claims(made(one, {"fgsm": FGSM})) == []
    ensemble = {("resnet18+alexnet", "fgsm", "vgg13_bn"): 8, ("vgg13_bn", "fgsm", "resnet18"): 0}
    assert "asymmetry" not in checked(made(ensemble, {"fgsm": FGSM}))


FAMILIES = ("resnet18", "resnet34", "vgg13_bn", "vgg16_bn", "densenet121", "densenet161")


def families(near: int, far: int) -> dict[tuple[str, str, str], int]:
    """Hits of six models of three families on one another: within a family, and between."""
    return {
        (source, "fgsm", target): near if family(source) == family(target) else far
        for source, target in itertools.permutations(FAMILIES, 2)
    }


def test_same_family_is_claimed_of_every_target() -> None:
    """Sources are compared for one target; the unit is the target, of which there are six: p = 2/2^6."""
    claim = checked(made(families(8, 2), {"fgsm": FGSM}))["same_family"]
    assert verdict(claim) == (True, 75, 2 / 64, 6) and (claim.units, claim.count) == ("targets", 6)
    assert claim.detail == "own family ahead in 6 of 6 targets and attacks" and claim.smallest_p == 2 / 64

    hits = families(8, 2)
    hits["vgg13_bn", "fgsm", "resnet18"] = 8  # as often as resnet34: always is not true
    claim = checked(made(hits, {"fgsm": FGSM}))["same_family"]
    assert claim.verdict == "undecided" and claim.effect == pytest.approx((75 * 5 + 56.25) / 6)
    assert "in 5 of 6" in claim.detail and "fgsm on resnet18: vgg13_bn 100.0%, resnet34 100.0%" in claim.detail

    assert verdict(checked(made(families(2, 8), {"fgsm": FGSM}))["same_family"]) == (False, -75, 2 / 64, 6)


def test_same_family_of_one_target_is_not_tested() -> None:
    hits = {("resnet18", "fgsm", "resnet34"): 8, ("vgg13_bn", "fgsm", "resnet34"): 0}
    claim = checked(made(hits, {"fgsm": FGSM}))["same_family"]
    assert (claim.verdict, claim.p, claim.effect) == ("not tested", None, 100)
    assert claim.detail.startswith("k = 1 target network")


def test_depth_of_one_network_a_depth_is_not_tested() -> None:
    """p over images was 2e-308 where another seed of training moved a cell by 11 points."""
    hits = {
        ("resnet18", "fgsm", "vgg13_bn"): 8,
        ("resnet34", "fgsm", "vgg13_bn"): 0,
        ("resnet18", "fgsm", "resnet34"): 8,
        ("resnet34", "fgsm", "resnet18"): 0,
    }
    claim = checked(made(hits, {"fgsm": FGSM}))["depth"]
    assert (claim.verdict, claim.p, claim.p_holm, round(claim.effect or 0, 9)) == ("not tested", None, None, -1)
    assert claim.detail.startswith("k = 1 network a depth, at least 2 are needed; attacks fgsm; ")
    assert "resnet18 +50.0, resnet34 -50.0" in claim.detail


DEEP = [f"{library}resnet{layers}" for layers in (18, 34, 50, 101) for library in ("", "timm_")]


@pytest.mark.parametrize(("order", "expected"), [(1, "supported"), (-1, "contradicted")])
def test_depth_is_a_test_over_networks(order: int, expected: str) -> None:
    hits = {(source, "fgsm", "vgg13_bn"): place // 2 * 2 + 1 for place, source in enumerate(DEEP[::-order])}
    claim = checked(made(hits, {"fgsm": FGSM}))["depth"]
    assert (claim.verdict, claim.units, claim.count) == (expected, "networks", 8)
    assert claim.effect == pytest.approx(-order) and claim.p is not None and claim.p < 0.01
    few = {key: count for key, count in hits.items() if depth(key[0]) in (18, 34)}
    claim = checked(made(few, {"fgsm": FGSM}))["depth"]
    assert claim.verdict == "undecided" and claim.p == claim.smallest_p == pytest.approx(
        1 / 3
    )  # 2 of 4!/(2! 2!) orders


SHALLOW, DEEPER, DEEPEST = ([name, f"{name}_seed1", f"{name}_seed2"] for name in ("fnn0", "fnn4", "fnn8"))


@pytest.mark.parametrize(("order", "expected"), [(1, "supported"), (-1, "contradicted")])
def test_depth_over_networks_of_several_seeds(order: int, expected: str) -> None:
    """Networks of one depth are no targets of one another: were they, the shallow ones' 8 of 8 would turn the sign."""
    groups = [SHALLOW, DEEPER, DEEPEST]
    hits = {}
    for place, sources in enumerate(groups[::order]):
        for source, (other, targets) in itertools.product(sources, enumerate(groups[::order])):
            for target in targets:
                alike = 8 * place // 2  # the deeper, the more alike
                hits[source, "fgsm", target] = alike if place == other else 6 - 2 * place
    evidence = made(hits, {"fgsm": FGSM})
    claim = checked(evidence)["depth"]
    assert (claim.verdict, claim.units, claim.count) == (expected, "networks", 9)
    assert claim.p is not None and claim.p < 0.05 and (claim.effect or 0) * order < 0
    # 6, 4 and 2 of 8 on targets of other depths, whose means are 37.5, 50 and 62.5%: 75 less 50, 75 less 62.5, ...
    shown = ["depth 0 +18.8", "depth 4 +0.0", "depth 8 -18.8"][::order]
    for text, name in zip(shown, ("depth 0", "depth 4", "depth 8"), strict=True):
        assert f"{name} {text.rpartition(' ')[2]} (3 networks, deviation 0.0)" in claim.detail


def test_depth_is_not_tested_on_two_depths_that_attack_one_another_alone() -> None:
    """A target would have sources of one depth, and nothing to compare them with."""
    pairs = itertools.product([*SHALLOW, *DEEPEST], repeat=2)
    hits = {(source, "fgsm", target): 8 if source in SHALLOW else 2 for source, target in pairs}
    assert "depth" not in checked(made(hits, {"fgsm": FGSM}))


def test_depth_needs_two_depths_of_one_family() -> None:
    hits = {(source, "fgsm", "alexnet"): 8 for source in ("resnet18", "timm_resnet18", "vgg13_bn", "squeezenet1_0")}
    assert "depth" not in checked(made(hits, {"fgsm": FGSM}))


CLEAN = {"resnet18": (90, 5), "resnet34": (80, 4), "densenet121": (70, 3), "alexnet": (60, 2), "squeezenet1_0": (50, 1)}


SCATTER = ("resnet18", "resnet34", "resnet50", "densenet121", "densenet161", "alexnet", "squeezenet1_0")


def scattered(
    error: float, size: float, n: int = 7
) -> tuple[dict[tuple[str, str, str], int], dict[str, tuple[float, int]]]:
    """Hits that rise by so much with error and size, which are not rank-correlated with one another over 7 sources."""
    errors, sizes = (3, 4, 5, 1, 7, 2, 6), (4, 1, 6, 5, 5, 3, 2)
    clean = {name: (90.0 - e, 2**s) for name, e, s in zip(SCATTER[:n], errors, sizes, strict=False)}
    values = [error * e + size * s for e, s in zip(errors[:n], sizes, strict=False)]
    ranks = [sorted(set(values)).index(value) for value in values]
    return {(source, "fgsm", "vgg19_bn"): rank + 1 for source, rank in zip(SCATTER, ranks, strict=False)}, clean


def test_accuracy_and_capacity_are_tested_with_the_other_held_fixed() -> None:
    """Success falls with the error alone: of the 7! orders of residuals, one pair is as extreme."""
    hits, clean = scattered(-1, 0)
    claims = checked(made(hits, {"fgsm": FGSM}, clean=clean, scatter=["fgsm"]))
    assert claims["accuracy"].verdict == "supported" and claims["accuracy"].effect == pytest.approx(-1)
    assert claims["accuracy"].p == pytest.approx(2 / 5040, rel=1.01)
    assert (claims["accuracy"].units, claims["accuracy"].count) == ("sources", 7)
    assert claims["capacity"].verdict in ("undecided", "not tested")

    # where success is the size's alone, an error that goes with size is not to blame for it
    hits, _ = scattered(0, -1)
    clean = {source: (90.0 - size - 0.1 * (place % 3), 2**size) for place, (source, (_, size)) in enumerate(
        (name, (0, int(np.log2(count)))) for name, (_, count) in scattered(0, -1)[1].items())}  # fmt: skip
    claims = checked(made(hits, {"fgsm": FGSM}, clean=clean, scatter=["fgsm"]))
    assert claims["capacity"].verdict == "supported"
    assert claims["accuracy"].verdict != "supported"


def test_sources_of_the_targets_family_and_few_or_equal_ones() -> None:
    hits, clean = scattered(1, 0)
    claims = checked(made(hits, {"fgsm": FGSM}, clean=clean, scatter=["fgsm"]))
    assert claims["accuracy"].verdict == "contradicted" and "rho +1.000, 7 sources" in claims["accuracy"].detail
    hits["vgg13_bn", "fgsm", "vgg19_bn"] = 8  # the target's own family
    claims = checked(made(hits, {"fgsm": FGSM}, clean={**clean, "vgg13_bn": (10, 1)}, scatter=["fgsm"]))
    assert claims["accuracy"].count == 7
    equal = dict.fromkeys(hits, 7)
    for some, count in ((equal, 8), ({key: hits[key] for key in list(hits)[:3]}, 3)):
        shown = {**clean, "vgg13_bn": (10, 1)}
        found = checked(made(some, {"fgsm": FGSM}, clean=shown, scatter=["fgsm"], same_family=True))
        assert {found[name].verdict for name in ("accuracy", "capacity")} == {"not tested"}, count
    two_sources = {key: hits[key] for key in list(hits)[:2]}
    assert (
        not {"accuracy", "capacity"} & checked(made(two_sources, {"fgsm": FGSM}, clean=clean, scatter=["fgsm"])).keys()
    )


# --- smoothed gradients -----------------------------------------------------------------------------


def two(
    smoothed: Mapping[str, Any], plain: Mapping[str, Any], ours: int, theirs: int, source: str = "resnet18"
) -> dict[str, Claim]:
    """Claims of a smoothed and a plain attack on one black-box cell, and a white-box cell that says the opposite."""
    member = source.split("+")[0]
    hits = {
        (source, "sg", "vgg13_bn"): ours,
        (source, "plain", "vgg13_bn"): theirs,
        (source, "sg", member): 0,
        (source, "plain", member): 8,
    }
    return checked(made(hits, {"sg": smoothed, "plain": plain}))


def test_smoothing_at_equal_cost() -> None:
    sg, plain = {**IGSM, **SMOOTHED}, {**IGSM, "steps": 10, "step_size": 2.5}  # 5 steps of 2 samples; 10 steps
    claims = two(sg, plain, 7, 1)
    assert list(claims) == ["smoothing_equal_cost"]
    assert verdict(claims["smoothing_equal_cost"]) == (True, 75, 2 / 64, 1)
    detail = "sg (10 gradients an image) against plain (10); ahead in 1 of 1 cells"
    assert claims["smoothing_equal_cost"].detail == detail
    assert verdict(two(sg, plain, 4, 1)["smoothing_equal_cost"]) == (False, 37.5, 0.25, 1)
    assert verdict(two(sg, plain, 1, 7)["smoothing_equal_cost"]) == (False, -75, 2 / 64, 1)


def test_smoothing_in_equal_steps() -> None:
    claims = two({**FGSM, **SMOOTHED}, FGSM, 7, 1)
    assert list(claims) == ["smoothing_equal_steps"]
    assert verdict(claims["smoothing_equal_steps"]) == (True, 75, 2 / 64, 1)
    assert verdict(two({**FGSM, **SMOOTHED}, FGSM, 1, 3)["smoothing_equal_steps"]) == (False, -25, 0.5, 1)


def test_smoothing_of_other_steps_and_cost() -> None:
    sg, plain = {**IGSM, **SMOOTHED}, {**IGSM, "step_size": 10}
    claims = two(sg, plain, 7, 1)
    assert list(claims) == ["smoothing"]
    assert verdict(claims["smoothing"]) == (True, 75, 2 / 64, 1)
    assert "sg (10 gradients an image) against plain (5)" in claims["smoothing"].detail
    assert two(sg, plain, 2, 1)["smoothing"].verdict != "supported"
    for other in ({"epsilon": 5}, {"objective": "targeted"}, MOMENTUM):
        assert not two(sg, {**plain, **other}, 7, 1)


def test_attacks_in_l2_test_no_claim() -> None:
    in_l2 = {"norm": "l2"}
    assert two({**FGSM, **SMOOTHED}, FGSM, 4, 1)
    assert not two({**FGSM, **SMOOTHED, **in_l2}, {**FGSM, **in_l2}, 4, 1)
    pair = (("resnet18", "vgg13_bn"), ("vgg13_bn", "resnet18"))
    hits = {(a, attack, b): 8 - 4 * (a == "vgg13_bn") for a, b in pair for attack in ("fgsm", "fgm")}
    both = made(hits, {"fgsm": FGSM, "fgm": {**FGSM, **in_l2}}, scatter=["fgsm", "fgm"])
    assert checked(both)["asymmetry"].comparisons == 1
    assert "asymmetry" not in checked(made(hits, {name: {**FGSM, **in_l2} for name in ("fgsm", "fgm")}))
    hits, clean = scattered(-1, 0)
    hits |= {(source, "fgm", target): 0 for source, _, target in hits}
    attacks = {"fgsm": FGSM, "fgm": {**FGSM, **in_l2}}
    claims = checked(made(hits, attacks, clean=clean, scatter=["fgsm", "fgm"]))
    assert claims["accuracy"].effect == pytest.approx(-1) and claims["accuracy"].comparisons == 1


def test_later_attacks_are_no_counterparts() -> None:
    for more in ({"diversity": 0.5}, {"kernel": 7}, {"noise": "latin"}):
        assert not two({**FGSM, **SMOOTHED, **more}, FGSM, 4, 1)
    assert not two({**FGSM, **SMOOTHED}, {**FGSM, "kernel": 7}, 4, 1)


def test_counterparts_of_other_steps_are_not_compared_where_there_are_better_ones() -> None:
    hits = {("resnet18", attack, "vgg13_bn"): count for attack, count in (("sg", 8), ("igsm", 1), ("fgsm", 0))}
    claims = checked(
        made(hits, {"sg": {**IGSM, **SMOOTHED}, "igsm": IGSM, "fgsm": {**FGSM, "epsilon": 15, "step_size": 15}})
    )
    assert list(claims) == ["smoothing_equal_steps"]
    assert verdict(claims["smoothing_equal_steps"]) == (True, 87.5, 2 / 128, 1)


def test_smoothing_pools_cells_within_an_image() -> None:
    # 6 against 0 on one target and 0 against 2 on another: an image's mean is 0 (2 images), 1/2 (4), 0 (2)
    hits = {
        ("resnet18", "sg", "vgg13_bn"): 6,
        ("resnet18", "plain", "vgg13_bn"): 0,
        ("resnet18", "sg", "alexnet"): 0,
        ("resnet18", "plain", "alexnet"): 2,
    }
    claim = checked(made(hits, {"sg": {**FGSM, **SMOOTHED}, "plain": FGSM}))["smoothing_equal_steps"]
    assert verdict(claim) == (False, 25, 2 / 16, 2)
    assert claim.detail.endswith("ahead in 1 of 2 cells")


def test_targeted_attacks_count_the_first_five_answers() -> None:
    hits = {("resnet18", "sg", "vgg13_bn"): 0, ("resnet18", "plain", "vgg13_bn"): 8}
    hits5 = {("resnet18", "sg", "vgg13_bn"): 8, ("resnet18", "plain", "vgg13_bn"): 0}
    targeted = {**FGSM, "objective": "targeted"}
    claims = checked(made(hits, {"sg": {**targeted, **SMOOTHED}, "plain": targeted}, hits5=hits5))
    assert verdict(claims["smoothing_equal_steps_targeted"]) == (True, 100, 2 / 256, 1)
    assert claims["smoothing_equal_steps_targeted"].statement.endswith("in the same steps (targeted attacks, top-5).")


def test_untargeted_and_targeted_attacks_are_not_pooled() -> None:
    """The one by top-1 supports it; the other, by top-5, contradicts it."""
    rows = {"sg": {**FGSM, **SMOOTHED}, "plain": FGSM}
    rows |= {f"{name}_far": {**row, "objective": "targeted"} for name, row in rows.items()}
    hits = {("resnet18", name, "vgg13_bn"): 8 * name.startswith("sg") for name in rows}
    hits5 = {("resnet18", name, "vgg13_bn"): 8 * name.startswith("plain") for name in rows}
    claims = checked(made(hits, rows, hits5=hits5))
    assert list(claims) == ["smoothing_equal_steps", "smoothing_equal_steps_targeted", "targeted_top1"]
    assert [(claim.verdict, claim.effect) for claim in list(claims.values())[:2]] == [
        ("supported", 100),
        ("contradicted", -100),
    ]


DEPARTING = {
    "one noisy gradient": ({**FGSM, **SMOOTHED, "samples": 1}, FGSM, "sg: m = 1, of one noisy gradient"),
    "sigma of another epsilon": (
        {**IGSM, **SMOOTHED, "sigma": 4}, IGSM, "sg: σ/ε = 0.267, in the paper 0.75, 1"
    ),
    "sigma of one step": ({**FGSM, **SMOOTHED, "sigma": 2}, FGSM, "sg: σ/ε = 0.5, in the paper 0.6 or more"),
    "steps that end at epsilon": (
        {**IGSM, **SMOOTHED, "step_size": 3}, {**IGSM, "step_size": 3}, "plain: αT/ε = 1, in the paper 1.67,"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DEPARTING)
def test_rows_that_do_not_instantiate_a_claim_do_not_test_it(case: str) -> None:
    """`noise` compared one noisy gradient with FGSM, `modern` took σ = 15 at ε = 4: published as "does not hold"."""
    smoothed, plain, reason = DEPARTING[case]
    claims = two(smoothed, plain, 1, 7).values()
    assert len(claims) == 1 + (case == "one noisy gradient")  # which has equal cost and equal steps
    for claim in claims:
        assert (claim.verdict, claim.effect, claim.p) == ("not tested", None, None)
        assert claim.detail.startswith("rows depart from the paper's: ") and reason in claim.detail


def test_the_papers_own_rows_instantiate_its_claims() -> None:
    from crossfool.attacks.config import Attack
    from crossfool.report.claims._instances import departure
    from crossfool.report.reported.published_rates import csv_rows

    numbers = ("epsilon", "steps", "step_size", "samples", "sigma", "decay")
    for row in csv_rows("paper_attacks.csv"):
        if row["step_size"] == "*":  # figure 5 does not say
            continue
        values = {key: float(row[key]) if key in numbers else row[key] for key in (
            *numbers, "gradient", "update", "objective") if row[key]}  # fmt: skip
        values |= {key: int(values[key]) for key in ("steps", "samples") if key in values}
        assert departure(Attack.model_validate(values)) == "", row


def test_momentum() -> None:
    attacks = {
        "migsm": {**IGSM, **MOMENTUM},
        "sg_igsm": {**IGSM, **SMOOTHED},
        "sg_migsm": {**IGSM, **SMOOTHED, **MOMENTUM},
    }
    hits = {("resnet18", attack, "vgg13_bn"): n for attack, n in (("migsm", 1), ("sg_igsm", 4), ("sg_migsm", 8))}
    claims = checked(made(hits, attacks))
    assert list(claims) == ["smoothing_equal_steps", "smoothing_momentum", "smoothing_beats_momentum"]
    assert verdict(claims["smoothing_momentum"]) == (True, 87.5, 2 / 128, 1)
    assert verdict(claims["smoothing_beats_momentum"]) == (False, 37.5, 0.25, 1)

    hits |= {("resnet18", "sg_igsm", "vgg13_bn"): 7, ("resnet18", "sg_migsm", "vgg13_bn"): 0}
    claims = checked(made(hits, attacks))
    assert verdict(claims["smoothing_momentum"]) == (False, -12.5, 1, 1)
    assert verdict(claims["smoothing_beats_momentum"]) == (True, 75, 2 / 64, 1)


def test_ensembles() -> None:
    claims = two({**FGSM, **SMOOTHED}, FGSM, 7, 1, "resnet18+alexnet")
    assert list(claims) == ["smoothing_equal_steps", "smoothing_ensembles"]
    assert verdict(claims["smoothing_ensembles"]) == (True, 75, 2 / 64, 1)
    claims = two({**IGSM, **SMOOTHED}, {**IGSM, "step_size": 10}, 1, 2, "resnet18+alexnet")
    assert list(claims) == ["smoothing", "smoothing_ensembles"]
    assert verdict(claims["smoothing_ensembles"]) == (False, -12.5, 1, 1)


def test_ensembles_leave_out_single_models() -> None:
    hits = {
        ("resnet18+alexnet", "sg", "vgg13_bn"): 4,
        ("resnet18+alexnet", "plain", "vgg13_bn"): 4,
        ("resnet18", "sg", "vgg13_bn"): 8,
        ("resnet18", "plain", "vgg13_bn"): 0,
    }
    claims = checked(made(hits, {"sg": {**FGSM, **SMOOTHED}, "plain": FGSM}))
    assert verdict(claims["smoothing_ensembles"]) == (False, 0, 1, 1)
    assert claims["smoothing_equal_steps"].effect == 50


CELL = ("resnet18", "vgg13_bn")


def transformed(smoothed: Sequence[int], plain: Sequence[int], **more: Any) -> Claim | None:
    """Of a smoothed attack that fools on 7 images and a plain one on 8, what each level of blur undoes."""
    rows = {"sg": {**FGSM, **SMOOTHED, **more}, "plain": {**FGSM, **more}}
    destroyed = {("resnet18", "sg", "vgg13_bn", "blur", float(level)): n for level, n in enumerate(smoothed)}
    destroyed |= {("resnet18", "plain", "vgg13_bn", "blur", float(level)): n for level, n in enumerate(plain)}
    hits = {("resnet18", "sg", "vgg13_bn"): 7, ("resnet18", "plain", "vgg13_bn"): 8}
    return checked(made(hits, rows, destroyed=destroyed)).get("survives_transforms")


def test_survival_of_transforms() -> None:
    one = transformed([1], [8])  # of the 7 that both fool with, 1 and 7 are undone
    assert one is not None and one.images == 7
    assert verdict(one) == (True, round(600 / 7, 9), 2 / 64, 1)

    several = transformed([0, 6], [7, 6])  # an image's mean over the levels is 1/2
    assert several is not None
    assert verdict(several) == (True, 50, 2 / 128, 2)
    assert several.detail == "sg against plain; ahead in 1 of 2 cells, transforms and levels"

    worse = transformed([7], [0])
    assert worse is not None
    assert verdict(worse) == (False, -100, 2 / 128, 1)


def test_survival_of_transforms_is_of_untargeted_attacks_that_were_transformed() -> None:
    assert transformed([], []) is None
    assert transformed([0], []) is None
    assert transformed([0], [7], objective="targeted") is None


# --- grids ------------------------------------------------------------------------------------------


def swept(name: str, grid: Mapping[str, Any], counts: Sequence[int], **more: Any) -> dict[str, Claim]:
    """Claims of a grid's cells on one target, in the order of their names; fgsm is there for form."""
    values = sweeps.Grid.model_validate(grid)
    attacks = list(values.cells(name))
    hits = {("resnet18", attack, "vgg13_bn"): n for attack, n in zip(attacks, counts, strict=True)}
    return checked(made(hits, {"fgsm": FGSM}, grids={name: grid}, **more))


def test_more_samples_and_every_epsilon() -> None:
    # epsilon 4: 0, 2, 8 of m = 0, 2, 4; epsilon 8: 1, 2, 6
    # m = 4 against 2: an image's mean is 0 (2 images), 1 (4), 1/2 (2); against 0: 1/2, 1 (5), 1/2 (2)
    claims = swept("a", SAMPLES, [0, 2, 8, 1, 2, 6])
    assert list(claims) == ["smoothing_every_epsilon", "more_samples"]
    assert verdict(claims["more_samples"]) == (True, 62.5, 2 / 64, 2)
    assert claims["more_samples"].detail == "m = 4 against 2; ahead in 2 of 2 cells"
    every = claims["smoothing_every_epsilon"]  # at epsilon 8 five images are won, p = 2/2^5, and it has to hold at each
    assert verdict(every) == (False, 62.5, 2 / 32, 2)
    assert every.detail == (
        "m = 4 against the plain gradient; ahead in 2 of 2 epsilons, in 1 significantly; "
        "epsilon 8 +62.5 (p 0.062); epsilon 4 +100 (p 0.0078)"
    )
    assert every.low is not None and every.low <= 0 < every.high and every.smallest_p == 2 / 128
    assert verdict(swept("a", SAMPLES, [0, 2, 8, 1, 2, 7])["smoothing_every_epsilon"]) == (True, 75, 2 / 64, 2)


def test_fewer_samples_and_an_epsilon_where_plain_is_better() -> None:
    # m = 4 against 2: +1 of 8 and -1 of 8; against 0: 8 images at epsilon 4, but one fewer at 8
    claims = swept("a", SAMPLES, [0, 7, 8, 2, 2, 1])
    assert verdict(claims["more_samples"]) == (False, 0, 1, 2)
    every = claims["smoothing_every_epsilon"]
    # over all epsilons it is better by 43.75 points, p < 0.05; at one it is worse, by one image
    assert (every.verdict, every.effect, every.p, every.sign) == ("undecided", -12.5, 1, -1)
    assert "ahead in 1 of 2 epsilons" in every.detail and "epsilon 8 -12.5 (p 1)" in every.detail
    # eight images lost at one epsilon, by Holm's method for two: it does not hold at every epsilon
    every = swept("a", SAMPLES, [0, 7, 8, 8, 8, 0])["smoothing_every_epsilon"]
    assert (every.verdict, every.effect, every.p) == ("contradicted", -100, 2 * 2 / 256)
    assert every.high is not None and every.high < 0


def test_a_single_m_is_no_claim_of_more_samples() -> None:
    claims = swept("b", {**SAMPLES, "samples": [0, 4]}, [0, 8, 0, 8])
    assert list(claims) == ["smoothing_every_epsilon"]
    claims = swept("b", {**SAMPLES, "samples": [2, 4]}, [0, 8, 0, 8])
    assert list(claims) == ["more_samples"]


def test_an_inner_sigma_is_chosen_on_half_of_the_images_and_tested_on_the_others() -> None:
    chosen_on, tested_on = split_images(40)
    assert sorted([*chosen_on, *tested_on]) == list(range(40)) and len(chosen_on) == len(tested_on) == 20
    names = list(sweeps.Grid.model_validate({**SIGMAS, "sigma": [1, 5, 9, 25]}).cells("b"))

    def found(inner: np.ndarray, other: np.ndarray, ends: np.ndarray) -> Claim:
        hits = dict(zip(names, (ends, inner, other, ends), strict=True))
        grid = {**SIGMAS, "sigma": [1, 5, 9, 25]}
        cells = {("resnet18", name, "vgg13_bn"): hit for name, hit in hits.items()}
        return checked(made(cells, {"fgsm": FGSM}, grids={"b": grid}))["sigma_optimum"]

    nothing, chosen = np.zeros(40, bool), np.isin(np.arange(40), chosen_on)
    # best where it was chosen and nowhere else: the choice alone is no evidence
    claim = found(chosen, nothing, nothing)
    assert (claim.verdict, claim.effect, claim.images) == ("undecided", 0, 20)
    assert "best inner sigma of 1, 5, 9, 25 is 5, chosen on 20 images and tested on 20 others" in claim.detail
    claim = found(nothing, ~nothing, nothing)
    assert verdict(claim) == (True, 100, round(2 / 2**20, 9), 2) and "is 9, chosen" in claim.detail
    assert found(nothing, nothing, ~nothing).verdict == "contradicted"


def test_two_sigmas_have_no_inner_one() -> None:
    assert list(swept("b", {**SIGMAS, "sigma": [1, 5]}, [1, 8])) == ["sigma_near_epsilon"]


def test_a_larger_step_is_chosen_on_half_of_the_images_and_tested_on_the_others() -> None:
    # of T = 10, step sizes 2, 5, 15; what T = 5 says does not count
    names = list(sweeps.Grid.model_validate(STEPS).cells("a"))
    none, every = np.zeros(40, bool), np.ones(40, bool)
    chosen = np.isin(np.arange(40), split_images(40)[0])

    def found(*hits: np.ndarray) -> Claim:
        cells = {
            ("resnet18", name, "vgg13_bn"): hit for name, hit in zip(names, (every, none, none, *hits), strict=True)
        }
        return checked(made(cells, {"fgsm": FGSM}, grids={"a": STEPS}))["large_steps"]

    claim = found(none, none, every)
    assert verdict(claim) == (True, 100, round(2 / 2**20, 9), 1)
    assert claim.detail == (
        "T = 10; best is step size 15 of 2, 5, 15, chosen on half of the images; against 2 on the others; "
        "ahead in 1 of 1 cells"
    )
    assert found(none, chosen, none).verdict == "undecided" and found(none, chosen, none).effect == 0
    assert found(every, none, none).verdict == "contradicted"
    assert swept("a", {**STEPS, "attack": {}}, [0] * 6) == {}


# --- similarity -------------------------------------------------------------------------------------


def alike(**analyses: Sequence[float]) -> dict[str, Claim]:
    """Claims of analyses of six images that have the same cosines for m = 0, 1, 10."""
    similarity = {name: ((0, 1, 10), np.tile(cosines, (6, 1))) for name, cosines in analyses.items()}
    return checked(made({("resnet18", "fgsm", "vgg13_bn"): 0}, {"fgsm": FGSM}, similarity=similarity))


def test_similarity() -> None:
    claims = alike(within=[0.1, 0.2, 0.4], across=[0.0, 0.0, 0.1])
    assert list(claims) == ["similarity_smoothed", "similarity_rises"]
    assert verdict(claims["similarity_smoothed"]) == (True, 0.2, 2 / 64, 2)
    assert (claims["similarity_smoothed"].unit, claims["similarity_smoothed"].images) == ("cosine", 6)
    assert "within: +0.3000 at m = 10, p 0.0312, 6 images" in claims["similarity_smoothed"].detail
    assert verdict(claims["similarity_rises"]) == (True, 1, 2 / 64, 2)
    assert claims["similarity_rises"].unit == "rank correlation"


def test_similarity_is_claimed_of_every_analysis() -> None:
    # the mean gain is positive, and across it is not; there the cosine falls from m = 1 to 10
    claims = alike(within=[0.1, 0.2, 0.4], across=[0.1, 0.1, 0.0])
    assert verdict(claims["similarity_smoothed"]) == (False, 0.1, 2 / 64, 2)
    assert verdict(claims["similarity_rises"]) == (False, 0, 2 / 64, 2)
    assert "across: falls" in claims["similarity_rises"].detail


def test_a_constant_similarity_does_not_rise() -> None:
    claims = alike(within=[0.1, 0.2, 0.2])
    assert verdict(claims["similarity_smoothed"]) == (True, 0.1, 2 / 64, 1)
    assert verdict(claims["similarity_rises"]) == (False, 0, 1, 1)


# --- all --------------------------------------------------------------------------------------------


def test_verdicts_by_hand() -> None:
    """Verdicts on eight images: all go the one way, all the other way, and too few could be won."""
    rows = {**FGSM, **SMOOTHED}, FGSM
    won, lost, few = (two(*rows, *counts)["smoothing_equal_steps"] for counts in ((8, 0), (0, 8), (8, 5)))
    assert [claim.verdict for claim in (won, lost, few)] == ["supported", "contradicted", "undecided"]
    assert (few.p, few.smallest_p) == (0.25, 0.25)  # the plain attack fails on three images alone
    assert won.smallest_p == 2 / 256 and won.low is not None and 0 < won.low < won.effect == won.high == 100
    assert few.low is not None and few.high is not None and few.low <= 0 < few.high
    assert few.detectable == pytest.approx(1.4294 * (few.high - few.low) / 2, rel=1e-3)


def test_verdicts_are_by_holms_p_for_all_claims_of_an_experiment() -> None:
    attacks = {
        "migsm": {**IGSM, **MOMENTUM},
        "sg_igsm": {**IGSM, **SMOOTHED},
        "sg_migsm": {**IGSM, **SMOOTHED, **MOMENTUM},
    }
    hits = {("resnet18", attack, "vgg13_bn"): n for attack, n in (("migsm", 1), ("sg_igsm", 1), ("sg_migsm", 7))}
    claims = checked(made(hits, attacks))
    assert [round(claim.p_holm or 0, 9) for claim in claims.values()] == [round(3 * 2 / 64, 9)] * 2 + [1]
    assert {claim.verdict for claim in claims.values()} == {"undecided"}  # two of p = 0.03 by themselves


def test_no_p_is_0() -> None:
    many = {("resnet18", "sg", "vgg13_bn"): first(5000, 5000), ("resnet18", "plain", "vgg13_bn"): first(0, 5000)}
    (row,) = claim_rows(check_claims(made(many, {"sg": {**FGSM, **SMOOTHED}, "plain": FGSM})))
    assert 0 < row["p"] < 1e-300 and row["p_holm"] > 0 and row["smallest_p"] > 0


def test_a_table_of_claims() -> None:
    hits = {
        ("resnet18", "sg", "vgg13_bn"): first(7, 9),
        ("resnet18", "plain", "vgg13_bn"): first(0, 9),
        ("vgg13_bn", "plain", "resnet18"): first(1, 9),
    }
    claims = check_claims(made(hits, {"sg": {**FGSM, **SMOOTHED}, "plain": FGSM}))
    rows = claim_rows(claims)
    assert [row["name"] for row in rows] == ["asymmetry", "smoothing_equal_steps"]
    assert all(tuple(row) == COLUMNS for row in rows)
    assert (rows[1]["effect"], rows[1]["p"], rows[1]["p_holm"]) == (77.7778, 0.015625, 0.03125)
    assert rows[1]["verdict"] == "supported" and rows[0]["verdict"] == "undecided"
    assert rows[1]["statement"] == "Smoothed gradients transfer better than plain ones in the same steps."
    assert claim_rows([]) == []


def test_statements_are_one_sentence() -> None:
    statements = [claim.statement for claim in claim_files.claims().values()]
    assert all(statement.endswith(".") and ". " not in statement for statement in statements)
