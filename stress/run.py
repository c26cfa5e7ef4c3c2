"""Run long campaigns of faults and hostile input, as `make stress` does, and write the table of docs/reliability.md.

Every campaign is seeded: the same number and seed try the same things. Moments of a kill are seeded fractions of a
run's time, so where a process dies still depends on the machine.
"""

import json
import re
import sys
import time
from datetime import date
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fuzz
import kills
import networks
import runs
from outcome import table

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "stress" / "figures.json"
PAGE = ROOT / "docs" / "reliability.md"
CAMPAIGNS = {**fuzz.CAMPAIGNS, **runs.CAMPAIGNS, **kills.CAMPAIGNS, **networks.CAMPAIGNS}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(CAMPAIGNS)), help="Only these campaigns.")
@click.option("--count", type=click.IntRange(1), default=None, help="How many times each; its own number if left out.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--write", is_flag=True, help="Keep the figures, and write them into docs/reliability.md.")
def main(only: tuple[str, ...], count: int | None, seed: int, write: bool) -> None:
    """Run the campaigns; ends with 1 if anything was lost."""
    rows = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    lost = 0
    for name in only or CAMPAIGNS:
        campaign, usual = CAMPAIGNS[name]
        begun = time.perf_counter()
        outcome = campaign(count or usual, seed)
        row = outcome.row() | {"seed": seed, "date": date.today().isoformat()}
        lost += outcome.lost
        click.echo(f"{name}: {time.perf_counter() - begun:.0f} s, {json.dumps(row, ensure_ascii=False)}")
        rows[name] = {key: row[key] for key in ("fault", "tried", "happened", "lost", "seed", "date")}
        if write:
            ordered = {key: rows[key] for key in CAMPAIGNS if key in rows}
            FIGURES.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), list(ordered.values())), encoding="utf-8")
    click.echo(table([rows[name] for name in only or CAMPAIGNS]))
    sys.exit(bool(lost))


def filled(page: str, rows: list[dict]) -> str:
    """Replace the table in the page's text."""
    head, tail = "<!-- stress -->\n", "\n<!-- /stress -->"
    page, places = re.subn(f"(?s){head}.*{tail}", lambda _: head + table(rows) + tail, page)
    assert places == 1, "docs/reliability.md has lost the marks around its table"
    return page


if __name__ == "__main__":
    main()
