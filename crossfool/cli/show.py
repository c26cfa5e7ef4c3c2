"""Print an experiment's tables in the terminal: those that need metrics and params.yaml alone, or any by name."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from crossfool.errors import UserError, unknown_name
from crossfool.experiment.descriptions import attacked_images_summary, count_compared_images, no_compared_images_note
from crossfool.report import table_modules
from crossfool.report.findings import Findings, read_findings
from crossfool.report.renderers import terminal
from crossfool.report.renderers.json_text import table_content
from crossfool.report.reported.protocol_rates import reporter
from crossfool.report.table import Table

FIRST = ("ranking", "rates")  # sections that are printed before the others


def show(folder: Path, console: Console, names: Sequence[str] = ()) -> None:
    """Print tables of the experiment in `folder`.

    Args:
        folder: The experiment's.
        console: Where to.
        names: Names of tables; without any, those that need metrics alone: attacks by success, success rates of each
            pair of models, clean accuracy.

    Raises:
        UserError: params.yaml is wrong, metrics are missing or left over, or there is no such table.
    """
    findings, tables = _read(folder, names)
    if names:
        for table in tables:
            _print(table, console)
        return
    results = findings.results
    console.print()
    console.print(Text(f"Success rates in percent: {attacked_images_summary(results)}", style="bold"))
    if not count_compared_images(results):
        console.print(Text(no_compared_images_note(results.experiment)))
    legend = _legend(tables, reporter(results.experiment))
    for table in tables:
        if table.readable and table.matrix is not None and legend:
            console.print(Text(f"\n{legend}"))
            legend = ""
        if table.readable:
            _print(table, console)
    console.print()
    console.print(_places(findings))


def content(folder: Path, names: Sequence[str] = ()) -> dict[str, Any]:
    """The tables that `show` prints, for JSON; arguments and errors as there."""
    findings, tables = _read(folder, names)
    images = attacked_images_summary(findings.results)
    return {"folder": str(folder), "images": images, "tables": [table_content(table) for table in tables]}


def _read(folder: Path, names: Sequence[str]) -> tuple[Findings, list[Table]]:
    """The findings of an experiment and its tables, in the order in which they are printed."""
    findings = read_findings(folder, timed=True)
    sections = table_modules.build_tables(findings, brief=not names)
    tables = [table for name in _order(sections) for table in sections[name] if table.rows]
    return findings, _named(tables, names, folder) if names else tables


def _order(sections: Iterable[str]) -> list[str]:
    """The names of the sections: attacks ordered by success first, then success rates, then the others."""
    return sorted(sections, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def _named(tables: Sequence[Table], names: Sequence[str], folder: Path) -> list[Table]:
    """The tables of the names.

    Raises:
        UserError: the experiment has no table of a name.
    """
    by_name: Mapping[str, Table] = {table.name: table for table in tables}
    for name in names:
        if name not in by_name:
            raise UserError(f"{folder}: {unknown_name('table', name, by_name)}")
    return [by_name[name] for name in names]


def _print(table: Table, console: Console) -> None:
    console.print()
    console.print(Text(table.title, style="bold cyan"))
    terminal.print_table(table, console)
    if table.all_notes:
        console.print(Text(" ".join(table.all_notes), style="dim"))


def _legend(tables: Sequence[Table], who: str) -> str:
    """Sentence that explains the cells of tables of success rates; `who` reports the figures beside ours."""
    paper = any(row.get("paper") is not None for table in tables for row in table.rows)
    note = "Rows are sources, columns targets; * is white-box; in brackets: Wilson 95% intervals"
    return note + (f"; in parentheses: {who}." if paper else ".")


def _places(findings: Findings) -> Text:
    """The files of results that are there, a line each."""
    kinds = [
        ("metrics", "rates as JSON"),
        ("report/index.html", "the report as a page, for a browser"),
        ("report/tables.md", "all tables"),
        ("report/tables", "each table as CSV and as LaTeX; in this terminal: crossfool show --table NAME"),
        ("report/figures", "pictures"),
    ]
    folder = findings.folder
    lines = [f"\n  {folder / place}  {what}" for place, what in kinds if (folder / place).exists()]
    return Text.assemble(("Results", "bold"), *lines)
