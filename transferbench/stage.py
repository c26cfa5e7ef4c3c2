"""What every stage script shares: user errors as one line and exit code 2, never a traceback."""

import atexit
import functools
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from transferbench import ending
from transferbench.errors import UserError, printable


def friendly(main: Callable[..., None]) -> Callable[..., None]:
    """Print a `UserError`, or what the operating system refused (a full disk, a permission), as one line.

    SIGTERM, SIGHUP and Ctrl-C unwind the function, so that temporary files go, and end the process.
    """

    @functools.wraps(main)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            ending.unwound(functools.partial(main, *arguments, **options))
        except UserError as error:
            message = _placed(str(error))
        except OSError as error:
            if error.errno is None:  # no system call failed: a bug, whose traceback is wanted
                raise
            message = printable(f"{error.strerror}: {error.filename or 'while writing'}")
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
                raise
            message = "out of memory; lower compute: chunk in params.yaml"
        else:
            return
        click.secho(f"error: {message}", fg="red", err=True)
        sys.exit(2)

    return guarded


def _placed(message: str) -> str:
    """A message that says `dvc repro` of a file in an experiment's folder, for who stands elsewhere: of its graph."""
    found = re.search(r"(?:\.\./)*experiments/[A-Za-z0-9._-]+(?=/)", message)
    if found and Path(found[0], "dvc.yaml").is_file():
        return message.replace("`dvc repro`", f"`dvc repro {found[0]}/dvc.yaml`")
    return message


def stage(main: Callable[..., None]) -> click.Command:
    """Make a click command of a stage's main function."""
    # Python's own end would print what a Ctrl-C raises there
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return click.command(friendly(main))
