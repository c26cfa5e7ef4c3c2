"""Write docs/conformance.md: whether libraries' attacks compute their papers' equations, from docs/conformance*.csv."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
FINDINGS, EFFECTS, PAGE = (DOCS / name for name in ("conformance.csv", "conformance_effects.csv", "conformance.md"))
LIBRARIES = ("crossfool", "torchattack", "torchattacks", "TransferAttack")
REVISION = "2663e4ab10ad6153050030c0247cd4a9e1a5f893"  # of TransferAttack, whose lines are named
REPOSITORY = f"https://github.com/Trustworthy-AI-Group/TransferAttack/blob/{REVISION}"
HEAD = f"""# Do attacks compute their papers' equations?

Rates of two libraries' attacks of one name can only be compared if their code computes the same. This page compares
the code of attacks that libraries have in common with the equations of their papers, by tests and by reading:

- torchattack 1.7.2 and torchattacks 3.5.1: each verdict is held by a test of this repository, which runs the library's
  code on small networks, most of it over whole trajectories in float64.
- TransferAttack, [commit {REVISION[:7]}]({REPOSITORY.replace("/blob/", "/tree/")}) of 27 February
  2026: each verdict names the lines that it rests on. The code was read and not run.
- crossfool: the same tests, beside those of its loop by hand.

**conforms**: the code computes the paper's equation. **choice**: it does where the paper decides, and what is said here
is a default, or something that the paper leaves open or that its authors' code does otherwise. **departs**: the code
computes something else. An empty cell: the library does not have the attack. A departure is no judgement of an attack
or of a library: it says that rates of this code are not rates of that equation. The papers of Admix, SIA, BSR, PGN,
EMI, MEF and GNP were not at hand when this was written: their verdicts rest on the authors' code and on what is
commonly said of the papers, and have to be checked against the text. If something here is wrong or out of date, please
open an issue. `python tools/conformance_page.py` writes this page from
[conformance.csv](conformance.csv) and [conformance_effects.csv](conformance_effects.csv)."""
EFFECTS_HEAD = """Success rates in percent, of the code as it is and with the departure set right, from
efficientnet_lite0 on efficientnet_lite1 and efficientnet_lite2: 16 photographs, so that a rate is of 32 outcomes;
ε = 8, T = 4 steps of α = 2 (truncation: T = 5, α = 1.6), few samples. `python tools/conformance_effects.py` measures
them. With so few images a difference below about 20 points may be chance. "As it is" is the library's own code, but for
GNP and truncation, which this package's loop computed by the same equation. "Set right" is this package's row for NI,
SI-NI and TI; MIG aimed with `targeted` at the true label; GRA with signs given to its indicator; GNP with the other
sign and the neighbour as far away as in the code; rounded images. A rate that is higher as it is does not make the code
compute the paper's equation, nor a lower one the equation better. Not measured: what neither this package's parts nor
an option of the library set right."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *rows])


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def paper_link(paper: str) -> str:
    """A paper's arXiv number as a link; another place as it stands."""
    return f"[{paper}](https://arxiv.org/abs/{paper})" if re.fullmatch(r"\d{4}\.\d{5}|\d{4}\.\d{4}", paper) else paper


def evidence_link(evidence: str) -> str:
    """The tests or lines that a verdict rests on, as links."""
    links = []
    for one in evidence.split():
        if "::" in one:
            path, _, test = one.partition("::")
            links.append(f"[{test}](../{path})")
        else:
            path, _, line = one.rpartition(":")
            links.append(f"[{path.rpartition('/')[2]}:{line}]({REPOSITORY}/{path}#L{line})")
    return ", ".join(links)


def verdict_table(rows: Sequence[dict[str, str]]) -> str:
    """A row for each shared attack, a column for each library."""
    papers = dict.fromkeys((row["attack"], row["paper"]) for row in rows)
    verdicts = {(row["attack"], row["library"]): row["verdict"] for row in rows}
    lines = [
        [attack, paper_link(paper), *(_shown(verdicts.get((attack, library), "")) for library in LIBRARIES)]
        for attack, paper in papers
    ]
    return table(["attack", "paper", *LIBRARIES], lines)


def _shown(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "departs" else verdict


def detail_table(rows: Sequence[dict[str, str]]) -> str:
    """A row for each verdict: what is said, and what it rests on."""
    lines = [
        [row["attack"], row["library"], _shown(row["verdict"]), row["what"], evidence_link(row["evidence"])]
        for row in rows
    ]
    return table(["attack", "library", "verdict", "what", "by"], lines)


def effects_table(rows: Sequence[dict[str, str]]) -> str:
    """A row for each departure that was measured."""
    lines = []
    for row in rows:
        difference = float(row["as_coded"]) - float(row["as_published"])
        points = f"{difference:+.1f}".replace("-", "−")
        lines.append([row["finding"], row["library"], row["as_coded"], row["as_published"], points])
    return table(["departure", "library", "as it is, %", "set right, %", "difference, points"], lines)


def page() -> str:
    """The text of the page."""
    rows = read_rows(FINDINGS)
    shared, other, program = (
        [row for row in rows if row["group"] == group] for group in ("shared", "other", "program")
    )
    parts = [
        HEAD,
        f"## Attacks that crossfool has, too\n\n{verdict_table(shared)}\n\n{detail_table(shared)}",
        f"## Further attacks\n\nThose of which something was seen; others were not compared.\n\n{detail_table(other)}",
        f"## Around the attacks\n\n{detail_table(program)}",
        f"## What it changes\n\n{EFFECTS_HEAD}\n\n{effects_table(read_rows(EFFECTS))}",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
