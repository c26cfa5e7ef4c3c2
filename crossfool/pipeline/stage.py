"""What every stage script shares: user errors as one line and exit code 2, never a traceback."""

import atexit
import functools
import os
import pwd
import re
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from crossfool import first_edition, signals, text_encoding
from crossfool.errors import UserError, printable

ABSENT = "/nonexistent"  # what is not read where there is no home: DVC's own settings, matplotlib's
NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")  # where Python's getpass looks for a user's name


def friendly(main: Callable[..., None]) -> Callable[..., None]:
    """Print a `UserError`, or what the operating system refused (a full disk, a permission), as one line.

    SIGTERM, SIGHUP and Ctrl-C unwind the function, so that temporary files go, and end the process.
    """

    @functools.wraps(main)
    def guarded(*arguments: Any, **options: Any) -> None:
        text_encoding.streams()
        _nameless()
        try:
            first_edition.refuse_variables(os.environ)
            signals.unwound(functools.partial(main, *arguments, **options))
            _flushed()
        except UserError as error:
            message = _placed(str(error))
        except BrokenPipeError:  # as of `| head`: click ends quietly
            raise
        except OSError as error:
            if error.errno is None:  # no system call failed: a bug, whose traceback is wanted
                raise
            message = printable(_refused(error))
        except UnicodeEncodeError as error:
            surrogates = any("\udc80" <= character <= "\udcff" for character in error.object)
            if error.encoding != sys.getfilesystemencoding() and not surrogates:
                raise
            name = text_encoding.spelled(str(error.object))
            message = printable(f"this locale has no such file names: {name}; set LC_ALL=C.UTF-8, or PYTHONUTF8=1")
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
                message = "out of memory; lower compute: chunk in params.yaml"
            elif "home directory" in str(error):  # Python's and other libraries' words
                message = printable(f"{str(error).rstrip('.')}; set HOME to a folder that can be written to")
            else:
                raise
        else:
            return
        say(f"error: {message}", err=True, fg="red")
        sys.exit(2)

    return guarded


def say(text: str, *, err: bool = False, **style: Any) -> None:
    """Print a line, styled where it is a terminal's.

    The stream is named: click would write UTF-8 to one whose encoding is ASCII.
    """
    click.secho(text, file=sys.stderr if err else sys.stdout, **style)


def _flushed() -> None:
    """Write what waits to be printed, now that an error can still be told."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError as error:
            error.filename = "standard output"
            raise


def _refused(error: OSError) -> str:
    """What the system refused, and where."""
    if "No usable temporary directory" in str(error.strerror):
        return f"{error.strerror}; set TMPDIR to a folder that can be written to"
    named = "standard output" if error.filename is None and _printing(error) else error.filename
    place = "while writing" if named is None else os.fsdecode(named)
    own = os.path.join(tempfile.gettempdir(), "crossfool-")
    return f"{error.strerror}: {place}{'; TMPDIR moves temporary files elsewhere' if place.startswith(own) else ''}"


def _printing(error: OSError) -> bool:
    """Whether what the system refused was to be printed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals["__name__"].partition(".")[0] in ("click", "rich")


def _nameless() -> None:
    """Let libraries do without the user's name and home that a user id without an account has not."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        if not any(os.environ.get(name) for name in NAMES):
            os.environ["LOGNAME"] = str(os.getuid())
        if not os.environ.get("HOME"):
            os.environ.setdefault("DVC_GLOBAL_CONFIG_DIR", ABSENT)
            os.environ.setdefault("MPLCONFIGDIR", ABSENT)


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
