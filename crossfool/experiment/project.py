"""Where the project lies, and its experiments. Imports nothing heavy."""

import os
from collections.abc import Iterable
from pathlib import Path

from crossfool import first_edition
from crossfool.errors import UserError, unknown
from crossfool.experiment import loading
from crossfool.experiment.results.metrics import load_metrics


def root(start: Path) -> Path:
    """The project's folder: the nearest above `start` that holds the shared graph and its stages.

    Raises:
        UserError: there is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "dvc.yaml").is_file() and (folder / "stages").is_dir():
            return folder
    raise UserError(f"{start.resolve()} is in no crossfool repository; run the command inside a clone of it")


def experiments(project: Path) -> dict[str, Path]:
    """Name -> folder of each experiment: the root's, `.`, then those of `experiments/`, by name."""
    found = {path.parent.name: path.parent for path in sorted(project.glob("experiments/*/params.yaml"))}
    return ({".": project} if (project / "params.yaml").is_file() else {}) | found


def experiment(name: str, start: Path = Path()) -> Path:
    """An experiment's folder, by its path or its name.

    Raises:
        UserError: neither.
    """
    if (start / name).is_dir():
        return start / name
    known = experiments(root(start))
    if name in known:
        return start / os.path.relpath(known[name], start)
    raise unknown("experiment", name, known)


BRANDS = tuple(  # one of them is in every page: report/html/templates/page.html
    f'<p class="brand">{name}</p>'.encode() for name in ("crossfool", first_edition.NAME)
)


def finished(folders: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Those of some experiments' folders that have results; and why others that have some are left out, a line each.

    Raises:
        UserError: none has.
    """
    found, left_out = list[Path](), list[str]()
    for folder in folders:
        if not (folder / "metrics").is_dir():
            continue
        try:
            results = load_metrics(folder, loading.load(folder / "params.yaml"))
            for cell in results.detail:
                results.detail[cell]  # read when it is asked for
        except UserError as error:
            left_out.append(str(error))
        else:
            found.append(folder)
    if not found:
        raise UserError("no experiment has results yet; run `dvc repro`, or `dvc repro experiments/<name>/dvc.yaml`")
    return found, left_out


def refuse_other_file(out: Path) -> None:
    """Check that a page may be written to `out`: nothing is there, or a page of this command's or a report's.

    Raises:
        UserError: another file is there.
    """
    if not out.exists():
        return
    if not out.is_file() or not any(brand in out.read_bytes() for brand in BRANDS):
        raise UserError(f"{out} is there and is no report of crossfool; give another name with --out")


def named(folder: Path) -> str:
    """An experiment's folder as it is called from the project's, wherever one stands; "." is the project's own."""
    return Path(os.path.relpath(folder.resolve(), root(folder))).as_posix()
