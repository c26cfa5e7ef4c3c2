"""The table of `crossfool compare`: two attacks or revisions, cell by cell."""

from crossfool.experiment.results.comparison import Comparison
from crossfool.report.number_text import rate_text
from crossfool.report.table import Column, Table
from crossfool.report.tables._cells import ENDS
from crossfool.report.tables._pairs import DIFFERENCE, DIFFERS, P_HOLM, P
from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL


def comparison_table(comparison: Comparison) -> Table:
    """The cells that may differ; their attacks are named where there are several."""
    first, second = comparison.names
    several = not comparison.of_attacks
    columns = (
        Column("attack", shown=several),
        Column("source"),
        Column("target", whitebox="whitebox"),
        Column("whitebox", shown=False),
        Column("first", first, "%", rate_text),
        Column("second", second, "%", rate_text),
        *(DIFFERENCE, *ENDS, P, P_HOLM, DIFFERS),
    )
    rows = tuple(
        {
            "attack": row.attack,
            "source": row.source,
            "target": row.target,
            "whitebox": row.whitebox,
            "first": row.first,
            "second": row.second,
            "difference": row.difference.points,
            "low": row.difference.low,
            "high": row.difference.high,
            "p": row.difference.p,
            "p_holm": row.difference.adjusted,
            "differs": row.difference.adjusted < SIGNIFICANCE_LEVEL,
        }
        for row in comparison.shown
    )
    head = ("attack",) if several else ("source",)
    return Table("compared", f"{first} − {second}", columns, rows, head=head, command="crossfool compare")
