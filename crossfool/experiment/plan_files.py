"""Plan files: written by the stage `plan`, checked by every other stage before and after it loads its code.

A plan that is not of the present params.yaml and code is refused: a result would be called up to date for values or
code that it was not computed with.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from crossfool.errors import UserError, brief
from crossfool.experiment import fingerprint, loading, stage_plans
from crossfool.experiment.config import Experiment
from crossfool.experiment.plan import StagePlan
from crossfool.models.own_models import FOLDER as OWN
from crossfool.storage.json_files import json_text, read_json, write_json

FOLDER = Path("plan")
RUN = "run `dvc repro`"

Values = TypeVar("Values")
Arguments = ParamSpec("Arguments")


def write_plans(experiment: Experiment, folder: Path) -> None:
    """Write the plan files of all stages to a folder."""
    for plan in stage_plans.all_plans(experiment):
        write_json(folder / f"{plan.name}.json", plan.content())


def plan_texts(experiment: Experiment) -> dict[str, str]:
    """The text of each stage's plan file as `write_plans` writes it, by the plan's name."""
    return {plan.name: json_text(plan.content()) for plan in stage_plans.all_plans(experiment)}


def verified(
    make_plan: Callable[Concatenate[Experiment, Arguments], StagePlan[Values]],
    *arguments: Arguments.args,
    **options: Arguments.kwargs,
) -> Values:
    """Load the modules of a stage's plan, and return the values that the stage computes with.

    The experiment's folder is the current one.

    Args:
        make_plan: A function of `stage_plans`.
        arguments: Its arguments, beside the experiment.
        options: Its options.

    Raises:
        UserError: the plan file is damaged, or was written for another params.yaml or other code.
    """
    plan = make_plan(loading.load_experiment(), *arguments, **options)
    path, present = FOLDER / f"{plan.name}.json", plan.content()
    planned = read_json(path)
    if not isinstance(planned, dict):
        raise UserError(f"{path} is damaged: expected an object, found {type(planned).__name__}; delete it and {RUN}")
    for reason in differences(planned, present):
        raise UserError(f"{reason} since {path} was written; {RUN}")
    for module in present["code"]:
        if not fingerprint.is_data(module):
            importlib.import_module(f"crossfool.{module}")
    changed = fingerprint.changed_since_import(present["code"])
    if changed is not None:
        raise UserError(f"code changed ({changed}) while the stage was loading it; {RUN}")
    return plan.values


def differences(planned: Any, present: Mapping[str, Any]) -> Iterator[str]:
    """Say what changed from a plan file's content to the present one, most telling first; nothing where all is equal.

    Args:
        planned: The content of the file; anything, where the file is damaged.
        present: `StagePlan.content` of the present params.yaml and code.
    """
    if planned == present:
        return
    if not isinstance(planned, dict):
        yield "the plan is damaged"
        return
    old_code, new_code = planned.get("code"), present["code"]
    names = fingerprint.differing(old_code if isinstance(old_code, dict) else {}, new_code)
    names.sort(key=lambda name: not name.startswith(f"{OWN}/"))
    if names and names[0].startswith(f"{OWN}/"):  # first, since the model's key, which is a value, holds their hashes
        yield f"code changed ({names[0]})"
    for key, label in (("values", "params.yaml"), ("libraries", "version")):
        for name, old, new in _leaves(planned.get(key, {}), present.get(key, {})):
            yield f"{label} changed ({name}: {_text(old)} -> {_text(new)})"
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"code changed ({names[0]}{more})"
    for name, old, new in _leaves(planned.get("derived", {}), present.get("derived", {})):
        yield f"code changed (it gives {name} {_text(new)} where it gave {_text(old)})"


_MISSING = object()


def _leaves(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(key, old, new) of each value that differs between two objects, keys joined by dots."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _leaves(old.get(key, _MISSING), new.get(key, _MISSING), f"{name}.{key}".lstrip("."))
    elif old != new:
        yield name or "all of it", old, new


def _text(value: Any) -> str:
    if value is _MISSING or value is None:
        return "none"
    return brief(str(value), 60)
