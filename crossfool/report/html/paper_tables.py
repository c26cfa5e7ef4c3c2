"""Tables of the page that set the experiment beside the paper: success rates and claims. All rates are percent."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossfool.report.html.rate_tables import METRICS
from crossfool.report.html.report_csv import csv_rows
from crossfool.report.number_text import interval_text, p_value_text, typographic_minus
from crossfool.report.reported import paper_agreement
from crossfool.report.table import Cell, Table

CLAIMS_NOTE = (
    "Each is a paired test on the same images; a claim holds where the effect has the claimed sign and p < 0.05."
)


def comparison_tables(rows: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """Our success rates beside the paper's; no table where the paper has none of the cells.

    Args:
        rows: Those of `comparison.comparison_rows`.
    """
    if not rows:
        return
    table_rows = []
    for row in rows:
        cells = (
            Cell(row["attack"]),
            Cell(METRICS[row["metric"]]),
            Cell(f"{row['ours']:.1f}", row["ours"], interval_text(row["low"], row["high"])),
            Cell(f"{row['paper']:.1f}", row["paper"]),
            Cell(typographic_minus(f"{row['difference']:+.1f}"), row["difference"]),
            Cell("yes" if row["within"] else "no"),
            Cell(row["paper_table"].replace("table", "table ")),
        )
        table_rows.append((f"{row['source']} → {row['target']}", cells))
    summary = paper_agreement.agreement_summary(rows)
    rank = summary["rank_correlation"]
    differences = typographic_minus(
        f"{summary['cells']} of the paper's figures have a cell here. Mean absolute difference "
        f"{summary['mean_absolute_difference']:.1f} points, mean difference (ours minus the paper's) "
        f"{summary['mean_difference']:+.1f}"
    )
    yield Table(
        name="comparison",
        title="Ours and the paper's success rates, %",
        notes=(f"{differences}{'' if rank is None else f', rank correlation {rank:.2f} (Spearman)'}.",),
        corner="source → target",
        columns=("attack", "metric", "ours", "paper", "difference", "within our interval", "in the paper"),
        rows=tuple(table_rows),
        records=tuple(rows),
        command="dvc repro report",
    )


def claim_tables(report: Path) -> Iterator[Table]:
    """The paper's claims with their verdicts, from claims.csv in the folder `report`; no table without that file."""
    rows = csv_rows(report, "claims")
    if rows:
        yield Table(
            name="claims",
            title="What the paper claims, tested here",
            notes=(CLAIMS_NOTE,),
            corner="claim",
            columns=("holds", "effect", "p", "comparisons", "images", "in the paper", "compared"),
            rows=tuple((row["statement"], _verdict_cells(row)) for row in rows),
            records=tuple(rows),
            command="dvc repro report",
        )


def _verdict_cells(row: Mapping[str, str]) -> tuple[Cell, ...]:
    """The cells of one row of claims.csv."""
    p, effect = row["p"], float(row["effect"])
    return (
        Cell("✓ yes" if row["holds"] == "true" else "✗ no"),
        Cell(typographic_minus(f"{effect:+.3g}"), effect, row["unit"]),
        Cell(p_value_text(float(p)) if p else "", float(p) if p else None),
        Cell(f"{int(row['comparisons']):,}", int(row["comparisons"])),
        Cell(f"{int(row['images']):,}", int(row["images"])),
        Cell(row["section"]),
        Cell("", under=row["detail"]),
    )
