"""Tables and figures of an experiment, from the files in its folder alone."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossfool import claims, comparison, drawings, figures, findings, leftovers, pooling, ranking
from crossfool.datasets.class_names import class_names
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.pipeline.evaluation import predictions_file
from crossfool.pipeline.evaluation.config import TRANSFORMS
from crossfool.results import (
    Results,
    chosen,
    denominator,
    load_metrics,
    reported,
    uncounted,
    wilson_ends,
    words,
    wrapped,
)
from crossfool.sheets import csv_text
from crossfool.storage.atomic import replacing
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile

IMAGES = 4  # rows of the panel
TARGETS = 3  # whose answers it shows

COLUMNS = [
    *("source", "target", "attack", "objective", "epsilon", "steps", "step_size", "gradient", "samples", "sigma"),
    *(
        "update",
        "decay",
        "noise",
        "radius",
        "diversity",
        "resize",
        "scales",
        "kernel",
        "gradients",
        "whitebox",
        "n",
        "top1",
        "top1_low",
        "top1_high",
        "top5",
        "top5_low",
        "top5_high",
    ),
    *("paper", "difference", "paper_table", "paper_top5", "difference_top5", "paper_top5_table"),
]


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
    leftovers.refuse(folder, experiment, "adversarial", "analysis", "predictions", "transformed")
    cells = {cell: folder / "adversarial" / cell[0] / f"{cell[1]}.safetensors" for cell in results.success}
    subset = TensorFile(folder / "subset/images.safetensors")
    if cells and len(subset["index"]) != results.n:
        raise UserError(
            f"{subset.path} holds {len(subset['index'])} images, metrics are of {results.n}; run `dvc repro`"
        )
    shots = _panel(folder, results, subset, {cell: TensorFile(path) for cell, path in cells.items()})

    _write_csv(out / "results.csv", COLUMNS, _success_rows(results))
    columns = ["source", "target", "attack", "whitebox", "transform", "level", "rate", "low", "high", "n"]
    _write_csv(out / "destruction.csv", columns, _destruction_rows(results))
    evidence = findings.gather(folder, results)
    compared, found = comparison.rows(results), claims.check(evidence)
    _write_csv(out / "comparison.csv", comparison.COLUMNS, compared)
    _write_csv(out / "claims.csv", claims.COLUMNS, claims.table(found))
    untested = uncounted(experiment) if evidence.empty else ""
    write_json(folder / "agreement.json", findings.agreement(compared, found, untested))
    against = ranking.tables(results, evidence)
    for name, rows in against.items():
        _write_csv(out / f"{name}.csv", ranking.COLUMNS[name], rows)
    pools = {name: pooling.pooled(evidence, name) for name, levels in experiment.transforms.items() if levels}
    _write_csv(out / "destruction_pooled.csv", ["attack", "transform", *pooling.Point._fields], _pooled_rows(pools))
    parts = [tables(results, pools), *ranking.lines(against), *findings.lines(compared, found)]
    if untested:
        parts += ["## No comparison", untested]
    _write(out / "tables.md", "\n\n".join(parts) + "\n")
    data = drawings.tables(results, evidence)
    for name, rows in data.items():
        _write_csv(out / f"{name}.csv", drawings.COLUMNS[name], rows)
    for kind in ("figures", "vector"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    for attack in experiment.attacks if experiment.sources else ():
        title = f"{words(experiment.attacks[attack])}\n{chosen(results)}; Wilson 95% intervals"
        _both(figures.heatmap(_grid(results, attack), attack, title), out, f"heatmap_{attack}")
    if shots is not None:
        figures.save(shots, out / "figures/panel.png")
    if against["cost"]:
        _both(drawings.cost(results), out, "cost")
    for name, figure in drawings.draw(folder, results, data, compared):
        _both(figure, out, name)
    curves = {name: lines for name, lines in pools.items() if any(lines.values())}
    if curves:
        _both(_destruction_figure(results, curves), out, "destruction")


def _both(figure: figures.Figure, out: Path, name: str) -> None:
    figures.save(figure, out / "figures" / f"{name}.png")
    figures.save(figure, out / "vector" / f"{name}.svg")


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    _write(path, csv_text(columns, rows))


def _success_rows(results: Results) -> Iterable[dict[str, Any]]:
    """A row a source, target and attack."""
    experiment = results.experiment
    for (source, name), targets in results.success.items():
        attack = experiment.attacks[name]
        values = {key: getattr(attack, key) for key in COLUMNS if hasattr(attack, key)}
        for target, rates in targets.items():
            row = {"source": source, "target": target, "attack": name, **values}
            row |= {key: rates[key] for key in COLUMNS if key in rates}
            for metric, figure in reported(experiment, source, target, attack).items():
                end = "" if metric == "top1" else f"_{metric}"
                row[f"paper{end}"] = figure.percent
                row[f"difference{end}"] = round(rates[metric] - figure.percent, 4)
                row[f"paper{end}_table"] = figure.table
            yield row


def _destruction_rows(results: Results) -> Iterable[dict[str, Any]]:
    """A row a source, target, attack, transform and level."""
    for (source, attack), targets in results.destruction.items():
        for target, transforms in targets.items():
            whitebox = results.success[source, attack][target]["whitebox"]
            for transform, levels in transforms.items():
                for level, rates in levels.items():
                    row = {"source": source, "target": target, "attack": attack, "whitebox": whitebox}
                    yield row | {"transform": transform, "level": level} | rates


def _pooled_rows(pools: Mapping[str, Mapping[str, pooling.Points]]) -> Iterable[dict[str, Any]]:
    """A row an attack, transform and level, over all black-box pairs."""
    for transform, lines in pools.items():
        for attack, points in lines.items():
            for point in points:
                yield {"attack": attack, "transform": transform, **point._asdict()}


# --- tables -----------------------------------------------------------------------------------------


def tables(results: Results, pools: Mapping[str, Mapping[str, pooling.Points]]) -> str:
    """tables.md: for each attack a table in the paper's layout, then clean accuracies and destruction rates.

    Args:
        results: The experiment's.
        pools: Transform -> attack -> its destruction rates over all black-box pairs.
    """
    experiment = results.experiment
    parts = [
        f"# Transferability on {experiment.dataset.name}",
        f"{chosen(results)}. All rates are percent of these images, with Wilson 95% intervals in brackets; "
        f"{denominator(experiment)}. Rows are sources, columns are targets. * marks white-box cells, whose source has "
        "the target in it. In parentheses: the paper's figure, where the paper has the same cell with the same "
        "parameters.",
    ]
    for name, attack in experiment.attacks.items():
        evaluations = "1 gradient evaluation" if attack.gradients == 1 else f"{attack.gradients} gradient evaluations"
        parts += [f"## {name}", f"{words(attack)}; {evaluations} an image and model."]
        goal = "that are given the target label" if attack.targeted else "that are not given the true label"
        parts += [f"Top-1 success rate: images {goal}.", _success_table(results, name, "top1")]
        # top-1 success of a targeted attack is so rare that the paper, too, reports top-5 (table 4)
        if attack.targeted:
            parts += ["Top-5 success rate: the target label is among the five.", _success_table(results, name, "top5")]
        quoted = sorted({figure.table for figure in _quoted(results, name)})
        if quoted:
            parts.append(f"The paper's figures are of its {', '.join(t.replace('table', 'table ') for t in quoted)}.")
    parts += ["## Clean accuracy", _clean_table(results)]
    if any(experiment.transforms.values()):
        parts += [
            "## Destruction rates",
            "Of the adversarial images that fool a target, the share that it gets right again after the transform "
            "(Kurakin et al. 2017). Black-box pairs pooled; they share images, so that the 95% intervals are of "
            "as many pairs as tell as much. destruction.csv has each pair.",
        ]
        for transform, levels in experiment.transforms.items():
            if levels:
                parts += [
                    f"### {transform} ({TRANSFORMS[transform][2]})",
                    _destruction_table(levels, pools[transform]),
                ]
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _interval(rates: Mapping[str, Any], rate: str, low: str, high: str) -> str:
    return f"{rates[rate]:.1f} [{rates[low]:.1f}, {rates[high]:.1f}]"


def _success_table(results: Results, attack: str, metric: str) -> str:
    experiment = results.experiment

    def cell(source: str, target: str) -> str:
        rates = results.success[source, attack][target]
        text = _interval(rates, metric, f"{metric}_low", f"{metric}_high") + ("*" if rates["whitebox"] else "")
        figure = reported(experiment, source, target, experiment.attacks[attack]).get(metric)
        return f"{text} ({figure.percent:.1f})" if figure else text

    rows = [[source, *(cell(source, target) for target in experiment.answering)] for source in experiment.sources]
    return _table(["source", *experiment.answering], rows)


def _quoted(results: Results, attack: str) -> Iterable[Any]:
    experiment = results.experiment
    for source in experiment.sources:
        for target in experiment.answering:
            yield from reported(experiment, source, target, experiment.attacks[attack]).values()


def _clean_table(results: Results) -> str:
    rows = []
    for model, accuracy in results.clean.items():
        published = accuracy["published_top1"]
        rows.append(
            [
                model,
                _interval(accuracy, "top1", "top1_low", "top1_high"),
                "{:.1f} [{:.1f}, {:.1f}]".format(accuracy["top5"], *wilson_ends(accuracy["top5"], accuracy["n"])),
                "" if published is None else f"{published:.1f}",
                f"{accuracy['n']:,}",
            ]
        )
    return _table(["model", "top-1", "top-5", "published top-1", "images"], rows)


def _destruction_table(levels: Sequence[float], lines: Mapping[str, pooling.Points]) -> str:
    rows = []
    for attack, points in lines.items():
        at = {point.level: f"{point.rate:.1f} [{point.low:.1f}, {point.high:.1f}]" for point in points}
        rows.append([attack, *(at.get(level, "–") for level in levels), f"{points[0].n if points else 0:,}"])
    return _table(["attack", *(f"{level:g}" for level in levels), "fooled"], rows)


# --- figures ----------------------------------------------------------------------------------------


def _grid(results: Results, attack: str) -> figures.Grid:
    sources, targets = results.experiment.sources, results.experiment.answering

    def values(key: str) -> np.ndarray:
        return np.array([[results.success[source, attack][target][key] for target in targets] for source in sources])

    rates = (values("top1"), values("top1_low"), values("top1_high"))
    rows, columns = [source.replace("+", "+\n") for source in sources], [wrapped(target) for target in targets]
    return figures.Grid(rows, columns, rates, values("whitebox"))


def _destruction_figure(results: Results, curves: Mapping[str, Any]) -> figures.Figure:
    units = {name: unit for name, (_, _, unit) in TRANSFORMS.items()}
    subtitle = (
        "Of the adversarial images that fool a target, the share that it gets right again after the transform. "
        f"Black-box pairs pooled; {chosen(results)}; 95% intervals over images."
    )
    return figures.destruction("Destruction rates", subtitle, units, curves)


def _panel(
    folder: Path, results: Results, subset: TensorFile, cells: Mapping[tuple[str, str], TensorFile]
) -> figures.Figure | None:
    """The first images of the subset, clean and under two attacks of one source, with black-box targets' answers."""
    experiment = results.experiment
    attacks = _two_attacks(tuple(experiment.attacks))
    if not experiment.sources or not attacks or not results.n:
        return None
    source, targets = _pair(experiment)
    names = class_names(experiment.dataset.family)
    ids, labels = (np.asarray(subset[name][:IMAGES]) for name in ("index", "labels"))
    clean = np.asarray(subset["images"][:IMAGES])
    tables = {model: folder / "predictions/clean" / f"{model}.parquet" for model in targets}
    before = {model: predictions_file.read_clean(path)[1][ids, 0] for model, path in tables.items()}

    columns, shots = ["clean"], [[figures.Shot(figures.picture(image))] for image in clean]
    for row, own in enumerate(shots):
        own[0] = _shot(clean[row], [before[model][row] for model in targets], labels[row], names)
    for attack in attacks:
        file = cells[source, attack]
        if file["images"].shape != subset["images"].shape:
            raise UserError(f"{file.path}: images are {file['images'].shape}, expected {subset['images'].shape}")
        adversarial = np.asarray(file["images"][:IMAGES])
        table = folder / "predictions" / source / f"{attack}.parquet"
        after = {model: _answers(table, model, results.n) for model in targets}
        epsilon = experiment.attacks[attack].epsilon
        gain = 127 / epsilon if epsilon else 1.0
        columns += [attack, f"perturbation\n× {gain:.3g}"]
        for row, own in enumerate(shots):
            own.append(_shot(adversarial[row], [after[model][row] for model in targets], labels[row], names))
            change = adversarial[row].astype(float) - clean[row]
            own.append(figures.Shot(figures.picture(np.clip(np.rint(128 + gain * change), 0, 255).astype(np.uint8))))
    kind = "black-box" if targets[0] not in source.split("+") else "white-box"
    subtitle = "\n".join(
        [
            f"Source {source}, {kind} targets below; the first {len(ids)} of {chosen(results)}.",
            *(f"{attack}: {words(experiment.attacks[attack])}." for attack in attacks),
        ]
    )
    rows = [(names[label], own) for label, own in zip(labels, shots, strict=True)]
    return figures.panel("Images and answers", subtitle, columns, targets, rows)


def _two_attacks(names: tuple[str, ...]) -> list[str]:
    """igsm and sg_igsm, where both are; else another attack and its smoothed one; else the first two."""
    for plain in ("igsm", *names):
        if plain in names and f"sg_{plain}" in names:
            return [plain, f"sg_{plain}"]
    return list(names[:2])


def _pair(experiment: Experiment) -> tuple[str, list[str]]:
    """A source and targets that are not in it (its own, where every source holds every model)."""
    for source in experiment.sources:
        targets = [model for model in experiment.answering if model not in source.split("+")]
        if targets:
            return source, targets[:TARGETS]
    return experiment.sources[0], list(experiment.answering[:TARGETS])


def _answers(path: Path, model: str, count: int) -> np.ndarray:
    """A target's most probable classes (N,), in the order of the subset, from a cell's predictions.

    Raises:
        UserError: the table is of other models or another number of images.
    """
    top = predictions_file.read_cell(path)[0].get(model, np.empty((0, 5), np.int64))
    if len(top) != count:
        raise UserError(f"{path} has {len(top)} answers of {model}, expected {count}; delete it and run `dvc repro`")
    return top[:, 0]


def _shot(pixels: np.ndarray, given: Sequence[int], label: int, names: Sequence[str]) -> figures.Shot:
    return figures.Shot(figures.picture(pixels), [(names[answer], bool(answer == label)) for answer in given])
