"""Delete files that stages made for models, sources and attacks which params.yaml lists no more."""

from pathlib import Path

import click

from crossfool.cli import console
from crossfool.errors import UserError
from crossfool.experiment import dvc_records, leftover_files, loading
from crossfool.pipeline.stage import print_line


def remove(folder: Path, *, confirmed: bool) -> None:
    """List the left-over files of an experiment's folder and delete them, once the user agrees.

    Files are deleted that DVC's records name as outputs with these bytes; every other file is left alone.

    Args:
        folder: The experiment's.
        confirmed: Whether the user has agreed already.

    Raises:
        UserError: params.yaml is wrong, or there is no terminal to ask.
    """
    leftovers = leftover_files.find_leftovers(
        folder, loading.load_experiment(folder / "params.yaml"), *leftover_files.FOLDERS
    )
    ours, others = dvc_records.divide_by_origin(folder, leftovers)
    if ours and not confirmed and not console.asks():
        more = f" and {len(ours) - 1} more" if len(ours) > 1 else ""
        raise UserError(
            f"nothing was deleted: there is no terminal to ask you about {ours[0]}{more}; give --yes to delete"
        )
    for path in others:
        print_line(f"not made by crossfool, left alone: {path}")
    if not ours:
        print_line(f"nothing{' else' if others else ''} is left over in {folder}")
        return
    if not confirmed:
        print_line("\n".join(["left over:", *(f"  {path}" for path in ours)]))
        if not click.confirm(f"delete {'this file' if len(ours) == 1 else f'these {len(ours)} files'}?"):
            print_line("nothing was deleted")
            return
    for path in ours:
        path.unlink()
        print_line(f"deleted {path}")
