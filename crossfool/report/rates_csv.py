"""The report's CSV files of success and destruction rates."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossfool.experiment.results import pooled_destruction
from crossfool.experiment.results.metrics import Results
from crossfool.report.reported.published_rates import reported
from crossfool.report.table import csv_text
from crossfool.storage.atomic import replacing

COLUMNS = [
    *("source", "target", "attack", "objective", "epsilon", "steps", "step_size", "gradient", "samples", "sigma"),
    *(
        "update",
        "decay",
        "noise",
        "radius",
        "diversity",
        "resize",
        "scales",
        "kernel",
        "gradients",
        "whitebox",
        "n",
        "top1",
        "top1_low",
        "top1_high",
        "top5",
        "top5_low",
        "top5_high",
    ),
    *("paper", "difference", "paper_table", "paper_top5", "difference_top5", "paper_top5_table"),
]


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    write_text(path, csv_text(columns, rows))


def success_rows(results: Results) -> Iterable[dict[str, Any]]:
    """A row a source, target and attack."""
    experiment = results.experiment
    for (source, name), targets in results.success.items():
        attack = experiment.attacks[name]
        values = {key: getattr(attack, key) for key in COLUMNS if hasattr(attack, key)}
        for target, rates in targets.items():
            row = {"source": source, "target": target, "attack": name, **values}
            row |= {key: rates[key] for key in COLUMNS if key in rates}
            for metric, figure in reported(experiment, source, target, attack).items():
                end = "" if metric == "top1" else f"_{metric}"
                row[f"paper{end}"] = figure.percent
                row[f"difference{end}"] = round(rates[metric] - figure.percent, 4)
                row[f"paper{end}_table"] = figure.table
            yield row


def destruction_rows(results: Results) -> Iterable[dict[str, Any]]:
    """A row a source, target, attack, transform and level."""
    for (source, attack), targets in results.destruction.items():
        for target, transforms in targets.items():
            whitebox = results.success[source, attack][target]["whitebox"]
            for transform, levels in transforms.items():
                for level, rates in levels.items():
                    row = {"source": source, "target": target, "attack": attack, "whitebox": whitebox}
                    yield row | {"transform": transform, "level": level} | rates


def pooled_rows(pools: Mapping[str, Mapping[str, pooled_destruction.Points]]) -> Iterable[dict[str, Any]]:
    """A row an attack, transform and level, over all black-box pairs."""
    for transform, lines in pools.items():
        for attack, points in lines.items():
            for point in points:
                yield {"attack": attack, "transform": transform, **point._asdict()}
