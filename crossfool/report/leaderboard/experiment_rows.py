"""The rows of the leaderboard that one experiment has: its attacks with success, cost and distances, from metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfool.attacks.config import Attack
from crossfool.experiment import params_file
from crossfool.experiment.descriptions import attack_summary
from crossfool.experiment.results import cost_effectiveness, pooled_destruction
from crossfool.experiment.results.metrics import Results
from crossfool.experiment.results.ranking import image_distances
from crossfool.report.departures import departures, note

FEW_IMAGES = 100  # of fewer, the text says how little they tell


@dataclass(frozen=True)
class BoardRow:
    """An attack of an experiment, on the leaderboard.

    Attributes:
        experiment: The folder's name; "." for the default benchmark.
        attack, objective, epsilon, norm: As in params.yaml; the norm None for L-inf.
        success, low, high: Mean success rate over black-box cells, and its 95% interval, in percent.
        gradients: Gradient evaluations an image and model.
        per_gradient: Percent points of success a gradient evaluation.
        l2: Mean L2 norm of the change, in pixel values.
        lpips: Mean perceptual distance; None where it was not measured.
        departs: In what the code is known to depart from its paper; "".
        summary: The parameters in words, without the objective and the departure.
        params: The row of params.yaml, as YAML of one line.
        sources: The source models that the row has cells of.
        momentum_alone: Whether it is equation 5 without any other part.
        of_all: Whether its images are drawn from all images, whether or not all models classify them correctly.
    """

    experiment: str
    attack: str
    objective: str
    epsilon: float
    success: float
    low: float
    high: float
    gradients: int
    per_gradient: float
    l2: float
    lpips: float | None
    departs: str
    summary: str
    params: str
    sources: tuple[str, ...]
    momentum_alone: bool
    of_all: bool
    norm: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The experiment and the attack."""
        return self.experiment, self.attack


def experiment_rows(folder: Path, results: Results, name: str) -> list[BoardRow]:
    """The rows of an experiment: attacks with black-box cells, the best first, untargeted before targeted ones.

    Args:
        folder: The experiment's.
        results: Its metrics.
        name: What the rows call it.
    """
    experiment = results.experiment
    costs = cost_effectiveness.cost_effectiveness_rows(folder, results)
    attacks = [cost.attack for cost in costs]
    departs = departures(experiment)
    given: Mapping[str, Any] = params_file.parse_strict(params_file.read_text(folder / "params.yaml"))["attacks"]
    sources = {
        attack: tuple(dict.fromkeys(source for source, _ in pooled_destruction.black_box_cells(results, attack)))
        for attack in attacks
    }
    distances = {attack: image_distances(results, attack, sources[attack]) for attack in attacks}
    rows = []
    for cost in costs:
        attack = cost.attack
        row = experiment.attacks[attack]
        rows.append(
            BoardRow(
                experiment=name,
                attack=attack,
                objective=cost.objective,
                epsilon=row.epsilon,
                success=cost.success,
                low=cost.low,
                high=cost.high,
                gradients=cost.gradients,
                per_gradient=cost.per_gradient,
                l2=distances[attack]["l2"] or 0.0,
                lpips=distances[attack]["lpips"],
                departs=departs.get(attack, ""),
                summary=attack_summary(row).removeprefix(f"{cost.objective}, ").partition(" (†")[0],
                params=params_file.to_yaml({attack: given[attack]}, flow=True)[1:-1],
                sources=sources[attack],
                momentum_alone=_is_momentum_alone(row),
                of_all=experiment.subset.of == "all",
                norm=row.norm,
            )
        )
    return rows


def _is_momentum_alone(row: Attack) -> bool:
    """Whether a row of `attacks` is equation 5 without any other part."""
    if row.method is not None or row.loss is not None:
        return False
    return row.update == "momentum" and row.gradient == "plain" and not row.parts.inputs


def few_images_note(images: int, rows: Sequence[BoardRow]) -> str:
    """The warning about few images, with the widths of the intervals; "" where images are many."""
    if images >= FEW_IMAGES or not rows:
        return ""
    halves = [(row.high - row.low) / 2 for row in rows]
    least, most = round(min(halves)), round(max(halves))
    return (
        f"{images} images alone: intervals of ±{least} to ±{most} points. "
        "A paired test, not a rank, says whether two attacks differ here."
    )


def departures_note(rows: Sequence[BoardRow]) -> str:
    """The sentences on rows whose code is known to depart from their papers; "" where there is none."""
    marked = {row.attack: row.departs for row in rows if row.departs}
    return f"{note(marked)} Their rates are the library's, not the papers'." if marked else ""
