"""What a campaign found."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

KEPT = 5  # failures that are told in full


@dataclass
class Outcome:
    """One row of the table in docs/reliability.md.

    Attributes:
        fault: What was done.
        tried: How many times.
        happened: What came of it, and how often.
        lost: How often something went wrong: a traceback, a wrong result, work that was lost.
        failures: Some of these, in words.
    """

    fault: str
    tried: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        self.tried += 1
        self.happened[what] += 1

    def fail(self, why: str) -> None:
        self.tried += 1
        self.lost += 1
        if len(self.failures) < KEPT:
            self.failures.append(why)

    def row(self) -> dict[str, Any]:
        return asdict(self) | {"happened": dict(self.happened.most_common())}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| fault | times tried | what happened | lost |", "|---|---:|---|---:|"]
    for row in rows:
        happened = ", ".join(f"{what}: {count:,}" for what, count in row["happened"].items())
        lines.append(f"| {row['fault']} | {row['tried']:,} | {happened} | {row['lost']} |")
    return "\n".join(lines)
