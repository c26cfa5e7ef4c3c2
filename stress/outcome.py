"""Outcome of a campaign, and the table of outcomes in docs/reliability.md."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

KEPT = 5  # failures that are described


@dataclass
class Outcome:
    """Row of the table in docs/reliability.md.

    Attributes:
        fault: The fault that was caused.
        tried: Number of tries.
        happened: Event -> how often it happened.
        lost: How often something went wrong: a traceback, a wrong result, work that was lost.
        failures: Descriptions of the first failures.
    """

    fault: str
    tried: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, event: str) -> None:
        """Count a try that went well."""
        self.tried += 1
        self.happened[event] += 1

    def fail(self, why: str) -> None:
        """Count a try that went wrong."""
        self.tried += 1
        self.lost += 1
        if len(self.failures) < KEPT:
            self.failures.append(why)

    def row(self) -> dict[str, Any]:
        """The outcome as a dict for JSON, the most frequent events first."""
        return asdict(self) | {"happened": dict(self.happened.most_common())}


def table(rows: list[dict[str, Any]]) -> str:
    """Table of outcomes in Markdown."""
    lines = ["| fault | times tried | what happened | lost |", "|---|---:|---|---:|"]
    for row in rows:
        happened = ", ".join(f"{event}: {count:,}" for event, count in row["happened"].items())
        lines.append(f"| {row['fault']} | {row['tried']:,} | {happened} | {row['lost']} |")
    return "\n".join(lines)
