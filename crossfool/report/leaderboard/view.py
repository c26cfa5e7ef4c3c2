"""The content of the leaderboard's page: tables with their columns' texts, rank changes, commands and links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from crossfool.experiment.results.equal_cost import PairedTest
from crossfool.report.leaderboard.boards import FILTERS, Board, Setting
from crossfool.report.leaderboard.experiment_rows import BoardRow, departures_note, few_images_note
from crossfool.report.leaderboard.pareto import Drawing, draw
from crossfool.report.leaderboard.rank_changes import Before, RankChange, gone_rows, rank_changes
from crossfool.report.leaderboard.rivals import BEST, MIGSM
from crossfool.report.number_text import difference_text, interval_text, p_equation

ROOT_NAME = "default"  # the default benchmark's folder among the page's files


@dataclass(frozen=True)
class RowView:
    """A row of a table on the page.

    Attributes:
        row: The row.
        id: For links.
        ranks: Budget ("any", "10", ...) -> the rank within it; a budget that the row exceeds is left out.
        changes: Budget -> the change of that rank since the earlier revision.
        explain, reproduce, compare: The commands to type in the repository's root.
        metrics: Source -> the page's copy of the metrics file.
        readme: The page's copy of the experiment's README.
        place: The experiment's folder, as the page names it.
        tests: Role -> the paired test against that rival as two texts, and its difference.
        larger: Whether it does better than momentum alone by a larger L2.
    """

    row: BoardRow
    id: str
    ranks: Mapping[str, int]
    changes: Mapping[str, RankChange]
    explain: Sequence[str]
    reproduce: str
    compare: Sequence[str]
    metrics: Mapping[str, str]
    readme: str
    place: str
    tests: Mapping[str, tuple[str, str, float]]
    larger: bool


@dataclass(frozen=True)
class BoardView:
    """A table on the page.

    Attributes:
        board: The table.
        id: For links.
        rows: Its rows, the best first.
        drawing: The Pareto front.
        notes: Sentences on the table.
        gone: The rows that it had and has no more, as texts.
        roles: The roles of rivals that some row has a test against.
        has_lpips: Whether any row has a perceptual distance.
    """

    board: Board
    id: str
    rows: Sequence[RowView]
    drawing: Drawing
    notes: Sequence[str]
    gone: Sequence[str]
    roles: Sequence[str]
    has_lpips: bool

    @property
    def name(self) -> str:
        """The table's name: the setting in short, and the experiments."""
        return f"{short_name(self.board.setting)}: {', '.join(map(shown_name, self.board.experiments))}"


def short_name(setting: Setting) -> str:
    """A setting in a few words: data set, epsilon, objective."""
    return f"{setting.dataset}, {setting.radius}, {setting.objective}"


def shown_name(experiment: str) -> str:
    """The name of an experiment for people."""
    return "the default benchmark" if experiment == "." else experiment


def test_texts(test: PairedTest, rival: str) -> tuple[str, str, float]:
    """A paired test as the difference, as interval, adjusted p and rival, and as the number to sort by."""
    under = f"{interval_text(test.low, test.high)}\n{p_equation(test.p_holm)}\n{rival}"
    return difference_text(test.difference), under, test.difference


def folder_name(experiment: str) -> str:
    """The folder of an experiment among the page's files."""
    return ROOT_NAME if experiment == "." else experiment


def metrics_place(experiment: str, source: str, attack: str) -> str:
    """The page's copy of a metrics file, relative to the page."""
    return f"files/{folder_name(experiment)}/metrics/{source}/{attack}.json"


def readme_place(experiment: str) -> str:
    """The page's copy of an experiment's README, relative to the page; a text, which every browser shows."""
    return f"files/{folder_name(experiment)}/README.txt"


def board_view(board: Board, number: int, before: Before | None) -> BoardView:
    """The view of a table.

    Args:
        board: The table.
        number: Its place on the page, from 1.
        before: The earlier leaderboard; None where none is compared.
    """
    changes = rank_changes(board, before) if before else {}
    ranks = {budget: board.ranks(budget) for budget in FILTERS}
    rows = [
        RowView(
            row=row,
            id=f"t{number}-{folder_name(row.experiment)}-{row.attack}",
            ranks={str(budget or "any"): ranks[budget][row.key] for budget in FILTERS if row.key in ranks[budget]},
            changes={
                str(budget or "any"): changes[budget][row.key] for budget in changes if row.key in changes[budget]
            },
            explain=[f"crossfool explain {source}/{row.attack}{_folder_option(row)}" for source in row.sources],
            reproduce=_reproduce(row),
            compare=[
                f"crossfool compare {row.attack} {rival}{_folder_option(row)}"
                for rival in dict.fromkeys(
                    other.attack for other in board.rivals(row).values() if other.experiment == row.experiment
                )
            ],
            metrics={source: metrics_place(row.experiment, source, row.attack) for source in row.sources},
            readme=readme_place(row.experiment),
            place=shown_name(row.experiment),
            tests={
                role: test_texts(test, _rival_name(row, board.rivals(row)[role]))
                for role, test in board.tests.get(row.key, {}).items()
            },
            larger=board.is_larger(row),
        )
        for row in board.rows
    ]
    gone = gone_rows(board, before) if before else {}
    return BoardView(
        board=board,
        id=f"t{number}",
        rows=rows,
        drawing=draw(board.rows),
        notes=_notes(board),
        gone=[f"{attack} of {shown_name(name)} (its rank was {rank})" for (name, attack), rank in gone.items()],
        roles=[role for role in (BEST, MIGSM) if any(role in tests for tests in board.tests.values())],
        has_lpips=any(row.lpips is not None for row in board.rows),
    )


def _folder_option(row: BoardRow) -> str:
    """The option that names the row's experiment to a command; "" for the root's."""
    return "" if row.experiment == "." else f" --folder {quote(row.experiment)}"


def _rival_name(row: BoardRow, rival: BoardRow) -> str:
    """A rival's name, with its experiment where that is another."""
    return rival.attack if rival.experiment == row.experiment else f"{rival.attack} of {shown_name(rival.experiment)}"


def _reproduce(row: BoardRow) -> str:
    """The command that computes a row's cells, in the repository's root."""
    graph = "" if row.experiment == "." else f"experiments/{row.experiment}/dvc.yaml:"
    return " ".join(["dvc repro", *(quote(f"{graph}evaluate@{source}-{row.attack}") for source in row.sources)])


def _notes(board: Board) -> list[str]:
    """Notes on a table: a warning about few images, the meaning of marks, and why paired tests are missing."""
    notes = [few_images_note(board.setting.images, board.rows), departures_note(board.rows)]
    if any(board.is_larger(row) for row in board.rows):
        notes.append(
            "▲ beside L2: better than momentum alone (mIGSM) at its budget, but with images that changed more (L2 "
            "larger by over 5%), so that a part of the gain may be the larger perturbation's."
        )
    untested = [
        name for name in board.experiments if _lacks_tests(board, [row for row in board.rows if row.experiment == name])
    ]
    if untested:
        names = " and ".join(shown_name(name) for name in untested)
        notes.append(
            f"No paired tests of {names}: its folder predictions is not in git. Where it is at hand, crossfool "
            "compare (below, in each row) prints the tests."
        )
    return [text for text in notes if text]


def _lacks_tests(board: Board, rows: Sequence[BoardRow]) -> bool:
    """Whether an experiment's rows have rivals, and no test against any."""
    return any(board.rivals(row) for row in rows) and not any(board.tests.get(row.key) for row in rows)
