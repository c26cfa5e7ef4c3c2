"""The HTML report: one page that holds all it shows and asks nothing of a network.

Equal results give equal bytes. The templates lie in `templates/`; what they show of an experiment is `experiment_view`.
"""

from collections.abc import Sequence
from pathlib import Path

from crossfool.errors import UserError
from crossfool.experiment.descriptions import TUNING_NOTICE
from crossfool.report.findings import Findings, read_findings
from crossfool.report.html.environment import make_environment
from crossfool.report.html.experiment_view import View, gather_view
from crossfool.report.html.gallery import GAIN
from crossfool.report.table import Table
from crossfool.storage.atomic import replacing

ROOM = 6_000_000  # characters for the gallery's pictures, on a page of one experiment
SHARED_ROOM = 1_500_000  # on a page of several, of all of them together, so that 200 cells stay below 10 MB
# matplotlib's cividis at 0, 10, ..., 100
CIVIDIS = ["00224e", "083370", "35456c", "4f576c", "666970", "7d7c78", "948e77", "aea371", "c8b866", "e5cf52", "fee838"]


def write_page(
    folders: Sequence[Path],
    out: Path,
    names: Sequence[str] | None = None,
    *,
    timed: bool = False,
    coverage: Table | None = None,
) -> None:
    """Write a page of the experiments in `folders` to the file `out`.

    Args:
        folders: The experiments' folders.
        out: The page.
        names: How the page calls them where there are several, "." for the root's; their folders, if not given.
        timed: Whether the page has the seconds that cells took here, which differ from run to run.
        coverage: The table of what of the paper was run, which rests on all experiments of the repository; None for a
            page without it.

    Raises:
        UserError: a params.yaml is wrong, a file is missing, broken or left over, or some experiments attack tuning
            images and others do not.
    """
    findings = [read_findings(folder, timed=timed) for folder in folders]
    write_page_of(findings, out, names or [folder.as_posix() for folder in folders], coverage)


def write_page_of(findings: Sequence[Findings], out: Path, names: Sequence[str], coverage: Table | None = None) -> None:
    """Write a page of experiments whose findings are there; see `write_page`.

    Raises:
        UserError: some are of tuning images and others of scored ones.
    """
    _refuse_both_uses(findings, names)
    room = SHARED_ROOM // len(findings) if len(findings) > 1 else ROOM
    shown_names = [""] if len(findings) == 1 else names
    views = [gather_view(found, name, room) for found, name in zip(findings, shown_names, strict=True)]
    with replacing(out) as temporary:
        temporary.write_text(render_page(views, coverage), encoding="utf-8")


def _refuse_both_uses(findings: Sequence[Findings], names: Sequence[str]) -> None:
    """Refuse a page on which rates of tuning images would stand beside results."""
    tuned = [name for name, found in zip(names, findings, strict=True) if found.experiment.subset.uses_tuning]
    if tuned and len(tuned) < len(findings):
        others = [name for name in names if name not in tuned]
        raise UserError(
            f"{tuned[0]} attacks {TUNING_NOTICE}; {others[0]} attacks those that reports score: "
            "give experiments of one kind"
        )


def render_page(views: Sequence[View], coverage: Table | None = None) -> str:
    """The page's HTML, for one experiment or several."""
    page = make_environment().get_template("page.html")
    return page.render(views=views, coverage=coverage, shades=heat_colours(), gain=GAIN) + "\n"


def heat_colours() -> list[tuple[int, str, str]]:
    """The heat maps' colours: percent, background, and black or white, whichever is easier to read on it."""
    return [(percent, *_shade(percent)) for percent in range(101)]


def _shade(percent: int) -> tuple[str, str]:
    """Background and text colour of a percentage; the text's contrast is the greater by WCAG 2."""
    place, part = min(percent // 10, 9), percent / 10 - min(percent // 10, 9)
    low, high = (bytes.fromhex(CIVIDIS[at]) for at in (place, place + 1))
    mixed = [round((1 - part) * a + part * b) for a, b in zip(low, high, strict=True)]
    red, green, blue = ((c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in mixed)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # relative luminance of WCAG 2
    ink = "#000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#fff"
    return f"#{bytes(mixed).hex()}", ink
