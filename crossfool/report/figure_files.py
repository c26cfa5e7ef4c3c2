"""Figures of the report, each declared in a file of `figures/`: the folder is their registry.

A file has a literal FIGURE and a function `figures`, which draws the file's figures of an experiment. What one draws is
in `report/figures/` and `report/vector/`, and on the page in the order of the declarations.
"""

import functools
import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from crossfool.errors import UserError
from crossfool.part_files import read_parts_in_order
from crossfool.report.findings import Findings

if TYPE_CHECKING:  # the page asks for titles alone
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parent / "figures"


class FigureModule(Protocol):
    """A module in `figures/`."""

    def figures(self, findings: Findings) -> Iterable[tuple[str, "Figure"]]:
        """Names and figures of an experiment; a name is the module's, or begins with the module's name and `_`."""


@dataclass(frozen=True)
class DeclaredFigure:
    """A kind of figure, as its file declares it.

    Attributes:
        name: The file's name.
        title: What a figure shows; on the page, what follows the file's name in the figure's name stands behind it.
        order: Its place among the figures of the page, which are shown by rising numbers; these go by tens.
        vector: Whether it is written as SVG, too, and shown on the page; not one that consists of photographs.
        alone: Whether only the page of a single experiment shows it, as its numbers are in a table there.
    """

    name: str
    title: str
    order: int
    vector: bool = True
    alone: bool = False

    def title_of(self, figure: str) -> str:
        """The title of one of its figures, by the figure's name."""
        return f"{self.title} {figure.removeprefix(self.name).removeprefix('_')}".strip()


@functools.cache
def figure_files() -> dict[str, DeclaredFigure]:
    """The declarations of all files by name, in the order of the page.

    Raises:
        UserError: a declaration is wrong.
    """
    return read_parts_in_order(DeclaredFigure, FOLDER, "FIGURE")


def find_figure_file(figure: str) -> DeclaredFigure | None:
    """The declaration of the file that a figure is of, by the figure's name; None where no file draws it."""
    found = [file for name, file in figure_files().items() if figure == name or figure.startswith(f"{name}_")]
    return max(found, key=lambda file: len(file.name), default=None)


def draw_figures(findings: Findings) -> Iterator[tuple[str, DeclaredFigure, "Figure"]]:
    """Draw the figures of an experiment, one by one: its name, the declaration of its file, and the figure.

    Raises:
        UserError: a file of results is missing or damaged, or a module names a figure that is not its own.
    """
    drawn: set[str] = set()
    for declared in figure_files().values():
        module = cast(FigureModule, importlib.import_module(f"{__package__}.{FOLDER.name}.{declared.name}"))
        for name, figure in module.figures(findings):
            if name in drawn or find_figure_file(name) is not declared:
                raise UserError(
                    f"{FOLDER / declared.name}.py draws a figure named {name!r}; name it {declared.name}, or "
                    f"{declared.name}_ and a text that no other figure has"
                )
            drawn.add(name)
            yield name, declared, figure
