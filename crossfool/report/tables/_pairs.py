"""Columns of paired tests of two attacks, and a count of the decided pairs."""

from crossfool.report.number_text import difference_text, p_value_text
from crossfool.report.table import Column, Row

DIFFERENCE = Column("difference", "difference", "points", difference_text, ends=("low", "high"), stressed="differs")
P = Column("p", format=p_value_text)
P_HOLM = Column("p_holm", "p, Holm", format=p_value_text)
DIFFERS = Column("differs", shown=False)


def count_differing(rows: tuple[Row, ...]) -> str:
    """Number of rows whose adjusted p-value is below 0.05, as "3 of 10"."""
    return f"{sum(row['differs'] for row in rows)} of {len(rows)}"
