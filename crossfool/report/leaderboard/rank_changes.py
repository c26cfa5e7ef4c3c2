"""Rank changes of the leaderboard since a git revision, whose metrics are read through git."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossfool.errors import UserError
from crossfool.experiment import git
from crossfool.report.leaderboard.boards import FILTERS, Board, Setting, read_boards

READ = ("params.yaml", "dvc.lock", "agreement.json", "metrics", "experiments")  # of a revision
Key = tuple[str, str]  # experiment and attack


@dataclass(frozen=True)
class Before:
    """The leaderboard of an earlier revision.

    Attributes:
        revision: Its name, as it was given.
        boards: Its tables; none where no experiment could be read.
        left_out: A line for each experiment that today's code cannot read, or that has no results to rank.
    """

    revision: str
    boards: Sequence[Board]
    left_out: Sequence[str]


@dataclass(frozen=True)
class RankChange:
    """A rank beside that of an earlier revision.

    Attributes:
        now: The rank.
        before: The earlier rank; None where the row is new.
    """

    now: int
    before: int | None

    @property
    def text(self) -> str:
        """The change as "▲ 2" (up by two), "▼ 1", "=" or "new"."""
        if self.before is None:
            return "new"
        places = self.before - self.now
        return "=" if not places else f"{'▲' if places > 0 else '▼'} {abs(places)}"


def read_before(root: Path, revision: str) -> Before:
    """The leaderboard of a git revision of the repository in `root`.

    Raises:
        UserError: there is no such revision, or git cannot read it.
    """
    with git.exported(revision, READ, root) as folder:
        try:
            boards, left_out = read_boards(folder, tested=False)
        except UserError as error:
            boards, left_out = [], [str(error)]
        return Before(revision, boards, [line.replace(f"{folder}/", "") for line in left_out])


def rank_changes(board: Board, before: Before) -> dict[int | None, dict[Key, RankChange]]:
    """Budget -> row -> its rank beside the earlier one among rows of the same setting."""
    earlier = [other for other in before.boards if other.setting == board.setting]
    changes = dict[int | None, dict[Key, RankChange]]()
    for budget in FILTERS:
        ranks = {key: rank for other in earlier for key, rank in other.ranks(budget).items()}
        changes[budget] = {key: RankChange(now, ranks.get(key)) for key, now in board.ranks(budget).items()}
    return changes


def gone_rows(board: Board, before: Before) -> dict[Key, int]:
    """Row -> its earlier rank, of rows that the same setting had and has no more."""
    present = {row.key for row in board.rows}
    earlier = (other.ranks() for other in before.boards if other.setting == board.setting)
    return {key: rank for ranks in earlier for key, rank in ranks.items() if key not in present}


def gone_settings(boards: Iterable[Board], before: Before) -> list[Setting]:
    """Settings that had a table and have none now."""
    present = {board.setting for board in boards}
    return [setting for setting in dict.fromkeys(board.setting for board in before.boards) if setting not in present]
