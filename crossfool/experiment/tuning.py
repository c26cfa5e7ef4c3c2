"""Trials of attacks' values on tuning images: which rows are tried, and which values did best. Imports no torch."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode

from crossfool.attacks.config import Attack
from crossfool.errors import UserError, unknown_name
from crossfool.experiment.config import Experiment

REACH = "reach"  # steps * step_size / epsilon: how far all steps together could go, in units of epsilon
REACHES = (1.0, 1.67, 2.5, 5.0)  # the usual step; the paper's with smoothed gradients (tables 3 and 5); larger ones
SEPARATOR = "__"  # between a row's name and the number of a trial
RECORDED = ("record_steps", "seeds", "quantisation")  # keys of a row that only say what is recorded


@dataclass(frozen=True)
class Trial:
    """A row of `attacks` with other values, tried on tuning images.

    Attributes:
        row: The row's name.
        name: The trial's own: `ROW__1` and so on.
        values: Key -> the value that is tried; `step_size` in place of `reach`.
        attack: The row with these values.
        keys: All its keys, as params.yaml has them.
    """

    row: str
    name: str
    values: Mapping[str, float]
    attack: Attack
    keys: Mapping[str, Any]


def parse_candidates(texts: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Candidates of keys: `sigma=2,4` gives {"sigma": (2.0, 4.0)}.

    Raises:
        UserError: a text has another form, or a key is given twice.
    """
    candidates: dict[str, tuple[float, ...]] = {}
    for text in texts:
        key, _, numbers = text.partition("=")
        try:
            values = tuple(dict.fromkeys(float(number) for number in numbers.split(",")))
        except ValueError:
            values = ()
        if not (key and values):
            raise UserError(f"--try {text}: expected KEY=NUMBER,NUMBER such as sigma=2,4,8")
        if key in candidates:
            raise UserError(f"--try {key} is given twice; give all its numbers at once, such as {key}=1,2")
        candidates[key] = values
    return candidates


def make_trials(
    experiment: Experiment,
    given: Mapping[str, Mapping[str, Any]],
    candidates: Mapping[str, Sequence[float]],
    rows: Sequence[str] = (),
) -> list[Trial]:
    """Make the trials of an experiment's rows: all combinations of the candidates for the keys that a row has.

    A row of one step has no `reach`: longer steps than epsilon give the same images. Rows without a candidate have no
    trial.

    Args:
        experiment: The experiment whose rows are tuned.
        given: Its section `attacks`, as params.yaml has it.
        candidates: Key of rows, or `reach` (in units of epsilon) -> the values to try.
        rows: The rows to tune; all, if empty.

    Raises:
        UserError: there is no such row, no row has a key, a row refuses a value, or nothing is left to try.
    """
    for name in rows:
        if name not in experiment.attacks:
            raise unknown_name("attack", name, experiment.attacks)
    chosen = {name: row for name, row in experiment.attacks.items() if name in rows or not rows}
    for key in candidates:
        if not any(_has(row, key) for row in chosen.values()):
            raise UserError(f"--try {key}: no row has a number of that name; expected {REACH}, or a key of a row")
    return [trial for name, row in chosen.items() for trial in _trials_of(name, row, given[name], candidates)]


def best_trials(trials: Sequence[Trial], success: Mapping[str, float]) -> dict[str, Trial]:
    """Row -> its trial of the greatest success; of equals the one with the smallest values, in the order of the keys.

    Args:
        trials: All trials.
        success: Trial, by name -> mean success in percent.
    """
    by_row: dict[str, list[Trial]] = {}
    for trial in trials:
        by_row.setdefault(trial.row, []).append(trial)
    return {
        row: min(tried, key=lambda trial: preference(success[trial.name], trial.values.values()))
        for row, tried in by_row.items()
    }


def preference(success: float, values: Iterable[float | None]) -> tuple[float, ...]:
    """The key to sort tried values by, the best first: the greatest success; of equals the smallest values.

    Args:
        success: Mean success in percent.
        values: The values; None where a row has none of a key.
    """
    return -round(success, 6), *(value or 0 for value in values)


def write_values(text: str, best: Mapping[str, Trial]) -> str:
    """Write the values of trials into the rows of a params.yaml; all else stays as it is, comments too."""
    sections = _values_of(YAML(typ="safe", pure=True).compose(text))
    rows = _values_of(sections["attacks"])
    changes = []
    for name, trial in best.items():
        row, known = rows[name], _values_of(rows[name])
        for key, value in trial.values.items():
            if key in known:
                changes.append((known[key].start_mark.index, known[key].end_mark.index, f"{value:g}"))
            else:
                place, begin, end = _behind(row)
                changes.append((place, place, f"{begin}{key}: {value:g}{end}"))
    for start, stop, written in sorted(changes, reverse=True):
        text = text[:start] + written + text[stop:]
    return text


def _has(row: Attack, key: str) -> bool:
    """Whether a row has a value that can be tried."""
    value = row.value(key)
    return row.steps > 1 if key == REACH else isinstance(value, int | float) and not isinstance(value, bool)


def _trials_of(
    name: str, row: Attack, given: Mapping[str, Any], candidates: Mapping[str, Sequence[float]]
) -> list[Trial]:
    """The trials of a row; none where it has no candidate."""
    keys = [key for key in candidates if _has(row, key)]
    trials = []
    for number, tried in enumerate(itertools.product(*(candidates[key] for key in keys)) if keys else (), 1):
        values = dict(_value(row, key, value) for key, value in zip(keys, tried, strict=True))
        changed = {key: value for key, value in given.items() if key not in RECORDED} | values
        if "seeds" in given:
            changed["seed"] = given["seeds"][0]
        try:
            attack = Attack.model_validate(changed)
        except ValueError:
            shown = ", ".join(f"{key}: {value:g}" for key, value in values.items())
            raise UserError(f"attacks.{name} takes no {shown}; try others, or leave the row out by --row") from None
        trials.append(Trial(name, f"{name}{SEPARATOR}{number}", values, attack, changed))
    return trials


def _value(row: Attack, key: str, value: float) -> tuple[str, float]:
    """The key and the value that a candidate stands for, whole where it is; a step size has three digits."""
    if key == REACH:
        key, value = "step_size", float(f"{value * row.epsilon / row.steps:.3g}")
    return key, int(value) if value == int(value) else value


def _values_of(node: MappingNode) -> dict[str, Any]:
    """Key -> its value's node."""
    return {key.value: value for key, value in node.value}


def _behind(row: MappingNode) -> tuple[int, str, str]:
    """The place in the text where a row takes one more key, and the texts to put before and behind the key."""
    if row.flow_style:
        return row.end_mark.index - 1, ", ", ""
    return row.start_mark.index, "", "\n" + " " * row.start_mark.column
