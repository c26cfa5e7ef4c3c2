"""The rows of the leaderboard that one experiment has: its attacks with success, cost and distances, from metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfool.experiment import params_file
from crossfool.experiment.descriptions import attack_summary
from crossfool.experiment.results import cost_effectiveness, pooled_destruction, rivals
from crossfool.experiment.results.metrics import Results
from crossfool.experiment.results.ranking import image_distances
from crossfool.experiment.results.rivals import PairedTest
from crossfool.report.departures import departures, note

LARGER = 1.05  # an L2 beyond so many times that of momentum alone is marked
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
        larger: Whether the attack does better than momentum alone at its budget by images of a clearly larger L2.
        departs: In what the code is known to depart from its paper; "".
        summary: The parameters in words, without the objective and the departure.
        params: The row of params.yaml, as YAML of one line.
        sources: The source models that the row has cells of.
        tests: Role of a rival (`rivals.BEST`, `rivals.MIGSM`) -> the paired test against it, where one is recorded.
        opponents: Role -> the rival's name, whether or not a test is recorded.
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
    larger: bool
    departs: str
    summary: str
    params: str
    sources: tuple[str, ...]
    tests: Mapping[str, PairedTest]
    opponents: Mapping[str, str]
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
    success = {cost.attack: cost.success for cost in costs}
    tests, departs = rivals.recorded_tests(folder, success), departures(experiment)
    given: Mapping[str, Any] = params_file.parse_strict(params_file.read_text(folder / "params.yaml"))["attacks"]
    sources = {
        attack: tuple(dict.fromkeys(source for source, _ in pooled_destruction.black_box_cells(results, attack)))
        for attack in success
    }
    distances = {attack: image_distances(results, attack, sources[attack]) for attack in success}

    def is_larger(attack: str, opponent: str | None) -> bool:
        if opponent is None or success[attack] <= success[opponent]:
            return False
        return (distances[attack]["l2"] or 0.0) > LARGER * (distances[opponent]["l2"] or 0.0)

    rows = []
    for cost in costs:
        attack = cost.attack
        row, opponents = experiment.attacks[attack], rivals.find_rivals(experiment, success, attack)
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
                larger=is_larger(attack, opponents.get(rivals.MIGSM)),
                departs=departs.get(attack, ""),
                summary=attack_summary(row).removeprefix(f"{cost.objective}, ").partition(" (†")[0],
                params=params_file.to_yaml({attack: given[attack]}, flow=True)[1:-1],
                sources=sources[attack],
                tests=tests.get(attack, {}),
                opponents=opponents,
                norm=row.norm,
            )
        )
    return rows


def few_images_note(images: int, rows: Sequence[BoardRow]) -> str:
    """The sentence that says how little few images tell, with the widths of the intervals; "" of many images."""
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
