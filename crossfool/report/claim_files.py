"""Claims of the paper, each declared in a file of `claims/`: the folder is their registry.

A file has a literal CLAIM and a function `check`, which gives the verdicts on an experiment's evidence: none where the
experiment has no cells for the claim.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from crossfool.part_files import read_parts_in_order

FOLDER = Path(__file__).parent / "claims"


@dataclass(frozen=True)
class DeclaredClaim:
    """A claim, as its file declares it.

    Attributes:
        name: The file's name.
        statement: What the paper states, in one sentence.
        section: Where in the paper.
        test: The statistical test that it is checked by.
        order: Its place among the claims, which are listed by rising numbers: those of the paper go by tens.
    """

    name: str
    statement: str
    section: str
    test: str
    order: int

    @property
    def module(self) -> str:
        """Dotted name of its module."""
        return f"{__package__}.{FOLDER.name}.{self.name}"


@functools.cache
def claims() -> dict[str, DeclaredClaim]:
    """The claims of all files by name, in the order of the paper.

    Raises:
        UserError: a declaration is wrong.
    """
    return read_parts_in_order(DeclaredClaim, FOLDER, "CLAIM")
