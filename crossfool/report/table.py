"""Tables as objects that know nothing of where they stand, and as text: CSV, and LaTeX with booktabs."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STARRED, STRESSED = "$^{*}$", r"{\scriptsize %s}"
LATEX = {
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
    """One cell.

    Attributes:
        text: What stands in it.
        value: What it is sorted by, where that is no text; None where there is nothing.
        under: What stands below, in small: an interval, or what was compared; lines where it is of several.
        paper: The paper's figure, which `value` differs from.
        heat: Its place on a heat map's scale, 0 to 100.
        whitebox: Whether the source has the target in it.
        stressed: Whether it stands out; `under` says why.
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
        """The paper's figure, and by how much ours is more."""
        if self.paper is None or self.value is None:
            return ""
        return f"paper {self.paper:.1f}, {self.value - self.paper:+.1f}".replace("-", "−")


@dataclass(frozen=True)
class Table:
    """A table with a head column.

    Attributes:
        name: Of its files; unlike any other's of the experiment.
        title: What it is.
        notes: Paragraphs below the title.
        corner: What the head column holds.
        columns: Of the others.
        rows: The head and the cells of each.
        records: What its CSV holds, a row a record: the same in full, with parameters.
        command: What computes it, in the experiment's folder.
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
        """Of each column, whether numbers stand in it."""
        columns = zip(*(cells for _, cells in self.rows), strict=True)
        return [any(cell.value is not None for cell in column) for column in columns]

    @property
    def heated(self) -> bool:
        """Whether it is a heat map."""
        return any(cell.heat is not None for _, cells in self.rows for cell in cells)

    @property
    def csv(self) -> str:
        """The records, under the union of their keys."""
        columns = list(dict.fromkeys(key for record in self.records for key in record))
        return csv_text(columns, self.records)

    @property
    def latex(self) -> str:
        """A floating table in booktabs' style."""
        head = [self.corner, *self.columns]
        rows = [[escaped(head), *map(_latex, cells)] for head, cells in self.rows]
        align = "l" + "".join("r" if number else "l" for number in self.numeric)
        starred = any(cell.whitebox for _, cells in self.rows for cell in cells)
        notes = ("Asterisks mark white-box cells, whose source has the target in it.",) if starred else ()
        caption = " ".join(_sentence(part) for part in (self.title, *self.notes, *notes))
        lines = [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(caption)}}}",
            rf"\label{{tab:{''.join(sign if sign.isalnum() and sign.isascii() else '-' for sign in self.name)}}}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            f"{' & '.join(map(escaped, head))} \\\\",
            r"\midrule",
            *(f"{' & '.join(row)} \\\\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A CSV with a head: 15 and not 15.0, true and not True, nothing for None."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)
    return file.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else value


def escaped(text: str) -> str:
    """A text as LaTeX prints it."""
    return "".join(LATEX.get(sign, sign) for sign in text)


def _latex(cell: Cell) -> str:
    text = rf"\textbf{{{escaped(cell.text)}}}" if cell.stressed else escaped(cell.text)
    parts = [text + (STARRED if cell.whitebox else "")]
    parts += [STRESSED % escaped(cell.under)] if cell.under else []
    parts += [f"({cell.paper:.1f})"] if cell.paper is not None else []
    return " ".join(parts)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
