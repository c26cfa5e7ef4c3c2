"""The tables of the leaderboard: rows of comparable cells, ranked, from the metrics of all experiments."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crossfool.errors import UserError
from crossfool.experiment import loading, project
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import attacked_images_summary, norm_note
from crossfool.experiment.results.detail_rows import rank_among
from crossfool.experiment.results.equal_cost import BUDGETS, PairedTest
from crossfool.experiment.results.metrics import load_metrics
from crossfool.report.leaderboard import rivals
from crossfool.report.leaderboard.experiment_rows import FEW_IMAGES, BoardRow, experiment_rows
from crossfool.report.leaderboard.rivals import MIGSM, Key
from crossfool.storage.dvc_lock import parse_outputs

LEAD = "leaderboard"  # how the names of the experiments begin whose table comes first
LARGER = 1.05  # an L2 beyond so many times that of momentum alone is marked
FILTERS: tuple[int | None, ...] = (None, *BUDGETS)  # budgets that the page ranks within; None for any cost


@dataclass(frozen=True)
class Setting:
    """A setting that cells must share to be compared, in words for readers.

    Attributes:
        dataset: The data set's name.
        images: The number of attacked images.
        chosen: How they were chosen, in words.
        objective, epsilon: Of the attacks.
        sources, targets: Names of source and target models.
        norm: Of the attacks' balls; None for L-inf.
    """

    dataset: str
    images: int
    chosen: str
    objective: str
    epsilon: float
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    norm: str | None = None

    @property
    def radius(self) -> str:
        """Epsilon in words, with the norm where it is not L-inf."""
        return f"ε = {self.epsilon:g}{norm_note(self.norm)}"


@dataclass(frozen=True)
class Board:
    """A table of the leaderboard: rows of the same images, models and epsilon, the best first.

    Attributes:
        setting: What they share.
        rows: At least one.
        tests: Row -> role of a rival (`rivals.BEST`, `rivals.MIGSM`) -> the paired test against it, where predictions
            of both are there.
    """

    setting: Setting
    rows: Sequence[BoardRow]
    tests: Mapping[Key, Mapping[str, PairedTest]] = field(default_factory=dict)

    @property
    def experiments(self) -> tuple[str, ...]:
        """The experiments that the rows are of."""
        return tuple(dict.fromkeys(row.experiment for row in self.rows))

    def rivals(self, row: BoardRow) -> dict[str, BoardRow]:
        """Role -> a row's rival at equal cost, whether or not there is a test."""
        return rivals.find_rivals(self.rows, row)

    def is_larger(self, row: BoardRow) -> bool:
        """Whether a row does better than momentum alone at its budget by images of a clearly larger L2."""
        momentum = self.rivals(row).get(MIGSM)
        return momentum is not None and row.success > momentum.success and row.l2 > LARGER * momentum.l2

    def ranks(self, budget: int | None = None) -> dict[tuple[str, str], int]:
        """(Experiment, attack) -> the rank among rows of at most so many gradients; equals share a rank."""
        rows = [row for row in self.rows if budget is None or row.gradients <= budget]
        rates = [row.success for row in rows]
        return {row.key: rank_among(row.success, rates) for row in rows}


def read_boards(root: Path, *, tested: bool = True) -> tuple[list[Board], list[str]]:
    """The tables of all experiments below `root` that have results; and a line for each experiment left out.

    Experiments share a table where their dvc.lock files name the same attacked images and weights, byte by byte.

    Args:
        root: The repository's folder.
        tested: Whether rows are compared by paired tests.

    Raises:
        UserError: no experiment has results.
    """
    folders, left_out = project.folders_with_results(project.experiment_folders(root).values())
    names = {folder: "." if folder == root else folder.name for folder in folders}
    groups: dict[tuple[Setting, tuple[str, ...]], list[BoardRow]] = {}
    for folder in folders:
        results = load_metrics(folder, loading.load_experiment(folder / "params.yaml"))
        files = content(folder, results.experiment) or (folder.as_posix(),)
        for row in experiment_rows(folder, results, names[folder]):
            experiment = results.experiment
            setting = Setting(
                dataset=experiment.dataset.name,
                images=results.n,
                chosen=attacked_images_summary(results),
                objective=row.objective,
                epsilon=row.epsilon,
                sources=tuple(sorted(experiment.sources)),
                targets=tuple(sorted(experiment.answering)),
                norm=row.norm,
            )
            groups.setdefault((setting, files), []).append(row)
    places = {names[folder]: folder for folder in folders}
    boards = [
        Board(setting, sorted_rows(rows), _tests(places, rows) if tested else {})
        for (setting, _), rows in groups.items()
    ]
    return sorted(boards, key=_place), left_out


def _tests(places: Mapping[str, Path], rows: Sequence[BoardRow]) -> dict[Key, dict[str, PairedTest]]:
    """The paired tests of a table's rows; `places` has the experiments' folders."""
    outcomes = {row.key: found for row in rows if (found := rivals.read_outcomes(places[row.experiment], row))}
    opponents = {row.key: rivals.find_rivals(rows, row) for row in rows}
    keys = {key: {role: rival.key for role, rival in by_role.items()} for key, by_role in opponents.items()}
    return rivals.paired_tests(outcomes, keys)


def _place(board: Board) -> tuple[bool, bool]:
    """The place of a table: that at equal cost first, those of few images last."""
    leads = any(name == LEAD or name.startswith(f"{LEAD}-") for name in board.experiments)
    return not leads, board.setting.images < FEW_IMAGES


def sorted_rows(rows: Iterable[BoardRow]) -> list[BoardRow]:
    """Rows by success, the best first, of equals the cheaper."""
    return sorted(rows, key=lambda row: (-row.success, row.gradients))


def content(folder: Path, experiment: Experiment) -> tuple[str, ...]:
    """The md5s of attacked images and weights that dvc.lock names; none where it lacks one, or is not there."""
    members = (member for source in experiment.sources for member in source.split("+"))
    models = sorted({*members, *experiment.answering})
    try:
        outputs = parse_outputs((folder / "dvc.lock").read_text(encoding="utf-8"))
        wanted = ["subset/images.safetensors", *(f"weights/{model}.safetensors" for model in models)]
        return tuple(outputs[path]["md5"] for path in wanted)
    except (OSError, KeyError, UserError):
        return ()
