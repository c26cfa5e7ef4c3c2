"""Tables for a terminal, in the layout that fits: intervals dimmed, the paper's figures in green."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from crossfool.report.table import Cell, Grid, Table

LONG = 14  # characters of a column's head, beyond which it is broken after its first _
# The blanks before the paper's figure and before the small text, None to leave it out: from the widest layout on
LAYOUTS = ((" ", " "), (" ", "\n"), ("\n", "\n"), (" ", None), ("\n", None))


def render_terminal(table: Table, console: Console) -> RichTable:
    """A table in the widest layout that fits a console, so that words are not torn if any layout fits."""
    unlimited, grid = console.options.update(max_width=10_000), table.grid
    for layout in LAYOUTS:
        laid_out = _laid_out(grid, *layout)
        if console.measure(laid_out, options=unlimited).maximum <= console.width:
            break
    return laid_out


def print_table(table: Table, console: Console) -> None:
    """Print a table in the layout that fits."""
    print_rich_table(render_terminal(table, console), console)


def make_rich_table() -> RichTable:
    """An empty table without a frame."""
    return RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)


def print_rich_table(shown: RichTable, console: Console) -> None:
    """Print a table that is laid out; where output is piped, without blanks at the ends of lines."""
    if console.is_terminal:
        console.print(shown)
        return
    with console.capture() as captured:
        console.print(shown)
    lines = (line.rstrip() for line in captured.get().splitlines())
    console.print(Text("\n".join(lines)), soft_wrap=True)


def _laid_out(grid: Grid, paper: str, under: str | None) -> RichTable:
    """A grid without a frame, with some blanks before the paper's figures and before small texts."""
    table = make_rich_table()
    table.add_column(grid.heads[0], overflow="fold")
    for head, number in zip(grid.heads[1:], grid.numeric, strict=True):
        wrapped = head.replace("_", "_\n", 1) if len(head) > LONG else head
        table.add_column(Text(wrapped), justify="right" if number else "left", overflow="fold")
    for head, cells in grid.lines:
        table.add_row(Text(head.replace("+", "+\n")), *(_cell(cell, paper, under) for cell in cells))
    return table


def _cell(cell: Cell, paper: str, under: str | None) -> Text:
    """The texts of a cell; one that stands out is green or red, by its sign."""
    colour = "" if not cell.stressed else "red" if (cell.value or 0) < 0 else "green"
    return Text.assemble((cell.text + "*" * cell.whitebox, colour), *_additions(cell, paper, under))


def _additions(cell: Cell, paper: str, under: str | None) -> Iterator[tuple[str, str]]:
    if cell.paper:
        yield f"{paper}({cell.paper})", "green"
    if cell.under and under is not None:
        yield f"{under if cell.text else ''}{cell.under}", "dim"
