"""Success rates of each source, target and attack, with the attack's parameters and the paper's figures, as a file."""

from collections.abc import Iterator

from crossfool.attacks.config import in_order
from crossfool.experiment.results.metrics import Results
from crossfool.report.findings import Findings
from crossfool.report.reported.published_rates import reported_rates
from crossfool.report.table import Column, Row, Table

SECTION, ORDER = "files", 10
PARAMETERS = (  # of each attack, in every results.csv
    *("objective", "epsilon", "steps", "step_size", "gradient", "samples", "sigma"),
    *("update", "decay", "noise", "radius", "diversity", "resize", "scales", "kernel"),
)
NOT_SHOWN = ("method", "options", "seed", "fusion", "record_steps", "seeds", "quantisation")
RATES = (
    *("gradients", "whitebox", "n", "top1", "top1_low", "top1_high", "top5", "top5_low", "top5_high"),
    *("paper", "difference", "paper_table", "paper_top5", "difference_top5", "paper_top5_table"),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of all cells of `attacks`, a row a target."""
    columns = tuple(map(Column, column_names(findings.results)))
    yield Table("results", "Success rates, a row a cell", columns, tuple(_rows(findings.results)), most=0)


def column_names(results: Results) -> list[str]:
    """Names of the columns: with one for each further key that an attack of the experiment has."""
    return ["source", "target", "attack", *_parameters(results), *RATES]


def _parameters(results: Results) -> list[str]:
    given = {key for attack in results.experiment.attacks.values() for key in attack.model_dump(exclude_none=True)}
    return [*PARAMETERS, *in_order(given - {*PARAMETERS, *NOT_SHOWN})]


def _rows(results: Results) -> Iterator[Row]:
    experiment = results.experiment
    for (source, name), targets in results.success.items():
        attack = experiment.attacks[name]
        parameters = {key: attack.value(key) for key in _parameters(results)}
        parameters["gradients"] = attack.gradient_evaluations_per_seed
        for target, rates in targets.items():
            row = {"source": source, "target": target, "attack": name, **parameters}
            row |= {key: rates[key] for key in RATES if key in rates}
            for metric, figure in reported_rates(experiment, source, target, attack).items():
                suffix = "" if metric == "top1" else f"_{metric}"
                row[f"paper{suffix}"] = figure.percent
                row[f"difference{suffix}"] = round(rates[metric] - figure.percent, 4)
                row[f"paper{suffix}_table"] = figure.table
            yield row
