"""The folder `report/` of an experiment: its tables, tables.md and figures, from the experiment's files alone."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from crossfool.errors import UserError
from crossfool.experiment import leftover_files
from crossfool.report import agreement_numbers, experiment_figures, table_modules, tables_markdown
from crossfool.report.experiment_panel import draw_experiment_panel
from crossfool.report.figures import style
from crossfool.report.findings import Findings
from crossfool.report.renderers.csv_text import render_csv
from crossfool.report.renderers.latex import render_latex
from crossfool.report.table import Table
from crossfool.storage.atomic import replacing
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile


def write_report(findings: Findings, out: Path) -> None:
    """Write `tables/`, tables.md, `figures/` (PNG) and `vector/` (SVG) to `out`, and agreement.json to the experiment.

    Args:
        findings: The experiment's.
        out: The folder to write to.

    Raises:
        UserError: a file is missing, broken, or left over from a model or attack that is not listed any more.
    """
    folder, results, experiment = findings.folder, findings.results, findings.experiment
    leftover_files.refuse_leftovers(folder, experiment, "adversarial", "analysis", "predictions", "transformed")
    cells = {cell: folder / "adversarial" / cell[0] / f"{cell[1]}.safetensors" for cell in results.success}
    subset = TensorFile(folder / "subset/images.safetensors")
    if cells and len(subset["index"]) != results.n:
        raise UserError(
            f"{subset.path} holds {len(subset['index'])} images, metrics are of {results.n}; run `dvc repro`"
        )
    # before anything is written: it reads the adversarial images, and refuses those of another subset
    image_panel = draw_experiment_panel(
        folder, results, subset, {cell: TensorFile(path) for cell, path in cells.items()}
    )
    tables = table_modules.build_tables(findings)
    write_json(folder / "agreement.json", agreement_numbers.agreement_numbers(findings))
    _write_tables([table for section in tables.values() for table in section], out / "tables")
    _write_text(out / "tables.md", tables_markdown.tables_text(findings, tables))
    for subfolder in ("figures", "vector"):
        (out / subfolder).mkdir(parents=True, exist_ok=True)
    for attack in experiment.attacks if experiment.sources else ():
        _save_figure(experiment_figures.draw_heatmap(results, attack), out, f"heatmap_{attack}")
    if image_panel is not None:
        style.save(image_panel, out / "figures/panel.png")
    if any(table.name == "cost" and table.rows for table in tables["data"]):
        _save_figure(experiment_figures.draw_cost(results), out, "cost")
    for name, figure in experiment_figures.draw_paper_figures(findings):
        _save_figure(figure, out, name)
    nonempty = {transform: pool for transform, pool in findings.destruction.items() if any(pool.values())}
    if nonempty:
        _save_figure(experiment_figures.draw_destruction(results, nonempty), out, "destruction")


def _write_tables(tables: Sequence[Table], folder: Path) -> None:
    """Write each table as NAME.csv, and as NAME.tex where people can make use of it."""
    for table in tables:
        _write_text(folder / f"{table.name}.csv", render_csv(table))
        if table.readable:
            _write_text(folder / f"{table.name}.tex", render_latex(table))


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _save_figure(figure: Figure, out: Path, name: str) -> None:
    """Save a figure as `figures/`NAME.png and `vector/`NAME.svg."""
    style.save(figure, out / "figures" / f"{name}.png")
    style.save(figure, out / "vector" / f"{name}.svg")
