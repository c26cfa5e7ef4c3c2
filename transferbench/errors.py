"""The one exception that users are meant to read."""

import difflib
import re
import textwrap
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input, told in one line: what was wrong, what was expected, what to do.

    Stages print it without a traceback and exit with code 2.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: str) -> str:
    """The text with what would break its line, or work on a terminal, as YAML writes it in quotes."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def brief(error: object, width: int = 160) -> str:
    """What an exception says, on one line, without a terminal's colours, cut between two words."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", str(error))
    return textwrap.shorten(plain, width, placeholder=" ...") or type(error).__name__


def unknown(kind: str, name: object, valid: Iterable[str], why: str = "") -> UserError:
    """An error for a name that is not among the valid ones, with the nearest of them.

    Args:
        kind: What the name stands for, as the user would say it ("model", "key of attack igsm").
        name: What was given.
        valid: All names that would have been right.
        why: What is wrong, where that is more than an unknown name.
    """
    choices = sorted(valid)
    near = difflib.get_close_matches(str(name), choices, n=2, cutoff=0.6)
    if near:
        hint = "did you mean " + " or ".join(near) + "?"
    elif len(choices) <= 20:
        hint = "valid: " + ", ".join(choices) if choices else "none is valid here"
    else:
        hint = f"valid: {', '.join(choices[:12])} and {len(choices) - 12} more"
    return UserError(f"unknown {kind} {name!r}{f': {why}' if why else ''}; {hint}")
