"""Tables of the report: five renderers show the same values, and a table is one module in a folder."""

import csv
import io
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from builders import ROOT
from made_experiments import DETAIL, FGSM, FOOLED, SG, TARGETED, complete, make
from parsed_page import Parsed
from rich.console import Console
from rich.text import Text

from crossfool.experiment import stage_plans
from crossfool.report import table_modules
from crossfool.report.findings import read_findings
from crossfool.report.renderers.csv_text import render_csv
from crossfool.report.renderers.html import render_html
from crossfool.report.renderers.latex import LATEX, render_latex
from crossfool.report.renderers.markdown import render_markdown
from crossfool.report.renderers.terminal import render_terminal
from crossfool.report.sections import SECTIONS
from crossfool.report.table import Cell, Column, Matrix, Table
from crossfool.report.tables import seeds
from crossfool.storage.json_files import write_json

RATES = {"top1": 50.0, "top1_low": 20.0, "top1_high": 80.0, "top5": 25.0, "top5_low": 5.0, "top5_high": 60.0, "n": 8}
DETAILS = {
    "steps": {"fnn2": {"1": {"gradients": 5, **RATES}, "2": {"gradients": 10, **RATES, "top1": 62.5}}},
    "seeds": {
        target: {
            "rates": {"0": RATES, "1": RATES | {"top1": 75.0}},
            "top1_mean": 62.5,
            "top1_deviation": 17.6777,
            "top5_mean": 25.0,
            "top5_deviation": 0.0,
        }
        for target in ("fnn2", "fnn4")
    },
    "quantisation": {"fnn2": {"float": RATES, "rounded": RATES, "truncated": RATES | {"top1": 12.5}}},
    "denominators": {"fnn2": {"all": RATES, "target_right": RATES, "all_right": None, "clean_error": 12.5}},
}
ATTACKS = {
    "fgsm": FGSM,
    "sg_fgsm": {**SG, "record_steps": [1], "steps": 2},
    "few": {**SG, "samples": 2},
    "many": {**SG, "samples": 20},
    "paired": {**SG, "samples": 4, "noise": "antithetic"},
    "far": TARGETED,
    "farther": {**TARGETED, "steps": 30},
}
READABLE = {  # of the made experiment; the others are files alone, or have no rows here
    *(f"{attack}-top1" for attack in ATTACKS),
    *(
        "far-top5",
        "farther-top5",
        "clean",
        "ranking",
        "spent",
        "pairwise_untargeted",
        "budget_untargeted",
        "budget_targeted",
    ),
    "mcnemar",
    *("samples", "seeds", "quantisation", "denominators", "claims", "comparison", "cost"),
    "reported_claims",
    *("destruction_jpeg", "destruction_rotation"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make(folder, FOOLED | {("fnn0", "many", target): 6 for target in ("fnn2", "fnn4")}, attacks=ATTACKS)
    write_json(folder / "metrics/fnn0/sg_fgsm.detail.json", {**DETAIL, **DETAILS})
    complete(folder)
    return folder


@pytest.fixture(scope="module")
def tables(made: Path) -> Mapping[str, Table]:
    sections = table_modules.build_tables(read_findings(made, timed=True))
    return {table.name: table for section in sections.values() for table in section}


def numbers(text: str) -> list[str]:
    """The numbers in a text, in an order that does not depend on how its parts are arranged."""
    return sorted(re.findall(r"[+−]?\d[\d,.]*\d|[+−]?\d", text))


def expected(cell: Cell, *, difference: bool = False) -> list[str]:
    """The numbers that a renderer has to show in a cell; the page has the difference from the paper's, too."""
    parts = (cell.text, cell.under, cell.paper, cell.difference if difference else "")
    return numbers(" ".join(parts))


def test_every_kind_of_table_is_looked_at(tables: Mapping[str, Table]) -> None:
    assert {name for name, table in tables.items() if table.readable} == READABLE
    assert {name for name in tables if not tables[name].rows} <= {
        *("grid_a", "grid_b", "scatter", "similarity", "panels", "networks"),
    }


@pytest.mark.parametrize("name", sorted(READABLE))
def test_texts_are_of_the_values(tables: Mapping[str, Table], name: str) -> None:
    """A cell's number, as it is written, is the row's, but for rounding; and so are its interval's ends."""
    table, compared = tables[name], 0
    for row, column, cell in values(table):
        value = row.get(column.name)
        if isinstance(value, bool | str) or value is None:
            continue
        if not (written := numbers(cell.text)):
            continue
        assert near(cell.text, value) and cell.value == value, (row, column.name)
        assert bool(column.whitebox and row[column.whitebox]) == cell.whitebox and written
        if column.ends and row[column.ends[0]] is not None:
            low, high = cell.under.strip("[]").split(", ")
            assert near(low, row[column.ends[0]]) and near(high, row[column.ends[1]])
        compared += 1
    assert compared


def values(table: Table) -> list[tuple[Any, Column, Cell]]:
    """The rows, columns and cells of a table's grid, found without the code that makes the grid."""
    by_name = {column.name: column for column in table.columns}
    if table.matrix is not None:
        matrix, lines = table.matrix, [cells for _, cells in table.grid.lines]
        return [
            (
                row,
                by_name[matrix.value],
                lines[matrix.rows.index(row[matrix.row])][matrix.columns.index(row[matrix.column])],
            )
            for row in table.rows
        ]
    by_head = {column.head: column for column in table.columns}
    return [
        (row, by_head[head], cell)
        for row, (_, cells) in zip(table.rows, table.grid.lines, strict=True)
        for head, cell in zip(table.grid.heads[1:], cells, strict=True)
    ]


def near(text: str, value: float) -> bool:
    """Whether a text is a value rounded to the text's digits."""
    digits = text.replace("−", "-").replace(",", "").replace("< ", "")
    places = len(digits.partition(".")[2])
    if digits == "0.0001":
        return value < 0.0001
    return math.isclose(float(digits), value, abs_tol=0.5001 * 10**-places, rel_tol=0.05 if "e" in digits else 0)


@pytest.mark.parametrize("name", sorted(READABLE))
def test_csv_has_every_row_and_column(tables: Mapping[str, Table], name: str) -> None:
    table = tables[name]
    rows = list(csv.DictReader(io.StringIO(render_csv(table))))
    assert list(rows[0]) == [column.name for column in table.columns] and len(rows) == len(table.rows)
    for written, row in zip(rows, table.rows, strict=True):
        for key, text in written.items():
            value = row.get(key)
            if isinstance(value, bool) or value is None:
                assert text == {True: "true", False: "false", None: ""}[value]
            else:
                assert text == value if isinstance(value, str) else float(text) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", sorted(READABLE))
def test_four_renderers_show_the_same_cells(tables: Mapping[str, Table], name: str) -> None:
    table = tables[name]
    grid = table.grid
    markdown = [line.strip("| ").split(" | ") for line in render_markdown(table).splitlines()]
    latex = render_latex(table).partition("\\midrule\n")[2].partition("\\bottomrule")[0].splitlines()
    page = next(iter(Parsed(render_html(table)).tables.values()))
    columns = [
        [cell.plain if isinstance(cell, Text) else str(cell) for cell in column.cells]
        for column in render_terminal(table, Console(width=100_000)).columns
    ]
    terminal = [list(line) for line in zip(*columns, strict=True)]
    assert markdown[0] == list(grid.heads) == page[0]
    assert len(markdown) - 2 == len(latex) == len(page) - 1 == len(terminal) == len(grid.lines)
    for place, (head, cells) in enumerate(grid.lines):
        source = [unescaped(text) for text in latex[place].removesuffix(" \\\\").split(" & ")]
        lines = {"markdown": markdown[place + 2], "latex": source, "page": page[place + 1], "terminal": terminal[place]}
        for renderer, line in lines.items():
            assert "".join(line[0].split()) == "".join(head.split()), renderer
            assert len(line) == len(cells) + 1, renderer
            for text, cell in zip(line[1:], cells, strict=True):
                assert numbers(text) == expected(cell, difference=renderer == "page"), renderer
                assert marks(text) == cell.whitebox or renderer == "latex"
                if not numbers(cell.text):
                    words = cell.text.replace("✓ ", "").replace("✗ ", "").replace("\n", " ")
                    assert words.split()[:1] == [] or words.split()[0] in text, renderer
    assert render_latex(table).count("$^{*}$") == sum(cell.whitebox for _, cells in grid.lines for cell in cells)


def marks(text: str) -> bool:
    """Whether an asterisk marks a cell as white-box; two of them are Markdown's bold."""
    return "*" in text.replace("**", "")


def unescaped(source: str) -> str:
    """The text that LaTeX prints for a cell."""
    for mark in (r"\textbf{", r"{\scriptsize ", "$^{*}$"):
        source = source.replace(mark, "")
    for text, escape in sorted(LATEX.items(), key=lambda pair: -len(pair[1])):
        if text not in "\n\u00a0✓✗":
            source = source.replace(escape, text)
    return source.replace("}", "").replace("~", " ")


def test_a_number_has_one_format() -> None:
    """Renderers format nothing: none of them has a format specification, and none calls a format of numbers."""
    for path in (ROOT / "crossfool/report/renderers").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"\{[^{}'\"]*:[+,]?\.?\d*[fgde]\}", text)
        assert found == (["{value:.10g}"] if path.stem == "csv_text" else []), path
        assert "number_text" not in text, path


def test_a_missing_cell_is_a_dash_everywhere() -> None:
    columns = (Column("a"), Column("b"), Column("rate"), Column("n"))
    rows = ({"a": "x", "b": 1, "rate": 2.5, "n": 3}, {"a": "y", "b": 2, "rate": None, "n": None})
    table = Table("t", "T", columns, rows, matrix=Matrix("a", "b", "rate", ["x", "y", "z"], [1, 2], extra=("n",)))
    assert [[cell.text for cell in cells] for _, cells in table.grid.lines] == [
        ["2.5", "–", "3"],
        ["–", "–", "–"],
        ["–", "–", "–"],
    ]
    assert "| z | – | – | – |" in render_markdown(table) and "z & -- & -- & -- \\\\" in render_latex(table)


def test_columns_that_are_empty_or_for_files_alone_are_left_out() -> None:
    columns = (
        Column("a", note="Of a."),
        Column("b", note="Of b."),
        Column("c", shown=False),
        Column("d", note="Of d."),
    )
    table = Table("t", "T", columns, ({"a": "x", "b": None, "c": 1, "d": 2},), notes=("First.",))
    assert table.grid.heads == ("a", "d") and table.all_notes == ("First.", "Of d.")
    assert render_csv(table) == "a,b,c,d\nx,,1,2\n"


# --- the folder of tables ---------------------------------------------------------------------------


def test_a_table_of_an_unknown_section_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "SECTION", "rankin")
    with pytest.raises(AssertionError, match=r"tables/seeds.py: SECTION is 'rankin', expected one of \['ranking'"):
        table_modules.table_modules()


def test_the_folder_is_the_registry() -> None:
    modules = [cast(ModuleType, module).__name__ for module in table_modules.table_modules()]
    files = {path.stem for path in table_modules.FOLDER.glob("*.py") if not path.name.startswith("_")}
    assert {name.rpartition(".")[2] for name in modules} == files and len(files) > 15
    assert {module.SECTION for module in table_modules.table_modules()} == {section.name for section in SECTIONS}
    assert not [
        path for path in ROOT.glob("crossfool/**/*.py") if re.search(r"report\.tables import", path.read_text())
    ]


def test_the_graph_names_no_table() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert "      - report/tables\n" in text and ".csv\n" not in text.partition("  report:")[2]


def test_the_plan_of_the_report_has_all_tables(made: Path) -> None:
    planned = stage_plans.report(read_findings(made).experiment).modules
    for path in table_modules.FOLDER.glob("[a-z]*.py"):
        assert f"crossfool.report.tables.{path.stem}" in planned


def test_nothing_reads_what_the_report_wrote() -> None:
    """No module of the report, and none above it, reads a CSV but the paper's numbers and the subset's list."""
    reading = re.compile(r"read_csv|csv\.(DictR|r)eader|pandas")
    rooms = [path for room in ("report", "cli") for path in (ROOT / "crossfool" / room).rglob("*.py")]
    assert {path.stem for path in rooms if reading.search(path.read_text(encoding="utf-8"))} <= {
        *("published_rates", "gallery", "list"),
    }
