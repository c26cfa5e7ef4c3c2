"""Several experiments of a project at once. Imports no torch."""

import os
from collections.abc import Iterable
from pathlib import Path

from crossfool import roots
from crossfool.errors import UserError
from crossfool.experiment import loading
from crossfool.results import load_metrics

BRAND = b'<p class="brand">crossfool</p>'  # in every page: templates/page.html


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
    if not out.is_file() or BRAND not in out.read_bytes():
        raise UserError(f"{out} is there and is no report of crossfool; give another name with --out")


def named(folder: Path) -> str:
    """An experiment's folder as it is called from the project's, wherever one stands; "." is the project's own."""
    return Path(os.path.relpath(folder.resolve(), roots.root(folder))).as_posix()
