"""Tables of rates on the page: success, clean accuracy, destruction. All rates are percent."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossfool.attacks.config import Attack
from crossfool.experiment.descriptions import words
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.evaluation.config import TRANSFORMS
from crossfool.report.html.report_csv import ENDS, csv_rows
from crossfool.report.reported.published_rates import reported
from crossfool.report.table import Cell, Table
from crossfool.stats.rates import wilson_ends

METRICS = {"top1": "top-1", "top5": "top-5"}


def success(results: Results) -> Iterator[Table]:
    """For each attack a heat map of its top-1 success rates; of a targeted attack also of its top-5 rates."""
    for name, attack in results.experiment.attacks.items():
        for metric in METRICS if attack.targeted else ("top1",):
            yield _success(results, name, metric)


def _success(results: Results, name: str, metric: str) -> Table:
    experiment = results.experiment
    attack = experiment.attacks[name]
    tables = set()
    rows, records = [], []
    for source in experiment.sources:
        cells = []
        for target in experiment.answering:
            rates = results.success[source, name][target]
            figure = reported(experiment, source, target, attack).get(metric)
            ends = rates[f"{metric}_low"], rates[f"{metric}_high"]
            paper = None if figure is None else figure.percent
            cells.append(_rate(rates[metric], *ends, paper=paper, whitebox=rates["whitebox"]))
            record = {"source": source, "target": target, "attack": name, "metric": metric, "rate": rates[metric]}
            record |= {"low": ends[0], "high": ends[1], "n": rates["n"], "whitebox": rates["whitebox"]}
            record |= {"paper": paper, "difference": None, "paper_table": None}
            if figure is not None:
                tables.add(figure.table.replace("table", "table "))
                record |= {"difference": round(rates[metric] - figure.percent, 4), "paper_table": figure.table}
            records.append(record)
        rows.append((source, tuple(cells)))
    return Table(
        name=f"{name}-{metric}",  # like no other table's, whatever an attack is called: names have no hyphen
        title=f"{name}: {METRICS[metric]} success rate, %",
        notes=(f"{_capital(words(attack))}; {_evaluations(attack)}.", _goal(attack, metric), *_quoted(tables)),
        corner="source",
        columns=experiment.answering,
        rows=tuple(rows),
        records=tuple(records),
        command=f"dvc repro --glob 'evaluate@*-{name}'",
    )


def _rate(rate: float, low: float, high: float, **more: Any) -> Cell:
    return Cell(f"{rate:.1f}", rate, f"[{low:.1f}, {high:.1f}]", heat=rate, **more)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _evaluations(attack: Attack) -> str:
    count = "1 gradient evaluation" if attack.gradients == 1 else f"{attack.gradients} gradient evaluations"
    return f"{count} an image and model"


def _goal(attack: Attack, metric: str) -> str:
    if metric == "top5":
        return "Success: the target label is among the first five answers."
    goal = "are given the target label" if attack.targeted else "are not given the true label"
    return f"Success: images that {goal}."


def _quoted(tables: set[str]) -> tuple[str, ...]:
    return (f"The paper's figures are of its {', '.join(sorted(tables))}.",) if tables else ()


def clean(results: Results, hashes: Mapping[str, str]) -> Table:
    """The models: accuracy on the whole data set, size, and the sha256 of their weights where a source has them."""
    rows = []
    for model, accuracy in results.clean.items():
        published, first = accuracy["published_top1"], (accuracy["top1_low"], accuracy["top1_high"])
        five = wilson_ends(accuracy["top5"], accuracy["n"])
        cells = (
            Cell(f"{accuracy['top1']:.1f}", accuracy["top1"], "[{:.1f}, {:.1f}]".format(*first)),
            Cell(f"{accuracy['top5']:.1f}", accuracy["top5"], "[{:.1f}, {:.1f}]".format(*five)),
            Cell("" if published is None else f"{published:.1f}", published),
            Cell(f"{accuracy['n']:,}", accuracy["n"]),
            Cell(f"{accuracy['parameters']:,}", accuracy["parameters"]),
            Cell(hashes.get(model, "")[:12]),
        )
        rows.append((model, cells))
    return Table(
        name="clean",
        title="Clean accuracy, %",
        notes=("On the whole data set, before any attack; sha256 is of the weights, its first twelve digits.",),
        corner="model",
        columns=("top-1", "top-5", "published top-1", "images", "parameters", "sha256"),
        rows=tuple(rows),
        records=tuple({"model": model, **row, "sha256": hashes.get(model)} for model, row in results.clean.items()),
        command="dvc repro --glob 'predict@*'",
    )


def destruction(report: Path, results: Results) -> Iterator[Table]:
    """For each transform a heat map of its destruction rates, black-box pairs pooled, as `report` has them."""
    found = csv_rows(report, "destruction_pooled")
    for transform, levels in results.experiment.transforms.items():
        records = [row for row in found if row["transform"] == transform]
        if not levels or not found:
            continue
        rows = []
        for attack in results.experiment.attacks:
            at = {row["level"]: row for row in records if row["attack"] == attack}
            rates = [_rate(*(float(at[level][key]) for key in ("rate", *ENDS))) for level in at]
            shown = dict(zip(at, rates, strict=True))
            fooled = int(next(iter(at.values()))["n"]) if at else 0
            cells = (shown.get(f"{level:g}", Cell("–")) for level in levels)
            rows.append((attack, (*cells, Cell(f"{fooled:,}", fooled))))
        yield Table(
            name=f"destruction_{transform}",
            title=f"{transform}: destruction rate, %",
            notes=(f"Levels: {TRANSFORMS[transform][2]}.",),
            corner="attack",
            columns=(*(f"{level:g}" for level in levels), "fooled"),
            rows=tuple(rows),
            records=tuple(records),
            command="dvc repro --glob 'transform@*'",
        )
