"""Write the tables of data sets in docs/parameters.md, from what each module of crossfool/datasets declares."""

import sys
from collections.abc import Iterator
from pathlib import Path

from crossfool.datasets.preparation import catalogue

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"
BEGIN, END = "<!-- data sets: python tools/datasets_table.py -->\n", "<!-- /data sets -->\n"


def lines() -> Iterator[str]:
    """Lines of the two tables: the data sets, and their keys."""
    yield "| `name` | images | from | classes | terms |"
    yield "|---|---|---|---|---|"
    for name in catalogue.names():
        part = catalogue.find(name)
        classes = "by `classes`" if "classes" in part.model_fields else part.FAMILY
        yield f"| `{name}` | {part.summary()} | {part.SOURCE} | {classes} | {part.LICENCE} |"
    yield ""
    yield "| data set | key | what |"
    yield "|---|---|---|"
    for name in catalogue.names():
        part = catalogue.find(name)
        for key, meaning in part.keys().items():
            yield f"| `{name}` | `{key}`{'' if key in part.defaults() else ' (required)'} | {meaning} |"


def page(text: str) -> str:
    """The page with the tables as they are declared, in place of those between the marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{chr(10).join(lines())}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    sys.exit(f"{PAGE} has no line {BEGIN}") if BEGIN not in text else None
    PAGE.write_text(page(text), encoding="utf-8")


if __name__ == "__main__":
    main()
