"""Run mutated but valid params.yaml from end to end by `dvc repro`: each runs, or ends in one line."""

import random
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml
from fuzz import REFUSED, restructured
from kills import copied, leftovers, started
from made_datasets import made_digits
from outcome import Outcome
from repositories import Repository, made

from crossfool.errors import UserError
from crossfool.experiment import costs, loading

LONGEST = 20_000  # gradient evaluations of a run that is tried; a mutation may ask for 10^30 steps
EPOCHS = 30
# A use for every section, so that a mutation of any of them reaches a stage.
FIGURE = {"x": "samples", "lines": None, "metric": "top1", "average": False}
GRID = {
    "attack": {"update": "sign"}, "epsilon": [60], "steps": [2], "step_size": ["epsilon"], "samples": [0, 2],
    "sigma": [15], "figure": FIGURE,
}  # fmt: skip
SECTIONS = {
    "similarity": {"s": {"source": "fnn0", "target": "fnn2", "images": 3, "samples": [1, 2], "sigma": 15, "seed": 1}},
    "boundary": {
        "b": {"source": "fnn0", "targets": ["fnn2"], "image": 1, "samples": 2, "sigma": 15, "sign": True, "extent": 20,
              "points": 3}
    },
    "saliency": {"g": {"model": "fnn0", "images": [1], "samples": [1, 2], "sigma": 15}},
    "scatter": {"attacks": ["fgsm"], "same_family": True},
}  # fmt: skip


def valid(text: str, folder: Path, draw: random.Random) -> Iterator[bytes]:
    """Yield different mutations of a params.yaml that are valid and cheap enough to be run."""
    path, seen = folder / "params.yaml", {text.encode()}
    while True:
        mutated = restructured(text, draw)
        path.write_bytes(mutated)
        if mutated in seen:
            continue
        seen.add(mutated)
        try:
            experiment = loading.load_experiment(path)
        except UserError:
            continue
        epochs = experiment.training.epochs if experiment.training else 0
        if costs.cost(experiment).gradients <= LONGEST and epochs <= EPOCHS:
            yield mutated


def valid_params(count: int, seed: int) -> Outcome:
    """Run the graph with mutated, valid params.yaml."""
    outcome = Outcome("params.yaml, mutated and taken as valid, run from end to end (`dvc repro`)")
    with tempfile.TemporaryDirectory(prefix="stress ") as name:
        folder = Path(name)
        (folder / "start").mkdir()
        start = made(folder / "start", made_digits(folder / "digits", train=12, contrast=150))
        start.edit(lambda values: values.update(SECTIONS))
        start.edit(lambda values: values["grids"].update(a=GRID))
        start.repro()
        mutations = valid((start.path / "params.yaml").read_text(), folder, random.Random(seed))
        for number, mutated in zip(range(count), mutations, strict=False):
            with copied(start, f"run{number}") as repository:
                (repository.path / "params.yaml").write_bytes(mutated)
                _run(outcome, repository)
    return outcome


def _run(outcome: Outcome, repository: Repository) -> None:
    """Run `dvc repro` in a repository, and count what happened."""
    folders = repository.path.parent / "start", repository.path
    before, now = (yaml.safe_load((folder / "params.yaml").read_text()) for folder in folders)
    changed = f"{ {key: now.get(key) for key in now if now.get(key) != before.get(key)} }"[:500]
    process = started(repository, sys.executable, "-m", "dvc", "repro")
    output, _ = process.communicate()
    errors = re.findall(r"^error: .*$", output, re.MULTILINE)
    if "Traceback" in output or leftovers(repository):
        outcome.fail(f"{output[-700:]} for {changed}")
    elif not process.returncode:
        outcome.add("ran from end to end")
    elif len(errors) == 1:
        outcome.add(f"{REFUSED} by a later stage")
    elif not errors and len(re.findall(r"^ERROR: ", output, re.MULTILINE)) == 1:
        outcome.add("refused in one line by DVC")
    else:
        outcome.fail(f"{output[-700:]} for {changed}")


CAMPAIGNS = {"valid": (valid_params, 60)}
