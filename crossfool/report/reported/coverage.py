"""Coverage: how much of each table and figure of the paper was run here, on what, and how near it came.

All from the repository: each experiment's params.yaml, its metrics/, and the outputs that its dvc.lock names. Rates are
percent. Imports no torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfool.errors import UserError
from crossfool.experiment import dvc_records, loading
from crossfool.experiment.config import Experiment
from crossfool.experiment.project import experiment_folders
from crossfool.experiment.results.metrics import Results, load_metrics
from crossfool.report.reported.paper_agreement import agreement_summary, comparison_rows
from crossfool.report.reported.paper_items import ACCURACY, Item, Piece, items
from crossfool.report.reported.published_panels import panel_rows
from crossfool.report.reported.published_rates import parameters_of

COLUMNS = (
    *("item", "what", "run", "on", "experiments", "reported", "cells", "within"),
    *("mean_difference", "mean_absolute_difference", "rank_correlation"),
)
WHOLE, PART, SUBSTITUTES, NOT, NOTHING = "yes", "in part", "substitutes only", "no", "nothing to run"
Pieces = Mapping["Recorded", Sequence[Piece]]


@dataclass(frozen=True)
class Coverage:
    """Tables and figures of the paper, and how far each was run here.

    Attributes:
        rows: A row of `COLUMNS` for each table and figure of the paper.
        left_out: A line for each experiment that could not be read.
    """

    rows: tuple[dict[str, Any], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Recorded:
    """An experiment as the repository records it.

    Attributes:
        name, folder: Its name, "." for the root's, and its folder.
        experiment: Its params.yaml.
        results: Its metrics; None where it was not run.
        outputs: Paths in its folder that its dvc.lock names.
    """

    name: str
    folder: Path
    experiment: Experiment
    results: Results | None
    outputs: frozenset[str]

    def has(self, piece: Piece) -> bool:
        """Whether a piece was computed: its file is there, or DVC's record of it."""
        if piece.output.startswith("metrics/") and self.results is None:
            return False
        return (self.folder / piece.output).is_file() or piece.output in self.outputs


def read_coverage(project: Path) -> Coverage:
    """Read the coverage of the paper from the experiments of a repository, which lies in the folder `project`."""
    recorded, left_out = [], []
    for name, folder in experiment_folders(project).items():
        try:
            recorded.append(_read(name, folder))
        except UserError as error:
            left_out.append(str(error))
    return Coverage(coverage_rows(recorded), tuple(left_out))


def _read(name: str, folder: Path) -> Recorded:
    experiment = loading.load_experiment(folder / "params.yaml")
    results = load_metrics(folder, experiment) if (folder / "metrics").is_dir() else None
    return Recorded(name, folder, experiment, results, dvc_records.locked_paths(folder))


def coverage_rows(recorded: Sequence[Recorded]) -> tuple[dict[str, Any], ...]:
    """A row of `COLUMNS` for each table and figure of the paper.

    `run` says whether all, a part or none of it was run on the paper's models and data, or else on substitutes: other
    models of the same kind of images, by attacks of the paper's parameters. `on` names models and images,
    `experiments` the folders. `reported` counts the success rates that the paper prints, `cells` those of them that
    have a rate of ours, and `within` those that lie in our interval (of figures 1 and 8, in the range of ours).
    """
    compared = {**_compared_rates(recorded), **_compared_panels(recorded)}
    return tuple(_row(item, recorded, compared.get(item.name, {})) for item in items())


def _compared_rates(recorded: Iterable[Recorded]) -> dict[str, dict[str, Any]]:
    """Table -> the agreement over its figures that have a cell; each counts once, in the experiment that has most."""
    groups: dict[str, list[tuple[Experiment, list[dict[str, Any]]]]] = {}
    for one in recorded:
        rows = [] if one.results is None else comparison_rows(one.results)
        for table in dict.fromkeys(row["paper_table"] for row in rows):
            found = [row for row in rows if row["paper_table"] == table]
            groups.setdefault(table, []).append((one.experiment, found))
    summaries = {}
    for table, found_in in groups.items():
        once: dict[Any, dict[str, Any]] = {}
        for experiment, rows in sorted(found_in, key=lambda group: -len(group[1])):
            for row in rows:
                members, attack = frozenset(row["source"].split("+")), experiment.row(row["attack"])
                once.setdefault((row["metric"], members, row["target"], parameters_of(attack)), row)
        summaries[table] = agreement_summary(list(once.values()))
    return summaries


def _compared_panels(recorded: Iterable[Recorded]) -> dict[str, dict[str, Any]]:
    """Figure -> agreement over its panels: counts of the paper's values, and the mean of the panels' differences."""
    summaries = {}
    for one in recorded:
        drawn = one.results is not None and one.experiment.scatter.attacks
        rows = panel_rows(one.results) if one.results is not None and drawn else []
        for figure in dict.fromkeys(row["figure"] for row in rows):
            found = [row for row in rows if row["figure"] == figure]
            differences = [row["difference"] for row in found]
            summaries[figure] = {
                "cells": sum(row["paper_dots"] for row in found),
                "within": sum(row["within"] for row in found),
                "mean_difference": sum(differences) / len(differences),
            }
    return summaries


def _row(item: Item, recorded: Sequence[Recorded], agreement: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"item": item.name, "what": item.what, "run": NOTHING}
    if item.pieces is None:
        return row
    if item.reported:
        row |= {"reported": item.reported, "cells": 0}
    if agreement.get("cells"):
        row |= {key: agreement[key] for key in COLUMNS if key in agreement}
    alike = {
        one: list(item.pieces(one.experiment)) for one in recorded if one.experiment.dataset.family == item.dataset
    }
    papers = {one: [piece for piece in pieces if _is_papers(item, one, piece)] for one, pieces in alike.items()}
    run, substitutes = _run(papers), _run(alike)
    if run:
        whole = (
            row["cells"] >= item.reported if item.reported else any(len(run[one]) == len(papers[one]) for one in run)
        )
        row["run"] = WHOLE if whole else PART
    else:
        row["run"] = SUBSTITUTES if substitutes else NOT
    shown: Pieces = run or substitutes
    folders = shown or {one: pieces for one, pieces in papers.items() if pieces}
    row["experiments"] = ", ".join(one.name for one in folders) or None
    row["on"] = "; ".join(_on(item, one, pieces) for one, pieces in shown.items()) or None
    return row


def _run(asked: Pieces) -> dict[Recorded, list[Piece]]:
    """The pieces that were computed, of the experiments that have computed some."""
    found = {one: [piece for piece in pieces if one.has(piece)] for one, pieces in asked.items()}
    return {one: pieces for one, pieces in found.items() if pieces}


def _is_papers(item: Item, one: Recorded, piece: Piece) -> bool:
    """Whether a piece is of the paper's models and data; a sample of a data set is other data."""
    return one.experiment.dataset.name == item.dataset and item.has_models(piece)


def _on(item: Item, one: Recorded, pieces: Sequence[Piece]) -> str:
    """The models and images that pieces are of, and how many of the item's attacks: "a, b (trained here), ..."."""
    used = frozenset[str]().union(*(piece.models for piece in pieces))
    models = [model for model in one.experiment.models if model in used]
    parts = len({piece.part for piece in pieces})
    texts = [", ".join(models) + _origin(one.experiment, models)]
    count = f"{one.results.n:,} images of " if one.results is not None else ""
    texts.append(f"{count}{one.experiment.dataset.name}")
    texts += [f"{parts} of {len(item.parts)} attacks"] if parts < len(item.parts) else []
    texts += [_accuracies(one.results, models)] if item.dataset == "cifar10" and one.results is not None else []
    texts += [] if one.outputs else ["no dvc.lock"]
    return "; ".join(text for text in texts if text)


def _origin(experiment: Experiment, models: Sequence[str]) -> str:
    trained = [model for model in models if experiment.is_trained(model)]
    if not trained:
        return ""
    return " (trained here)" if trained == list(models) else f" ({', '.join(trained)} trained here)"


def _accuracies(results: Results, models: Iterable[str]) -> str:
    """Clean accuracies beside those that the paper gives."""
    known = [model for model in models if model in ACCURACY]
    ours = ", ".join(f"{results.clean[model]['top1']:.1f}" for model in known)
    paper = ", ".join(f"{ACCURACY[model]:.1f}" for model in known)
    return f"clean accuracy {ours}%, in the paper {paper}%" if known else ""
