"""Tables of the page that set attacks against each other: ranking, pairs, budgets, cost, seeds. All rates are percent.

All but `cost_tables` are read back from the CSV files of `report/`; a table whose file is missing is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from crossfool.experiment.results import cost_effectiveness, detail_rows, sample_equivalence
from crossfool.experiment.results.metrics import Results
from crossfool.report import ranking_markdown
from crossfool.report.html.report_csv import ENDS, HEAD_COLUMNS, csv_cell, csv_rows
from crossfool.report.number_text import difference_text, interval_text, p_value_text, typographic_minus
from crossfool.report.table import Cell, Table

LISTED = {  # CSV that is shown as it is -> title and note
    "ranking": (
        "Attacks by success, beside what they cost and change",
        "Mean success over black-box cells in percent, with a 95% interval: Student's over images, each by its mean "
        "over the cells, or Wilson's where there is one cell or no image differs from another. Gradients: evaluations "
        "an image and model; l2, linf: of changes, in pixel values; ssim: structural similarity to the clean image, 1 "
        "if the same.",
    ),
    "samples": ("Samples of other noises at equal success", sample_equivalence.COLUMNS_NOTE),
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
COLUMN_NOTES = {  # column that only some experiments have -> note of the table
    "lpips": "Lpips: perceptual distance from the clean image, 0 if the same."
}
PLACES = {  # column -> digits after the point; six significant ones for any other
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
MOST_PAIRS = 400  # rows of two attacks and a cell, beyond which the page leaves them to mcnemar.csv


def ranking_tables(report: Path) -> Iterator[Table]:
    """The attacks against each other, and rates of their snapshots, as far as the folder `report` has them."""
    (first, description), *others = LISTED.items()
    yield from _listed(report, first, *description)
    for objective in detail_rows.OBJECTIVES:
        for make, name in ((_at_equal_cost, "budget"), (_pairwise, "pairwise")):
            rows = [row for row in csv_rows(report, name) if row["objective"] == objective]
            if len(rows) > 1:
                yield make(objective, rows)
    for name, description in others:
        yield from _listed(report, name, *description)


def cost_tables(folder: Path, results: Results) -> Iterator[Table]:
    """Success a gradient and a second, of attacks whose cells this machine computed; no table where it did not.

    Args:
        folder: The experiment's.
        results: Its metrics.
    """
    costs = cost_effectiveness.cost_effectiveness_rows(folder, results)
    if len(costs) < 2 or not any(cost.seconds for cost in costs):
        return

    def cells(cost: cost_effectiveness.CostEffectiveness) -> tuple[Cell, ...]:
        numbers = (cost.gradients, cost.per_gradient, cost.seconds, cost.per_second)
        success = Cell(f"{cost.success:.1f}", cost.success, interval_text(cost.low, cost.high))
        return success, *(Cell(cost_effectiveness.three_digits(number), number) for number in numbers)

    columns = ("success", "gradients", "success a gradient", "seconds an image", "success a second")
    yield Table(
        name="spent",
        title="Attacks by success, beside gradients and seconds",
        notes=(cost_effectiveness.columns_note(costs),),
        corner="attack",
        columns=columns,
        rows=tuple((cost.attack, cells(cost)) for cost in costs),
        records=tuple(asdict(cost) | {"by": "; ".join(cost.by)} for cost in costs),
        command="crossfool report",
    )


def _listed(report: Path, name: str, title: str, note: str) -> Iterator[Table]:
    """A CSV of `LISTED` as it is, without its empty columns; no table for fewer than two rows."""
    rows = csv_rows(report, name)
    if len(rows) > 1:
        heads = HEAD_COLUMNS[name]
        columns = [column for column in rows[0] if column not in heads and any(row[column] for row in rows)]
        yield Table(
            name=name,
            title=title,
            notes=(note, *(COLUMN_NOTES[column] for column in columns if column in COLUMN_NOTES)),
            corner=" → ".join(heads),
            columns=tuple(column.replace("_", " ") for column in columns),
            rows=tuple(
                (
                    " → ".join(row[head] for head in heads),
                    tuple(csv_cell(row[column], PLACES.get(column)) for column in columns),
                )
                for row in rows
            ),
            records=tuple(rows),
            command="dvc repro report",
        )


def _pairwise(objective: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """Every attack against every other, from the rows of pairwise.csv of one objective."""
    attacks = list(dict.fromkeys(attack for row in rows for attack in (row["first"], row["second"])))
    pairs = {(row["first"], row["second"]): row for row in rows}

    def cell(attack: str, rival: str) -> Cell:
        row, sign = (pairs[attack, rival], 1) if (attack, rival) in pairs else (pairs.get((rival, attack)), -1)
        if row is None:
            return Cell("–")
        points, p, differs = sign * float(row["difference"]), float(row["p_holm"]), row["differs"] == "true"
        ends = sorted(sign * float(row[end]) for end in ENDS) if row["low"] else []
        interval = f"{interval_text(*ends)}\n" if ends else ""
        equals = "" if p < 0.0001 else "= "
        under = f"{interval}p {equals}{p_value_text(p)}{'; differ' if differs else ''}"
        return Cell(difference_text(points), points, typographic_minus(under), stressed=differs)

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
        rows=tuple((attack, tuple(cell(attack, rival) for rival in attacks)) for attack in attacks),
        records=tuple(rows),
        command="dvc repro report",
    )


def cell_by_cell_tables(report: Path) -> Iterator[Table]:
    """Every two attacks on each black-box cell; no table for fewer than two rows, or more than `MOST_PAIRS`."""
    rows = csv_rows(report, "mcnemar")
    if not 1 < len(rows) <= MOST_PAIRS:
        return

    def cells(row: Mapping[str, str]) -> tuple[Cell, ...]:
        points, differs = float(row["difference"]), row["differs"] == "true"
        interval = typographic_minus(interval_text(*(float(row[end]) for end in ENDS)))
        alone = (Cell(row[f"{attack}_alone"], float(row[f"{attack}_alone"])) for attack in ("first", "second"))
        first, second = (
            Cell(f"{float(row[f'{attack}_rate']):.1f}", float(row[f"{attack}_rate"])) for attack in ("first", "second")
        )
        difference = Cell(difference_text(points), points, interval, stressed=differs)
        p_values = (Cell(p_value_text(p), p) for p in (float(row["p"]), float(row["p_holm"])))
        return Cell(f"{row['source']} → {row['target']}"), first, second, difference, *alone, *p_values

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


def _at_equal_cost(objective: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """A row an attack, a column a budget of gradient evaluations, from the rows of budget.csv of one objective."""
    budgets = list(dict.fromkeys(row["budget"] for row in rows))
    row_of = {(row["attack"], row["budget"]): row for row in rows}

    def cell(attack: str, budget: str) -> Cell:
        row = row_of.get((attack, budget))
        if row is None:
            return Cell("–")
        below_budget = "" if row["gradients"] == budget else f" at {row['gradients']}"
        under = f"place {row['place']}{below_budget}\n{interval_text(*(float(row[end]) for end in ENDS))}"
        return Cell(f"{float(row['success']):.1f}", float(row["success"]), under, heat=float(row["success"]))

    attacks = dict.fromkeys(row["attack"] for row in rows if row["budget"] == budgets[-1])
    return Table(
        name=f"budget_{objective}",
        title=f"{objective.capitalize()} attacks at equal cost: success after so many gradient evaluations, %",
        notes=(
            ranking_markdown.BUDGET_NOTE,
            "“at” is what an attack had taken by then, where that is less than the budget.",
        ),
        corner="attack",
        columns=tuple(budgets),
        rows=tuple((attack, tuple(cell(attack, budget) for budget in budgets)) for attack in attacks),
        records=tuple(rows),
        command="dvc repro report",
    )
