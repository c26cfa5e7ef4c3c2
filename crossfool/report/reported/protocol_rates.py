"""The success rates that a published protocol reports, looked up by cell. Rates are percent."""

import functools
from typing import Any

from crossfool.attacks.config import Attack
from crossfool.experiment.config import Experiment
from crossfool.experiment.protocol_files import Protocol, find_protocol

NOT_COMPARED = ("fusion", "quantisation", "record_steps", "seed", "seeds")  # keys that make no other attack
PAPER = "the paper"


def reporter(experiment: Experiment) -> str:
    """Whose figures stand beside an experiment's, for the middle of a sentence: the paper's, or its protocol's."""
    return PAPER if experiment.protocol is None else experiment.protocol


def protocol_of(experiment: Experiment) -> Protocol | None:
    """The protocol that an experiment follows, if any."""
    return None if experiment.protocol is None else find_protocol(experiment.protocol)


def protocol_rate(protocol: Protocol, experiment: Experiment, source: str, target: str, attack: Attack) -> float | None:
    """The top-1 success rate that a protocol reports for a cell; None where it reports none.

    A cell has one only where the attack is one of the protocol's rows, whatever its name, and the subset's images are
    chosen as the protocol's are: right under all models, or not. Other images of the same classes count as its own, so
    that the rates of two sets of images may stand beside each other: the table names both. Tuning images have none.
    """
    if experiment.subset.uses_tuning or experiment.subset.of != protocol.subset.get("of", "correct"):
        return None
    name = next((name for name, row in _rows(protocol.key) if row == _compared(attack)), None)
    return _rates(protocol.key).get((protocol.reported_as.get(name or "", ""), source, target))


@functools.cache
def _rows(protocol: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    """(Name, values that are compared) of a protocol's rows."""
    rows = find_protocol(protocol).rows
    return tuple((name, _compared(Attack.model_validate(row))) for name, row in rows.items())


def _compared(attack: Attack) -> dict[str, Any]:
    return {key: value for key, value in attack.model_dump().items() if key not in NOT_COMPARED and value is not None}


@functools.cache
def _rates(protocol: str) -> dict[tuple[str, str, str], float]:
    """(Attack by its reported name, source, target) -> percent."""
    rows = find_protocol(protocol).reported
    return {(row["attack"], row["source"], row["target"]): float(row["success_rate_percent"]) for row in rows}
