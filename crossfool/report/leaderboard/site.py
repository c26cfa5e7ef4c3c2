"""The leaderboard as a static page with copies of the files that it links to; it asks nothing of a network.

Equal results give equal bytes. The templates lie in `templates/`; styles and scripts are the report's own, with a few.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from jinja2 import ChoiceLoader, FileSystemLoader

from crossfool.experiment import project
from crossfool.experiment.results.equal_cost import BUDGETS
from crossfool.report.html.environment import make_environment
from crossfool.report.leaderboard import pareto, view
from crossfool.report.leaderboard.boards import Board, read_boards
from crossfool.report.leaderboard.rank_changes import Before, gone_settings
from crossfool.report.number_text import count_text, interval_text, rate_text, three_places, two_places
from crossfool.storage.atomic import replacing
from crossfool.version import LEADERBOARD_VERSION, VERSION


def write_site(root: Path, out: Path, *, before: Before | None = None, revision: str = "") -> list[str]:
    """Write index.html and the folder `files` into `out`, from the experiments of the repository in `root`.

    Args:
        root: The repository's folder.
        out: Where to.
        before: The leaderboard of an earlier revision, whose ranks are compared; None for none.
        revision: The revision of `root`, for the page; "" where it is not known.

    Returns:
        A line for each experiment that is left out.

    Raises:
        UserError: no experiment has results, or another file is in the place of the page.
    """
    project.refuse_other_file(out / "index.html")
    boards, left_out = read_boards(root)
    _copy_files(root, out, boards)
    with replacing(out / "index.html") as temporary:
        temporary.write_text(render(boards, before=before, revision=revision), encoding="utf-8")
    return left_out


def render(boards: Sequence[Board], *, before: Before | None = None, revision: str = "") -> str:
    """The page's HTML; see `write_site`."""
    environment = make_environment()
    own = FileSystemLoader(Path(__file__).parent / "templates")
    environment.loader = ChoiceLoader([own, *filter(None, [environment.loader])])
    environment.filters |= {
        "count": count_text,
        "interval": interval_text,
        "rate": rate_text,
        "two_places": two_places,
        "three_places": three_places,
        "place": quote,
    }
    page = environment.get_template("leaderboard.html").render(
        views=[view.board_view(board, number, before) for number, board in enumerate(boards, 1)],
        before=before,
        gone=[view.short_name(setting) for setting in gone_settings(boards, before)] if before else [],
        budgets=BUDGETS,
        frame=pareto,
        version=LEADERBOARD_VERSION,
        package=VERSION,
        revision=revision,
    )
    return page + "\n"


def _copy_files(root: Path, out: Path, boards: Sequence[Board]) -> None:
    """Copy what the page links to: metrics of each row, and README of each experiment."""
    for row in (row for board in boards for row in board.rows):
        folder = root if row.experiment == "." else root / "experiments" / row.experiment
        copies = {
            folder / "metrics" / source / f"{row.attack}.json": view.metrics_place(row.experiment, source, row.attack)
            for source in row.sources
        }
        copies[folder / "README.md"] = view.readme_place(row.experiment)
        for path, place in copies.items():
            (out / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / place)
