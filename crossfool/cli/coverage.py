"""The output of `crossfool coverage`: the paper's tables and figures, and what of them was run here."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from crossfool.cli.console import print_json
from crossfool.experiment.project import find_root
from crossfool.pipeline.stage import print_line
from crossfool.report import coverage_table
from crossfool.report.renderers.json_text import table_content
from crossfool.report.renderers.terminal import print_table
from crossfool.report.reported.coverage import read_coverage

PIPED_WIDTH = 600  # columns where there is no terminal, so that each row stays a line


def show(start: Path, console: Console, *, as_json: bool = False) -> None:
    """Print the coverage of the paper by the experiments of a repository; a line for each that cannot be read.

    Args:
        start: A folder of the repository.
        console: Where to.
        as_json: Whether to print JSON, and no table.

    Raises:
        UserError: `start` is in no repository.
    """
    coverage = read_coverage(find_root(start))
    for line in coverage.left_out:
        print_line(f"left out: {line}", err=True)
    table = coverage_table.table_of(coverage)
    if as_json:
        print_json(table_content(table))
        return
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(Text(table.title, style="bold cyan"))
    print_table(table, console)
    for note in table.all_notes:
        console.print(Text(note, style="dim"))
