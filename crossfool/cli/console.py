"""How commands print: colours on a terminal alone (rich heeds NO_COLOR), whole lines where output is piped."""

import sys
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED = 240  # columns where there is no terminal: a line of a table stays a line for grep


def console() -> Console:
    """Of standard output; numbers and paths are not coloured by guess."""
    found = Console(highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(highlight=False, width=PIPED)


def asks() -> bool:
    """Whether somebody can be asked: a question is read from a terminal, and from no pipe."""
    return sys.stdin is not None and sys.stdin.isatty()


def table(columns: Iterable[str]) -> Table:
    """An empty table without a frame; a column whose head begins with > is aligned to the right."""
    found = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    for column in columns:
        found.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return found


def put(console: Console, shown: Table) -> None:
    """Print a table; without the blanks at its lines' ends where output is piped."""
    if console.is_terminal:
        console.print(shown)
        return
    with console.capture() as captured:
        console.print(shown)
    lines = (line.rstrip() for line in captured.get().splitlines())
    console.print(Text("\n".join(lines)), soft_wrap=True)
