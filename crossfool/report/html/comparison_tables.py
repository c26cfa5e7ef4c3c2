"""The tables of the HTML report, from an experiment's results. All rates are percent. Imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crossfool.experiment.results import cost_effectiveness, sample_equivalence, snapshots
from crossfool.experiment.results.metrics import Results
from crossfool.report import ranking_markdown
from crossfool.report.html.csv_reading import COLUMNS, ENDS, HEADS, csv_cell, csv_rows
from crossfool.report.html.rate_tables import METRICS
from crossfool.report.reported import agreement
from crossfool.report.table import Cell, Table

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
    total = agreement.summary(rows)
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
    rows = csv_rows(report, "claims")
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
            rows = [row for row in csv_rows(report, name) if row["objective"] == objective]
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
    rows = csv_rows(report, name)
    if len(rows) > 1:
        columns = [column for column in rows[0] if column not in HEADS[name] and any(row[column] for row in rows)]
        yield Table(
            name=name,
            title=title,
            notes=(note, *(COLUMNS[column] for column in columns if column in COLUMNS)),
            corner=" → ".join(HEADS[name]),
            columns=tuple(column.replace("_", " ") for column in columns),
            rows=tuple(
                (_head(row, HEADS[name]), tuple(csv_cell(row[one], PLACES.get(one)) for one in columns)) for row in rows
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
    rows = csv_rows(report, "mcnemar")
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


def drawn(report: Path) -> Iterator[Table]:
    """What the figures of sweeps, scatter and similarity are drawn from, as it lies in `report`."""
    for name, title in DATA.items():
        rows = csv_rows(report, name)
        if rows:
            first, *others = rows[0]
            yield Table(
                name=name,
                title=title,
                notes=(),
                corner=first,
                columns=tuple(others),
                rows=tuple((row[first], tuple(csv_cell(row[column]) for column in others)) for row in rows),
                records=tuple(rows),
                command="dvc repro report",
            )
