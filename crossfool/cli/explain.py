"""The output of `crossfool explain`: the provenance of one cell, section by section."""

from rich.console import Console
from rich.text import Text

from crossfool.experiment.provenance import provenance_sections
from crossfool.experiment.recorded_cell import RecordedCell


def show(cell: RecordedCell, console: Console) -> None:
    """Print the provenance of a cell; disagreements between records are red."""
    for number, (name, facts) in enumerate(provenance_sections(cell).items()):
        if not facts:
            continue
        console.print(Text(f"{chr(10) if number else ''}{name}", style="bold"))
        width = max(len(label) for label, _ in facts)
        for label, text in facts:
            style = "bold red" if "NOT" in text or "ANOTHER" in text else ""
            padded = label.ljust(width) if text else label
            line = Text.assemble("  ", (padded, "cyan"), ("  " if text else ""), (text, style))
            console.print(line, soft_wrap=True)
