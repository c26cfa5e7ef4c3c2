"""The output of `crossfool explain`: the provenance of one cell, in sentences and then section by section."""

from rich.console import Console
from rich.text import Text

from crossfool.cli.console import print_json
from crossfool.experiment.cell_summary import cell_summary
from crossfool.experiment.provenance import provenance_sections
from crossfool.experiment.recorded_cell import RecordedCell


def show(cell: RecordedCell, console: Console, *, as_json: bool = False) -> None:
    """Print the provenance of a cell; disagreements between records are red."""
    sections = provenance_sections(cell)
    if as_json:
        print_json({"summary": cell_summary(cell)} | {name: dict(facts) for name, facts in sections.items()})
        return
    console.print(Text(cell_summary(cell)), soft_wrap=not console.is_terminal)
    for name, facts in sections.items():
        if not facts:
            continue
        console.print(Text(f"\n{name}", style="bold"))
        width = max(len(label) for label, _ in facts)
        for label, text in facts:
            style = "bold red" if "NOT" in text or "ANOTHER" in text else ""
            padded = label.ljust(width) if text else label
            line = Text.assemble("  ", (padded, "cyan"), ("  " if text else ""), (text, style))
            console.print(line, soft_wrap=True)
