"""Print an experiment's success rates: source rows, target columns, from metrics and params.yaml alone."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crossfool.cli import console as cli_console
from crossfool.experiment import loading
from crossfool.experiment.descriptions import (
    attack_summary,
    attacked_images_summary,
    count_compared_images,
    no_compared_images_note,
    wrapped_model_name,
)
from crossfool.experiment.results import cost_effectiveness
from crossfool.experiment.results.metrics import Results, load_metrics
from crossfool.report.reported.published_rates import reported_rates


def show(folder: Path, console: Console) -> None:
    """Print the tables of the experiment in `folder`.

    Raises:
        UserError: params.yaml is wrong, or metrics are missing or left over.
    """
    results = load_metrics(folder, loading.load_experiment(folder / "params.yaml"))
    experiment = results.experiment
    console.print()
    console.print(Text(f"Success rates in percent: {attacked_images_summary(results)}", style="bold"))
    note = "Rows are sources, columns targets; * is white-box; low–high: Wilson 95% intervals"
    console.print(Text(note + ("; in parentheses: the paper." if _has_paper(results) else ".")))
    if not count_compared_images(results):
        console.print(Text(no_compared_images_note(experiment)))
    for attack in experiment.attacks:
        console.print()
        console.print(_heading(results, attack))
        console.print(_fitting(results, attack, console))
    costs = cost_effectiveness.cost_effectiveness_rows(folder, results)
    if len(costs) > 1:
        console.print()
        console.print(Text("Attacks by success, beside what they cost", style="bold"))
        cli_console.print_table(console, _costs(costs))
        console.print(Text(cost_effectiveness.columns_note(costs), style="dim"))
    console.print()
    console.print(_accuracy(results))
    console.print(_places(folder))


def _heading(results: Results, attack: str) -> Text:
    return Text.assemble((attack, "bold cyan"), f"  {attack_summary(results.experiment.attacks[attack])}")


def _fitting(results: Results, attack: str, console: Console) -> Table:
    """The table in the widest layout that fits the console, so that words are not torn if any layout fits."""
    unlimited = console.options.update(max_width=10_000)
    for paper, interval in ((" ", " "), (" ", "\n"), ("\n", "\n"), (" ", None), ("\n", None)):
        table = _table(results, attack, paper, interval)
        if console.measure(table, options=unlimited).maximum <= console.width:
            break
    return table


def _table(results: Results, attack: str, paper: str, interval: str | None) -> Table:
    """The success rates of an attack, source rows and target columns.

    Args:
        results: The experiment's.
        attack: The attack's name.
        paper: The blank before the paper's figures: a space or a line break.
        interval: The blank before intervals; None leaves them out.
    """
    experiment = results.experiment
    table = cli_console.make_table(())
    table.add_column("source", overflow="fold")
    for target in experiment.answering:
        table.add_column(wrapped_model_name(target), justify="right", overflow="fold")
    for source in experiment.sources:
        cells = (_cell(results, source, target, attack, paper, interval) for target in experiment.answering)
        table.add_row(source.replace("+", "+\n"), *cells)
    return table


def _cell(results: Results, source: str, target: str, attack: str, paper: str, interval: str | None) -> Text:
    rates = results.success[source, attack][target]
    text = Text(f"{rates['top1']:.1f}{'*' if rates['whitebox'] else ''}")
    figure = reported_rates(results.experiment, source, target, results.experiment.attacks[attack]).get("top1")
    if figure:
        text.append(f"{paper}({figure.percent:.1f})", "green")
    if interval:
        text.append(f"{interval}{rates['top1_low']:.1f}–{rates['top1_high']:.1f}", "dim")
    return text


def _costs(costs: Sequence[cost_effectiveness.CostEffectiveness]) -> Table:
    heads = ("attack", ">success", ">gradients", ">success a gradient", ">s an image", ">success a second")
    timed = any(cost.seconds is not None for cost in costs)
    table = cli_console.make_table(heads if timed else heads[:4])
    table.columns[0].overflow = "fold"
    for cost in costs:
        success = Text.assemble(f"{cost.success:.1f} ", (f"{cost.low:.1f}–{cost.high:.1f}", "dim"))
        row = [Text(cost.attack), success, Text(f"{cost.gradients:,}"), Text(f"{cost.per_gradient:.2f}")]
        times = [Text(cost_effectiveness.three_digits(number)) for number in (cost.seconds, cost.per_second)]
        table.add_row(*row, *(times if timed else ()))
    return table


def _has_paper(results: Results) -> bool:
    """Whether the paper reports a success rate for some cell."""
    experiment = results.experiment
    return any(
        "top1" in reported_rates(experiment, source, target, experiment.attacks[attack])
        for source, attack in results.success
        for target in experiment.models
    )


def _accuracy(results: Results) -> Text:
    """The clean accuracy of the models, as one line."""
    shares = [
        f"{model} {accuracy['top1']:.1f}% [{accuracy['top1_low']:.1f}, {accuracy['top1_high']:.1f}]"
        for model, accuracy in results.clean.items()
    ]
    images = next(iter(results.clean.values()))["n"]
    return Text.assemble(("Clean accuracy", "bold"), f" on {images:,} images: {', '.join(shares)}")


def _places(folder: Path) -> Text:
    """The files of results that are there, a line each."""
    kinds = [
        ("metrics", "rates as JSON"),
        ("report/index.html", "the report as a page, for a browser"),
        ("report/tables.md", "all tables"),
        ("report/results.csv", "the same, a row a cell"),
        ("report/destruction.csv", "destruction rates"),
        ("report/comparison.csv", "our rates beside the paper's"),
        ("report/claims.csv", "the paper's claims, checked"),
        ("report/figures", "pictures"),
    ]
    lines = [f"\n  {folder / place}  {what}" for place, what in kinds if (folder / place).exists()]
    return Text.assemble(("Results", "bold"), *lines)
