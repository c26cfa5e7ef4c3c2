"""The paper's claims counted on its own reported figures: no test, for outcomes of images are not reported."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from crossfool.models.families import depth, family
from crossfool.report.claims.nearly_twice import NEARLY_TWICE
from crossfool.report.reported.published_rates import csv_rows

Rates = dict[tuple[str, str, str], float]  # attack, source, target -> percent
SMOOTHED = {  # claim -> the tables, the smoothed attack and its rival
    "smoothing_equal_cost": (("table3",), "sg_igsm", "igsm"),
    "smoothing_ensembles": (("table6",), "sg_igsm", "igsm"),
    "smoothing_ensembles_targeted": (("table4", "table7"), "sg_igsm", "igsm"),
    "smoothing_beats_momentum": (("table5",), "sg_igsm", "migsm"),
    "smoothing_momentum": (("table5",), "sg_migsm", "migsm"),
}


@dataclass(frozen=True)
class Count:
    """A claim counted on one of the paper's tables, or several.

    Attributes:
        claim: The claim's name, and how it is read.
        tables: The tables, as "table3".
        compared: The number of comparisons that the claim speaks of.
        as_claimed: How many come out as claimed.
        counterexamples: Those that do not, in words.
    """

    claim: str
    tables: tuple[str, ...]
    compared: int
    as_claimed: int
    counterexamples: tuple[str, ...]


def count_claims() -> list[Count]:
    """Each claim that the paper's tables speak of, counted on them."""
    tables: dict[str, Rates] = {}
    for row in csv_rows("paper_rates.csv"):
        cell = row["attack"], row["source"], row["target"]
        tables.setdefault(row["experiment"], {})[cell] = float(row["success_rate_percent"])
    found = [
        _counted("same_family, sources for a target", ("table1",), _same_family(tables["table1"], sources=True)),
        _counted("same_family, targets of a source", ("table1",), _same_family(tables["table1"], sources=False)),
        _counted("nearly_twice, for a target", ("table1",), _nearly_twice(tables["table1"])),
        _counted("depth, there and back", ("table1",), _reciprocal_depth(tables["table1"])),
        *(_counted("depth", (name,), _depth(tables[name])) for name in ("table2a", "table2b")),
    ]
    for claim, (names, smoothed, plain) in SMOOTHED.items():
        found.append(_counted(claim, names, (one for name in names for one in _pairs(tables[name], smoothed, plain))))
    return found


def _counted(claim: str, tables: tuple[str, ...], comparisons: Iterator[tuple[bool, str]]) -> Count:
    outcomes = list(comparisons)
    return Count(
        claim, tables, len(outcomes), sum(ok for ok, _ in outcomes), tuple(text for ok, text in outcomes if not ok)
    )


def _same_family(rates: Rates, *, sources: bool) -> Iterator[tuple[bool, str]]:
    """Whether the own family's rate is higher than every other: of the sources for a target, or a source's targets."""
    for attack, fixed in dict.fromkeys((attack, target if sources else source) for attack, source, target in rates):
        cells = {
            (source if sources else target): rate
            for (name, source, target), rate in rates.items()
            if (name, target if sources else source) == (attack, fixed)
        }
        near = {model: rate for model, rate in cells.items() if family(model) == family(fixed)}
        far = {model: rate for model, rate in cells.items() if model not in near}
        best, worst = max(far, key=far.__getitem__), min(near, key=near.__getitem__)
        words = ("on", "from") if sources else ("from", "on")
        text = f"{attack} {words[0]} {fixed}: {words[1]} {best} {far[best]:g}%, {words[1]} {worst} {near[worst]:g}%"
        yield near[worst] > far[best], text


def _nearly_twice(rates: Rates) -> Iterator[tuple[bool, str]]:
    """Whether a target's own family has more than one and a half times the mean rate of every other, by igsm."""
    for target in dict.fromkeys(target for _, _, target in rates):
        by_family: dict[str, list[float]] = {}
        for (attack, source, to), rate in rates.items():
            if (attack, to) == ("igsm", target):
                by_family.setdefault(family(source), []).append(rate)
        means = {name: sum(some) / len(some) for name, some in by_family.items()}
        own = means.pop(family(target))
        best = max(means, key=means.__getitem__)
        multiple = own / means[best]
        yield multiple > NEARLY_TWICE, f"igsm on {target}: {multiple:.2f} times {best}"


def _reciprocal_depth(rates: Rates) -> Iterator[tuple[bool, str]]:
    """Yield for each two networks of a family whether the shallow one is the better source for the other."""
    for attack, shallow, deep in rates:
        back = rates.get((attack, deep, shallow))
        if back is not None and family(shallow) == family(deep) and (depth(shallow) or 0) < (depth(deep) or 0):
            there = rates[attack, shallow, deep]
            yield there > back, f"{attack}: {shallow} to {deep} {there:g}%, back {back:g}%"


def _depth(rates: Rates) -> Iterator[tuple[bool, str]]:
    """Yield for each two networks of a family, and each target, whether the shallow source succeeds more often."""
    sources = [source for source in dict.fromkeys(source for _, source, _ in rates) if depth(source) is not None]
    targets = dict.fromkeys(target for _, _, target in rates)
    for shallow, deep in itertools.permutations(sources, 2):
        if family(shallow) != family(deep) or (depth(shallow) or 0) >= (depth(deep) or 0):
            continue
        for one, other in [*((to, to) for to in targets if to not in (shallow, deep)), (deep, shallow)]:
            first, second = rates.get(("fgsm", shallow, one)), rates.get(("fgsm", deep, other))
            if first is not None and second is not None:
                yield first > second, f"{shallow} to {one} {first:g}%, {deep} to {other} {second:g}%"


def _pairs(rates: Rates, smoothed: str, plain: str) -> Iterator[tuple[bool, str]]:
    """Yield for each cell whether the smoothed attack succeeds more often."""
    for (attack, source, target), rate in rates.items():
        if attack == smoothed:
            rival = rates[plain, source, target]
            yield rate > rival, f"{source} to {target}: {smoothed} {rate:g}%, {plain} {rival:g}%"
