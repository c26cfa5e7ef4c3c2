"""Run a stage that logs each chunk or epoch it begins and finishes: `python logged.py LOG stages/attack.py ...`."""

import os
import runpy
import sys
from pathlib import Path

log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
del sys.argv[:2]
sys.path[0] = str(Path.cwd())  # the repository's own code

from crossfool.models.weights import training
from crossfool.pipeline.crafting import compute_cell, device_crafter


def note(kind: str, piece: object) -> None:
    """Write a line to the log."""
    os.write(log, f"{kind} {piece}\n".encode())


def watched(begin, write):
    """Make the functions that begin and write a chunk log it."""

    def begun(work, part, *others):
        note("begun", part.start)
        return begin(work, part, *others)

    def written(path, *others):
        write(path, *others)
        note("finished", int(path.stem))

    return begun, written


def saved(save):
    """Make the function that saves an epoch log it."""

    def noted(path, run, network, optimizer, epochs):
        save(path, run, network, optimizer, epochs)
        note("begun", epochs + 1)
        note("finished", epochs)

    return noted


device_crafter.Crafter.begin, compute_cell.write_tensors = watched(
    device_crafter.Crafter.begin, compute_cell.write_tensors
)
training._save = saved(training._save)
runpy.run_path(sys.argv[0], run_name="__main__")
