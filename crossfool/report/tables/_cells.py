"""Columns that the tables of further rates of cells share."""

from crossfool.report.number_text import count_text, rate_text
from crossfool.report.table import Column

ENDS = tuple(Column(name, shown=False) for name in ("low", "high"))  # of an interval, which stands below its value
CELL = (Column("attack"), Column("source"), Column("target"), Column("whitebox", "white-box"))
HEAD = ("source", "target")
SPREAD = (  # of success rates
    Column("mean", unit="%", format=rate_text),
    Column("deviation", unit="points", format=rate_text),
    Column("least", unit="%", format=rate_text),
    Column("most", unit="%", format=rate_text),
)
RATE = (
    Column("rate", unit="%", format=rate_text, ends=("low", "high")),
    *ENDS,
    Column("n", "images", format=count_text),
)
