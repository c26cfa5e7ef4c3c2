"""Figure: success rates of all sources and targets as a heat map."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from crossfool.experiment.descriptions import attack_summary, attacked_images_summary, wrapped_model_name
from crossfool.experiment.results.metrics import Results
from crossfool.report.figures._style import add_heading, report_style
from crossfool.report.findings import Findings

FIGURE = {"title": "Success rates of", "order": 20, "alone": True}


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A figure of each attack."""
    for attack in findings.experiment.attacks if findings.experiment.sources else ():
        yield f"heatmap_{attack}", _attack_heatmap(findings.results, attack)


@dataclass(frozen=True)
class Grid:
    """Success rates of one attack: a row a source, a column a target.

    Attributes:
        sources, targets: Names, broken over lines where they are long.
        rates: (S,T) arrays: the rate, and the ends of its interval, percent.
        whitebox: (S,T) bool.
    """

    sources: Sequence[str]
    targets: Sequence[str]
    rates: tuple[np.ndarray, np.ndarray, np.ndarray]
    whitebox: np.ndarray


@report_style
def draw_heatmap(grid: Grid, title: str, subtitle: str) -> Figure:
    """Draw success rates as colours and numbers, on a scale that is 0 to 100 in every figure.

    Args:
        grid: The rates.
        title, subtitle: The heading above the figure.
    """
    rate, low, high = grid.rates
    longest = max(len(line) for name in grid.targets for line in name.split("\n"))
    wide, tall = (
        max(1.0, 0.08 * longest + 0.15),
        max(0.62, 1.2 / len(grid.sources), 0.16 * (_most_breaks(grid.sources) + 1) + 0.1),
    )
    width, height = wide * len(grid.targets), tall * len(grid.sources)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    colours = axes.imshow(rate, aspect="auto", cmap="cividis", vmin=0, vmax=100)
    for row, column in np.ndindex(rate.shape):
        red, green, blue, _ = colours.to_rgba(rate[row, column])
        ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
        star = "*" if grid.whitebox[row, column] else ""
        axes.text(column, row - 0.13, f"{rate[row, column]:.1f}{star}", color=ink, ha="center", va="center", size=11)
        interval = f"{low[row, column]:.1f} – {high[row, column]:.1f}"
        axes.text(column, row + 0.24, interval, color=ink, ha="center", va="center", size=6.5)
        if star:
            inset = Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, fill=False, edgecolor=ink, linestyle="--")
            axes.add_patch(inset)
    axes.set_xticks(range(len(grid.targets)), grid.targets)
    axes.set_yticks(range(len(grid.sources)), grid.sources)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("target")
    axes.set_ylabel("source")
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(len(grid.targets) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(grid.sources) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(colours, cax=figure.add_axes((1 + 0.15 / width, 0, 0.14 / width, 1)))
    bar.set_label("success rate, %")
    bar.set_ticks([0, 25, 50, 75, 100])
    left = -0.09 * max(len(line) for name in grid.sources for line in name.split("\n")) - 0.35  # inches: the labels
    add_heading(
        figure, title, subtitle, left, width + 0.6, height + 0.62 + 0.14 * _most_breaks(grid.targets), width, height
    )
    if grid.whitebox.any():
        note = "* in a frame: white-box, the source has the target in it"
        figure.text(left / width, -0.2 / height, note, size=7.5, color="0.3", va="top")
    return figure


def _most_breaks(names: Sequence[str]) -> int:
    """The greatest number of line breaks in a name."""
    return max(name.count("\n") for name in names)


def _attack_heatmap(results: Results, attack: str) -> Figure:
    """The heat map of an attack's top-1 success rates over all sources and targets."""
    sources, targets = results.experiment.sources, results.experiment.answering

    def values(key: str) -> np.ndarray:
        return np.array([[results.success[source, attack][target][key] for target in targets] for source in sources])

    rates = (values("top1"), values("top1_low"), values("top1_high"))
    rows, columns = (
        [source.replace("+", "+\n") for source in sources],
        [wrapped_model_name(target) for target in targets],
    )
    grid = Grid(rows, columns, rates, values("whitebox"))
    settings = attack_summary(results.experiment.attacks[attack])
    subtitle = f"{settings}\n{attacked_images_summary(results)}; Wilson 95% intervals"
    return draw_heatmap(grid, attack, subtitle)
