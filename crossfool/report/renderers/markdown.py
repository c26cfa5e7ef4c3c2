"""Tables as Markdown: numbers to the right, an asterisk at white-box cells, the paper's figure in parentheses."""

from collections.abc import Iterable, Sequence

from crossfool.report.table import Cell, Table


def render_markdown(table: Table) -> str:
    """A table as Markdown, without its title and notes."""
    grid = table.grid
    alignments = ["---", *("---:" if number else "---" for number in grid.numeric)]
    lines = ([head, *map(_text, cells)] for head, cells in grid.lines)
    return _joined([grid.heads, alignments, *lines])


def _joined(lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |" for line in lines)


def _text(cell: Cell) -> str:
    """The texts of a cell on one line: bold where it stands out."""
    text = f"**{cell.text}**" if cell.stressed else cell.text
    parts = [text + "*" * cell.whitebox, cell.under.replace("\n", " "), f"({cell.paper})" if cell.paper else ""]
    return " ".join(part for part in parts if part)
