"""The tables of the HTML report, from an experiment's results. All rates are percent. Imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import UnionType
from typing import Any

from crossfool import claims, comparison
from crossfool.attacks.config import Attack
from crossfool.experiment.descriptions import words
from crossfool.experiment.results import cost_effectiveness, sample_equivalence, snapshots
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.evaluation.config import TRANSFORMS
from crossfool.report import ranking_markdown
from crossfool.report.reported.published_rates import reported
from crossfool.sheets import Cell, Table
from crossfool.stats.rates import wilson_ends
from crossfool.storage import csv_files

ENDS = ("low", "high")
METRICS = {"top1": "top-1", "top5": "top-5"}
CLAIMED = "Each is a paired test on the same images; a claim holds where the effect has the claimed sign and p < 0.05."
RANKED = {  # name of a CSV of `ranking` -> title and note
    "ranking": (
        "Attacks by success, beside what they cost and change",
        "Mean success over black-box cells in percent, with a 95% interval: Student's over images, each by its mean "
        "over the cells, or Wilson's where there is one cell or no image differs from another. Gradients: evaluations "
        "an image and model; l2, linf: of changes, in pixel values; ssim: structural similarity to the clean image, 1 "
        "if the same.",
    ),
    "samples": ("Samples of other noises at equal success", sample_equivalence.SAID),
    "seeds": (
        "Spread over seeds",
        "Mean and sample deviation of the success rate over the seeds, in points of percent.",
    ),
    "quantisation": (
        "Success before and after images are stored",
        "On the floats that the attack ends with, on rounded images (ours), and on truncated ones, as many save them.",
    ),
    "denominators": (
        "Success over other images",
        "Over all images, those that the target gets right, and those that all get right; with the clean error.",
    ),
}
COLUMNS = {"lpips": "Lpips: perceptual distance from the clean image, 0 if the same."}  # that are not always there
HEADS = {
    **dict.fromkeys(("ranking", "samples"), ("attack",)),
    **dict.fromkeys(("seeds", "quantisation", "denominators"), ("source", "target")),
}
PLACES = {  # after the point; as they are, where nothing stands
    **dict.fromkeys(
        (
            "success",
            "low",
            "high",
            "rate",
            "mean",
            "deviation",
            "least",
            "most",
            "clean_error",
            "clean_low",
            "clean_high",
            "l2",
            "worth",
        ),
        1,
    ),
    "success_per_gradient": 2,
    "ssim": 3,
    "lpips": 3,
}
PAIRS = 400  # rows of two attacks and a cell, beyond which the page leaves them to mcnemar.csv
DATA = {
    "cost": "Success after each recorded step",
    "grid_a": "Data of the figure of grid a",
    "grid_b": "Data of the figure of grid b",
    "scatter": "Data of the scatter plots",
    "similarity": "Data of the figure of gradients' similarity",
}

ENDED: dict[str, type | UnionType] = dict.fromkeys(ENDS, float)
READ: dict[str, Mapping[str, type | UnionType]] = {  # CSV of the report -> columns that a table here makes use of
    "destruction_pooled": {"transform": str, "attack": str, "level": str, "rate": float, **ENDED, "n": int},
    "claims": {
        **dict.fromkeys(claims.COLUMNS, str),
        "effect": float,
        "p": float | None,
        "comparisons": int,
        "images": int,
    },
    "budget": {
        **dict.fromkeys(("objective", "budget", "attack", "gradients", "place"), str),
        "success": float,
        **ENDED,
    },
    "pairwise": {
        **dict.fromkeys(("objective", "first", "second", "differs"), str),
        "difference": float,
        "low": float | None,
        "high": float | None,
        "p_holm": float,
    },
    "mcnemar": {
        **dict.fromkeys(("first", "second", "source", "target", "differs"), str),
        **dict.fromkeys(
            ("first_rate", "second_rate", "difference", "first_alone", "second_alone", "p", "p_holm"), float
        ),
        **ENDED,
    },
}


def success(results: Results) -> Iterator[Table]:
    """For each attack a heat map of its top-1 success rates; of a targeted attack also of its top-5 rates."""
    for name, attack in results.experiment.attacks.items():
        for metric in METRICS if attack.targeted else ("top1",):
            yield _success(results, name, metric)


def _success(results: Results, name: str, metric: str) -> Table:
    experiment = results.experiment
    attack = experiment.attacks[name]
    tables = set()
    rows, records = [], []
    for source in experiment.sources:
        cells = []
        for target in experiment.answering:
            rates = results.success[source, name][target]
            figure = reported(experiment, source, target, attack).get(metric)
            ends = rates[f"{metric}_low"], rates[f"{metric}_high"]
            paper = None if figure is None else figure.percent
            cells.append(_rate(rates[metric], *ends, paper=paper, whitebox=rates["whitebox"]))
            record = {"source": source, "target": target, "attack": name, "metric": metric, "rate": rates[metric]}
            record |= {"low": ends[0], "high": ends[1], "n": rates["n"], "whitebox": rates["whitebox"]}
            record |= {"paper": paper, "difference": None, "paper_table": None}
            if figure is not None:
                tables.add(figure.table.replace("table", "table "))
                record |= {"difference": round(rates[metric] - figure.percent, 4), "paper_table": figure.table}
            records.append(record)
        rows.append((source, tuple(cells)))
    return Table(
        name=f"{name}-{metric}",  # like no other table's, whatever an attack is called: names have no hyphen
        title=f"{name}: {METRICS[metric]} success rate, %",
        notes=(f"{_capital(words(attack))}; {_evaluations(attack)}.", _goal(attack, metric), *_quoted(tables)),
        corner="source",
        columns=experiment.answering,
        rows=tuple(rows),
        records=tuple(records),
        command=f"dvc repro --glob 'evaluate@*-{name}'",
    )


def _rate(rate: float, low: float, high: float, **more: Any) -> Cell:
    return Cell(f"{rate:.1f}", rate, f"[{low:.1f}, {high:.1f}]", heat=rate, **more)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _evaluations(attack: Attack) -> str:
    count = "1 gradient evaluation" if attack.gradients == 1 else f"{attack.gradients} gradient evaluations"
    return f"{count} an image and model"


def _goal(attack: Attack, metric: str) -> str:
    if metric == "top5":
        return "Success: the target label is among the first five answers."
    goal = "are given the target label" if attack.targeted else "are not given the true label"
    return f"Success: images that {goal}."


def _quoted(tables: set[str]) -> tuple[str, ...]:
    return (f"The paper's figures are of its {', '.join(sorted(tables))}.",) if tables else ()


def clean(results: Results, hashes: Mapping[str, str]) -> Table:
    """The models: accuracy on the whole data set, size, and the sha256 of their weights where a source has them."""
    rows = []
    for model, accuracy in results.clean.items():
        published, first = accuracy["published_top1"], (accuracy["top1_low"], accuracy["top1_high"])
        five = wilson_ends(accuracy["top5"], accuracy["n"])
        cells = (
            Cell(f"{accuracy['top1']:.1f}", accuracy["top1"], "[{:.1f}, {:.1f}]".format(*first)),
            Cell(f"{accuracy['top5']:.1f}", accuracy["top5"], "[{:.1f}, {:.1f}]".format(*five)),
            Cell("" if published is None else f"{published:.1f}", published),
            Cell(f"{accuracy['n']:,}", accuracy["n"]),
            Cell(f"{accuracy['parameters']:,}", accuracy["parameters"]),
            Cell(hashes.get(model, "")[:12]),
        )
        rows.append((model, cells))
    return Table(
        name="clean",
        title="Clean accuracy, %",
        notes=("On the whole data set, before any attack; sha256 is of the weights, its first twelve digits.",),
        corner="model",
        columns=("top-1", "top-5", "published top-1", "images", "parameters", "sha256"),
        rows=tuple(rows),
        records=tuple({"model": model, **row, "sha256": hashes.get(model)} for model, row in results.clean.items()),
        command="dvc repro --glob 'predict@*'",
    )


def destruction(report: Path, results: Results) -> Iterator[Table]:
    """For each transform a heat map of its destruction rates, black-box pairs pooled, as `report` has them."""
    found = _rows(report, "destruction_pooled")
    for transform, levels in results.experiment.transforms.items():
        records = [row for row in found if row["transform"] == transform]
        if not levels or not found:
            continue
        rows = []
        for attack in results.experiment.attacks:
            at = {row["level"]: row for row in records if row["attack"] == attack}
            rates = [_rate(*(float(at[level][key]) for key in ("rate", *ENDS))) for level in at]
            shown = dict(zip(at, rates, strict=True))
            fooled = int(next(iter(at.values()))["n"]) if at else 0
            cells = (shown.get(f"{level:g}", Cell("–")) for level in levels)
            rows.append((attack, (*cells, Cell(f"{fooled:,}", fooled))))
        yield Table(
            name=f"destruction_{transform}",
            title=f"{transform}: destruction rate, %",
            notes=(f"Levels: {TRANSFORMS[transform][2]}.",),
            corner="attack",
            columns=(*(f"{level:g}" for level in levels), "fooled"),
            rows=tuple(rows),
            records=tuple(records),
            command="dvc repro --glob 'transform@*'",
        )


def compared(rows: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """Our success rates beside the paper's; nothing where the paper has none of the cells."""
    if not rows:
        return
    lines = []
    for row in rows:
        cells = (
            Cell(row["attack"]),
            Cell(METRICS[row["metric"]]),
            Cell(f"{row['ours']:.1f}", row["ours"], f"[{row['low']:.1f}, {row['high']:.1f}]"),
            Cell(f"{row['paper']:.1f}", row["paper"]),
            Cell(f"{row['difference']:+.1f}".replace("-", "−"), row["difference"]),
            Cell("yes" if row["within"] else "no"),
            Cell(row["paper_table"].replace("table", "table ")),
        )
        lines.append((f"{row['source']} → {row['target']}", cells))
    total = comparison.summary(rows)
    rank = total["rank_correlation"]
    said = (
        f"{total['cells']} of the paper's figures have a cell here. Mean absolute difference "
        f"{total['mean_absolute_difference']:.1f} points, mean difference (ours minus the paper's) "
        f"{total['mean_difference']:+.1f}".replace("-", "−")
    )
    yield Table(
        name="comparison",
        title="Ours and the paper's success rates, %",
        notes=(f"{said}{'' if rank is None else f', rank correlation {rank:.2f} (Spearman)'}.",),
        corner="source → target",
        columns=("attack", "metric", "ours", "paper", "difference", "within our interval", "in the paper"),
        rows=tuple(lines),
        records=tuple(rows),
        command="dvc repro report",
    )


def claimed(report: Path) -> Iterator[Table]:
    """The paper's claims with their verdicts, as `report`/claims.csv has them; nothing where it is not there."""
    rows = _rows(report, "claims")
    if rows:
        yield Table(
            name="claims",
            title="What the paper claims, tested here",
            notes=(CLAIMED,),
            corner="claim",
            columns=("holds", "effect", "p", "comparisons", "images", "in the paper", "compared"),
            rows=tuple((row["statement"], _verdict(row)) for row in rows),
            records=tuple(rows),
            command="dvc repro report",
        )


def _verdict(row: Mapping[str, str]) -> tuple[Cell, ...]:
    p, effect = row["p"], float(row["effect"])
    return (
        Cell("✓ yes" if row["holds"] == "true" else "✗ no"),
        Cell(f"{effect:+.3g}".replace("-", "−"), effect, row["unit"]),
        Cell("" if not p else "< 0.0001" if float(p) < 0.0001 else f"{float(p):.2g}", float(p) if p else None),
        Cell(f"{int(row['comparisons']):,}", int(row["comparisons"])),
        Cell(f"{int(row['images']):,}", int(row["images"])),
        Cell(row["section"]),
        Cell("", under=row["detail"]),
    )


def ranked(report: Path) -> Iterator[Table]:
    """The attacks against each other, and their takes, as `report` has them; nothing of what it does not have."""
    (first, about), *others = RANKED.items()
    yield from _listed(report, first, *about)
    for objective in snapshots.OBJECTIVES:
        for make, name in ((_at_cost, "budget"), (_against, "pairwise")):
            rows = [row for row in _rows(report, name) if row["objective"] == objective]
            if len(rows) > 1:
                yield make(objective, rows)
    for name, about in others:
        yield from _listed(report, name, *about)


def costed(folder: Path, results: Results) -> Iterator[Table]:
    """Success a gradient and a second, of attacks whose cells this machine computed; nothing where it did not."""
    costs = cost_effectiveness.spent(folder, results)
    if len(costs) < 2 or not any(one.seconds for one in costs):
        return

    def cells(one: cost_effectiveness.Spent) -> tuple[Cell, ...]:
        numbers = (one.gradients, one.per_gradient, one.seconds, one.per_second)
        success = Cell(f"{one.success:.1f}", one.success, f"[{one.low:.1f}, {one.high:.1f}]")
        return success, *(Cell(cost_effectiveness.shown(number), number) for number in numbers)

    columns = ("success", "gradients", "success a gradient", "seconds an image", "success a second")
    yield Table(
        name="spent",
        title="Attacks by success, beside gradients and seconds",
        notes=(cost_effectiveness.said(costs),),
        corner="attack",
        columns=columns,
        rows=tuple((one.attack, cells(one)) for one in costs),
        records=tuple(asdict(one) | {"by": "; ".join(one.by)} for one in costs),
        command="crossfool report",
    )


def _listed(report: Path, name: str, title: str, note: str) -> Iterator[Table]:
    """A CSV of `ranking` as it is, if it has two rows and more; without columns in which nothing stands."""
    rows = _rows(report, name)
    if len(rows) > 1:
        columns = [column for column in rows[0] if column not in HEADS[name] and any(row[column] for row in rows)]
        yield Table(
            name=name,
            title=title,
            notes=(note, *(COLUMNS[column] for column in columns if column in COLUMNS)),
            corner=" → ".join(HEADS[name]),
            columns=tuple(column.replace("_", " ") for column in columns),
            rows=tuple(
                (_head(row, HEADS[name]), tuple(_read(row[one], PLACES.get(one)) for one in columns)) for row in rows
            ),
            records=tuple(rows),
            command="dvc repro report",
        )


def _against(objective: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """Every attack against every other."""
    attacks = list(dict.fromkeys(one for row in rows for one in (row["first"], row["second"])))
    pairs = {(row["first"], row["second"]): row for row in rows}

    def cell(one: str, other: str) -> Cell:
        row, sign = (pairs[one, other], 1) if (one, other) in pairs else (pairs.get((other, one)), -1)
        if row is None:
            return Cell("–")
        points, p = sign * float(row["difference"]), float(row["p_holm"])
        ends = "" if not row["low"] else "[{:.1f}, {:.1f}]\n".format(*sorted(sign * float(row[x]) for x in ENDS))
        said = f"{ends}p {'< 0.0001' if p < 0.0001 else f'= {p:.2g}'}{'; differ' if row['differs'] == 'true' else ''}"
        text, stressed = f"{round(points, 1) + 0.0:+.1f}".replace("-", "−"), row["differs"] == "true"
        return Cell(text, points, said.replace("-", "−"), stressed=stressed)

    differing = sum(row["differs"] == "true" for row in rows)

    return Table(
        name=f"pairwise_{objective}",
        title=f"{objective.capitalize()} attacks: by how many points the row's succeeds more often than the column's",
        notes=(
            "Paired by image: exact McNemar test where there is one black-box cell, else the exact sign-flip "
            "permutation test; p is adjusted for all pairs by Holm's method, and two differ where it is below 0.05: "
            f"{differing} of {len(rows)} pairs, in bold.",
        ),
        corner="attack",
        columns=tuple(attacks),
        rows=tuple((one, tuple(cell(one, other) for other in attacks)) for one in attacks),
        records=tuple(rows),
        command="dvc repro report",
    )


def each_cell(report: Path) -> Iterator[Table]:
    """Every two attacks on each black-box cell; nothing where they are too many for a page."""
    rows = _rows(report, "mcnemar")
    if not 1 < len(rows) <= PAIRS:
        return

    def cells(row: Mapping[str, str]) -> tuple[Cell, ...]:
        points, p, differs = float(row["difference"]), float(row["p_holm"]), row["differs"] == "true"
        ends = "[{:.1f}, {:.1f}]".format(*(float(row[x]) for x in ENDS)).replace("-", "−")
        alone = (Cell(row[f"{one}_alone"], float(row[f"{one}_alone"])) for one in ("first", "second"))
        first, second = (
            Cell(f"{float(row[f'{one}_rate']):.1f}", float(row[f"{one}_rate"])) for one in ("first", "second")
        )
        difference = Cell(f"{round(points, 1) + 0.0:+.1f}".replace("-", "−"), points, ends, stressed=differs)
        ps = (Cell("< 0.0001" if x < 0.0001 else f"{x:.2g}", x) for x in (float(row["p"]), p))
        return Cell(f"{row['source']} → {row['target']}"), first, second, difference, *alone, *ps

    differing = sum(row["differs"] == "true" for row in rows)
    yield Table(
        name="mcnemar",
        title="Every two attacks, cell by cell",
        notes=(
            "Percent of the same images that the first and the second succeed on, and how many images only the one or "
            "only the other does; exact McNemar test, p by Holm's method for all rows of the table: "
            f"{differing} of {len(rows)} differ, in bold.",
        ),
        corner="first − second",
        columns=("source → target", "first", "second", "difference", "first alone", "second alone", "p", "p, Holm"),
        rows=tuple((f"{row['first']} − {row['second']}", cells(row)) for row in rows),
        records=tuple(rows),
        command="dvc repro report",
    )


def _at_cost(objective: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """A row an attack, a column a budget of gradient evaluations."""
    budgets = list(dict.fromkeys(row["budget"] for row in rows))
    found = {(row["attack"], row["budget"]): row for row in rows}

    def cell(attack: str, budget: str) -> Cell:
        row = found.get((attack, budget))
        if row is None:
            return Cell("–")
        taken = "" if row["gradients"] == budget else f" at {row['gradients']}"
        under = f"place {row['place']}{taken}\n[{float(row['low']):.1f}, {float(row['high']):.1f}]"
        return Cell(f"{float(row['success']):.1f}", float(row["success"]), under, heat=float(row["success"]))

    attacks = dict.fromkeys(row["attack"] for row in rows if row["budget"] == budgets[-1])
    return Table(
        name=f"budget_{objective}",
        title=f"{objective.capitalize()} attacks at equal cost: success after so many gradient evaluations, %",
        notes=(
            ranking_markdown.AT_COST,
            "“at” is what an attack had taken by then, where that is less than the budget.",
        ),
        corner="attack",
        columns=tuple(budgets),
        rows=tuple((one, tuple(cell(one, budget) for budget in budgets)) for one in attacks),
        records=tuple(rows),
        command="dvc repro report",
    )


def _head(row: Mapping[str, str], names: Sequence[str]) -> str:
    return " → ".join(row[name] for name in names)


def _rows(report: Path, name: str) -> list[dict[str, str]]:
    """Rows of a CSV of the report, whose columns that are shown as numbers are such; none where it is not there."""
    path, columns = report / f"{name}.csv", READ.get(name) or dict.fromkeys(HEADS.get(name, ()), str)
    return csv_files.read_csv(path, columns, others=True) if path.exists() else []


def drawn(report: Path) -> Iterator[Table]:
    """What the figures of sweeps, scatter and similarity are drawn from, as it lies in `report`."""
    for name, title in DATA.items():
        rows = _rows(report, name)
        if rows:
            first, *others = rows[0]
            yield Table(
                name=name,
                title=title,
                notes=(),
                corner=first,
                columns=tuple(others),
                rows=tuple((row[first], tuple(_read(row[column]) for column in others)) for row in rows),
                records=tuple(rows),
                command="dvc repro report",
            )


def _read(text: str, places: int | None = None) -> Cell:
    """A cell of a CSV: a number, where it is one, to so many places after the point."""
    try:
        return Cell(f"{float(text):.6g}" if places is None else f"{float(text):.{places}f}", float(text))
    except ValueError:
        return Cell(text)
