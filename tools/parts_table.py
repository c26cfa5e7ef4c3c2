"""Write the table of parts and their keys into docs/parameters.md, from what the parts declare."""

from pathlib import Path

from crossfool.attacks.parts_table import PartRow, part_rows

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"
START, END = "<!-- parts, by tools/parts_table.py -->\n", "<!-- /parts -->\n"
HEAD = "| row | what | keys | from |\n|---|---|---|---|\n"


def table() -> str:
    """The table in Markdown: a line a part."""
    return HEAD + "".join(_line(row) for row in part_rows())


def _line(row: PartRow) -> str:
    name = f"`{row.name}`" if row.kind == "input" else f"`{row.kind}: {row.name}`"
    keys = [f"`{key}`: {row.meanings.get(key, '')} ({values})" for key, values in row.keys.items()]
    if row.noise:
        keys.append(f"those of its noise, `{row.noise}` unless the row has a `noise`")
    return f"| {name} | {row.what} | {'; '.join(keys) or '–'} | {row.cite} |\n"


def page(text: str) -> str:
    """The page with a new table in place of the old one."""
    before, _, rest = text.partition(START)
    return f"{before}{START}{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
