"""Tables of the report as objects, and their renderers as CSV, as Markdown and as LaTeX with booktabs."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crossfool.report.number_text import typographic_minus

STARRED, STRESSED = "$^{*}$", r"{\scriptsize %s}"
LATEX = {  # character -> the LaTeX source that prints it
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "“": "``",
    "”": "''",
    "α": r"$\alpha$",
    "ε": r"$\varepsilon$",
    "μ": r"$\mu$",
    "σ": r"$\sigma$",
    "×": r"$\times$",
    "−": "$-$",
    "→": r"$\rightarrow$",
    "✓": "yes",
    "✗": "no",
    "≤": r"$\leq$",
    "ρ": r"$\rho$",
    "\n": " ",
    "\u00a0": "~",
    "–": "--",
    "…": r"\ldots{}",
}


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: The text in the cell.
        value: The number to sort by; None for a text or an empty cell.
        under: Small text below: an interval, or what was compared; one or several lines.
        paper: The paper's figure for `value`, percent.
        heat: The place on a heat map's scale, 0 to 100.
        whitebox: Whether the cell is white-box: the source has the target in it.
        stressed: Whether the cell stands out; `under` says why.
    """

    text: str
    value: float | None = None
    under: str = ""
    paper: float | None = None
    heat: float | None = None
    whitebox: bool = False
    stressed: bool = False

    @property
    def compared(self) -> str:
        """The paper's figure and ours minus it, as text; "" where one of them is missing."""
        if self.paper is None or self.value is None:
            return ""
        return typographic_minus(f"paper {self.paper:.1f}, {self.value - self.paper:+.1f}")


@dataclass(frozen=True)
class Table:
    """A table with a head column.

    Attributes:
        name: The stem of its files' names; unlike any other table's of the experiment.
        title: The heading.
        notes: Paragraphs below the title.
        corner: The heading of the head column.
        columns: The headings of the other columns.
        rows: The head and the cells of each row.
        records: The rows of its CSV: the same content in full, with parameters.
        command: The command that computes it, in the experiment's folder.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    records: tuple[Mapping[str, Any], ...]
    command: str

    @property
    def numeric(self) -> list[bool]:
        """Whether a column has numbers, for each column."""
        columns = zip(*(cells for _, cells in self.rows), strict=True)
        return [any(cell.value is not None for cell in column) for column in columns]

    @property
    def heated(self) -> bool:
        """Whether the table is a heat map."""
        return any(cell.heat is not None for _, cells in self.rows for cell in cells)

    @property
    def csv(self) -> str:
        """The records as CSV, under the union of their keys."""
        columns = list(dict.fromkeys(key for record in self.records for key in record))
        return csv_text(columns, self.records)

    @property
    def latex(self) -> str:
        """The table as a floating LaTeX table in booktabs' style."""
        head = [self.corner, *self.columns]
        rows = [[latex_escaped(head), *map(_latex, cells)] for head, cells in self.rows]
        align = "l" + "".join("r" if number else "l" for number in self.numeric)
        starred = any(cell.whitebox for _, cells in self.rows for cell in cells)
        legend = ("Asterisks mark white-box cells, whose source has the target in it.",) if starred else ()
        caption = " ".join(_sentence(part) for part in (self.title, *self.notes, *legend))
        lines = [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_escaped(caption)}}}",
            rf"\label{{tab:{''.join(sign if sign.isalnum() and sign.isascii() else '-' for sign in self.name)}}}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            f"{' & '.join(map(latex_escaped, head))} \\\\",
            r"\midrule",
            *(f"{' & '.join(row)} \\\\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A CSV with a head line: 15 and not 15.0, true and not True, nothing for None.

    Args:
        columns: The head; a row may lack some of them.
        rows: Their values.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)
    return file.getvalue()


def _plain(value: Any) -> Any:
    """A value as the CSV has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else value


def markdown_table(lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table of texts; the first line is the head, the second the columns' alignments."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def latex_escaped(text: str) -> str:
    """The LaTeX source that prints a text."""
    return "".join(LATEX.get(sign, sign) for sign in text)


def _latex(cell: Cell) -> str:
    """The LaTeX source of a cell: text, asterisk, small text, the paper's figure."""
    text = rf"\textbf{{{latex_escaped(cell.text)}}}" if cell.stressed else latex_escaped(cell.text)
    parts = [text + (STARRED if cell.whitebox else "")]
    parts += [STRESSED % latex_escaped(cell.under)] if cell.under else []
    parts += [f"({cell.paper:.1f})"] if cell.paper is not None else []
    return " ".join(parts)


def _sentence(text: str) -> str:
    """The text with a full stop, unless it ends with a mark already."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
