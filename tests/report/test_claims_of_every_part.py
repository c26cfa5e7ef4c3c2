"""Claims that hold of every attack, cell and transform, on made outcomes: effects and p by hand.

Each part is tested by itself. Where all have the claimed sign p is the largest, else Holm's least of those behind.
"""

import pytest
from made_evidence import FGSM, IGSM, SMOOTHED, checked, made

from crossfool.report.paper_claims import Claim

FOUR = {"fgsm": FGSM, "igsm": IGSM, "sg_fgsm": {**FGSM, **SMOOTHED}, "sg_igsm": {**IGSM, **SMOOTHED}}


def of_attacks(**counts: int) -> dict[str, Claim]:
    return checked(made({("resnet18", name, "vgg13_bn"): count for name, count in counts.items()}, FOUR))


def test_every_attack_is_tested_by_itself() -> None:
    claims = of_attacks(fgsm=0, sg_fgsm=8, igsm=1, sg_igsm=7)
    every = claims["smoothing_every_attack"]
    assert (every.verdict, every.effect, every.p, every.comparisons) == ("supported", 75, 2 / 64, 2)
    assert claims["smoothing_equal_steps"].p == 2 / 256  # the mean over both attacks is another claim
    assert every.detail == (
        "smoothed against plain; ahead in 2 of 2 attacks, in 2 significantly; "
        "sg_igsm against igsm +75 (p 0.031); sg_fgsm against fgsm +100 (p 0.0078)"
    )
    assert every.low is not None and 0 < every.low < 75


def test_a_mean_over_attacks_does_not_speak_for_each() -> None:
    claims = of_attacks(fgsm=0, sg_fgsm=8, igsm=0, sg_igsm=4)
    assert claims["smoothing_equal_steps"].verdict == "supported"
    every = claims["smoothing_every_attack"]
    assert (every.verdict, every.effect, every.p) == ("undecided", 50, 2 / 16)
    assert every.low is not None and every.low <= 0

    claims = of_attacks(fgsm=0, sg_fgsm=8, igsm=8, sg_igsm=0)
    every = claims["smoothing_every_attack"]
    assert (every.verdict, every.effect, every.p) == ("contradicted", -100, 2 * 2 / 256)
    assert every.high is not None and every.high < 0


def test_one_attack_is_no_claim_of_every_attack_nor_one_pair_of_models_of_every_cell() -> None:
    claims = of_attacks(fgsm=0, sg_fgsm=8)
    assert list(claims) == ["smoothing_equal_steps"]
    assert "smoothing_every_cell" not in of_attacks(fgsm=0, sg_fgsm=8, igsm=0, sg_igsm=8)


def of_cells(first: int, second: int, **plain: int) -> dict[str, Claim]:
    hits = {
        ("resnet18", "sg", "vgg13_bn"): first,
        ("resnet18", "plain", "vgg13_bn"): plain.get("vgg13_bn", 0),
        ("resnet18", "sg", "alexnet"): second,
        ("resnet18", "plain", "alexnet"): plain.get("alexnet", 0),
    }
    return checked(made(hits, {"sg": {**FGSM, **SMOOTHED}, "plain": FGSM}))


def test_every_cell_is_tested_by_itself() -> None:
    claims = of_cells(8, 6)
    assert list(claims) == ["smoothing_equal_steps", "smoothing_every_cell"]
    every = claims["smoothing_every_cell"]
    assert (every.effect, every.p, every.comparisons, every.sign) == (75, 2 / 64, 2, 1)
    assert "sg against plain from resnet18 to alexnet +75 (p 0.031)" in every.detail

    claims = of_cells(8, 0, alexnet=2)  # pooled p is 2/2^6: two images are won and lost
    assert claims["smoothing_equal_steps"].sign == 1
    every = claims["smoothing_every_cell"]
    assert (every.verdict, every.effect, every.p, every.sign) == ("undecided", -25, 0.5, -1)
    assert of_cells(8, 0, alexnet=8)["smoothing_every_cell"].verdict == "contradicted"


def test_targeted_attacks_are_judged_apart_in_every_cell() -> None:
    rows = {"sg": {**FGSM, **SMOOTHED}, "plain": FGSM}
    rows |= {f"{name}_far": {**row, "objective": "targeted"} for name, row in rows.items()}
    cells = [(name, target) for name in rows for target in ("vgg13_bn", "alexnet")]
    hits = {("resnet18", name, target): 8 * name.startswith("sg") for name, target in cells}
    hits5 = {("resnet18", name, target): 8 * name.startswith("plain") for name, target in cells}
    claims = checked(made(hits, rows, hits5=hits5))
    assert claims["smoothing_every_cell"].effect == 100
    assert claims["smoothing_every_cell_targeted"].effect == -100
    assert "smoothing_every_attack" not in claims  # one of each objective


def test_rows_that_depart_from_the_papers_are_in_no_part() -> None:
    rows = {**FOUR, "sg_igsm": {**IGSM, **SMOOTHED, "sigma": 4}}
    hits = {("resnet18", name, "vgg13_bn"): 8 * name.startswith("sg") for name in rows}
    assert list(checked(made(hits, rows))) == ["smoothing_equal_steps"]


TRANSFORMS = [
    ((8, 1), (7, 0), 600 / 7, 2 / 64),
    ((8, 1), (0, 7), -100, 2 * 2 / 128),
    ((8, 1), (3, 3), 0, 1),
]


@pytest.mark.parametrize(("blur", "jpeg", "effect", "p"), TRANSFORMS)
def test_every_transform_is_tested_by_itself(blur: tuple, jpeg: tuple, effect: float, p: float) -> None:
    """Each transform is judged by the seven images that both attacks succeed on, of which it destroys given numbers."""
    rows = {"sg": {**FGSM, **SMOOTHED}, "plain": FGSM}
    hits = {("resnet18", "sg", "vgg13_bn"): 7, ("resnet18", "plain", "vgg13_bn"): 8}
    destroyed = {
        ("resnet18", name, "vgg13_bn", transform, 1.0): counts[place]
        for transform, counts in (("gaussian_blur", blur), ("jpeg", jpeg))
        for place, name in enumerate(("plain", "sg"))
    }
    every = checked(made(hits, rows, destroyed=destroyed))["survives_every_transform"]
    assert (every.effect, every.p, every.images, every.comparisons) == (pytest.approx(effect), p, 7, 2)
    assert "of 2 transforms" in every.detail and "gaussian_blur +85.7 (p 0.031)" in every.detail
    one = {key: count for key, count in destroyed.items() if key[3] == "jpeg"}
    assert "survives_every_transform" not in checked(made(hits, rows, destroyed=one))


def test_transforms_of_rows_that_depart_are_not_compared() -> None:
    rows = {"sg": {**IGSM, **SMOOTHED, "sigma": 4}, "plain": IGSM}
    hits = {("resnet18", "sg", "vgg13_bn"): 8, ("resnet18", "plain", "vgg13_bn"): 8}
    destroyed = {("resnet18", name, "vgg13_bn", "jpeg", 1.0): 8 * (name == "plain") for name in rows}
    claim = checked(made(hits, rows, destroyed=destroyed))["survives_transforms"]
    assert claim.verdict == "not tested" and "sg: σ/ε = 0.267" in claim.detail
    rows["sg"]["sigma"] = 15
    assert checked(made(hits, rows, destroyed=destroyed))["survives_transforms"].effect == 100
