"""Write the table of coverage into docs/coverage.md, between its marks: what of the paper was run here.

python tools/coverage_table.py
"""

import sys
from pathlib import Path

from crossfool.report.coverage_table import table_of
from crossfool.report.renderers.markdown import render_markdown
from crossfool.report.reported.coverage import read_coverage

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/coverage.md"
BEGIN, END = "<!-- coverage: written by tools/coverage_table.py -->", "<!-- /coverage -->"


def page(text: str) -> str:
    """The text of docs/coverage.md with today's table."""
    coverage = read_coverage(ROOT)
    for line in coverage.left_out:
        print(f"left out: {line}", file=sys.stderr)
    table = table_of(coverage)
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise SystemExit(f"{PAGE.name} lacks the line {END if found else BEGIN}, between which the table stands")
    return "\n\n".join([before + BEGIN, *table.all_notes, render_markdown(table), END + after])


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
