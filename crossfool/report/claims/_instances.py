"""Attacks that the paper's claims are about: those with its ratios of sigma and of all steps together to epsilon.

The paper fixes σ/ε and the ratio of all steps together to epsilon, αT/ε (tables 3 to 7, figure 5). An attack of one
step goes exactly to epsilon; there the paper varies epsilon at σ = 15 (figure 4a), from σ/ε = 0.6 upwards. Attacks
of grids vary these on purpose, and are not asked; nor are those of an experiment whose params.yaml says so in `varies`.
"""

import functools
from collections.abc import Collection

from crossfool.attacks.config import Attack
from crossfool.report.reported.published_rates import ANY, csv_rows

TOLERANCE = 0.1  # of a ratio, relative
LEAST_SAMPLES = 2  # one noisy gradient is not smoothed
ONE_STEP_SIGMA = 0.6  # σ/ε of figure 4a's greatest epsilon
FIGURE_5 = (10 * 5 / 15, 30 * 5 / 15)  # αT/ε of its iterated attacks


def departure(row: Attack, varied: Collection[str] = ()) -> str:
    """How an attack departs from the paper's; "" where the claims are about it.

    Args:
        row: The attack.
        varied: Keys that the experiment varies on purpose: what departs by them alone is no departure.
    """
    return next((text for key, text in departures(row).items() if key not in varied), "")


def departures(row: Attack) -> dict[str, str]:
    """Key of the attack by which it departs from the paper's -> in what, in words."""
    if not row.epsilon:
        return {"epsilon": "ε = 0, which changes no image"}
    found: dict[str, str] = {}
    sigma, samples = row.value("sigma"), row.value("samples")
    if row.gradient == "smoothed" and (samples or 0) < LEAST_SAMPLES:
        found["samples"] = f"m = {samples:g}, of one noisy gradient: nothing is smoothed"
    reach, (reaches, sigmas) = row.step_size * row.steps / row.epsilon, paper_ratios()
    if row.steps > 1 and not _among(reach, reaches):
        found["step_size"] = f"αT/ε = {reach:.3g}, in the paper {_listed(reaches)}"
    if row.gradient != "smoothed":
        return found
    ratio = sigma / row.epsilon
    if row.steps == 1 and ratio < (1 - TOLERANCE) * ONE_STEP_SIGMA:
        found["sigma"] = f"σ/ε = {ratio:.3g}, in the paper {ONE_STEP_SIGMA:g} or more"
    elif row.steps > 1 and not _among(ratio, sigmas):
        found["sigma"] = f"σ/ε = {ratio:.3g}, in the paper {_listed(sigmas)}"
    return found


@functools.cache
def paper_ratios() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The paper's αT/ε of attacks of several steps, and their σ/ε, rising."""
    rows = [row for row in csv_rows("paper_attacks.csv") if float(row["steps"]) > 1]
    sized = [row for row in rows if row["step_size"] != ANY]  # the rows of figure 5 leave it open
    reaches = {float(row["step_size"]) * float(row["steps"]) / float(row["epsilon"]) for row in sized} | {*FIGURE_5}
    sigmas = {float(row["sigma"]) / float(row["epsilon"]) for row in rows if row["sigma"]}
    return tuple(sorted(reaches)), tuple(sorted(sigmas))


def _among(ratio: float, ratios: tuple[float, ...]) -> bool:
    return any(abs(ratio - paper) <= TOLERANCE * paper for paper in ratios)


def _listed(ratios: tuple[float, ...]) -> str:
    return ", ".join(f"{ratio:.3g}" for ratio in ratios)
