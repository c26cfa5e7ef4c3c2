"""The folder `report/` of an experiment: its tables, tables.md and figures, from the experiment's files alone."""

from collections.abc import Sequence
from pathlib import Path

from crossfool.errors import UserError
from crossfool.experiment import leftover_files
from crossfool.report import agreement_numbers, figure_files, tables_markdown
from crossfool.report.figures._style import save
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
    folder, results = findings.folder, findings.results
    leftover_files.refuse_leftovers(
        folder, findings.experiment, "adversarial", "analysis", "predictions", "transformed"
    )
    subset = TensorFile(folder / "subset/images.safetensors")
    for source, attack in results.success:
        TensorFile(folder / "adversarial" / source / f"{attack}.safetensors")  # refuses a file that is missing or cut
    if results.success and len(subset["index"]) != results.n:
        raise UserError(
            f"{subset.path} holds {len(subset['index'])} images, metrics are of {results.n}; run `dvc repro`"
        )
    tables = findings.tables
    # before numbers are written: figures read the images and analyses, and refuse those of another subset
    _save_figures(findings, out)
    _write_tables([table for section in tables.values() for table in section], out / "tables")
    _write_text(out / "tables.md", tables_markdown.tables_text(findings, tables))
    write_json(folder / "agreement.json", agreement_numbers.agreement_numbers(findings))


def _save_figures(findings: Findings, out: Path) -> None:
    """Save each figure as `figures/`NAME.png and, but for one of photographs, as `vector/`NAME.svg."""
    for subfolder in ("figures", "vector"):
        (out / subfolder).mkdir(parents=True, exist_ok=True)
    for name, declared, figure in figure_files.draw_figures(findings):
        save(figure, out / "figures" / f"{name}.png")
        if declared.vector:
            save(figure, out / "vector" / f"{name}.svg")


def _write_tables(tables: Sequence[Table], folder: Path) -> None:
    """Write each table as NAME.csv, and as NAME.tex where people can make use of it."""
    for table in tables:
        _write_text(folder / f"{table.name}.csv", render_csv(table))
        if table.readable:
            _write_text(folder / f"{table.name}.tex", render_latex(table))


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
