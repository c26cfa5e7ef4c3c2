"""Recognise artefacts, variables and folders under the project's first name, transferbench."""

from collections.abc import Mapping

from crossfool.errors import UserError

NAME = "transferbench"
SCRATCH = f".{NAME}"  # the scratch folder, `.crossfool` today


def current(library: str) -> str:
    """A library's name as it is today; artefacts of the first edition call the project's own `transferbench`."""
    return "crossfool" if library == NAME else library


def refuse_variables(environment: Mapping[str, str]) -> None:
    """Refuse an environment variable of the first edition, which nothing reads any more.

    Raises:
        UserError: one is set; the line names the variable that took its place.
    """
    prefix = f"{NAME.upper()}_"
    for variable in sorted(environment):
        if variable.startswith(prefix):
            now = f"CROSSFOOL_{variable.removeprefix(prefix)}"
            raise UserError(f"{variable} is set, and is called {now} now; set {now} and unset {variable}")
