"""Read a params.yaml into an `Experiment`; the first mistake in it becomes an error of one line."""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from crossfool.attacks.config import Attack
from crossfool.attacks.sweeps import Grid, GridAttack, GridFigure, Grids
from crossfool.config import Section, expand_path
from crossfool.datasets.preparation.config import Subset
from crossfool.errors import UserError, unknown_name
from crossfool.experiment import params_file, protected_folders
from crossfool.experiment.config import Experiment, Scatter
from crossfool.models.defended_models import DefendedModel
from crossfool.models.inference.config import Compute
from crossfool.models.own_models import OwnModel, find_own
from crossfool.models.weights import registry
from crossfool.models.weights.config import Training, Weights
from crossfool.pipeline.gradient_analysis.config import Boundary, Saliency, Similarity


def load_experiment(path: str | Path = "params.yaml") -> Experiment:
    """Read and validate a params.yaml.

    Raises:
        UserError: anything in it is wrong; one line that says what, where, and what was expected.
    """
    return parse_experiment(params_file.read_text(Path(path)), path)


def parse_experiment(text: str, path: str | Path) -> Experiment:
    """Validate the text of a params.yaml.

    Args:
        text: The content of the file, which need not exist.
        path: The file: errors name it, and paths in it are relative to its folder.

    Raises:
        UserError: anything in it is wrong.
    """
    try:
        values = params_file.parse_strict(text)
    except UserError as error:
        raise UserError(f"{path}{' ' if str(error).startswith('is ') else ': '}{error}") from None
    if values is None:
        raise UserError(f"{path} is empty, expected sections: {', '.join(Experiment.model_fields)}")
    if not isinstance(values, dict):
        raise UserError(f"{path} is a {type(values).__name__}, expected sections: {', '.join(Experiment.model_fields)}")
    try:
        experiment = Experiment.model_validate(values, context={"folder": Path(path).parent})
        protected_folders.refuse_user_files(
            Path(path).parent, experiment.root, _named_files(experiment, Path(path).parent)
        )
    except ValidationError as error:
        raise UserError(f"{path}: {first_message(error)}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:  # a name that is too long for the file system
        name = max(Path(error.filename or "a path").parts, key=len)
        raise UserError(f"{path}: {name[:40]}... cannot be looked up: {error.strerror}; give a shorter path") from None
    return experiment


def _named_files(experiment: Experiment, folder: Path) -> Iterator[tuple[str, str, Path]]:
    """The user's files and folders that a params.yaml names: key, path as written, and the place it leads to."""
    data, weights = experiment.dataset, experiment.weights.dir
    if data.given_path is not None:
        place = expand_path(data.given_path, folder=folder)
        yield "dataset: path", data.given_path, place
        for key, inside in data.inner_paths.items():
            yield f"dataset: {key}", inside, place / inside
    for model in experiment.own_models or {}:
        if own := find_own(model):
            yield f"own_models: {model}: weights", own.weights, Path(own.weights)
    if weights:
        place = expand_path(weights, folder=folder)
        yield "weights: dir", weights, place
        files = (registry.file_in_folder(registry.spec(model), place) for model in experiment.models)
        yield from (("weights: dir", str(file), file) for file in files if file is not None)  # links may lead elsewhere


def first_message(error: ValidationError) -> str:
    """The first of pydantic's errors, as one line."""
    errors = error.errors(include_url=False)
    # a misspelt key is both unknown and missing: report it as unknown, which names the nearest key
    first = next((entry for entry in errors if entry["type"] == "extra_forbidden"), errors[0])
    place = [str(part) for part in first["loc"] if part not in ("[key]",)]
    where, kind, given = ": ".join(place[:-1]), first["type"], first.get("input")
    if kind == "extra_forbidden":
        section = _section(place[:-1])
        name = f"key of {'.'.join(place[:-1])}" if place[:-1] else "key"
        return str(unknown_name(name, place[-1], section.key_names() if section else ()))
    if kind == "missing":
        return f"{where + ': ' if where else ''}{place[-1]} is missing"
    path = ": ".join(place)
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        return f"{': '.join(place[:-1]) + ': ' if place[:-1] else ''}{unknown_name(place[-1], given, choices)}"
    message = " ".join(first["msg"].removeprefix("Value error, ").split())
    message = message[0].lower() + message[1:]
    if kind == "value_error":
        return f"{path}: {message}" if path else first["msg"].removeprefix("Value error, ")
    if kind == "string_pattern_mismatch" and ("sha256" not in place or first["loc"][-1] == "[key]"):
        names_models = place[0] in ("models", "targets", "sources", "weights", "training", "own_models", "defended")
        hints = [registry.timm_name_hint(name) for name in str(given).split("+") if names_models]
        message = next(filter(None, hints), "") or "a name has letters, digits and _ only (a source joins models by +)"
    if kind == "string_type" and isinstance(given, (int, float)):
        message = "expected a name (in quotes, if it looks like a number)"
    if kind == "too_short":
        return f"{path} is empty, expected at least one"
    if kind in ("model_type", "dict_type", "tuple_type"):
        message = "expected a list" if kind == "tuple_type" else "expected a section of keys and values"
    shown = f" is {given!r}" if isinstance(given, (str, int, float, bool, type(None))) else ""
    shown = shown if len(shown) < 80 else ""
    return f"{path}{shown}: {message}"


def _section(place: list[str]) -> type[Section] | None:
    """The section that a place in the file belongs to; None where it is no section's."""
    if not place:
        return Experiment
    rows: dict[str, type[Section]] = {
        "attacks": Attack,
        "own_models": OwnModel,
        "defended": DefendedModel,
        "similarity": Similarity,
        "boundary": Boundary,
        "saliency": Saliency,
    }
    if place[0] in rows:
        return rows[place[0]]
    if place[0] == "grids":
        if len(place) > 2:
            return GridAttack if place[2] == "attack" else GridFigure
        return Grids if len(place) == 1 else Grid
    named: dict[str, type[Section]] = {
        "weights": Weights,
        "training": Training,
        "scatter": Scatter,
        "subset": Subset,
        "compute": Compute,
    }
    return named.get(place[0])
