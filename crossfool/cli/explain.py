"""The output of `crossfool explain`: the provenance of one cell, section by section."""

from rich.console import Console
from rich.text import Text

from crossfool.experiment.provenance import Cell, sections


def show(cell: Cell, console: Console) -> None:
    """Print a cell's sections."""
    for number, (name, facts) in enumerate(sections(cell).items()):
        if not facts:
            continue
        console.print(Text(f"{chr(10) if number else ''}{name}", style="bold"))
        width = max(len(what) for what, _ in facts)
        for what, of in facts:
            style = "bold red" if "NOT" in of or "ANOTHER" in of else ""
            console.print(
                Text.assemble("  ", (what.ljust(width) if of else what, "cyan"), ("  " if of else ""), (of, style)),
                soft_wrap=True,
            )
