"""The folder `report/` of an experiment: its CSV files, tables.md and figures, from the experiment's files alone."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from crossfool.errors import UserError
from crossfool.experiment import leftover_files
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import no_compared_images_note
from crossfool.experiment.results import comparison_tables, outcomes, pooled_destruction
from crossfool.experiment.results.metrics import load_metrics
from crossfool.report import (
    experiment_figures,
    paper_claims,
    paper_markdown,
    ranking_markdown,
    rates_csv,
    rates_markdown,
)
from crossfool.report.experiment_panel import draw_experiment_panel
from crossfool.report.figures import style
from crossfool.report.reported import paper_agreement
from crossfool.report.table import csv_text
from crossfool.storage.atomic import replacing
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile


def write_report(folder: Path, experiment: Experiment, out: Path) -> None:
    """Write tables (CSV and tables.md), `figures/` (PNG) and `vector/` (SVG) to `out`, and `folder`/agreement.json.

    Args:
        folder: The experiment's: metrics, predictions, adversarial images, subset.
        experiment: Its params.yaml.
        out: The folder to write to.

    Raises:
        UserError: a file is missing, broken, or left over from a model or attack that is not listed any more.
    """
    results = load_metrics(folder, experiment)
    leftover_files.refuse_leftovers(folder, experiment, "adversarial", "analysis", "predictions", "transformed")
    cells = {cell: folder / "adversarial" / cell[0] / f"{cell[1]}.safetensors" for cell in results.success}
    subset = TensorFile(folder / "subset/images.safetensors")
    if cells and len(subset["index"]) != results.n:
        raise UserError(
            f"{subset.path} holds {len(subset['index'])} images, metrics are of {results.n}; run `dvc repro`"
        )
    # before anything is written: it reads the adversarial images, and refuses those of another subset
    image_panel = draw_experiment_panel(
        folder, results, subset, {cell: TensorFile(path) for cell, path in cells.items()}
    )

    _write_csv(out / "results.csv", rates_csv.columns(results), rates_csv.success_rows(results))
    columns = ["source", "target", "attack", "whitebox", "transform", "level", "rate", "low", "high", "n"]
    _write_csv(out / "destruction.csv", columns, rates_csv.destruction_rows(results))
    evidence = outcomes.read_evidence(folder, results)
    compared, claims = paper_agreement.comparison_rows(results), paper_claims.check_claims(evidence)
    _write_csv(out / "comparison.csv", paper_agreement.COLUMNS, compared)
    _write_csv(out / "claims.csv", paper_claims.COLUMNS, paper_claims.claim_rows(claims))
    untested = no_compared_images_note(experiment) if evidence.empty else ""
    write_json(folder / "agreement.json", paper_markdown.agreement_numbers(compared, claims, untested))
    ranking = comparison_tables.comparison_tables(results, evidence)
    for name, rows in ranking.items():
        _write_csv(out / f"{name}.csv", comparison_tables.TABLE_COLUMNS[name], rows)
    pools = {
        transform: pooled_destruction.pooled_destruction_rates(evidence, transform)
        for transform, levels in experiment.transforms.items()
        if levels
    }
    columns = ["attack", "transform", *pooled_destruction.DestructionRate._fields]
    _write_csv(out / "destruction_pooled.csv", columns, rates_csv.pooled_rows(pools))
    parts = [rates_markdown.rates_text(results, pools)]
    parts += [*ranking_markdown.ranking_sections(ranking), *paper_markdown.paper_sections(compared, claims)]
    if untested:
        parts += ["## No comparison", untested]
    _write_text(out / "tables.md", "\n\n".join(parts) + "\n")
    data = experiment_figures.figure_data(results, evidence)
    for name, rows in data.items():
        _write_csv(out / f"{name}.csv", experiment_figures.COLUMNS[name], rows)
    for subfolder in ("figures", "vector"):
        (out / subfolder).mkdir(parents=True, exist_ok=True)
    for attack in experiment.attacks if experiment.sources else ():
        _save_figure(experiment_figures.draw_heatmap(results, attack), out, f"heatmap_{attack}")
    if image_panel is not None:
        style.save(image_panel, out / "figures/panel.png")
    if ranking["cost"]:
        _save_figure(experiment_figures.draw_cost(results), out, "cost")
    for name, figure in experiment_figures.draw_paper_figures(folder, results, data, compared):
        _save_figure(figure, out, name)
    nonempty = {transform: pool for transform, pool in pools.items() if any(pool.values())}
    if nonempty:
        _save_figure(experiment_figures.draw_destruction(results, nonempty), out, "destruction")


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    _write_text(path, csv_text(columns, rows))


def _save_figure(figure: Figure, out: Path, name: str) -> None:
    """Save a figure as `figures/`NAME.png and `vector/`NAME.svg."""
    style.save(figure, out / "figures" / f"{name}.png")
    style.save(figure, out / "vector" / f"{name}.svg")
