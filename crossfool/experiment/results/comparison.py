"""Two attacks, or two git revisions, on the same images: paired differences, intervals and tests. Imports no torch.

A cell's interval is Newcombe's for paired proportions (1998, method 10), its p that of the exact McNemar test,
corrected by Holm's method for all cells of the table. Pooled over black-box cells, an image's differences are
averaged first, since cells share their images: the sign-flip permutation test, and the interval of
`stats.mean_difference`, which agrees with it.
See `stats.paired_difference`; `paired_cells` reads the two sides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crossfool.errors import UserError, unknown_name
from crossfool.experiment import descriptions, git, loading, project
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.paired_cells import CellVersion, outcome, read, refuse_unpaired
from crossfool.experiment.results.revisions import UnknownRevision, Version, version_at, workspace_version
from crossfool.stats.paired_difference import Difference, paired_difference, pooled_difference
from crossfool.stats.paired_tests import OutcomePair, holm_adjusted

CellPair = tuple[CellVersion, CellVersion]


@dataclass(frozen=True)
class Row:
    """Outcomes of a cell against one target model, in both attacks or revisions.

    Attributes:
        attack: The attack's name; where two attacks are compared, both names.
        source: The source model, or ensemble.
        target: The target model.
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
    pair: OutcomePair
    same: bool


@dataclass(frozen=True)
class Pooled:
    """The difference of an attack over its black-box cells.

    Attributes:
        attack: As in `Row`.
        cells: How many cells are pooled, those whose files are the same in both among them.
        difference: First less second.
        same: Whether the files of all of them are the same in both.
    """

    attack: str
    cells: int
    difference: Difference
    same: bool


@dataclass(frozen=True)
class Comparison:
    """The comparison of two attacks or revisions.

    Attributes:
        names: The first and the second, as the user named them.
        about: A line on each attack, or on the differences between the revisions' params.yaml.
        images: N, the images that both rest on.
        rows: The cells and targets that both have.
        pooled: One for each attack with black-box cells.
        left_out: A line for each cell that one of the two lacks.
    """

    names: tuple[str, str]
    about: tuple[str, ...]
    images: int
    rows: tuple[Row, ...]
    pooled: tuple[Pooled, ...]
    left_out: tuple[str, ...]

    @property
    def of_attacks(self) -> bool:
        """Whether two attacks of one experiment are compared, and no revisions."""
        return {row.attack for row in self.rows} == {" − ".join(self.names)}

    @property
    def shown(self) -> list[Row]:
        """The cells that may differ, since their files do."""
        return [row for row in self.rows if not row.same]


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
        first: Name of an attack of params.yaml, or a git revision, a DVC experiment or `workspace`.
        second: The same kind of name; its rates are subtracted.
        folder: The experiment's.
        source: Compare this source model, or ensemble, alone.
        target: Compare this target model alone.
        metric: top1, or top5.

    Raises:
        UserError: the names are neither, a file cannot be had, or the images are not the same.
    """
    experiment = loading.load_experiment(folder / "params.yaml")
    attacks = [name for name in (first, second) if name in experiment.rows]
    if first == second:
        raise UserError(f"{first} is compared with itself; give two attacks or two revisions")
    if len(attacks) == 1:
        stranger = second if attacks == [first] else first
        hint = str(unknown_name("attack", stranger, experiment.rows)).partition("; ")[2]
        raise UserError(f"{attacks[0]} is an attack, but {stranger} is not; give two attacks ({hint}) or two revisions")
    if attacks:
        files = workspace_version(folder)
        pairs = [(CellVersion(files, name, first), CellVersion(files, name, second)) for name in experiment.sources]
        about = tuple(f"{name}: {descriptions.attack_summary(experiment.rows[name])}" for name in (first, second))
    else:
        versions = _version(first, folder, experiment), _version(second, folder, experiment)
        pairs = _cell_pairs(*versions)
        about = tuple(_changes(*versions))
        _refuse_both_uses(*versions)
    if pairs and pairs[0][0].version.uses_tuning:
        about = (*about, descriptions.TUNING_NOTICE)
    if experiment.subset.of == "all":
        about = (*about, "counted are all attacked images, whether models are right on the clean ones or not")
    return _compared((first, second), about, _only_source(pairs, source), target, metric)


def _refuse_both_uses(first: Version, second: Version) -> None:
    """Refuse to compare tuning images with those that reports score.

    Raises:
        UserError: one version attacks these, the other those.
    """
    if first.uses_tuning != second.uses_tuning:
        tuned, other = (first, second) if first.uses_tuning else (second, first)
        raise UserError(
            f"{tuned.name} attacks tuning images and {other.name} scored images; compare two of the same kind"
        )


def _version(name: str, folder: Path, experiment: Experiment) -> Version:
    """The revision of a name that is no attack's.

    Raises:
        UserError: git and DVC know no such revision, or git cannot tell.
    """
    try:
        return version_at(name, folder)
    except git.GitError as error:
        raise UserError(
            f"{unknown_name('attack', name, experiment.rows)}; nor can it be looked up as a revision: {error}"
        ) from None
    except UnknownRevision:
        message = f"{unknown_name('attack', name, experiment.rows)}; nor is it a git revision or DVC experiment"
        raise UserError(message + git.shallow_clone_hint(folder) + _elsewhere(name, folder)) from None


def _elsewhere(attack: str, folder: Path) -> str:
    """The experiments that have an attack of a name, as a message's end."""
    experiments = project.experiment_folders(project.find_root(folder))
    folders = {name: place for name, place in experiments.items() if _has_attack(place, attack)}
    message = f"; {', '.join(folders)} {'has' if len(folders) == 1 else 'have'} one: --folder {next(iter(folders), '')}"
    return message if folders else ""


def _has_attack(folder: Path, attack: str) -> bool:
    try:
        return attack in loading.load_experiment(folder / "params.yaml").rows
    except UserError:
        return False


def _cell_pairs(first: Version, second: Version) -> list[CellPair]:
    """Every cell of either version, in the order of params.yaml; those that it does not name (grids') come last."""
    cells = list(dict.fromkeys([*first.tables, *second.tables]))
    names = zip(_names(first), _names(second), strict=True)
    sources, attacks = (dict.fromkeys([*firsts, *seconds]) for firsts, seconds in names)
    order = {name: number for number, name in enumerate([*attacks, *sources])}
    last = len(order)
    cells.sort(key=lambda cell: (order.get(cell[1], last), cell[1], order.get(cell[0], last)))
    return [(CellVersion(first, *cell), CellVersion(second, *cell)) for cell in cells]


def _names(version: Version) -> tuple[list[str], list[str]]:
    """Sources and attacks of a version, in the order of its params.yaml."""
    return list(version.values.get("sources") or ()), list(version.values.get("attacks") or ())


def _changes(first: Version, second: Version) -> Iterator[str]:
    """A line for each attack whose row differs between two versions, and one for their other sections."""
    for attack in dict.fromkeys([*_names(first)[1], *_names(second)[1]]):
        row, rival = first.row(attack), second.row(attack)
        keys = [key for key in dict.fromkeys([*row, *rival]) if row.get(key) != rival.get(key)]
        if row and rival and keys:
            shown = descriptions.parameter_value
            values = (f"{key} {shown(row.get(key))} and {shown(rival.get(key))}" for key in keys)
            yield f"{attack}: {', '.join(values)}"
    sections = [name for name in first.values if name not in ("attacks", "root")]
    changed = [name for name in sections if first.values[name] != second.values.get(name)]
    if changed:
        yield f"params.yaml also differs in {', '.join(changed)}"


def _only_source(pairs: list[CellPair], source: str | None) -> list[CellPair]:
    """The pairs of a source; all where it is None."""
    if source is not None and source not in {cell.source for cell, _ in pairs}:
        raise unknown_name("source", source, {cell.source for cell, _ in pairs})
    return [pair for pair in pairs if source in (None, pair[0].source)]


def _compared(
    names: tuple[str, str], about: tuple[str, ...], pairs: list[CellPair], target: str | None, metric: str
) -> Comparison:
    rows: list[Row] = []
    left_out, images, targets = [], 0, set()
    lacking: CellVersion | None = None
    for first, second in pairs:
        absent = [cell for cell in (first, second) if not cell.exists]
        if absent:
            left_out.append(f"{absent[0]} is not there")
            lacking = lacking or absent[0]
            continue
        same = first.version is not second.version and first.md5 == second.md5
        first_predictions = read(first)
        second_predictions = first_predictions if same else read(second)
        refuse_unpaired(first, first_predictions, second, second_predictions)
        common = [model for model in first_predictions.top if model in second_predictions.top]
        targets |= set(common)
        images = len(first_predictions.ids)
        for model in common:
            if target in (None, model):
                hits = outcome(first, first_predictions, model, metric)
                rivals = outcome(second, second_predictions, model, metric)
                rows.append(_row(first, second, model, (hits, rivals), same=same))
    if target is not None and targets and target not in targets:
        raise unknown_name("target", target, targets)
    if not rows:
        reason = f" ({left_out[0]}; {lacking.how_to_get()})" if lacking else ""
        raise UserError(f"{names[0]} and {names[1]} have no cell in common{reason}")
    adjusted = holm_adjusted([row.difference.p for row in rows])
    rows = [replace(row, difference=replace(row.difference, adjusted=p)) for row, p in zip(rows, adjusted, strict=True)]
    return Comparison(names, about, images, tuple(rows), tuple(_pooled(rows)), tuple(left_out))


def _row(first: CellVersion, second: CellVersion, target: str, pair: OutcomePair, *, same: bool) -> Row:
    attack = first.attack if first.attack == second.attack else f"{first.attack} − {second.attack}"
    whitebox = target in first.source.split("+")
    first_rate, second_rate = (100 * float(hits.mean()) for hits in pair)
    return Row(attack, first.source, target, whitebox, first_rate, second_rate, paired_difference(pair), pair, same)


def _pooled(rows: Sequence[Row]) -> Iterator[Pooled]:
    """Pool each attack's black-box cells; p is adjusted for the number of attacks."""
    attacks = dict.fromkeys(row.attack for row in rows if not row.whitebox)
    cells = {name: [row for row in rows if row.attack == name and not row.whitebox] for name in attacks}
    differences = {name: pooled_difference([row.pair for row in cell_rows]) for name, cell_rows in cells.items()}
    p_values = holm_adjusted([difference.p for difference in differences.values()])
    for (name, difference), adjusted in zip(differences.items(), p_values, strict=True):
        same = all(row.same for row in cells[name])
        yield Pooled(name, len(cells[name]), replace(difference, adjusted=adjusted), same)
