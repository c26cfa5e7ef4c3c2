"""The output of `crossfool score`: success rates of exported images on models."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from crossfool.cli.console import print_json
from crossfool.config import expand_path
from crossfool.experiment import loading
from crossfool.models.weights import registry
from crossfool.models.weights.config import Weights
from crossfool.report.number_text import count_text, rate_text
from crossfool.report.renderers.json_text import table_content
from crossfool.report.renderers.terminal import print_table
from crossfool.report.table import Column, Table
from crossfool.storage.exported_images import ExportedFolder

HIDDEN = [Column(name, shown=False) for name in ("objective", "whitebox", "weights", "clean_error")]
RATES = ("top1", "top1_low", "top1_high", "top5", "top5_low", "top5_high", "n")


def show(folder: Path, models: Sequence[str], experiment: Path, console: Console, *, as_json: bool = False) -> None:
    """Print success rates of the cells in an exported folder on models.

    Args:
        folder: The exported folder.
        models: Names of the models.
        experiment: The folder whose weights/ are searched first, and whose params.yaml pins weights.
        console: Where to.
        as_json: Whether to print JSON, and no table.

    Raises:
        UserError: the folder is damaged or no exported one, there is no such model, it has other classes, or its
            weights cannot be had.
    """
    exported = ExportedFolder(folder)
    params = experiment / "params.yaml"
    pins = loading.load_experiment(params).weights if params.is_file() else Weights()  # models of the user's own, too
    for model in models:
        registry.spec(model)
    from crossfool.pipeline.evaluation.score_images import score_exported  # loads torch

    rows = [row for model in models for row in score_exported(exported, model, _weights(model, experiment, pins))]
    table = _table(folder, rows)
    if as_json:
        print_json(table_content(table))
        return
    console.print(Text(table.title, style="bold cyan"))
    print_table(table, console)
    for note in table.all_notes:
        console.print(Text(note, style="dim"))


def _weights(model: str, experiment: Path, pins: Weights) -> Path:
    """The weights file of a model: the experiment's, else the published one's."""
    own = experiment / "weights" / f"{model}.safetensors"
    if own.is_file():
        return own
    from crossfool.models.weights.cached_model import cached_model

    if pins.dir:
        pins = pins.model_copy(update={"dir": str(expand_path(pins.dir, folder=experiment))})
    return cached_model(model, pins)


def _table(folder: Path, rows: Iterable[Mapping[str, Any]]) -> Table:
    """A row a cell and model: rates over all images, then over those that the model gets right when clean."""
    columns = [Column("source"), Column("attack"), Column("target", whitebox="whitebox"), *HIDDEN]
    for prefix, images in (("", ""), ("right_", " of these")):
        heading = "right when clean" if prefix else "images"
        columns.append(Column(f"{prefix}n", heading, format=count_text))
        for top, words in (("top1", "top-1"), ("top5", "top-5")):
            ends = (f"{prefix}{top}_low", f"{prefix}{top}_high")
            columns.append(Column(f"{prefix}{top}", f"{words}{images}", "%", rate_text, ends=ends))
            columns += [Column(end, shown=False) for end in ends]
    listed = []
    for row in rows:
        right = {f"right_{key}": (row["right"] or {"n": 0}).get(key) for key in RATES}
        listed.append({**row, **row["all"], **right})
    notes = [
        "Of all images, as in metrics/, and of these: the images that the target classifies correctly when clean. "
        "In brackets: Wilson 95% intervals."
    ]
    if any(row["whitebox"] for row in listed):
        notes.append("* white-box: the target is a member of the source.")
    return Table(
        "score",
        f"Success of the images in {folder}",
        tuple(columns),
        tuple(listed),
        notes=tuple(notes),
        command="crossfool score",
    )
