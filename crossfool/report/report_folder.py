"""Tables and figures of an experiment, from the files in its folder alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from crossfool.errors import UserError
from crossfool.experiment import leftover_files
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import chosen, uncounted, words, wrapped
from crossfool.experiment.results import outcomes, pooled_destruction, ranking_tables
from crossfool.experiment.results.metrics import Results, load_metrics
from crossfool.pipeline.evaluation.config import TRANSFORMS
from crossfool.report import experiment_figures, paper_markdown, ranking_markdown
from crossfool.report.claims import paper_claims
from crossfool.report.experiment_panel import build_panel
from crossfool.report.figures import destruction as destruction_figure
from crossfool.report.figures import heatmap, style
from crossfool.report.rates_csv import COLUMNS, destruction_rows, pooled_rows, success_rows, write_csv, write_text
from crossfool.report.rates_markdown import tables
from crossfool.report.reported import comparison
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile


def write_report(folder: Path, experiment: Experiment, out: Path) -> None:
    """Write tables (CSV and tables.md), `figures/` (PNG) and `vector/` (SVG) to `out`, and `folder`/agreement.json.

    Args:
        folder: The experiment's: metrics, predictions, adversarial images, subset.
        experiment: Its params.yaml.
        out: Where to write.

    Raises:
        UserError: a file is missing, broken, or left over from a model or attack that is not listed any more.
    """
    results = load_metrics(folder, experiment)
    leftover_files.refuse(folder, experiment, "adversarial", "analysis", "predictions", "transformed")
    cells = {cell: folder / "adversarial" / cell[0] / f"{cell[1]}.safetensors" for cell in results.success}
    subset = TensorFile(folder / "subset/images.safetensors")
    if cells and len(subset["index"]) != results.n:
        raise UserError(
            f"{subset.path} holds {len(subset['index'])} images, metrics are of {results.n}; run `dvc repro`"
        )
    shots = build_panel(folder, results, subset, {cell: TensorFile(path) for cell, path in cells.items()})

    write_csv(out / "results.csv", COLUMNS, success_rows(results))
    columns = ["source", "target", "attack", "whitebox", "transform", "level", "rate", "low", "high", "n"]
    write_csv(out / "destruction.csv", columns, destruction_rows(results))
    evidence = outcomes.gather(folder, results)
    compared, found = comparison.rows(results), paper_claims.check(evidence)
    write_csv(out / "comparison.csv", comparison.COLUMNS, compared)
    write_csv(out / "claims.csv", paper_claims.COLUMNS, paper_claims.table(found))
    untested = uncounted(experiment) if evidence.empty else ""
    write_json(folder / "agreement.json", paper_markdown.agreement(compared, found, untested))
    against = ranking_tables.tables(results, evidence)
    for name, rows in against.items():
        write_csv(out / f"{name}.csv", ranking_tables.COLUMNS[name], rows)
    pools = {
        name: pooled_destruction.pooled(evidence, name) for name, levels in experiment.transforms.items() if levels
    }
    write_csv(
        out / "destruction_pooled.csv", ["attack", "transform", *pooled_destruction.Point._fields], pooled_rows(pools)
    )
    parts = [tables(results, pools), *ranking_markdown.lines(against), *paper_markdown.lines(compared, found)]
    if untested:
        parts += ["## No comparison", untested]
    write_text(out / "tables.md", "\n\n".join(parts) + "\n")
    data = experiment_figures.tables(results, evidence)
    for name, rows in data.items():
        write_csv(out / f"{name}.csv", experiment_figures.COLUMNS[name], rows)
    for kind in ("figures", "vector"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    for attack in experiment.attacks if experiment.sources else ():
        title = f"{words(experiment.attacks[attack])}\n{chosen(results)}; Wilson 95% intervals"
        _both(heatmap.heatmap(_grid(results, attack), attack, title), out, f"heatmap_{attack}")
    if shots is not None:
        style.save(shots, out / "figures/panel.png")
    if against["cost"]:
        _both(experiment_figures.cost(results), out, "cost")
    for name, figure in experiment_figures.draw(folder, results, data, compared):
        _both(figure, out, name)
    curves = {name: lines for name, lines in pools.items() if any(lines.values())}
    if curves:
        _both(_destruction_figure(results, curves), out, "destruction")


def _both(figure: Figure, out: Path, name: str) -> None:
    style.save(figure, out / "figures" / f"{name}.png")
    style.save(figure, out / "vector" / f"{name}.svg")


# --- figures ----------------------------------------------------------------------------------------


def _grid(results: Results, attack: str) -> heatmap.Grid:
    sources, targets = results.experiment.sources, results.experiment.answering

    def values(key: str) -> np.ndarray:
        return np.array([[results.success[source, attack][target][key] for target in targets] for source in sources])

    rates = (values("top1"), values("top1_low"), values("top1_high"))
    rows, columns = [source.replace("+", "+\n") for source in sources], [wrapped(target) for target in targets]
    return heatmap.Grid(rows, columns, rates, values("whitebox"))


def _destruction_figure(results: Results, curves: Mapping[str, Any]) -> Figure:
    units = {name: unit for name, (_, _, unit) in TRANSFORMS.items()}
    subtitle = (
        "Of the adversarial images that fool a target, the share that it gets right again after the transform. "
        f"Black-box pairs pooled; {chosen(results)}; 95% intervals over images."
    )
    return destruction_figure.destruction("Destruction rates", subtitle, units, curves)
