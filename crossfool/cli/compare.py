"""The output of `crossfool compare`: paired differences as a table, with intervals and p-values."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crossfool.cli.console import put, table
from crossfool.experiment.results.comparison import LEVEL, Comparison, Pooled
from crossfool.stats.paired_difference import Difference

# --- printed ----------------------------------------------------------------------------------------


def show(found: Comparison, console: Console, metric: str = "top1") -> None:
    """Print a comparison."""
    first, second = found.names
    what = "success rates" if metric == "top1" else "top-5 success rates"
    images = "1 image" if found.images == 1 else f"{found.images:,} images"
    console.print(Text(f"{first} − {second}: {what} in percent, paired on the same {images}", style="bold"))
    for line in found.about:
        console.print(Text(f"  {line}"))
    if found.shown:
        console.print()
        put(console, _table(found))
        console.print()
    for one in found.pooled:
        if not one.same:
            console.print(_pooled_line(one, len(found.pooled) > 1))
    for line in _notes(found):
        console.print(Text(line, style="dim"))


def _table(found: Comparison) -> Table:
    many = {row.attack for row in found.shown} != {" − ".join(found.names)}
    heads = [*(["attack"] if many else []), "source", "target", *(f">{name}" for name in found.names)]
    shown = table([*heads, ">difference", ">95% interval", ">p", ">p, Holm"])
    for row in found.shown:
        one = row.difference
        names = [*([Text(row.attack)] if many else []), Text(row.source), Text(row.target + "*" * row.whitebox)]
        rates = [Text(f"{row.first:.1f}"), Text(f"{row.second:.1f}")]
        shown.add_row(*names, *rates, _points(one), Text(_interval(one)), Text(_p(one.p)), Text(_p(one.adjusted)))
    return shown


def _points(one: Difference) -> Text:
    colour = "" if one.adjusted >= LEVEL else "green" if one.points > 0 else "red"
    return Text(_signed(one.points), colour)


def _signed(points: float) -> str:
    return f"{points:+.1f}".replace("-", "−") if abs(points) >= 0.05 else "0.0"


def _interval(one: Difference) -> str:
    if one.low is None or one.high is None:
        return "none"
    return f"[{_signed(one.low)}, {_signed(one.high)}]"


def _p(p: float) -> str:
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def _pooled_line(one: Pooled, many: bool) -> Text:
    cells = "black-box cell" if one.cells == 1 else "black-box cells"
    name = f"{one.attack}: " if many else ""
    adjusted = f", {_p(one.difference.adjusted)} by Holm" if many else ""
    what = f" points {_interval(one.difference)}, p = {_p(one.difference.p)}{adjusted}".replace("= <", "< ")
    return Text.assemble((f"{name}pooled over {one.cells} {cells}: ", "bold"), _points(one.difference), what)


def _notes(found: Comparison) -> Iterator[str]:
    tested = len(found.rows)
    if same := tested - len(found.shown):
        yield f"{same} of {tested} cells have the very same file in both and are not shown; Holm counts them."
    if found.left_out:
        more = f" (and {len(found.left_out) - 1} more)" if len(found.left_out) > 1 else ""
        yield f"Left out: {found.left_out[0]}{more}."
    if not found.shown:
        return
    if any(row.whitebox for row in found.shown):
        yield "* white-box: not pooled."
    cells = "1 cell" if tested == 1 else f"the table's {tested} cells"
    yield (
        f"Intervals: 95%, Newcombe's for paired proportions; p: exact McNemar test, by Holm's method for {cells}. "
        "Pooled: Student's t over images, exact permutation test."
    )
