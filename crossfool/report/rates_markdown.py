"""Success, clean accuracy and destruction rates as Markdown, for tables.md. All rates are percent."""

from collections.abc import Iterable, Mapping, Sequence

from crossfool.experiment.descriptions import attack_summary, attacked_images_summary, denominator_note
from crossfool.experiment.results import pooled_destruction
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.evaluation.transform_levels import find_transform
from crossfool.report.number_text import gradients_text, interval_text
from crossfool.report.reported.published_rates import ReportedRate, reported_rates
from crossfool.report.table import markdown_table
from crossfool.stats.rates import wilson_interval_in_percent


def rates_text(results: Results, pools: Mapping[str, Mapping[str, pooled_destruction.DestructionRates]]) -> str:
    """The first part of tables.md: a table of each attack in the paper's layout, clean accuracies, destruction rates.

    Args:
        results: The experiment's metrics.
        pools: Transform -> attack -> its destruction rates over all black-box pairs.
    """
    experiment = results.experiment
    parts = [
        f"# Transferability on {experiment.dataset.name}",
        f"{attacked_images_summary(results)}. All rates are percent of these images, with Wilson 95% intervals in "
        f"brackets; {denominator_note(experiment)}. Rows are sources, columns are targets. * marks white-box cells, "
        "whose source has the target in it. In parentheses: the paper's figure, where the paper has the same cell with "
        "the same parameters.",
    ]
    for name, attack in experiment.attacks.items():
        parts += [f"## {name}", f"{attack_summary(attack)}; {gradients_text(attack.gradient_evaluations_per_seed)}."]
        goal = "that are given the target label" if attack.targeted else "that are not given the true label"
        parts += [f"Top-1 success rate: images {goal}.", _success_table(results, name, "top1")]
        # top-1 success of a targeted attack is so rare that the paper, too, reports top-5 (table 4)
        if attack.targeted:
            parts += ["Top-5 success rate: the target label is among the five.", _success_table(results, name, "top5")]
        paper_tables = sorted({figure.table.replace("table", "table ") for figure in _quoted(results, name)})
        if paper_tables:
            parts.append(f"The paper's figures are of its {', '.join(paper_tables)}.")
    parts += ["## Clean accuracy", _clean_table(results)]
    if any(experiment.transforms.values()):
        parts += [
            "## Destruction rates",
            "Of the adversarial images that fool a target, the share that it gets right again after the transform "
            "(Kurakin et al. 2017). Black-box pairs pooled; they share images, so that the 95% intervals are of "
            "as many pairs as tell as much. destruction.csv has each pair.",
        ]
        for transform, levels in experiment.transforms.items():
            if levels:
                parts += [
                    f"### {transform} ({find_transform(transform).unit})",
                    _destruction_table(levels, pools[transform]),
                ]
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are aligned right."""
    return markdown_table([head, ["---", *["---:"] * (len(head) - 1)], *rows])


def _rate(rate: float, low: float, high: float) -> str:
    """A rate and its interval."""
    return f"{rate:.1f} {interval_text(low, high)}"


def _success_table(results: Results, attack: str, metric: str) -> str:
    """An attack's success rates by `metric` (top1 or top5): a row a source, a column a target."""
    experiment = results.experiment

    def cell(source: str, target: str) -> str:
        rates = results.success[source, attack][target]
        rate = _rate(rates[metric], rates[f"{metric}_low"], rates[f"{metric}_high"])
        text = f"{rate}*" if rates["whitebox"] else rate
        figure = reported_rates(experiment, source, target, experiment.attacks[attack]).get(metric)
        return f"{text} ({figure.percent:.1f})" if figure else text

    rows = [[source, *(cell(source, target) for target in experiment.answering)] for source in experiment.sources]
    return _table(["source", *experiment.answering], rows)


def _quoted(results: Results, attack: str) -> Iterable[ReportedRate]:
    """The paper's figures for an attack's cells, by any metric."""
    experiment = results.experiment
    for source in experiment.sources:
        for target in experiment.answering:
            yield from reported_rates(experiment, source, target, experiment.attacks[attack]).values()


def _clean_table(results: Results) -> str:
    """The models' accuracies on the whole data set."""
    rows = []
    for model, accuracy in results.clean.items():
        published = accuracy["published_top1"]
        rows.append(
            [
                model,
                _rate(accuracy["top1"], accuracy["top1_low"], accuracy["top1_high"]),
                _rate(accuracy["top5"], *wilson_interval_in_percent(accuracy["top5"], accuracy["n"])),
                "" if published is None else f"{published:.1f}",
                f"{accuracy['n']:,}",
            ]
        )
    return _table(["model", "top-1", "top-5", "published top-1", "images"], rows)


def _destruction_table(levels: Sequence[float], pool: Mapping[str, pooled_destruction.DestructionRates]) -> str:
    """The destruction rates of one transform: a row an attack, a column a level."""
    rows = []
    for attack, points in pool.items():
        rates = {point.level: _rate(point.rate, point.low, point.high) for point in points}
        rows.append([attack, *(rates.get(level, "–") for level in levels), f"{points[0].n if points else 0:,}"])
    return _table(["attack", *(f"{level:g}" for level in levels), "fooled"], rows)
