"""How often each verdict on a claim is wrong where nothing is true, and right at the paper's effects, simulated.

Run `python benchmarks/verdicts.py`. Outcomes are drawn image by image: an image has an ease, from a normal distribution
of standard deviation 1.5 in log odds, which all attacks, sources and targets share. Under the null all that the claim
compares have one rate; at the paper's effect they have the mean rates of its tables, or those said below. Where every
part has to hold, the null is the one that errs most: one part has no effect, and all others the paper's. The claims'
own checks judge (`crossfool/report/claims/`). Seeded.
"""

import datetime
import importlib

import click
import numpy as np
from verdict_cases import NO_GRID, SCATTER, Case, Rates, cases

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.outcomes import Evidence


def experiment(case: Case, cells: Rates) -> Experiment:
    """The experiment of a case."""
    sources = list(dict.fromkeys(source for source, _, _ in cells))
    named = [model for source, _, target in cells for model in (*source.split("+"), target)]
    return Experiment.model_validate(
        {
            "root": ".", "dataset": {"name": "imagenet-sample"}, "models": list(dict.fromkeys(named)), "targets": "all",
            "weights": {}, "training": None, "subset": {"images": "all"}, "lpips": False, "compute": {"chunk": 8},
            "sources": sources, "attacks": dict(case.attacks), "grids": {"a": NO_GRID, "b": NO_GRID, **case.grids},
            "transforms": {}, "similarity": dict(case.similarity), "boundary": {}, "saliency": {},
            "scatter": {"attacks": ["fgsm"] if case.clean else [], "same_family": False},
        }
    )  # fmt: skip


def verdict_of(
    case: Case, values: Experiment, rates: Rates, n: int, random: np.random.Generator, real: bool = True
) -> str:
    """The verdict on one drawn experiment of n images, at the effect or under the null."""
    names = list(values.grids.cells()) if case.grids else []
    ease = random.normal(0, 1.5, n)
    hits = {}
    for (source, attack, target), rate in rates.items():
        name = names[int(attack[4:])] if names else attack
        chances = 1 / (1 + np.exp(-(_intercept(rate) + ease)))
        hits[source, name, target] = random.random(n) < chances
    sizes = random.permutation(len(SCATTER))
    clean = {}
    for place, name in enumerate(SCATTER):
        other = int(sizes[place])
        error, size = (other, place) if case.clean == "size" else (place, other)
        clean[name] = {"top1": 90 - error, "parameters": 1000 * 2**size}
    destroyed, cosines = _destroyed(case, rates, ease, random, real), case.cosines(random, n, real)
    evidence = Evidence(values, hits, hits, destroyed, clean, cosines, variation=case.variation(random, n, real))
    module = importlib.import_module(f"crossfool.report.claims.{case.claim.removesuffix('_targeted')}")
    (found,) = module.check(evidence)
    return str(found.verdict)


def _destroyed(
    case: Case, rates: Rates, ease: np.ndarray, random: np.random.Generator, real: bool
) -> dict[tuple[str, str, str, str, float], np.ndarray]:
    """Draw which adversarial images a transform destroys; an image of great ease is seldom right again."""
    destroyed = {}
    for place, (transform, shares) in enumerate(case.destroyed.items()):
        unchanged = not real and place == len(case.destroyed) - 1
        for source, attack, target in rates:
            share = shares[attack == "sg" and not unchanged]
            chances = 1 / (1 + np.exp(-(_intercept(share) - ease)))
            destroyed[source, attack, target, transform, 1.0] = random.random(len(ease)) < chances
    return destroyed


def _intercept(rate: float) -> float:
    """The log odds at ease 0 whose mean rate is nearly `rate` (the logistic-normal approximation)."""
    return float(np.log(rate / (1 - rate)) * np.sqrt(1 + 1.5**2 * 0.346))


@click.command()
@click.option("--draws", default=400, help="Simulated experiments a line, and half as many of 5,000 images.")
@click.option("--claim", multiple=True, help="Only these claims.")
def main(draws: int, claim: tuple[str, ...]) -> None:
    """Simulate all claims and print a Markdown table."""
    print(f"{datetime.date.today()}: {draws:,} draws a line, {draws // 2} of 5,000 images; each claim by its own p.\n")
    print("| claim | paper's effect | images | null: supported | null: contradicted | power |")
    print("|---|---|---:|---:|---:|---:|")
    for case in (case for case in cases() if not claim or case.claim in claim):
        values = experiment(case, case.null(np.random.default_rng(0)))
        for n in case.images:
            random = np.random.default_rng(n)
            count = draws if n < 5000 else draws // 2
            null, real = (
                [verdict_of(case, values, rates(random), n, random, real) for _ in range(count)]
                for real, rates in ((False, case.null), (True, case.paper))
            )
            shares = (null.count("supported"), null.count("contradicted"), real.count("supported"))
            texts = " | ".join(f"{100 * share / count:.1f}%" for share in shares)
            print(f"| `{case.claim}` | {case.effect} | {n:,} | {texts} |", flush=True)


if __name__ == "__main__":
    main()
