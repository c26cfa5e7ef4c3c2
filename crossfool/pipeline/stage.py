"""Make a stage script a command whose user errors are one line and exit code 2, never a traceback."""

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

from crossfool import first_edition, runtime, signals, text_encoding
from crossfool.attacks.own_parts import errors_in_own_code
from crossfool.errors import UserError, escape_unprintable

_ABSENT = "/nonexistent"  # where there is no home, DVC and matplotlib look for their settings here
USER_NAME_VARIABLES = ("LOGNAME", "USER", "LNAME", "USERNAME")  # where Python's getpass looks for a user's name


def errors_in_one_line(main: Callable[..., None]) -> Callable[..., None]:
    """Print a `UserError`, or an error of the operating system (a full disk, a permission), as one line.

    The process then ends with exit code 2. SIGTERM, SIGHUP and Ctrl-C unwind the function, so that temporary files
    go, and end the process.
    """

    @functools.wraps(main)
    def guarded(*arguments: Any, **options: Any) -> None:
        text_encoding.spell_on_streams()
        _stand_in_for_account()
        try:
            first_edition.refuse_variables(os.environ)
            with errors_in_own_code():
                signals.run_unwinding(functools.partial(main, *arguments, **options))
            _flush_output()
        except UserError as error:
            message = _name_graph(str(error))
        except BrokenPipeError:  # as of `| head`: click ends quietly
            raise
        except OSError as error:
            if error.errno is None:  # no system call failed: a bug, whose traceback is wanted
                raise
            message = escape_unprintable(_os_message(error))
        except UnicodeEncodeError as error:
            surrogates = any("\udc80" <= character <= "\udcff" for character in error.object)
            if error.encoding != sys.getfilesystemencoding() and not surrogates:
                raise
            name = text_encoding.to_ascii(str(error.object))
            message = escape_unprintable(
                f"this locale has no such file names: {name}; set LC_ALL=C.UTF-8, or PYTHONUTF8=1"
            )
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
                message = "out of memory; lower compute: chunk in params.yaml"
            elif "home directory" in str(error):  # the message of Python and of other libraries
                message = escape_unprintable(f"{str(error).rstrip('.')}; set HOME to a folder that can be written to")
            else:
                raise
        else:
            return
        print_line(f"error: {message}", err=True, fg="red")
        sys.exit(2)

    return guarded


def print_line(text: str, *, err: bool = False, **style: Any) -> None:
    """Print a line, styled where the stream is a terminal.

    The stream is passed on by name: click would write UTF-8 to a stream whose encoding is ASCII.
    """
    click.secho(text, file=sys.stderr if err else sys.stdout, **style)


def _flush_output() -> None:
    """Write buffered output now, while an error can still be reported."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError as error:
            error.filename = "standard output"
            raise


def _os_message(error: OSError) -> str:
    """Message for an error of the operating system: what was refused, and where."""
    if "No usable temporary directory" in str(error.strerror):
        return f"{error.strerror}; set TMPDIR to a folder that can be written to"
    filename = "standard output" if error.filename is None and _concerns_output(error) else error.filename
    place = "while writing" if filename is None else os.fsdecode(filename)
    temporary = place.startswith(os.path.join(tempfile.gettempdir(), "crossfool-"))
    return f"{error.strerror}: {place}{'; TMPDIR moves temporary files elsewhere' if temporary else ''}"


def _concerns_output(error: OSError) -> bool:
    """Whether an error of the operating system was raised while output was printed, which DVC has pass colorama."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals["__name__"].partition(".")[0] in ("click", "colorama", "rich")


def _stand_in_for_account() -> None:
    """Set a user name and folders for libraries, where the user id has no account and so neither name nor home."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        if not any(os.environ.get(name) for name in USER_NAME_VARIABLES):
            os.environ["LOGNAME"] = str(os.getuid())
        if not os.environ.get("HOME"):
            os.environ.setdefault("DVC_GLOBAL_CONFIG_DIR", _ABSENT)
            os.environ.setdefault("MPLCONFIGDIR", _ABSENT)


def _name_graph(message: str) -> str:
    """Let `dvc repro` in a message name the dvc.yaml of an experiment whose folder is not the current one."""
    folder = re.search(r"(?:\.\./)*experiments/[A-Za-z0-9._-]+(?=/)", message)
    if folder and Path(folder[0], "dvc.yaml").is_file():
        return message.replace("`dvc repro`", f"`dvc repro {folder[0]}/dvc.yaml`")
    return message


def stage(main: Callable[..., None]) -> click.Command:
    """Make a stage's main function a click command with `errors_in_one_line` errors."""
    # at its end Python would print the traceback of a Ctrl-C
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)

    @functools.wraps(main)
    def run(*arguments: Any, **options: Any) -> None:
        runtime.end_with_dvc()
        main(*arguments, **options)

    return click.command(errors_in_one_line(run))
