"""Two attacks, or two git revisions, on the same images: paired differences, intervals and tests. Imports no torch.

A cell's interval is Newcombe's for paired proportions (1998, method 10), its p that of the exact McNemar test,
corrected by Holm's method for all cells of the table. Pooled over black-box cells, an image's differences are
averaged first, since cells share their images: Student's t interval over images, and the sign-flip permutation test.
See `differences`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crossfool.errors import UserError, unknown
from crossfool.experiment import descriptions, git, loading, project
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.revisions import WORKSPACE, NoRevision, Version, at, workspace
from crossfool.pipeline.evaluation import success
from crossfool.pipeline.evaluation.predictions_file import TOP
from crossfool.stats.paired_difference import Difference, paired, pooled
from crossfool.stats.paired_tests import Pair, holm
from crossfool.storage import recovery
from crossfool.storage.parquet import read_table

LEVEL = 0.05


@dataclass(frozen=True)
class Row:
    """One cell and target, in both.

    Attributes:
        attack: Its name; of two attacks, both.
        source, target: Models.
        whitebox: Whether the target is a member of the source.
        first, second: Success rates in percent.
        difference: First less second.
        pair: On which images each succeeded, (N,) bool.
        same: Whether both have the very same file.
    """

    attack: str
    source: str
    target: str
    whitebox: bool
    first: float
    second: float
    difference: Difference
    pair: Pair
    same: bool


@dataclass(frozen=True)
class Pooled:
    """An attack over its black-box cells, whether their files are the same in both (all of them: `same`) or not."""

    attack: str
    cells: int
    difference: Difference
    same: bool


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        names: Of the first and the second.
        about: A line on each, or on what differs between them.
        images: N.
        rows: Cells and targets of both.
        pooled: A line an attack.
        left_out: Cells that one of the two lacks.
    """

    names: tuple[str, str]
    about: tuple[str, ...]
    images: int
    rows: tuple[Row, ...]
    pooled: tuple[Pooled, ...]
    left_out: tuple[str, ...]

    @property
    def shown(self) -> list[Row]:
        """The cells that may differ: their files do."""
        return [row for row in self.rows if not row.same]


@dataclass(frozen=True)
class _Answers:
    """A cell's predictions: ids, labels and target labels (N,), target model -> top-5 (N,5)."""

    ids: np.ndarray
    labels: np.ndarray
    targets: np.ndarray
    top: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Side:
    """One of the two that are compared: a cell of a version."""

    version: Version
    source: str
    attack: str

    @property
    def cell(self) -> tuple[str, str]:
        return self.source, self.attack

    def __str__(self) -> str:
        where = "" if self.version.name == WORKSPACE else f" of {self.version.name}"
        return f"predictions/{self.source}/{self.attack}.parquet{where}"


def compare(
    first: str,
    second: str,
    folder: Path,
    *,
    source: str | None = None,
    target: str | None = None,
    metric: str = "top1",
) -> Comparison:
    """Compare two attacks of an experiment, else two revisions of it.

    Args:
        first, second: Names of two attacks of params.yaml, or two git revisions, DVC experiments or `workspace`.
        folder: The experiment's.
        source, target: Of this source, and this target, alone.
        metric: top1, or top5.

    Raises:
        UserError: neither, a file cannot be had, or the images are not the same.
    """
    here = loading.load(folder / "params.yaml")
    attacks = [name for name in (first, second) if name in here.rows]
    if first == second:
        raise UserError(f"{first} is compared with itself; give two attacks or two revisions")
    if len(attacks) == 1:
        other = second if attacks == [first] else first
        hint = str(unknown("attack", other, here.rows)).partition("; ")[2]
        raise UserError(f"{attacks[0]} is an attack and {other} is none; give two attacks ({hint}) or two revisions")
    if attacks:
        one = workspace(folder)
        pairs = [(_Side(one, name, first), _Side(one, name, second)) for name in here.sources]
        about = tuple(f"{name}: {descriptions.words(here.rows[name])}" for name in (first, second))
    else:
        versions = _version(first, folder, here), _version(second, folder, here)
        pairs = _common(*versions)
        about = tuple(_changes(*versions))
    if here.subset.of == "all":
        about = (*about, "counted are all attacked images, whether models are right on the clean ones or not")
    return _compared((first, second), about, _of(pairs, source), target, metric)


def _version(name: str, folder: Path, here: Experiment) -> Version:
    try:
        return at(name, folder)
    except git.Refused as error:
        raise UserError(
            f"{unknown('attack', name, here.rows)}; nor can it be looked up as a revision: {error}"
        ) from None
    except NoRevision:
        what = f"{unknown('attack', name, here.rows)}; nor is it a git revision or DVC experiment"
        raise UserError(what + git.shallow(folder) + _elsewhere(name, folder)) from None


def _elsewhere(attack: str, folder: Path) -> str:
    """Where there is such an attack, as a message's end."""
    known = {name: place for name, place in project.experiments(project.root(folder)).items() if _has(place, attack)}
    said = f"; {', '.join(known)} {'has' if len(known) == 1 else 'have'} one: --folder {next(iter(known), '')}"
    return said if known else ""


def _has(folder: Path, attack: str) -> bool:
    try:
        return attack in loading.load(folder / "params.yaml").rows
    except UserError:
        return False


def _common(first: Version, second: Version) -> list[tuple[_Side, _Side]]:
    """The cells of both and of either, in the order of params.yaml, those that it does not name (grids') behind."""
    cells = list(dict.fromkeys([*first.tables, *second.tables]))
    sources, attacks = (dict.fromkeys([*one, *other]) for one, other in zip(_names(first), _names(second), strict=True))
    place = {name: number for number, name in enumerate([*attacks, *sources])}
    last = len(place)
    cells.sort(key=lambda cell: (place.get(cell[1], last), cell[1], place.get(cell[0], last)))
    return [(_Side(first, *cell), _Side(second, *cell)) for cell in cells]


def _names(version: Version) -> tuple[list[str], list[str]]:
    """Sources and attacks, in the order of params.yaml."""
    return list(version.values.get("sources") or ()), list(version.values.get("attacks") or ())


def _changes(first: Version, second: Version) -> Iterator[str]:
    """What differs between the attacks' rows of two versions."""
    for attack in dict.fromkeys([*_names(first)[1], *_names(second)[1]]):
        one, other = first.row(attack), second.row(attack)
        keys = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
        if one and other and keys:
            values = (f"{key} {_said(one.get(key))} and {_said(other.get(key))}" for key in keys)
            yield f"{attack}: {', '.join(values)}"
    keys = [key for key in first.values if key not in ("attacks", "root")]
    others = [key for key in keys if first.values[key] != second.values.get(key)]
    if others:
        yield f"params.yaml also differs in {', '.join(others)}"


def _said(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else "not given" if value is None else str(value)


def _of(pairs: list[tuple[_Side, _Side]], source: str | None) -> list[tuple[_Side, _Side]]:
    if source is not None and source not in {one.source for one, _ in pairs}:
        raise unknown("source", source, {one.source for one, _ in pairs})
    return [pair for pair in pairs if source in (None, pair[0].source)]


def _compared(
    names: tuple[str, str], about: tuple[str, ...], pairs: list[tuple[_Side, _Side]], target: str | None, metric: str
) -> Comparison:
    rows: list[Row] = []
    left_out, images, seen = [], 0, set()
    lack: _Side | None = None
    for one, other in pairs:
        lacking = [side for side in (one, other) if side.cell not in side.version.tables]
        if lacking:
            left_out.append(f"{lacking[0]} is not there")
            lack = lack or lacking[0]
            continue
        equal = one.version is not other.version and one.version.tables[one.cell] == other.version.tables[other.cell]
        first = _read(one)
        second = first if equal else _read(other)
        _check(one, first, other, second)
        found = [model for model in first.top if model in second.top]
        seen |= set(found)
        images = len(first.ids)
        rows += [
            replace(_row(one, first, other, second, model, metric), same=equal)
            for model in found
            if target in (None, model)
        ]
    if target is not None and seen and target not in seen:
        raise unknown("target", target, seen)
    if not rows:
        reason = f" ({left_out[0]}; {_getting(lack)})" if lack else ""
        raise UserError(f"{names[0]} and {names[1]} have no cell in common{reason}")
    adjusted = holm([row.difference.p for row in rows])
    rows = [replace(row, difference=replace(row.difference, adjusted=p)) for row, p in zip(rows, adjusted, strict=True)]
    return Comparison(names, about, images, tuple(rows), tuple(_pooled(rows)), tuple(left_out))


def _getting(side: _Side) -> str:
    """How to get predictions that a version lacks."""
    if side.version.name == WORKSPACE:
        return recovery.getting(side.version.folder / f"predictions/{side.source}/{side.attack}.parquet")
    return "take revisions at which both were run"


def _read(side: _Side) -> _Answers:
    found = read_table(side.version.table(side.cell))
    model = np.asarray(found["model"])
    names = list(dict.fromkeys(model.tolist()))
    top = np.stack([found[name].to_numpy() for name in TOP], 1)
    first = model == names[0]
    ids, labels, targets = (found[name].to_numpy()[first] for name in ("id", "label", "target_label"))
    return _Answers(ids, labels, targets, {name: top[model == name] for name in names})


def _check(one: _Side, first: _Answers, other: _Side, second: _Answers) -> None:
    """Refuse what cannot be paired: other images, labels or objectives."""
    if one.version.targeted(one.attack) != other.version.targeted(other.attack):
        aimed, free = (one, other) if one.version.targeted(one.attack) else (other, one)
        raise UserError(
            f"{_named(aimed, free)} is targeted and {_named(free, aimed)} is not: their rates count different things; "
            "compare attacks of one objective"
        )
    if not np.array_equal(first.ids, second.ids):
        common = len(np.intersect1d(first.ids, second.ids))
        raise UserError(
            f"{one} rests on {len(first.ids)} images and {other} on {len(second.ids)}, {common} of them the same; "
            "only the same images can be paired: take versions with one subset"
        )
    aims = one.version.targeted(one.attack) and not np.array_equal(first.targets, second.targets)
    if aims or not np.array_equal(first.labels, second.labels):
        raise UserError(f"{one} and {other} have other labels for the same images; take versions with one subset")


def _named(side: _Side, other: _Side) -> str:
    return side.attack if side.attack != other.attack else f"{side.attack} of {side.version.name}"


def _row(one: _Side, first: _Answers, other: _Side, second: _Answers, target: str, metric: str) -> Row:
    pair = _hits(one, first, target, metric), _hits(other, second, target, metric)
    name = one.attack if one.attack == other.attack else f"{one.attack} − {other.attack}"
    whitebox = target in one.source.split("+")
    rate, rival = (100 * float(hits.mean()) for hits in pair)
    return Row(name, one.source, target, whitebox, rate, rival, paired(pair), pair, False)


def _hits(side: _Side, answers: _Answers, target: str, metric: str) -> np.ndarray:
    aim = answers.targets if side.version.targeted(side.attack) else None
    return success.success(answers.top[target], answers.labels, aim)[("top1", "top5").index(metric)]


def _pooled(rows: Sequence[Row]) -> Iterator[Pooled]:
    """A line for each attack with black-box cells, corrected for their number."""
    attacks = dict.fromkeys(row.attack for row in rows if not row.whitebox)
    cells = {name: [row for row in rows if row.attack == name and not row.whitebox] for name in attacks}
    found = {name: pooled([row.pair for row in some]) for name, some in cells.items()}
    for (name, one), adjusted in zip(found.items(), holm([one.p for one in found.values()]), strict=True):
        same = all(row.same for row in cells[name])
        yield Pooled(name, len(cells[name]), replace(one, adjusted=adjusted), same)
