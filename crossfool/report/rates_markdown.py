"""Success, clean accuracy and destruction rates as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crossfool.experiment.descriptions import chosen, denominator, words
from crossfool.experiment.results import pooled_destruction
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.evaluation.config import TRANSFORMS
from crossfool.report.reported.published_rates import reported
from crossfool.stats.rates import wilson_ends

# --- tables -----------------------------------------------------------------------------------------


def tables(results: Results, pools: Mapping[str, Mapping[str, pooled_destruction.Points]]) -> str:
    """tables.md: for each attack a table in the paper's layout, then clean accuracies and destruction rates.

    Args:
        results: The experiment's.
        pools: Transform -> attack -> its destruction rates over all black-box pairs.
    """
    experiment = results.experiment
    parts = [
        f"# Transferability on {experiment.dataset.name}",
        f"{chosen(results)}. All rates are percent of these images, with Wilson 95% intervals in brackets; "
        f"{denominator(experiment)}. Rows are sources, columns are targets. * marks white-box cells, whose source has "
        "the target in it. In parentheses: the paper's figure, where the paper has the same cell with the same "
        "parameters.",
    ]
    for name, attack in experiment.attacks.items():
        evaluations = "1 gradient evaluation" if attack.gradients == 1 else f"{attack.gradients} gradient evaluations"
        parts += [f"## {name}", f"{words(attack)}; {evaluations} an image and model."]
        goal = "that are given the target label" if attack.targeted else "that are not given the true label"
        parts += [f"Top-1 success rate: images {goal}.", _success_table(results, name, "top1")]
        # top-1 success of a targeted attack is so rare that the paper, too, reports top-5 (table 4)
        if attack.targeted:
            parts += ["Top-5 success rate: the target label is among the five.", _success_table(results, name, "top5")]
        quoted = sorted({figure.table for figure in _quoted(results, name)})
        if quoted:
            parts.append(f"The paper's figures are of its {', '.join(t.replace('table', 'table ') for t in quoted)}.")
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
                    f"### {transform} ({TRANSFORMS[transform][2]})",
                    _destruction_table(levels, pools[transform]),
                ]
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _interval(rates: Mapping[str, Any], rate: str, low: str, high: str) -> str:
    return f"{rates[rate]:.1f} [{rates[low]:.1f}, {rates[high]:.1f}]"


def _success_table(results: Results, attack: str, metric: str) -> str:
    experiment = results.experiment

    def cell(source: str, target: str) -> str:
        rates = results.success[source, attack][target]
        text = _interval(rates, metric, f"{metric}_low", f"{metric}_high") + ("*" if rates["whitebox"] else "")
        figure = reported(experiment, source, target, experiment.attacks[attack]).get(metric)
        return f"{text} ({figure.percent:.1f})" if figure else text

    rows = [[source, *(cell(source, target) for target in experiment.answering)] for source in experiment.sources]
    return _table(["source", *experiment.answering], rows)


def _quoted(results: Results, attack: str) -> Iterable[Any]:
    experiment = results.experiment
    for source in experiment.sources:
        for target in experiment.answering:
            yield from reported(experiment, source, target, experiment.attacks[attack]).values()


def _clean_table(results: Results) -> str:
    rows = []
    for model, accuracy in results.clean.items():
        published = accuracy["published_top1"]
        rows.append(
            [
                model,
                _interval(accuracy, "top1", "top1_low", "top1_high"),
                "{:.1f} [{:.1f}, {:.1f}]".format(accuracy["top5"], *wilson_ends(accuracy["top5"], accuracy["n"])),
                "" if published is None else f"{published:.1f}",
                f"{accuracy['n']:,}",
            ]
        )
    return _table(["model", "top-1", "top-5", "published top-1", "images"], rows)


def _destruction_table(levels: Sequence[float], lines: Mapping[str, pooled_destruction.Points]) -> str:
    rows = []
    for attack, points in lines.items():
        at = {point.level: f"{point.rate:.1f} [{point.low:.1f}, {point.high:.1f}]" for point in points}
        rows.append([attack, *(at.get(level, "–") for level in levels), f"{points[0].n if points else 0:,}"])
    return _table(["attack", *(f"{level:g}" for level in levels), "fooled"], rows)
