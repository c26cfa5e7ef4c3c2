"""The project's folder and those of its experiments. Imports nothing heavy."""

import os
from collections.abc import Iterable
from pathlib import Path

from crossfool import first_edition
from crossfool.errors import UserError, unknown_name
from crossfool.experiment import loading
from crossfool.experiment.descriptions import TUNING_NOTICE
from crossfool.experiment.results.metrics import load_metrics

BRANDS = tuple(  # of report/html/templates/page.html: one of them stands in every page
    f'<p class="brand">{name}</p>'.encode() for name in ("crossfool", first_edition.NAME)
)


def find_root(start: Path) -> Path:
    """The project's folder: the nearest above `start` that holds the shared graph and its stages.

    Raises:
        UserError: `start` is in no clone of the project.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "dvc.yaml").is_file() and (folder / "stages").is_dir():
            return folder
    raise UserError(f"{start.resolve()} is not in a crossfool repository; run the command inside a clone of it")


def experiment_folders(project: Path) -> dict[str, Path]:
    """Name -> folder of each experiment: the root's, `.`, then those of `experiments/`, by name."""
    folders = {path.parent.name: path.parent for path in sorted(project.glob("experiments/*/params.yaml"))}
    return ({".": project} if (project / "params.yaml").is_file() else {}) | folders


def find_experiment(name: str, start: Path = Path()) -> Path:
    """The folder of an experiment that is given by its path or its name.

    Args:
        name: A path relative to `start`, or a name under experiments/.
        start: A folder of the project; the result is relative to it.

    Raises:
        UserError: there is no such folder and no experiment of that name.
    """
    if (start / name).is_dir():
        return start / name
    known = experiment_folders(find_root(start))
    if name in known:
        return start / os.path.relpath(known[name], start)
    raise unknown_name("experiment", name, known)


def folders_with_results(folders: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """The experiments' folders that have results; and a line for each folder that is left out.

    Left out are folders whose results cannot be read, and those whose metrics are of tuning images.

    Raises:
        UserError: no folder has results.
    """
    readable, left_out = list[Path](), list[str]()
    for folder in folders:
        if not (folder / "metrics").is_dir():
            continue
        try:
            experiment = loading.load_experiment(folder / "params.yaml")
            if experiment.subset.uses_tuning:
                left_out.append(f"{folder}: {TUNING_NOTICE}")
                continue
            results = load_metrics(folder, experiment)
            for cell in results.detail:
                results.detail[cell]  # a detail file is read, and checked, when it is asked for
        except UserError as error:
            left_out.append(str(error))
        else:
            readable.append(folder)
    if not readable:
        raise UserError("no experiment has results yet; run `dvc repro`, or `dvc repro experiments/<name>/dvc.yaml`")
    return readable, left_out


def refuse_other_file(out: Path) -> None:
    """Check that a page may be written to `out`: nothing is there, or a page that crossfool wrote.

    Raises:
        UserError: another file is there, or a folder.
    """
    if not out.exists():
        return
    if not out.is_file() or not any(brand in out.read_bytes() for brand in BRANDS):
        raise UserError(f"{out} exists and is not a report of crossfool; choose another name with --out")


def folder_name(folder: Path) -> str:
    """The name of an experiment's folder: its path from the project's folder, which is "." itself."""
    return Path(os.path.relpath(folder.resolve(), find_root(folder))).as_posix()
