"""The paper's claims, checked on an experiment by paired tests on outcomes. Imports no torch.

A claim is a file of `claims/`, which is their registry. Compared are black-box cells only: a target that is no member
of the source. A targeted attack succeeds where its label is among the target's top-5 classes, as in the paper's table
4; any other where the top-1 class is wrong. A verdict is supported, contradicted, undecided or not tested, by p of
Holm's method for all claims of the experiment: `claims/_verdict.py`, docs/statistics.md.
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report import claim_files
from crossfool.report.claims._verdict import CONTRADICTED, SUPPORTED, UNDECIDED, Verdict, adjusted, decided_again

COLUMNS = (
    *("name", "verdict", "effect", "low", "high", "unit", "p", "p_holm", "smallest_p", "detectable"),
    *("comparisons", "images", "units", "count", "section", "statement", "detail"),
)
NUMBERS = ("effect", "low", "high", "p", "p_holm", "smallest_p", "detectable")


@dataclass(frozen=True, kw_only=True)
class Claim(Verdict):
    """A claim of the paper, checked on an experiment.

    Attributes:
        name, statement, section: Its name, what it states, and where in the paper.
    """

    name: str
    statement: str
    section: str


def check_claims(evidence: Evidence) -> list[Claim]:
    """Check the claims that the experiment has cells for, in the order of the paper, on attacks in an L-inf ball.

    Raises:
        UserError: a claim's file declares wrongly.
    """
    evidence = _in_linf(evidence)
    found = [
        (declared, verdict)
        for declared in claim_files.claims().values()
        for verdict in importlib.import_module(declared.module).check(evidence)
    ]
    p_values = adjusted([verdict for _, verdict in found])
    return [_claim(declared, decided_again(verdict, p)) for (declared, verdict), p in zip(found, p_values, strict=True)]


def _in_linf(evidence: Evidence) -> Evidence:
    """The evidence of attacks in an L-inf ball, which is the paper's; all of it where there are no others."""
    experiment = evidence.experiment
    attacks = {name: row for name, row in experiment.attacks.items() if row.norm is None}
    if len(attacks) == len(experiment.attacks):
        return evidence
    drawn = tuple(name for name in experiment.scatter.attacks if name in attacks)
    scatter = experiment.scatter.model_copy(update={"attacks": drawn})
    return replace(evidence, experiment=experiment.model_copy(update={"attacks": attacks, "scatter": scatter}))


def _claim(declared: claim_files.DeclaredClaim, verdict: Verdict) -> Claim:
    """A verdict under its claim's name and statement; of targeted attacks, both say so."""
    name, statement = declared.name, declared.statement
    if verdict.variant:
        name, statement = f"{name}_{verdict.variant}", f"{statement.rstrip('.')} ({verdict.variant} attacks, top-5)."
    return Claim(**vars(verdict), name=name, statement=statement, section=declared.section)


def count_verdicts(claims: Iterable[Verdict]) -> dict[str, int]:
    """The numbers of supported, contradicted and undecided claims; claims that were not tested are left out."""
    verdicts = [claim.verdict for claim in claims]
    return {verdict: verdicts.count(verdict) for verdict in (SUPPORTED, CONTRADICTED, UNDECIDED)}


def claim_rows(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    """A row of `COLUMNS` for each claim; numbers to six significant digits."""
    rows = [{column: getattr(claim, column) for column in COLUMNS} for claim in claims]
    for row in rows:
        row |= {key: float(f"{row[key]:.6g}") for key in NUMBERS if row[key] is not None}
    return rows
