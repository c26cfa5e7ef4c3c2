"""The console and tables of commands: colours only on a terminal (rich heeds NO_COLOR), whole lines in a pipe."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from crossfool.report.renderers import terminal

PIPED_WIDTH = 240  # columns where there is no terminal: a line of a table stays a line for grep


def make_console() -> Console:
    """The console of standard output; it does not guess what to colour, as rich's own does."""
    terminal = Console(highlight=False, soft_wrap=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def asks() -> bool:
    """Whether a user can be asked a question: standard input is a terminal, and no pipe."""
    return sys.stdin is not None and sys.stdin.isatty()


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def make_table(columns: Iterable[str]) -> Table:
    """An empty table of texts, without a frame."""
    empty = terminal.make_rich_table()
    for column in columns:
        empty.add_column(column)
    return empty


def print_table(console: Console, shown: Table) -> None:
    """Print a table of texts; where output is piped, without blanks at the ends of lines."""
    terminal.print_rich_table(shown, console)
