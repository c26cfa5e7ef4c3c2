"""Published protocols of transfer attacks, each declared in a file of `protocols/`: the folder is their registry.

The docstring of a file says what its protocol measures, and a literal PROTOCOL has the sections of params.yaml that the
protocol gives. A CSV beside the file may hold the success rates that were reported under the protocol.
"""

import csv
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossfool.errors import unknown_name
from crossfool.part_files import part_names, read_part, summary

_FOLDER = Path(__file__).parent / "protocols"
COLUMNS = ("attack", "source", "target", "success_rate_percent")  # of a CSV of reported rates


@dataclass(frozen=True)
class Protocol:
    """A protocol, as its file declares it.

    Attributes:
        name: The file's name.
        order: Its place among the protocols, which are listed by rising numbers.
        source: The paper and the repository that it is taken from.
        dataset: Its data set, by name.
        subset: The section `subset`.
        models: All models, each a target.
        sources: The source models.
        chunk: Images a unit of work.
        row: Keys that each attack has unless it gives its own.
        attacks: Attack -> its own keys; None takes a key of `row` away.
        open: What the protocol leaves open, and in what an experiment here departs from it, a sentence each.
        rates: The CSV of reported rates (percent, top-1) beside the file; "" where none is known here.
        rates_from: Where the reported rates stand, or why there are none.
        reported_as: Attack in `attacks` -> its name in the CSV.
    """

    name: str
    order: int
    source: str
    dataset: str
    subset: dict[str, Any]
    models: tuple[str, ...]
    sources: tuple[str, ...]
    chunk: int
    row: dict[str, Any]
    attacks: dict[str, dict[str, Any]]
    open: tuple[str, ...]
    rates_from: str
    rates: str = ""
    reported_as: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The protocol's name in params.yaml: the file's, with - for _."""
        return self.name.replace("_", "-")

    @property
    def module(self) -> str:
        """Dotted name of the module that declares it."""
        return f"{__package__}.{_FOLDER.name}.{self.name}"

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of `attacks` in params.yaml, by name."""
        whole = {name: {**self.row, **own} for name, own in self.attacks.items()}
        return {name: {key: value for key, value in row.items() if value is not None} for name, row in whole.items()}

    @property
    def summary(self) -> str:
        """The first line of the docstring: what the protocol measures."""
        return summary(_FOLDER / f"{self.name}.py")

    @functools.cached_property
    def reported(self) -> tuple[dict[str, str], ...]:
        """The rows of its CSV of reported rates, with the columns `COLUMNS`; none where none are known here."""
        if not self.rates:
            return ()
        return tuple(csv.DictReader((_FOLDER / self.rates).read_text(encoding="utf-8").splitlines()))


def protocols() -> dict[str, Protocol]:
    """All protocols by their names in params.yaml, in order.

    Raises:
        UserError: a declaration is wrong.
    """
    found = [find_protocol(name) for name in _names()]
    return {protocol.key: protocol for protocol in sorted(found, key=lambda protocol: protocol.order)}


@functools.cache
def find_protocol(name: str) -> Protocol:
    """Read the declaration of a protocol, by its name in params.yaml.

    Raises:
        UserError: there is no such protocol, or its declaration is wrong.
    """
    if name not in _names():
        raise unknown_name("protocol", name, _names())
    return read_part(Protocol, _FOLDER, name.replace("-", "_"), "PROTOCOL")


def _names() -> list[str]:
    return [name.replace("_", "-") for name in part_names(_FOLDER)]
