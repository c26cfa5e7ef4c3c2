"""Success rates of an attack as a heat map, sources against targets, with the paper's or a protocol's figures."""

from collections.abc import Iterator, Sequence

from crossfool.attacks.config import Attack
from crossfool.experiment.descriptions import attack_summary
from crossfool.experiment.protocol_files import Protocol
from crossfool.experiment.results.metrics import Results
from crossfool.report.findings import Findings
from crossfool.report.number_text import gradients_text, rate_text
from crossfool.report.reported.protocol_rates import protocol_of
from crossfool.report.reported.published_rates import METRICS, reported_rates, table_text
from crossfool.report.table import Column, Matrix, Row, Table

SECTION, ORDER, BRIEF = "rates", 10, True
COLUMNS = (
    *(Column(name) for name in ("source", "target", "attack", "metric")),
    Column(
        "rate",
        unit="%",
        format=rate_text,
        ends=("low", "high"),
        paper="paper",
        difference="difference",
        whitebox="whitebox",
        heat=True,
    ),
    *(Column(name) for name in ("low", "high", "n", "whitebox", "paper", "difference", "paper_table")),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of each attack's top-1 success rates, and of a targeted attack's top-5 rates, as the paper's table 4."""
    for name, attack in findings.experiment.attacks.items():
        for metric in METRICS if attack.targeted else ("top1",):
            yield _table(findings.results, name, attack, metric)


def _table(results: Results, name: str, attack: Attack, metric: str) -> Table:
    experiment = results.experiment
    rows = tuple(_rows(results, name, attack, metric))
    summary = f"{attack_summary(attack)}; {gradients_text(attack.gradient_evaluations_per_seed)}."
    return Table(
        name=f"{name}-{metric}",  # like no other table's, whatever an attack is called: names have no hyphen
        title=f"{name}: {METRICS[metric]} success rate, %",
        columns=COLUMNS,
        rows=rows,
        notes=(
            f"{summary[:1].upper()}{summary[1:]}",
            _goal(attack, metric),
            *_origin(rows, protocol_of(experiment)),
        ),
        matrix=Matrix("source", "target", "rate", experiment.sources, experiment.answering),
        command=f"dvc repro --glob 'evaluate@*-{name}'",
        reporter=experiment.protocol or "paper",
    )


def _origin(rows: Sequence[Row], protocol: Protocol | None) -> Iterator[str]:
    """A sentence on where the reported figures stand; none where there are none."""
    tables = sorted({table_text(row["paper_table"]) for row in rows if row["paper_table"]})
    if tables and protocol is None:
        yield f"The paper's figures are of its {', '.join(tables)}."
    elif tables and protocol is not None:
        yield f"The figures of {protocol.key} are of its {protocol.rates_from}."


def _rows(results: Results, name: str, attack: Attack, metric: str) -> Iterator[Row]:
    for source in results.experiment.sources:
        for target in results.experiment.answering:
            rates = results.success[source, name][target]
            figure = reported_rates(results.experiment, source, target, attack).get(metric)
            row = {"source": source, "target": target, "attack": name, "metric": metric, "rate": rates[metric]}
            row |= {"low": rates[f"{metric}_low"], "high": rates[f"{metric}_high"], "n": rates["n"]}
            row |= {"whitebox": rates["whitebox"], "paper": None, "difference": None, "paper_table": None}
            if figure is not None:
                difference = round(rates[metric] - figure.percent, 4)
                row |= {"paper": figure.percent, "difference": difference, "paper_table": figure.table}
            yield row


def _goal(attack: Attack, metric: str) -> str:
    """The images that count as a success, as a sentence."""
    if metric == "top5":
        return "Success: the target label is among the five highest-ranked predictions."
    goal = "are given the target label" if attack.targeted else "are not given the true label"
    return f"Success: images that {goal}."
