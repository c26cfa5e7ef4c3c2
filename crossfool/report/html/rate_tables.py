"""Tables of the page with rates: success, clean accuracy, destruction. All rates are percent."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossfool.attacks.config import Attack
from crossfool.experiment.descriptions import attack_summary
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.evaluation.transform_levels import find_transform
from crossfool.report.html.report_csv import ENDS, csv_rows
from crossfool.report.number_text import gradients_text, interval_text
from crossfool.report.reported.published_rates import reported_rates
from crossfool.report.table import Cell, Table
from crossfool.stats.rates import wilson_interval_in_percent

METRICS = {"top1": "top-1", "top5": "top-5"}


def success_tables(results: Results) -> Iterator[Table]:
    """A heat map of each attack's top-1 success rates, and of a targeted attack's top-5 rates."""
    for name, attack in results.experiment.attacks.items():
        for metric in METRICS if attack.targeted else ("top1",):
            yield _success_table(results, name, metric)


def _success_table(results: Results, name: str, metric: str) -> Table:
    """The heat map of the attack `name`, by `metric` (top1 or top5), with the paper's rates."""
    experiment = results.experiment
    attack = experiment.attacks[name]
    paper_tables = set()
    rows, records = [], []
    for source in experiment.sources:
        cells = []
        for target in experiment.answering:
            rates = results.success[source, name][target]
            figure = reported_rates(experiment, source, target, attack).get(metric)
            ends = rates[f"{metric}_low"], rates[f"{metric}_high"]
            paper = None if figure is None else figure.percent
            cells.append(_rate_cell(rates[metric], *ends, paper=paper, whitebox=rates["whitebox"]))
            record = {"source": source, "target": target, "attack": name, "metric": metric, "rate": rates[metric]}
            record |= {"low": ends[0], "high": ends[1], "n": rates["n"], "whitebox": rates["whitebox"]}
            record |= {"paper": paper, "difference": None, "paper_table": None}
            if figure is not None:
                paper_tables.add(figure.table.replace("table", "table "))
                record |= {"difference": round(rates[metric] - figure.percent, 4), "paper_table": figure.table}
            records.append(record)
        rows.append((source, tuple(cells)))
    return Table(
        name=f"{name}-{metric}",  # like no other table's, whatever an attack is called: names have no hyphen
        title=f"{name}: {METRICS[metric]} success rate, %",
        notes=(
            f"{_capitalised(attack_summary(attack))}; {gradients_text(attack.gradient_evaluations_per_seed)}.",
            _goal(attack, metric),
            *_quoted(paper_tables),
        ),
        corner="source",
        columns=experiment.answering,
        rows=tuple(rows),
        records=tuple(records),
        command=f"dvc repro --glob 'evaluate@*-{name}'",
    )


def _rate_cell(rate: float, low: float, high: float, **options: Any) -> Cell:
    """A cell of a heat map with the interval below the rate; `options` are further attributes of the cell."""
    return Cell(f"{rate:.1f}", rate, interval_text(low, high), heat=rate, **options)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _goal(attack: Attack, metric: str) -> str:
    """The images that count as a success, as a sentence."""
    if metric == "top5":
        return "Success: the target label is among the first five answers."
    goal = "are given the target label" if attack.targeted else "are not given the true label"
    return f"Success: images that {goal}."


def _quoted(paper_tables: set[str]) -> tuple[str, ...]:
    """The note that names the paper's tables; no note for none."""
    return (f"The paper's figures are of its {', '.join(sorted(paper_tables))}.",) if paper_tables else ()


def clean_table(results: Results, hashes: Mapping[str, str]) -> Table:
    """Table of the models: accuracy on the whole data set, size, and sha256 of the weights.

    Args:
        results: The experiment's metrics.
        hashes: Model -> the sha256 of its weights, of members of a source.
    """
    rows = []
    for model, accuracy in results.clean.items():
        published, top1_ends = accuracy["published_top1"], (accuracy["top1_low"], accuracy["top1_high"])
        top5_ends = wilson_interval_in_percent(accuracy["top5"], accuracy["n"])
        cells = (
            Cell(f"{accuracy['top1']:.1f}", accuracy["top1"], interval_text(*top1_ends)),
            Cell(f"{accuracy['top5']:.1f}", accuracy["top5"], interval_text(*top5_ends)),
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


def destruction_tables(report: Path, results: Results) -> Iterator[Table]:
    """A heat map of each transform's destruction rates, black-box pairs pooled.

    Args:
        report: The folder with destruction_pooled.csv; no table without that file.
        results: The experiment's metrics.
    """
    pooled = csv_rows(report, "destruction_pooled")
    for transform, levels in results.experiment.transforms.items():
        records = [row for row in pooled if row["transform"] == transform]
        if not levels or not pooled:
            continue
        rows = []
        for attack in results.experiment.attacks:
            row_at = {row["level"]: row for row in records if row["attack"] == attack}
            cell_at = {
                level: _rate_cell(*(float(row[key]) for key in ("rate", *ENDS))) for level, row in row_at.items()
            }
            fooled = int(next(iter(row_at.values()))["n"]) if row_at else 0
            cells = (cell_at.get(f"{level:g}", Cell("–")) for level in levels)
            rows.append((attack, (*cells, Cell(f"{fooled:,}", fooled))))
        yield Table(
            name=f"destruction_{transform}",
            title=f"{transform}: destruction rate, %",
            notes=(f"Levels: {find_transform(transform).unit}.",),
            corner="attack",
            columns=(*(f"{level:g}" for level in levels), "fooled"),
            rows=tuple(rows),
            records=tuple(records),
            command="dvc repro --glob 'transform@*'",
        )
