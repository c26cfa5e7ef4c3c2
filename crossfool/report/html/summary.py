"""The first screen of the page for one experiment: its question, the answer, the picture, and what it rests on."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import no_compared_images_note
from crossfool.report.answer import Answer, find_answers, question
from crossfool.report.findings import Findings
from crossfool.report.html.data_uris import file_uri
from crossfool.report.number_text import count_text
from crossfool.report.reported.paper_agreement import agreement_summary
from crossfool.report.reported.protocol_rates import protocol_of
from crossfool.report.reported.published_rates import csv_rows
from crossfool.report.table import Table

ROOT_NAME = "default benchmark"  # the root's folder has no name of its own
PICTURES = ("cost", "cost_narrow")  # the figure of success against cost, for wide and for narrow screens


@dataclass(frozen=True)
class Summary:
    """The first screen.

    Attributes:
        question: The question that the experiment asks.
        answers: The best attack of each objective.
        missing: Why there is no answer; "" where there is one.
        wide, narrow: The figure of success against cost as data URIs, for wide and narrow screens; "" for none.
        coverage: How many of the reported figures are compared here, and how many lie in our interval.
        verdicts: As "3 supported, 0 contradicted, 2 undecided", of the paper's claims; "" where there are none.
    """

    question: str
    answers: Sequence[Answer]
    missing: str
    wide: str
    narrow: str
    coverage: str
    verdicts: str


def summarise(findings: Findings) -> Summary:
    """Gather the first screen of an experiment."""
    answers = list(find_answers(findings))
    wide, narrow = (_picture(findings.folder / f"report/vector/{name}.svg") for name in PICTURES)
    return Summary(
        question=question(findings.experiment, findings.results.n),
        answers=answers,
        missing="" if answers else _missing(findings),
        wide=wide,
        narrow=narrow,
        coverage=coverage_sentence(findings),
        verdicts=verdicts(findings.tables["claims"]),
    )


def experiment_name(folder: Path, experiment: Experiment) -> str:
    """The name of an experiment: its folder in the repository, without `experiments/`; the root has `ROOT_NAME`."""
    place = Path(os.path.relpath(folder.resolve(), (folder / experiment.root).resolve()))
    return ROOT_NAME if place == Path() else place.as_posix().removeprefix("experiments/")


def coverage_sentence(findings: Findings) -> str:
    """How many of the figures that the paper or a protocol reports are compared here, and how many agree."""
    agreement, protocol = agreement_summary(findings.agreement), protocol_of(findings.experiment)
    reported = len(csv_rows("paper_rates.csv") if protocol is None else protocol.reported)
    whose = "the paper's" if protocol is None else f"{protocol.key}'s"
    compared = f"{count_text(agreement['cells'])} of {whose} {count_text(reported)} success rates compared here"
    return f"{compared}, {count_text(agreement['within'])} in our 95% interval" if agreement["cells"] else compared


def verdicts(tables: Sequence[Table]) -> str:
    """How many of the claims in tables are supported, contradicted, undecided, and not tested; "" for none."""
    counts = Counter(row["verdict"] for table in tables for row in table.rows)
    named = ["supported", "contradicted", "undecided", *(["not tested"] if counts["not tested"] else [])]
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in named) if counts else ""


def _missing(findings: Findings) -> str:
    """Why no attack is named as the best."""
    experiment = findings.experiment
    if not experiment.attacks:
        return "No attack is compared here: the figures show sweeps and analyses of gradients."
    if all(set(source.split("+")) >= set(experiment.answering) for source in experiment.sources):
        return "No attack is compared here: no target is black-box."
    if not findings.partial and findings.evidence.empty:
        return no_compared_images_note(experiment)
    return "The best attack is not known here: predictions are missing, or no image is right under all models."


def _picture(path: Path) -> str:
    """A figure's SVG as a data URI without blanks, which `srcset` does not take; "" where the file is not there."""
    return file_uri("image/svg+xml", path.read_bytes()).replace(" ", "%20") if path.exists() else ""
