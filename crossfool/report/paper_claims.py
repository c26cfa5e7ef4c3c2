"""The paper's claims, checked on an experiment by paired tests on outcomes. Imports no torch.

A claim is a file of `claims/`, which is their registry. Compared are black-box cells only: a target that is no member
of the source. A targeted attack succeeds where its label is among the target's top-5 classes, as in the paper's table
4; any other where the top-1 class is wrong. A claim holds where its effect has the claimed sign and p < 0.05.
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report import claim_files
from crossfool.report.claims._verdict import Verdict

COLUMNS = ("name", "holds", "effect", "unit", "p", "comparisons", "images", "section", "statement", "detail")


@dataclass(frozen=True)
class Claim(Verdict):
    """A claim of the paper, checked on an experiment.

    Attributes:
        name, statement, section: Its name, what it states, and where in the paper.
    """

    name: str
    statement: str
    section: str


def check_claims(evidence: Evidence) -> list[Claim]:
    """Check the claims that the experiment has cells for, in the order of the paper.

    Raises:
        UserError: a claim's file declares wrongly.
    """
    return [
        Claim(name=declared.name, statement=declared.statement, section=declared.section, **vars(verdict))
        for declared in claim_files.claims().values()
        for verdict in importlib.import_module(declared.module).check(evidence)
    ]


def claim_rows(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    """A row of `COLUMNS` for each claim; effect and p to six significant digits."""
    rows = [{column: getattr(claim, column) for column in COLUMNS} for claim in claims]
    for row in rows:
        row |= {key: float(f"{row[key]:.6g}") for key in ("effect", "p") if row[key] is not None}
    return rows
