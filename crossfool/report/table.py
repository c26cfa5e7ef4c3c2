"""The one model of a table: columns with names, units and formats, and rows of values; renderers show its `grid`.

CSV has `rows` as they are. Markdown, LaTeX, HTML and the terminal (`renderers/`) arrange the texts of `grid`, which is
the only place where a number becomes a text for people.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crossfool.report.number_text import difference_text, interval_text, rate_text, six_digits

Row = Mapping[str, Any]
MISSING = "–"


@dataclass(frozen=True)
class Column:
    """A column of a table: what it holds, and how its values are written.

    Attributes:
        name: The key of its values in a row, and its head in the CSV.
        heading: Its head for people; "" for the name with blanks.
        unit: The unit of its values, behind the heading; "" for none.
        format: A value, which is not None -> its text.
        note: A sentence on the column for the table's notes; it is left out with the column.
        shown: Whether people see it; the CSV has it in any case.
        ends: The columns with the ends of the value's interval, which stands in small text below the value.
        under: A row -> small text below the value, in place of the interval.
        paper, difference: The columns with the paper's figure for the value, and the value minus it.
        whitebox: The column that says whether the cell is white-box; "" for none.
        stressed: The column that says whether the value stands out; "" for none.
        heat: Whether the value, 0 to 100, is a place on a heat map's scale.
    """

    name: str
    heading: str = ""
    unit: str = ""
    format: Callable[[Any], str] = six_digits
    note: str = ""
    shown: bool = True
    ends: tuple[str, str] | None = None
    under: Callable[[Row], str] | None = None
    paper: str = ""
    difference: str = ""
    whitebox: str = ""
    stressed: str = ""
    heat: bool = False

    @property
    def head(self) -> str:
        """The heading with the unit."""
        heading = self.heading or self.name.replace("_", " ")
        return f"{heading}, {self.unit}" if self.unit else heading

    def cell(self, row: Row) -> "Cell":
        """The column's cell in a row, in texts."""
        value, paper = row.get(self.name), row.get(self.paper)
        if value is None:
            return Cell(MISSING)
        number = None if isinstance(value, str | bool) else value
        difference = row.get(self.difference)
        return Cell(
            text=self.format(value),
            value=number,
            under=self._under(row),
            paper="" if paper is None else rate_text(paper),
            difference="" if difference is None else difference_text(difference),
            heat=number if self.heat else None,
            whitebox=bool(row.get(self.whitebox)),
            stressed=bool(row.get(self.stressed)),
        )

    def _under(self, row: Row) -> str:
        if self.under is not None:
            return self.under(row)
        ends = [row[end] for end in self.ends or ()]
        return interval_text(*ends) if ends and None not in ends else ""


@dataclass(frozen=True)
class Cell:
    """A cell as people see it; each renderer arranges the same texts.

    Attributes:
        text: The value.
        value: The number to sort by; None for a text or a missing value.
        under: Small text below the value, such as its interval; one or several lines.
        paper, difference: The paper's figure, and the value minus it; "" where there is none.
        heat: The place on a heat map's scale, 0 to 100; None where the table is none.
        whitebox: Whether the cell is white-box: the source has the target in it.
        stressed: Whether the value stands out; `under` says why.
    """

    text: str
    value: float | None = None
    under: str = ""
    paper: str = ""
    difference: str = ""
    heat: float | None = None
    whitebox: bool = False
    stressed: bool = False


@dataclass(frozen=True)
class Matrix:
    """The arrangement of a table whose rows are cells: lines are values of one column, columns those of another.

    Attributes:
        row, column: The table's columns whose values are the heads of lines and of columns.
        value: The column whose values stand in the cells.
        rows, columns: The heads, in their order.
        extra: Columns that have one value a line, behind the others.
        mirror: A row -> the row of the cell across the diagonal; None where the matrix has no such cells.
    """

    row: str
    column: str
    value: str
    rows: Sequence[Any]
    columns: Sequence[Any]
    extra: tuple[str, ...] = ()
    mirror: Callable[[Row], Row] | None = None


@dataclass(frozen=True)
class Grid:
    """A table as people see it: headings, the first of which is of the lines' heads, and lines of a head and cells."""

    heads: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Cell, ...]], ...]

    @property
    def numeric(self) -> list[bool]:
        """Whether a column has numbers, for each column but the first."""
        columns = zip(*(cells for _, cells in self.lines), strict=True)
        return [any(cell.value is not None for cell in column) for column in columns]

    @property
    def heated(self) -> bool:
        """Whether the table is a heat map."""
        return any(cell.heat is not None for _, cells in self.lines for cell in cells)

    @property
    def starred(self) -> bool:
        """Whether there are white-box cells, which renderers mark by an asterisk."""
        return any(cell.whitebox for _, cells in self.lines for cell in cells)


@dataclass(frozen=True)
class Table:
    """A table of the report. Rates are percent, unless a column says otherwise.

    Attributes:
        name: The stem of its files' names; unlike any other table's of the experiment.
        title: The heading.
        columns: Its columns, in the order of the CSV.
        rows: A row's values by column name; a missing one is None.
        head: The columns whose values, joined by `joint`, are a line's head; the first column, if none is given.
        joint: What stands between them.
        notes: Paragraphs below the title.
        matrix: The arrangement for people, where it is no list of the rows.
        fewest, most: How many rows people can make use of; of fewer or more there is the CSV alone.
        command: The command that computes it, in the experiment's folder.
        reporter: Whose the figures of the columns `paper` are, where not the paper's: a protocol's name.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    head: tuple[str, ...] = ()
    joint: str = " → "
    notes: tuple[str, ...] = ()
    matrix: Matrix | None = None
    fewest: int = 1
    most: int | None = None
    command: str = "dvc repro report"
    reporter: str = "paper"
    _by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {column.name: column for column in self.columns})

    @property
    def readable(self) -> bool:
        """Whether people are shown the table, and not its CSV alone."""
        return self.fewest <= len(self.rows) and (self.most is None or len(self.rows) <= self.most)

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The table's notes, and those of the columns that are shown."""
        return *self.notes, *(column.note for column in self._listed() if column.note)

    @property
    def grid(self) -> Grid:
        """The table as people see it."""
        if self.matrix is not None:
            return self._matrix_grid(self.matrix)
        heads, columns = self._head_columns(), self._listed()
        corner = self.joint.join(column.head for column in heads)
        lines = (
            (self.joint.join(column.cell(row).text for column in heads), tuple(column.cell(row) for column in columns))
            for row in self.rows
        )
        return Grid((corner, *(column.head for column in columns)), tuple(lines))

    def _head_columns(self) -> list[Column]:
        return [self._by_name[name] for name in self.head or (self.columns[0].name,)]

    def _listed(self) -> list[Column]:
        """The columns of the list, without those that nobody is shown, or that are empty."""
        if self.matrix is not None:
            return []
        heads = {column.name for column in self._head_columns()}
        shown = (column for column in self.columns if column.shown and column.name not in heads)
        return [column for column in shown if any(row.get(column.name) is not None for row in self.rows)]

    def _matrix_grid(self, matrix: Matrix) -> Grid:
        row_column, head_column, value = (self._by_name[name] for name in (matrix.row, matrix.column, matrix.value))
        extra = [self._by_name[name] for name in matrix.extra]
        cells: dict[tuple[Any, Any], Cell] = {}
        extra_cells: dict[Any, tuple[Cell, ...]] = {}
        mirrored = () if matrix.mirror is None else map(matrix.mirror, self.rows)
        for row in (*self.rows, *mirrored):
            line = row[matrix.row]
            cells[line, row[matrix.column]] = value.cell(row)
            extra_cells.setdefault(line, tuple(column.cell(row) for column in extra))
        none = (Cell(MISSING),) * len(extra)
        lines = (
            (
                row_column.format(line),
                (*(cells.get((line, head), Cell(MISSING)) for head in matrix.columns), *extra_cells.get(line, none)),
            )
            for line in matrix.rows
        )
        heads = (row_column.head, *map(head_column.format, matrix.columns), *(column.head for column in extra))
        return Grid(heads, tuple(lines))
