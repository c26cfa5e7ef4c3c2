"""The paper's own figures from an experiment's data: sweeps, scatter, similarity, boundaries, saliency, agreement.

Each picture's data is a CSV beside it. Needs no model: restyling a figure computes nothing anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from crossfool.attacks import sweeps
from crossfool.datasets.class_names import class_names
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import chosen, words
from crossfool.experiment.results import snapshots
from crossfool.experiment.results.metrics import Results
from crossfool.experiment.results.outcomes import Evidence
from crossfool.models.families import family
from crossfool.pipeline.gradient_analysis.config import Boundary, Saliency
from crossfool.report.figures import agreement as agreement_figure
from crossfool.report.figures import boundary as boundary_figure
from crossfool.report.figures import saliency as saliency_figure
from crossfool.report.figures import scatter as scatter_figure
from crossfool.report.figures import similarity as similarity_figure
from crossfool.report.figures import style
from crossfool.report.figures import sweep as sweep_figure
from crossfool.report.figures.style import picture
from crossfool.stats import intervals as stats_intervals
from crossfool.storage.tensors import TensorFile

AXIS = {
    "epsilon": "perturbation ε",
    "steps": "number of steps T",
    "step_size": "step size α",
    "samples": "number of samples m",
    "sigma": "noise level σ",
}
LETTER = {"epsilon": "ε", "steps": "T", "step_size": "α", "samples": "m", "sigma": "σ"}
COLUMNS = {
    "grid_a": ["x", "rate", "low", "high", "n", "line", "panel", "source", "target", "attack"],
    "grid_b": ["x", "rate", "low", "high", "n", "line", "panel", "source", "target", "attack"],
    "scatter": ["error", "parameters", "rate", "low", "high", "n", "source", "family", "target", "attack"],
    "similarity": ["analysis", "source", "target", "samples", "cosine", "low", "high", "n"],
}
CROWD = 8  # attacks beyond which their intervals would hide their lines
Rows = list[dict[str, Any]]


def tables(results: Results, evidence: Evidence) -> dict[str, Rows]:
    """The data of every figure: name (a key of `COLUMNS`) -> rows; none where the experiment has no such figure."""
    grids = results.experiment.grids
    return {
        "grid_a": list(_sweep("a", grids.a, results, evidence)),
        "grid_b": list(_sweep("b", grids.b, results, evidence)),
        "scatter": list(_scatter(results)),
        "similarity": list(_similarity(evidence)),
    }


def draw(folder: Path, results: Results, data: Mapping[str, Rows], compared: Rows) -> Iterator[tuple[str, Figure]]:
    """The figures by name, from `tables`, the comparison with the paper and the cached analyses in `folder`."""
    experiment = results.experiment
    for name, grid in (("a", experiment.grids.a), ("b", experiment.grids.b)):
        if data[f"grid_{name}"]:
            yield f"grid_{name}", _draw_sweep(grid, results, data[f"grid_{name}"])
    if data["scatter"]:
        yield "scatter", _draw_scatter(results, data["scatter"])
    if data["similarity"]:
        yield "similarity", _draw_similarity(experiment, data["similarity"])
    for name, plane in experiment.boundary.items():
        yield f"boundary_{name}", _draw_boundary(folder, name, plane, experiment)
    for name, saliency in experiment.saliency.items():
        yield f"saliency_{name}", _draw_saliency(folder, name, saliency, experiment)
    if len(compared) > 1:
        points = [
            (row["paper_table"].replace("table", "table "), row["paper"], row["ours"], row["low"], row["high"])
            for row in compared
        ]
        subtitle = f"Success rates, a point a cell; {chosen(results)}; Wilson 95% intervals"
        yield "agreement", agreement_figure.agreement("Ours and the paper's", subtitle, points)


def cost(results: Results) -> Figure:
    """Success against gradient evaluations: a line an attack, a point where no steps were recorded of it."""
    panels: dict[str, dict[str, list[style.Point]]] = {}
    crowded = len(results.experiment.attacks) > CROWD
    for attack, row in results.experiment.attacks.items():
        points = [
            style.Point(gradients, rates["success"], *(rates["success" if crowded else end] for end in ("low", "high")))
            for gradients, rates in snapshots.reached(results, attack).items()
        ]
        if points:
            panels.setdefault(row.objective, {})[attack] = points
    ends = "; budget.csv has the intervals" if crowded else ", and of the ends of their Wilson 95% intervals"
    subtitle = f"Mean over black-box cells{ends}; {chosen(results)}"
    label = "gradient evaluations an image and model"
    about = "Success against cost", subtitle, label, "success rate, %", "attack"
    return sweep_figure.sweep(*about, panels, logarithmic=True, kinds=True)


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of one value an image (N,), and the ends of Student's 95% interval; the mean where that has no width."""
    mean = float(values.mean())
    low, high = stats_intervals.mean(values) or (mean, mean)
    return mean, low, high


# --- sweeps (figures 4a, 4b, 7) -----------------------------------------------------------------------------------


def _sweep(name: str, grid: sweeps.Grid, results: Results, evidence: Evidence) -> Iterator[dict[str, Any]]:
    if grid.figure is None:
        return
    figure, experiment = grid.figure, results.experiment
    for attack, point in zip(grid.cells(name), grid.points(), strict=True):
        values = dict(zip(sweeps.AXES, point, strict=True))
        if values["step_size"] == "epsilon":
            values["step_size"] = values["epsilon"]
        about = {"x": values[figure.x], "line": _line(figure, values), "n": results.n, "attack": attack}
        for target in experiment.answering:
            sources = [source for source in experiment.sources if target not in source.split("+")]
            for source in () if figure.average else sources:
                rates = results.swept[source, attack][target]
                ends = {"low": rates[f"{figure.metric}_low"], "high": rates[f"{figure.metric}_high"]}
                panel = f"{source} → {target}"
                yield about | {"rate": rates[figure.metric], "panel": panel, "source": source, "target": target} | ends
            if figure.average and sources and not evidence.empty:
                hits = evidence.hits if figure.metric == "top1" else evidence.hits5
                share = np.mean([hits[source, attack, target] for source in sources], 0)
                rate, low, high = (100 * value for value in mean_interval(share))
                ends = {"low": max(low, 0.0), "high": min(high, 100.0)}
                mean = f"mean of {len(sources)} sources"
                yield about | {"rate": rate, "panel": target, "source": mean, "target": target} | ends


def _line(figure: sweeps.GridFigure, values: Mapping[str, Any]) -> str:
    if figure.lines is None:
        return ""
    if figure.lines == "samples" and not values["samples"]:
        return "plain"
    return f"{LETTER[figure.lines]} = {values[figure.lines]:g}"


def _draw_sweep(grid: sweeps.Grid, results: Results, rows: Rows) -> Figure:
    figure = grid.figure
    assert figure is not None and grid.attack is not None
    panels: dict[str, dict[str, list[style.Point]]] = {}
    for row in rows:
        line = panels.setdefault(row["panel"], {}).setdefault(row["line"], [])
        line.append(style.Point(row["x"], row["rate"], row["low"], row["high"]))
    fixed = [
        f"{LETTER[axis]} = {getattr(grid, axis)[0]}".replace("α = epsilon", "α = ε")
        for axis in sweeps.AXES
        if axis not in (figure.x, figure.lines) and getattr(grid, axis)[0] not in (0,)
    ]
    intervals = "normal 95% intervals over images" if figure.average else "Wilson 95% intervals"
    mean = "; mean over the sources that do not hold the target" if figure.average else ""
    subtitle = f"{grid.attack.objective}, {', '.join(fixed)}{mean}; {chosen(results)}; {intervals}"
    ylabel = f"{'top-1' if figure.metric == 'top1' else 'top-5'} success rate, %"
    label = "" if figure.lines is None else AXIS[figure.lines]
    return sweep_figure.sweep(f"Success against {LETTER[figure.x]}", subtitle, AXIS[figure.x], ylabel, label, panels)


# --- scatter (figures 1 and 8) ------------------------------------------------------------------------------------


def _scatter(results: Results) -> Iterator[dict[str, Any]]:
    experiment = results.experiment
    for attack in experiment.scatter.attacks:
        for target in experiment.answering:
            for source in experiment.sources:
                kin = family(source) == family(target)
                if "+" in source or source == target or (kin and not experiment.scatter.same_family):
                    continue
                rates, clean = results.success[source, attack][target], results.clean[source]
                yield {
                    "error": 100 - clean["top1"],
                    "parameters": clean["parameters"],
                    "rate": rates["top1"],
                    "low": rates["top1_low"],
                    "high": rates["top1_high"],
                    "n": rates["n"],
                    "source": source,
                    "family": family(source),
                    "target": target,
                    "attack": attack,
                }


def _draw_scatter(results: Results, rows: Rows) -> Figure:
    panels: dict[str, list[scatter_figure.Dot]] = {}
    for row in rows:
        dot = scatter_figure.Dot(
            *(row[key] for key in ("source", "family", "error", "parameters", "rate", "low", "high"))
        )
        panels.setdefault(f"{row['attack']} → {row['target']}", []).append(dot)
    experiment = results.experiment
    kin = "" if experiment.scatter.same_family else "; sources of the target's own family are left out"
    attacks = "; ".join(f"{name}: {words(experiment.attacks[name])}" for name in experiment.scatter.attacks)
    subtitle = (
        f"{attacks}.\nNumbers at the left are success rates, texts in the middle the model within its family{kin}. "
        f"Top-1 error on the whole data set. {chosen(results)}; Wilson 95% intervals"
    )
    return scatter_figure.scatter("Success over the source's error and size", subtitle, panels)


# --- similarity (figure 3a) ---------------------------------------------------------------------------------------


def _similarity(evidence: Evidence) -> Iterator[dict[str, Any]]:
    for name, (samples, cosines) in evidence.similarity.items():
        row = evidence.experiment.similarity[name]
        for place, m in enumerate(samples):
            mean, low, high = mean_interval(cosines[:, place])
            about = {"analysis": name, "source": row.source, "target": row.target, "samples": m}
            yield about | {"cosine": mean, "low": low, "high": high, "n": len(cosines)}


def _draw_similarity(experiment: Experiment, rows: Rows) -> Figure:
    lines: dict[str, tuple[style.Point, list[style.Point]]] = {}
    pairs = [(row.source, row.target) for row in experiment.similarity.values()]
    sigmas = {row.sigma for row in experiment.similarity.values()}
    counts = sorted({row.images for row in experiment.similarity.values()})
    for name, row in experiment.similarity.items():
        points = [
            style.Point(one["samples"], one["cosine"], one["low"], one["high"])
            for one in rows
            if one["analysis"] == name
        ]
        label = f"{row.source} → {row.target}"
        if len(pairs) > len(set(pairs)) or len(sigmas) > 1:
            label += f" ({name}: σ = {row.sigma:g})"
        lines[label] = points[0], points[1:]
    spread = f" (σ = {sigmas.pop():g})" if len(sigmas) == 1 else ""
    images = " or ".join(f"{count:,}" for count in counts)
    subtitle = (
        f"Cosine of the source's smoothed gradient{spread} with the target's gradient, mean over "
        f"{images} images with normal 95% intervals; dashed: the source's plain gradient"
    )
    return similarity_figure.similarity("Similarity of gradients", subtitle, lines)


# --- planes (figures 3b, 6 and 9) ---------------------------------------------------------------------------------


def _draw_boundary(folder: Path, name: str, plane: Boundary, experiment: Experiment) -> Figure:
    file = TensorFile(folder / "analysis/boundary" / f"{name}.safetensors")
    said, names = file.said("label"), class_names(experiment.dataset.family)
    targets, planned = file.said_json("params").get("targets"), np.asarray(file["labels"])
    if said not in map(str, range(len(names))) or not isinstance(targets, list) or len(targets) != len(planned):
        raise UserError(f"{file.path} does not say what it is of; delete it and run `dvc repro`")
    label, answers = int(said), dict(zip(map(str, targets), planned, strict=True))
    unit = "pixel values" if plane.sign else "L2 length, pixel values"
    ends = ("sign of G", "sign of h") if plane.sign else ("smoothed gradient G", "noise h = g − ⟨g, G⟩ G")
    subtitle = (
        f"Source {plane.source}, image {plane.image} ({names[label].split(',')[0]}); G of m = {plane.samples} samples "
        f"with σ = {plane.sigma:g}; colours are the answers of the model above"
    )
    u, v = np.asarray(file["u"], float), np.asarray(file["v"], float)
    labels = f"u along the {ends[0]} ({unit})", f"v along the {ends[1]}"
    title = f"Decision boundaries ({'signs' if plane.sign else 'unit vectors'})"
    return boundary_figure.boundary(title, subtitle, *labels, u, v, picture(file["image"]), answers, label, names)


def _draw_saliency(folder: Path, name: str, row: Saliency, experiment: Experiment) -> Figure:
    file = TensorFile(folder / "analysis/saliency" / f"{name}.safetensors")
    names = class_names(experiment.dataset.family)
    labels = [names[label].split(",")[0] for label in np.asarray(file["labels"])]
    shown: Sequence[tuple[str, np.ndarray, Sequence[np.ndarray]]] = [
        (f"{label}\n(image\u00a0{id})", picture(image), list(np.asarray(gradients, float)))
        for label, id, image, gradients in zip(labels, row.images, file["images"], file["gradients"], strict=True)
    ]
    columns = ["image", "gradient", *(f"smoothed, m = {m}" for m in row.samples)]
    subtitle = (
        f"{row.model}: absolute gradient of the loss, summed over channels and clipped at its 99th percentile; "
        f"smoothed with σ = {row.sigma:g}"
    )
    return saliency_figure.saliency("Saliency", subtitle, shown, columns)
