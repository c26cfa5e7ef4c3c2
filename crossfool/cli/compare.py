"""The output of `crossfool compare`: paired differences as a table, with intervals and p-values."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crossfool.cli.console import make_table, print_table
from crossfool.experiment.results.comparison import Comparison, Pooled
from crossfool.stats.paired_difference import Difference
from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL


def show(comparison: Comparison, console: Console, metric: str = "top1") -> None:
    """Print a comparison of success rates by `metric`, top1 or top5."""
    first, second = comparison.names
    rates = "success rates" if metric == "top1" else "top-5 success rates"
    images = "1 image" if comparison.images == 1 else f"{comparison.images:,} images"
    console.print(Text(f"{first} − {second}: {rates} in percent, paired on the same {images}", style="bold"))
    for line in comparison.about:
        console.print(Text(f"  {line}"))
    if comparison.shown:
        console.print()
        print_table(console, _table(comparison))
        console.print()
    for pooled in comparison.pooled:
        if not pooled.same:
            console.print(_pooled_line(pooled, len(comparison.pooled) > 1))
    for line in _notes(comparison):
        console.print(Text(line, style="dim"))


def _table(comparison: Comparison) -> Table:
    several = {row.attack for row in comparison.shown} != {" − ".join(comparison.names)}
    heads = [*(["attack"] if several else []), "source", "target", *(f">{name}" for name in comparison.names)]
    shown = make_table([*heads, ">difference", ">95% interval", ">p", ">p, Holm"])
    for row in comparison.shown:
        difference = row.difference
        names = [*([Text(row.attack)] if several else []), Text(row.source), Text(row.target + "*" * row.whitebox)]
        rates = [Text(f"{row.first:.1f}"), Text(f"{row.second:.1f}")]
        tests = [Text(_interval(difference)), Text(_p(difference.p)), Text(_p(difference.adjusted))]
        shown.add_row(*names, *rates, _points(difference), *tests)
    return shown


def _points(difference: Difference) -> Text:
    """The percent points of a difference, coloured where its adjusted p is below the level."""
    colour = "" if difference.adjusted >= SIGNIFICANCE_LEVEL else "green" if difference.points > 0 else "red"
    return Text(_signed(difference.points), colour)


def _signed(points: float) -> str:
    return f"{points:+.1f}".replace("-", "−") if abs(points) >= 0.05 else "0.0"


def _interval(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return "none"
    return f"[{_signed(difference.low)}, {_signed(difference.high)}]"


def _p(p: float) -> str:
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def _pooled_line(pooled: Pooled, several: bool) -> Text:
    """The line of a pooled difference, with the attack's name and the adjusted p where there are several."""
    cells = "black-box cell" if pooled.cells == 1 else "black-box cells"
    difference = pooled.difference
    name = f"{pooled.attack}: " if several else ""
    adjusted = f", {_p(difference.adjusted)} by Holm" if several else ""
    rest = f" points {_interval(difference)}, p = {_p(difference.p)}{adjusted}".replace("= <", "< ")
    return Text.assemble((f"{name}pooled over {pooled.cells} {cells}: ", "bold"), _points(difference), rest)


def _notes(comparison: Comparison) -> Iterator[str]:
    tested = len(comparison.rows)
    if same := tested - len(comparison.shown):
        yield f"{same} of {tested} cells have the very same file in both and are not shown; Holm counts them."
    if comparison.left_out:
        more = f" (and {len(comparison.left_out) - 1} more)" if len(comparison.left_out) > 1 else ""
        yield f"Left out: {comparison.left_out[0]}{more}."
    if not comparison.shown:
        return
    if any(row.whitebox for row in comparison.shown):
        yield "* white-box: not pooled."
    cells = "1 cell" if tested == 1 else f"the table's {tested} cells"
    yield (
        f"Intervals: 95%, Newcombe's for paired proportions; p: exact McNemar test, by Holm's method for {cells}. "
        "Pooled: Student's t over images, exact permutation test."
    )
