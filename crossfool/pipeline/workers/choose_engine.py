"""Choose the engine that computes tasks, by `CROSSFOOL_ENGINE` and `CROSSFOOL_WORKERS`."""

import os

import torch

from crossfool.errors import UserError, unknown_name
from crossfool.pipeline.workers.local import Processes
from crossfool.pipeline.workers.ray_cluster import Ray
from crossfool.pipeline.workers.slurm import Slurm
from crossfool.pipeline.workers.task import Engine

ENGINES = ("local", "ray", "slurm")


def choose_engine() -> Engine | None:
    """Start the engine that the environment asks for; None where this process is to compute.

    Raises:
        UserError: there is no such engine, number of workers or library.
    """
    name = os.environ.get("CROSSFOOL_ENGINE", "local")
    if name not in ENGINES:
        raise unknown_name("engine in CROSSFOOL_ENGINE", name, ENGINES)
    if name == "ray":
        return Ray()
    gpus = torch.cuda.device_count() if "CROSSFOOL_DEVICE" not in os.environ else 0
    count = _workers(default=max(1, gpus))
    if name == "slurm":
        return Slurm(count)
    return Processes(count, gpus) if count > 1 else None


def _workers(default: int) -> int:
    """Number of workers that the environment asks for."""
    text = os.environ.get("CROSSFOOL_WORKERS", str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise UserError(f"CROSSFOOL_WORKERS is {text!r}, expected how many workers, 1 to 10000")
    return int(text)
