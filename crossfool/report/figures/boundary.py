"""Figure: decision boundaries, as the classes that models predict in a plane of images (the paper's 3b, 6 and 9)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from crossfool.datasets.preparation.class_names import class_names
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.pipeline.gradient_analysis.config import Boundary
from crossfool.report.figures._style import (
    SMALL,
    add_heading,
    add_legend,
    channels_last,
    fold_name,
    report_style,
    show_image,
)
from crossfool.report.findings import Findings
from crossfool.storage.tensors import TensorFile

FIGURE = {"title": "Decision boundaries", "order": 90}
TRUE, OTHER = "#DDDDDD", "#4D4D4D"  # the true class, and the classes past the palette
PALETTE = (  # Paul Tol's "muted": told apart by the colour-blind, and from both greys
    "#332288",
    "#DDCC77",
    "#CC6677",
    "#117733",
    "#88CCEE",
    "#AA4499",
    "#44AA99",
    "#882255",
    "#999933",
)
LONGEST = 22  # characters of a class's name


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A figure of each analysis that params.yaml lists under `boundary`."""
    for name, plane in findings.experiment.boundary.items():
        yield f"boundary_{name}", draw_plane(findings.folder, name, plane, findings.experiment)


@report_style
def draw_boundary(
    title: str,
    subtitle: str,
    xlabel: str,
    ylabel: str,
    u: np.ndarray,
    v: np.ndarray,
    image: np.ndarray | None,
    planes: Mapping[str, np.ndarray],
    label: int,
    names: Mapping[int, str] | Sequence[str],
) -> Figure:
    """Draw the classes that models predict in a plane of images: a square a model, with one legend for all.

    The true class is light grey; a colour is the same class in every square. The most frequent other classes have
    colours of their own, the rest are dark grey. A cross is at the origin, the clean image.

    Args:
        title, subtitle: The heading above the figure.
        xlabel, ylabel: Labels of the axes u and v, with units.
        u, v: (P,) and (Q,) evenly spaced steps along the two directions; v grows upwards.
        image: The clean image, (H,W,3) or (H,W) uint8, drawn at the left, or None.
        planes: Model -> (Q,P) integers: the class predicted at v[i], u[j].
        label: The true class, at the origin.
        names: Class -> its name, or several names with commas between.

    Raises:
        ValueError: there is no plane, a plane has another shape than (Q,P), or steps are not evenly spaced.
    """
    u, v = np.asarray(u, float), np.asarray(v, float)
    if not planes:
        raise ValueError("nothing to draw: no model")
    for model, plane in planes.items():
        if plane.shape != (len(v), len(u)):
            raise ValueError(f"the plane of {model} is {plane.shape}, and not {(len(v), len(u))}")
    colours, legend = _classes(planes, label, names)
    down = -(-len(planes) // 5)
    across = -(-len(planes) // down)
    side, gap = (2.0 if across < 3 else 1.6 if across < 4 else 1.32), 0.12  # inches
    models = [fold_name(model, int(side / 0.082)) for model in planes]
    head = 0.1 + 0.15 * max(model.count("\n") + 1 for model in models)
    start = 0.0 if image is None else side + 0.75
    width, height = start + across * (side + gap) - gap, down * (side + head + gap) - gap
    figure = Figure(figsize=(width, height))
    if image is not None:
        axes = figure.add_axes((0, 1 - (head + side) / height, side / width, side / height))
        show_image(axes, image)
        axes.set_title("clean image", size=SMALL, weight="bold", pad=4)
    for number, (model, plane) in enumerate(zip(models, planes.values(), strict=True)):
        x = start + (number % across) * (side + gap)
        y = height - (number // across) * (side + head + gap) - head - side
        axes = figure.add_axes((x / width, y / height, side / width, side / height))
        axes.imshow(_coloured(plane, colours), extent=_extent(u, v), origin="lower", interpolation="nearest")
        axes.set_aspect("auto")
        axes.set_xlim(*sorted(_extent(u, v)[:2]))
        axes.set_ylim(*sorted(_extent(u, v)[2:]))
        axes.plot(
            0,
            0,
            marker="x",
            color="black",
            markersize=5,
            markeredgewidth=1.1,
            path_effects=[withStroke(linewidth=2.6, foreground="white")],
        )
        axes.set_title(model, size=SMALL, weight="bold", pad=4)
        axes.locator_params(nbins=5)
        axes.tick_params(
            labelsize=7, length=2.5, labelleft=number % across == 0, labelbottom=number + across >= len(planes)
        )
        for spine in axes.spines.values():
            spine.set_visible(True)
            spine.set_linewidth(0.6)
    figure.text((start + width) / 2 / width, -0.24 / height, xlabel, ha="center", va="top", size=9)
    figure.text((start - 0.36) / width, 0.5, ylabel, ha="right", va="center", rotation=90, size=9)
    columns = max(1, int((width + 0.5) / 1.72))
    left = 0 if image is not None else -0.5
    handles = [Patch(facecolor=colour, edgecolor="0.4", linewidth=0.4) for colour in legend.values()]
    options = {"ncol": columns, "columnspacing": 1.2, "handlelength": 1.2, "handleheight": 0.9}
    add_legend(figure, handles, list(legend), (left / width, -0.52 / height), **options)
    add_heading(figure, title, subtitle, left, width, height + 0.1, width, height)
    return figure


def _classes(
    planes: Mapping[str, np.ndarray], label: int, names: Mapping[int, str] | Sequence[str]
) -> tuple[dict[int, str], dict[str, str]]:
    """The colour of each class that occurs, and of each line of the legend."""
    classes, counts = np.unique(np.concatenate([plane.ravel() for plane in planes.values()]), return_counts=True)
    ranked = [int(classes[at]) for at in np.argsort(-counts, kind="stable") if classes[at] != label]
    colours = {label: TRUE, **dict(zip(ranked, PALETTE, strict=False))}
    texts = {number: _short(names[number]) for number in colours}
    repeated = {text for text in texts.values() if list(texts.values()).count(text) > 1}
    legend = {}
    for number, text in texts.items():
        text = f"{text} ({number})" if text in repeated else text
        legend[f"{text}, true class" if number == label else text] = colours[number]
    rest = ranked[len(PALETTE) :]
    if rest:
        legend[f"other ({len(rest)} class{'es' if len(rest) > 1 else ''})"] = OTHER
    return {**colours, **dict.fromkeys(rest, OTHER)}, legend


def _short(name: str) -> str:
    """The first of a class's names, cut where it is longer than `LONGEST`."""
    first = name.split(",")[0].strip()
    return first if len(first) <= LONGEST else first[: LONGEST - 1].rstrip() + "…"


def _coloured(plane: np.ndarray, colours: Mapping[int, str]) -> np.ndarray:
    """The plane (Q,P) of classes as colours (Q,P,3) from 0 to 1."""
    pixels = np.zeros((*plane.shape, 3))
    for number, colour in colours.items():
        pixels[plane == number] = to_rgb(colour)
    return pixels


def _extent(u: np.ndarray, v: np.ndarray) -> tuple[float, float, float, float]:
    """The picture's edges (left, right, bottom, top): half a step outside the first and the last value."""
    ends: list[float] = []
    for name, values in (("u", u), ("v", v)):
        steps = np.diff(values)
        if len(values) < 2 or not np.allclose(steps, steps[0]) or not steps[0]:
            raise ValueError(f"{name} is not evenly spaced: {values}")
        ends += [float(values[0] - steps[0] / 2), float(values[-1] + steps[0] / 2)]
    return ends[0], ends[1], ends[2], ends[3]


def draw_plane(folder: Path, name: str, plane: Boundary, experiment: Experiment) -> Figure:
    """The figure of one analysis of decision boundaries.

    Args:
        folder: The experiment's.
        name: The analysis.
        plane: Its parameters.
        experiment: The experiment, for its data set's class names.

    Raises:
        UserError: the analysis's file is damaged, or its metadata does not fit.
    """
    file = TensorFile(folder / "analysis/boundary" / f"{name}.safetensors")
    label_text, names = file.metadata_text("label"), class_names(experiment.dataset.family)
    targets, planes = file.metadata_object("params").get("targets"), np.asarray(file["labels"])
    if label_text not in map(str, range(len(names))) or not isinstance(targets, list) or len(targets) != len(planes):
        raise UserError(f"{file.path} does not say what it is of; delete it and run `dvc repro`")
    label, predictions = int(label_text), dict(zip(map(str, targets), planes, strict=True))
    unit = "pixel values" if plane.sign else "L2 length, pixel values"
    directions = ("sign of G", "sign of h") if plane.sign else ("smoothed gradient G", "noise h = g − ⟨g, G⟩ G")
    subtitle = (
        f"Source {plane.source}, image {plane.image} ({names[label].split(',')[0]}); G of m = {plane.samples} samples "
        f"with σ = {plane.sigma:g}; colours are the predictions of the model above"
    )
    u, v = np.asarray(file["u"], float), np.asarray(file["v"], float)
    axis_labels = f"u along the {directions[0]} ({unit})", f"v along the {directions[1]}"
    title = f"Decision boundaries ({'signs' if plane.sign else 'unit vectors'})"
    image = channels_last(file["image"])
    return draw_boundary(title, subtitle, *axis_labels, u, v, image, predictions, label, names)
