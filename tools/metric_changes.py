"""Print what metrics changed since a git revision, as Markdown: the summary of a pull request.

python tools/metric_changes.py REVISION
python tools/metric_changes.py REVISION --folders    (the folders of the experiments with a change, a line each)

It reads the metrics files of both, which are in git: it needs no predictions, and of the package git's module alone.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from crossfool.errors import UserError
from crossfool.experiment import git
from crossfool.report.number_text import difference_text, rate_text

ROOT = Path(__file__).resolve().parents[1]
MOST = 200  # lines of a table; a summary has a limit of a mebibyte
Cell = tuple[str, str, str, str]  # experiment's folder, source, attack, target
Cells = Mapping[Cell, Mapping[str, Any]]  # -> top1, top5, n, whitebox


def read_cells(root: Path) -> dict[Cell, dict[str, Any]]:
    """Read the success rates of every cell of all experiments below a folder."""
    folders = [root, *sorted(path.parent for path in root.glob("experiments/*/metrics"))]
    cells: dict[Cell, dict[str, Any]] = {}
    for folder in folders:
        for path in sorted((folder / "metrics").glob("*/*.json")):
            source, attack = path.parent.name, path.stem
            if source == "clean" or "." in attack:  # accuracies; details and transforms of a cell
                continue
            for target, rates in json.loads(path.read_text(encoding="utf-8")).items():
                cells[folder.relative_to(root).as_posix(), source, attack, target] = rates
    return cells


def read_cells_at(root: Path, revision: str) -> dict[Cell, dict[str, Any]]:
    """Read the success rates of a git revision.

    Raises:
        UserError: there is no such revision.
    """
    with git.exported(revision, ["metrics", "experiments"], root) as folder:
        return read_cells(folder)


def changed_cells(before: Cells, now: Cells) -> list[Cell]:
    """The cells that both have, with another rate or number of images."""
    keys = ("top1", "top5", "n")
    return [cell for cell in now if cell in before and any(now[cell][key] != before[cell][key] for key in keys)]


def rows_alone(cells: Cells, others: Cells) -> dict[tuple[str, str], list[Cell]]:
    """(Experiment, attack) -> its cells, of the rows with cells that the others do not have."""
    rows: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell not in others:
            rows.setdefault((cell[0], cell[2]), []).append(cell)
    return rows


def summary(before: Cells, now: Cells, revision: str) -> Iterator[str]:
    """Yield the paragraphs of the summary."""
    changed, new, gone = changed_cells(before, now), rows_alone(now, before), rows_alone(before, now)
    common = sum(cell in before for cell in now)
    yield f"# Metrics beside those of {revision}"
    lost = f"rows that lost cells: {len(gone)}"
    yield f"{len(changed)} of {common} cells changed; rows with new cells: {len(new)}; {lost}."
    if changed:
        yield "## Changed cells\n\n" + table(
            ["experiment", "source", "attack", "target", "top-1, %", "top-5, %", "images"],
            [[*named(cell), *changes(before[cell], now[cell])] for cell in changed],
        )
    for title, rows, cells in (("Rows with new cells", new, now), ("Rows that lost cells", gone, before)):
        if rows:
            yield f"## {title}\n\n" + table(
                ["experiment", "attack", "cells", "black-box top-1, %", "black-box top-5, %", "images"],
                [[folder, attack, str(len(own)), *means([cells[cell] for cell in own])]
                 for (folder, attack), own in rows.items()],
            )  # fmt: skip
    if changed or new or gone:
        yield (
            "Rates alone, without a test: outcomes image by image are not in git. Where predictions can be pulled, "
            f"`crossfool compare workspace {revision} --folder EXPERIMENT` pairs them by image."
        )


def named(cell: Cell) -> list[str]:
    """A cell's names; a * marks a white-box target, which is a member of the source."""
    folder, source, attack, target = cell
    mark = "\\*" if target in source.split("+") else ""
    return [folder, source, attack, f"{target}{mark}"]


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Rates by both criteria and the number of images, as "50.0 → 62.5 (+12.5)", or once where they are equal."""
    texts = []
    for key in ("top1", "top5"):
        rates = [rate_text(one[key]) for one in (before, now)]
        difference = difference_text(now[key] - before[key])
        texts.append(rates[1] if before[key] == now[key] else f"{rates[0]} → {rates[1]} ({difference})")
    images = [f"{one['n']:,}" for one in (before, now)]
    return [*texts, images[1] if images[0] == images[1] else " → ".join(images)]


def means(cells: list[Mapping[str, Any]]) -> list[str]:
    """Mean rates of black-box cells by both criteria, and the number of images."""
    black_box = [rates for rates in cells if not rates["whitebox"]]
    images = " and ".join(f"{n:,}" for n in sorted({rates["n"] for rates in cells}))
    return [*(rate_text(mean(r[key] for r in black_box)) if black_box else "–" for key in ("top1", "top5")), images]


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table of at most `MOST` rows."""
    lines = [heads, ["---"] * len(heads), *rows[:MOST]]
    more = f"\n\n{len(rows) - MOST} more are not shown." if len(rows) > MOST else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + more


def main() -> None:
    parser = argparse.ArgumentParser(description="Print what metrics changed since a git revision, as Markdown.")
    parser.add_argument("revision", help="a git revision, such as main")
    parser.add_argument("--folders", action="store_true", help="print the folders of experiments with a change alone")
    given = parser.parse_args()
    try:
        before, now = read_cells_at(ROOT, given.revision), read_cells(ROOT)
    except UserError as error:
        sys.exit(f"error: {error}")
    if given.folders:
        print("\n".join(sorted({cell[0] for cell in changed_cells(before, now)})))
    else:
        print("\n\n".join(summary(before, now, given.revision)))


if __name__ == "__main__":
    main()
