"""Claims, with outcomes that are drawn for them under the null and at the paper's effects, for `verdicts.py`."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from crossfool.models.families import family
from crossfool.report.reported.published_rates import csv_rows

FGSM = {"epsilon": 15, "steps": 1, "step_size": 15}
IGSM = {"epsilon": 15, "steps": 5, "step_size": 5}
SG, MOMENTUM = {"gradient": "smoothed", "samples": 20, "sigma": 15}, {"update": "momentum", "decay": 1.0}
FAR = {"epsilon": 20, "steps": 20, "step_size": 15, "objective": "targeted"}
NO_GRID: dict[str, Any] = {"attack": None, "epsilon": [], "steps": [], "step_size": [], "samples": [], "sigma": []}
SIGMAS = NO_GRID | {"attack": {}, "epsilon": [10], "steps": [1], "step_size": [10], "samples": [30]}
SIGMAS |= {"sigma": [1, 5, 15, 25], "figure": {"x": "sigma"}}
STEPS = NO_GRID | {"attack": {"objective": "targeted"}, "epsilon": [20], "steps": [20], "samples": [0], "sigma": [0]}
STEPS |= {"step_size": [2, 10, 15, 20], "figure": {"x": "step_size", "metric": "top5"}}
EPSILONS = NO_GRID | {"attack": {}, "epsilon": [5, 15], "steps": [1], "step_size": ["epsilon"], "samples": [0, 30]}
EPSILONS |= {"sigma": [15], "figure": {"x": "epsilon", "lines": "samples"}}
TWO_STEPS = {"a": STEPS | {"step_size": [5, 15]}, "b": STEPS | {"step_size": [5, 15], "attack": {}}}
TWO_STEPS["b"] |= {"figure": {"x": "step_size", "metric": "top1"}}
SAMPLES = NO_GRID | {"attack": {}, "epsilon": [15], "steps": [1], "step_size": [15], "samples": [1, 10, 30, 60]}
SAMPLES |= {"sigma": [15], "figure": {"x": "samples"}}
ITERATIONS = STEPS | {"steps": [10, 20, 50, 100], "step_size": [5], "figure": {"x": "steps", "metric": "top5"}}
ENSEMBLE, TARGETS = "resnet18+resnet101", ("densenet121", "vgg13_bn")
SIX = ("resnet18", "resnet101", "vgg13_bn", "vgg16_bn", "densenet121", "densenet161")
NETWORKS = [f"{library}resnet{layers}" for layers in (18, 34, 50, 101) for library in ("", "timm_")]
SCATTER = ("resnet18", "resnet34", "resnet50", "resnet101", "densenet121", "densenet161", "alexnet", "squeezenet1_0")
Rates = dict[tuple[str, str, str], float]  # source, attack, target -> success rate, in shares of 1
# Analysis -> its samples, and a value of each image at each of them, (N, samples).
Analyses = dict[str, tuple[tuple[int, ...], np.ndarray]]
SMOOTHED = (0, 1, 10, 30)  # samples of an analysis
ALIKE: dict[str, Any] = {"images": 16, "samples": [1, 10, 30], "sigma": 15, "seed": 0}


def paper_mean(table: str, attack: str) -> float:
    """The mean success rate of an attack in one of the paper's tables, in shares of 1."""
    rates = [float(row["success_rate_percent"]) for row in csv_rows("paper_rates.csv")
             if (row["experiment"], row["attack"]) == (table, attack)]  # fmt: skip
    return float(np.mean(rates)) / 100


@dataclasses.dataclass(frozen=True)
class Case:
    """A claim, the attacks and sources that it is checked on, and its rates under the null and at the effect.

    `clean` says what rises from source to source (`error` or `size`, the other in any order), where the claim asks.
    `destroyed` has for each transform the shares that are right again of the attacks `plain` and `sg`, at the effect;
    under the null the last transform destroys as many of both. `cosines` and `variation` draw the analyses of gradients
    of N images, at the effect or under the null; `similarity` has the cosines' rows. `images` are the Ns to simulate.
    """

    claim: str
    effect: str
    attacks: Mapping[str, Any]
    null: Callable[[np.random.Generator], Rates]
    paper: Callable[[np.random.Generator], Rates]
    grids: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    clean: str = ""
    destroyed: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    similarity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    images: tuple[int, ...] = (16, 400, 5_000)
    cosines: Callable[[np.random.Generator, int, bool], Analyses] = lambda random, n, real: {}
    variation: Callable[[np.random.Generator, int, bool], Analyses] = lambda random, n, real: {}


def pair(table: str, smoothed: str, plain: str, claim: str, rows: Mapping[str, Any], source: str) -> Case:
    """A claim on two attacks, with their mean rates in one of the paper's tables."""
    high, low = paper_mean(table, smoothed), paper_mean(table, plain)

    def rates(first: float) -> Rates:
        return {(source, name, to): first if name == "sg" else low for name in rows for to in TARGETS}

    effect = f"{table.replace('table', 'table ')}: {100 * low:.0f} to {100 * high:.0f}%"
    return Case(claim, effect, rows, lambda random: rates(low), lambda random: rates(high))


def along(
    claim: str,
    grids: Mapping[str, Mapping[str, Any]],
    rates: list[float],
    effect: str,
    null: list[float] | None = None,
) -> Case:
    """A claim on grids of four cells, of these rates; under the null all have the last, where it is not given."""
    names = [f"cell{place}" for place in range(4)]  # replaced by the grid's own names

    def drawn(given: list[float]) -> Rates:
        return {("resnet18", name, to): rate for name, rate in zip(names, given, strict=True) for to in TARGETS}

    equal = [rates[-1]] * 4 if null is None else null
    return Case(claim, effect, {"fgsm": FGSM}, lambda random: drawn(equal), lambda random: drawn(rates), grids)


def both(claim: str, effect: str, attacks: Mapping[str, Any], cells: Mapping[str, tuple[str, ...]],
         null: tuple[float, ...], real: tuple[float, ...]) -> Case:  # fmt: skip
    """A claim on attacks, whose rates are given in the order of the attacks, and of each one's cells."""
    keys = [(source, name, to) for name in attacks for source, targets in cells.items() for to in targets]

    def drawn(rates: tuple[float, ...]) -> Rates:
        return dict(zip(keys, rates, strict=True))

    return Case(claim, effect, attacks, lambda random: drawn(null), lambda random: drawn(real))


def on_one_another(rate: Callable[[str, str], float]) -> Rates:
    return {(a, "igsm", b): rate(a, b) for a in SIX for b in SIX if a != b}


def depths(random: np.random.Generator, fall: float) -> Rates:
    """Two networks each of four depths: rates fall by so much a depth, networks of one depth spread by 5 points."""
    return {(name, "fgsm", "vgg13_bn"): float(np.clip(0.6 - fall * (place // 2) + random.normal(0, 0.05), 0.02, 0.98))
            for place, name in enumerate(NETWORKS)}  # fmt: skip


def scattered(random: np.random.Generator, fall: float) -> Rates:
    """Rates that fall with the error's rank, and spread by 5 points over sources; sizes are drawn by themselves."""
    return {(name, "fgsm", "vgg19_bn"): float(np.clip(0.5 - fall * place + random.normal(0, 0.05), 0.02, 0.98))
            for place, name in enumerate(SCATTER)}  # fmt: skip


def gapped(random: np.random.Generator, across: float) -> Rates:
    """Rates of pairs both ways, half-normal gaps apart: of 5 points within a family, of `across` between families."""
    rates = {}
    for a, b in itertools.combinations(SIX, 2):
        gap = random.normal(0, 0.05 if family(a) == family(b) else across)
        there, back = (float(np.clip(0.4 + half * gap, 0.02, 0.98)) for half in (0.5, -0.5))
        rates[a, "igsm", b], rates[b, "igsm", a] = there, back
    return rates


def spread(random: np.random.Generator, n: int, means: tuple[float, ...], sd: float) -> np.ndarray:
    """Values (n, len(means)): an image's share a deviation of `sd`, and each has its own of a third of that."""
    return np.asarray(means) + random.normal(0, sd, (n, 1)) + random.normal(0, sd / 3, (n, len(means)))


def likeness(*effect: float) -> Callable[[np.random.Generator, int, bool], Analyses]:
    """Cosines with another model's gradient, of these means at the effect, and all of the last under the null."""

    def drawn(random: np.random.Generator, n: int, real: bool) -> Analyses:
        return {"across": (SMOOTHED, spread(random, n, effect if real else (effect[-1],) * len(effect), 0.03))}

    return drawn


def parts_of_gradient(random: np.random.Generator, n: int, real: bool) -> Analyses:
    """Cosines of a gradient g, of its smooth part G, and of G with g, drawn from those of G and of the noise h."""
    both = spread(random, n, (0.04, 0.02) if real else (0.04, 0.04), 0.03)
    smooth, noise = both[:, 0], both[:, 1]
    own = np.clip(random.normal(0.6, 0.1, n), 0.1, 0.95)
    plain = own * smooth + np.sqrt(1 - own**2) * noise
    across, itself = np.stack([plain, smooth], 1), np.stack([np.ones(n), own], 1)
    return {"across": ((0, 30), across), "itself": ((0, 30), itself)}


def total_variation(random: np.random.Generator, n: int, real: bool) -> Analyses:
    """Total variation by the L1 norm of plain and smoothed gradients: a fall by a tenth, or none."""
    return {"saliency": ((0, 30), np.maximum(spread(random, n, (1.5, 1.35) if real else (1.5, 1.5), 0.2), 0.1))}


def of_gradients(claim: str, effect: str, **given: Any) -> Case:
    """A claim on analyses of gradients; its cells, which the claim does not ask for, have one rate."""
    rates = {("resnet18", "fgsm", to): 0.5 for to in TARGETS}
    similarity = {"across": {"source": "resnet18", "target": "vgg13_bn", **ALIKE}}
    similarity["itself"] = {"source": "resnet18", "target": "resnet18", **ALIKE}
    return Case(
        claim, effect, {"fgsm": FGSM}, *[lambda random: rates] * 2, similarity=similarity, images=(16, 400), **given
    )


def cases() -> list[Case]:
    plain = {"plain": {**IGSM, "steps": 100, "step_size": 1}, "sg": {**IGSM, **SG}}
    momentum = {"plain": {**IGSM, **MOMENTUM}, "sg": {**IGSM, **SG, **MOMENTUM}}
    against = {"plain": {**IGSM, **MOMENTUM}, "sg": {**IGSM, **SG}}
    ensembles = {"plain": {**IGSM, "epsilon": 20, "steps": 100, "step_size": 3},
                 "sg": {**IGSM, **SG, "epsilon": 20, "steps": 50, "step_size": 3}}  # fmt: skip
    targeted = {"plain": FAR, "sg": {**FAR, **SG}}
    one_step = {"fgsm": FGSM, "sg_fgsm": {**FGSM, **SG}}
    return [
        pair("table3", "sg_igsm", "igsm", "smoothing_equal_cost", plain, "resnet18"),
        pair("table5", "sg_migsm", "migsm", "smoothing_momentum", momentum, "resnet18"),
        pair("table5", "sg_igsm", "migsm", "smoothing_beats_momentum", against, "resnet18"),
        pair("table6", "sg_igsm", "igsm", "smoothing_ensembles", ensembles, ENSEMBLE),
        pair("table4", "sg_igsm", "igsm", "smoothing_ensembles_targeted", targeted, ENSEMBLE),
        along("sigma_optimum", {"b": SIGMAS}, [0.3, 0.5, 0.55, 0.45], "30, 50, 55, 45% (read from figure 4b's shape)"),
        along("large_steps", {"a": STEPS}, [0.1, 0.3, 0.35, 0.3], "10, 30, 35, 30% (read from figure 7's shape)"),
        Case("asymmetry", "table 1: 16 and 59% of one pair", {"igsm": IGSM}, lambda random: on_one_another(
            lambda a, b: 0.3), lambda random: on_one_another(
            lambda a, b: {("densenet121", "vgg13_bn"): 0.587, ("vgg13_bn", "densenet121"): 0.159}.get((a, b), 0.3))),
        Case("same_family", "70% in a family, 30% outside", {"igsm": IGSM},
             lambda random: on_one_another(lambda a, b: 0.3),
             lambda random: on_one_another(lambda a, b: 0.7 if family(a) == family(b) else 0.3)),
        Case("depth", "table 2a: 11 points a depth; networks spread by 5", {"fgsm": FGSM},
             lambda random: depths(random, 0), lambda random: depths(random, 0.11)),
        Case("accuracy", "5 points a rank of 8 sources; sources spread by 5", {"fgsm": FGSM},
             lambda random: scattered(random, 0), lambda random: scattered(random, 0.05), clean="error"),
        along("smoothing_every_epsilon", {"a": EPSILONS}, [0.2, 0.3, 0.5, 0.65],
              "20 to 30 and 50 to 65% (read from figure 4a's shape)", [0.2, 0.2, 0.5, 0.65]),
        both("smoothing_every_attack", "table 3: 47 to 72%, of two attacks", {**plain, **one_step},
             {"resnet18": ("densenet121",)}, (0.47, 0.72, 0.47, 0.47), (0.47, 0.72, 0.47, 0.72)),
        both("smoothing_every_cell", "table 3: 47 to 72%, on two targets", plain, {"resnet18": TARGETS},
             (0.47, 0.47, 0.72, 0.47), (0.47, 0.47, 0.72, 0.72)),
        both("ensembles_gain_no_less", "tables 3 and 4: 25 points each; null: 20 and 25", momentum,
             {ENSEMBLE: ("vgg13_bn",), "resnet34": ("vgg13_bn",)}, (0.35, 0.35, 0.55, 0.60), (0.35, 0.35, 0.60, 0.60)),
        along("sigma_near_epsilon", {"b": SIGMAS}, [0.3, 0.5, 0.55, 0.45],
              "30, 50, 55, 45% (read from figure 4b's shape)", [0.3, 0.5, 0.55, 0.55]),
        along("targeted_larger_steps", TWO_STEPS, [0.1, 0.3, 0.65, 0.55],
              "10 and 30% targeted, 65 and 55% untargeted (read from figure 7's shape)", [0.1, 0.3, 0.6, 0.6]),
        dataclasses.replace(
            both("survives_every_transform", "50 to 35% destroyed (read from figure 5's shape)", momentum,
                 {"resnet18": TARGETS}, (0.6, 0.6, 0.8, 0.8), (0.6, 0.6, 0.8, 0.8)),
            destroyed=dict.fromkeys(("rotation", "gaussian_noise", "gaussian_blur", "jpeg"), (0.5, 0.35))),
        Case("nearly_twice", "table 1: 91 and 57% on VGGs; null: 60 and 40%", {"igsm": IGSM},
             # 0.614: the mean rates are those given only nearly, and this one's is 1.5 times that of 0.4
             lambda random: on_one_another(lambda a, b: 0.614 if "vgg" in a and "vgg" in b else 0.4),
             lambda random: on_one_another(
                 lambda a, b: 0.91 if "vgg" in a and "vgg" in b else 0.57 if "vgg" in b else 0.4)),
        pair("table3", "sg_igsm", "igsm", "smoothing_equal_steps", {"plain": IGSM, "sg": {**IGSM, **SG}}, "resnet18"),
        pair("table6", "sg_igsm", "igsm", "smoothing", ensembles, "resnet18"),
        pair("table7", "sg_igsm", "igsm", "targeted_top1", targeted, ENSEMBLE),
        along("more_samples", {"a": SAMPLES}, [0.3, 0.4, 0.45, 0.5], "30, 40, 45, 50%"),
        along("samples_saturate", {"a": SAMPLES}, [0.3, 0.4, 0.45, 0.47], "30, 40, 45, 47%; null: 40, 45, 50, 60",
              [0.4, 0.45, 0.5, 0.6]),  # about 50%, where the logistic-normal means are as given
        along("steps_too_large", {"a": STEPS}, [0.1, 0.3, 0.35, 0.25], "10, 30, 35, 25%"),
        along("iterations_overfit", {"a": ITERATIONS}, [0.35, 0.33, 0.3, 0.25], "35, 33, 30, 25%"),
        Case("asymmetry_across", "gaps of 5 points in a family, of 20 across", {"igsm": IGSM},
             lambda random: gapped(random, 0.05), lambda random: gapped(random, 0.2)),
        Case("capacity", "5 points a rank of 8 sources; sources spread by 5", {"fgsm": FGSM},
             lambda random: scattered(random, 0), lambda random: scattered(random, 0.05), clean="size"),
        dataclasses.replace(
            both("survives_transforms", "50 to 35% destroyed (read from figure 5's shape)", momentum,
                 {"resnet18": TARGETS}, (0.6, 0.6, 0.8, 0.8), (0.6, 0.6, 0.8, 0.8)),
            destroyed={"jpeg": (0.5, 0.35)}),
        of_gradients("similarity_smoothed", "cosines of 0.02 and 0.04", cosines=likeness(0.02, 0.03, 0.035, 0.04)),
        of_gradients("similarity_rises", "cosines of 0.03, 0.035 and 0.04", cosines=likeness(0.02, 0.03, 0.035, 0.04)),
        of_gradients("noise_transfers_less", "cosines of 0.04 (G) and 0.02 (h)", cosines=parts_of_gradient),
        of_gradients("gradient_variation", "a fall by a tenth", variation=total_variation),
    ]  # fmt: skip
