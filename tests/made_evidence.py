"""Evidence made up cell by cell, for tests of the paper's claims: of which images an attack succeeds on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from builders import UNUSED
from made_experiments import params_values

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.paper_claims import Claim, check_claims

FGSM = {"epsilon": 4, "steps": 1, "step_size": 4}
IGSM = {"epsilon": 15, "steps": 5, "step_size": 5}  # αT/ε as in the paper, and σ/ε of SMOOTHED
SMOOTHED = {"gradient": "smoothed", "samples": 2, "sigma": 15}
MOMENTUM = {"update": "momentum", "decay": 1.0}
SAMPLES = {**UNUSED, "attack": {}, "epsilon": [4, 8], "steps": [1], "step_size": ["epsilon"], "sigma": [15]}
SAMPLES |= {"samples": [0, 2, 4], "figure": {"x": "epsilon", "lines": "samples"}}
SIGMAS = {**UNUSED, "attack": {}, "epsilon": [4], "steps": [1], "step_size": [4], "samples": [2]}
SIGMAS |= {"sigma": [1, 5, 25], "figure": {"x": "sigma"}}
STEPS = {**UNUSED, "attack": {"objective": "targeted"}, "epsilon": [20], "steps": [5, 10], "step_size": [2, 5, 15]}
STEPS |= {"samples": [0], "sigma": [0], "figure": {"x": "step_size", "lines": "steps", "metric": "top5"}}


def first(count: int, n: int = 8) -> np.ndarray:
    """(n,) bool: the first `count` of the images."""
    return np.arange(n) < count


def experiment(
    models: Sequence[str],
    sources: Sequence[str],
    attacks: Mapping[str, Mapping[str, Any]],
    *,
    grids: Mapping[str, Mapping[str, Any]] | None = None,
    scatter: Mapping[str, Any] | None = None,
) -> Experiment:
    """An experiment on photographs, whose models' weights are published; or on digits, where models are trained."""
    dataset = {"name": "mnist" if models[0].startswith("fnn") else "imagenet-sample"}
    values = params_values(models, sources, attacks, dataset=dataset)
    values["grids"] = {"a": UNUSED, "b": UNUSED, **(grids or {})}
    return Experiment.model_validate(values | ({"scatter": scatter} if scatter else {}))


def made(
    hits: Mapping[tuple[str, str, str], int | np.ndarray],
    attacks: Mapping[str, Mapping[str, Any]],
    *,
    hits5: Mapping[tuple[str, str, str], int] | None = None,
    destroyed: Mapping[tuple[str, str, str, str, float], int] | None = None,
    similarity: Mapping[str, tuple[tuple[int, ...], np.ndarray]] | None = None,
    clean: Mapping[str, tuple[float, int]] | None = None,
    grids: Mapping[str, Mapping[str, Any]] | None = None,
    scatter: Sequence[str] = (),
    same_family: bool = False,
) -> Evidence:
    """Evidence of the cells given: an attack succeeds on the first so many of eight images."""
    sources = list(dict.fromkeys(source for source, _, _ in hits))
    named = [model for source, _, target in hits for model in (*source.split("+"), target)]
    drawn = {"attacks": list(scatter), "same_family": same_family}
    found = {key: first(some) if isinstance(some, int) else some for key, some in hits.items()}
    return Evidence(
        experiment(list(dict.fromkeys(named)), sources, attacks, grids=grids, scatter=drawn),
        found,
        found if hits5 is None else {key: first(count) for key, count in hits5.items()},
        {key: first(count) for key, count in (destroyed or {}).items()},
        {model: {"top1": top1, "parameters": count} for model, (top1, count) in (clean or {}).items()},
        similarity or {},
    )


def checked(evidence: Evidence) -> dict[str, Claim]:
    claims = check_claims(evidence)
    assert len({claim.name for claim in claims}) == len(claims)
    return {claim.name: claim for claim in claims}
