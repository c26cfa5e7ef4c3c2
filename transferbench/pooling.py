"""Destruction rates of an attack over all its black-box pairs. All rates are percent. Imports no torch."""

from transferbench import stats
from transferbench.results import Results

Points = list[tuple[float, float, float, float]]  # level, rate, low, high


def black_box(results: Results, attack: str) -> list[tuple[str, str]]:
    """Pairs of source and target, the target no member of the source."""
    return [
        (source, target)
        for (source, name), targets in results.success.items()
        for target, rates in targets.items()
        if name == attack and not rates["whitebox"]
    ]


def pooled(results: Results, transform: str) -> dict[str, Points]:
    """Attack -> (level, rate, low, high), counts summed over all black-box pairs; no point where nothing fooled."""
    lines: dict[str, Points] = {}
    for attack in results.experiment.attacks:
        lines[attack] = []
        for level in results.experiment.transforms[transform]:
            pairs = [
                results.destruction[source, attack][target][transform][f"{level:g}"]
                for source, target in black_box(results, attack)
            ]
            fooled = sum(rates["n"] for rates in pairs)
            destroyed = sum(round(rates["rate"] * rates["n"] / 100) for rates in pairs if rates["n"])
            if fooled:
                found = stats.rate(destroyed, fooled)
                lines[attack].append((level, found.percent, found.low, found.high))
    return lines


def fooled(results: Results, transform: str, attack: str) -> int:
    """Adversarial images that fool, summed over the black-box pairs."""
    level = f"{results.experiment.transforms[transform][0]:g}"
    pairs = black_box(results, attack)
    return sum(results.destruction[source, attack][target][transform][level]["n"] for source, target in pairs)
