"""Attacks ranked by success, beside what they cost and how much they change an image."""

from collections.abc import Iterator

from crossfool.experiment.results.ranking import ranking_rows
from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text, rate_text, three_places, two_places
from crossfool.report.table import Column, Table
from crossfool.report.tables._cells import ENDS

SECTION, ORDER = "ranking", 20
COLUMNS = (
    Column("rank"),
    Column("attack"),
    Column("objective"),
    Column("success", unit="%", format=rate_text, ends=("low", "high")),
    *ENDS,
    Column("cells"),
    Column("n", "images", format=count_text),
    Column("gradients", format=count_text, note="Gradients: evaluations an image and model."),
    Column("success_per_gradient", "success a gradient", "points", two_places),
    Column("l2", "L2", format=rate_text, note="L2, L∞: mean norms of the change, in pixel values."),
    Column("linf", "L∞"),
    Column("ssim", "SSIM", format=three_places, note="SSIM: structural similarity to the clean image, 1 if the same."),
    Column(
        "lpips", "LPIPS", format=three_places, note="LPIPS: perceptual distance from the clean image, 0 if the same."
    ),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the attacks, untargeted before targeted ones."""
    yield Table(
        name="ranking",
        title="Attacks by success, beside what they cost and change",
        columns=COLUMNS,
        rows=tuple(ranking_rows(findings.results, findings.evidence)),
        head=("attack",),
        notes=(
            "Mean success over black-box cells, with its 95% interval, clustered by image: Wilson's for as many images "
            "as the outcomes are worth.",
        ),
        fewest=2,
    )
