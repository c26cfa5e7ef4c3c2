"""Measure time against images, steps, noise samples, targets and processes: whether it is linear, with which constant.

Each line is fitted by least squares to medians of interleaved repeats.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # for the processes that multiprocessing starts, too
from workers import worker

MODEL = "efficientnet_lite0"
TARGETS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")  # each further point adds all of them
SIDE = 224


@dataclass(frozen=True)
class Line:
    """Line seconds = start + each * x, fitted by least squares.

    Attributes:
        worst: Largest distance of a point from the line, relative to the line.
        r2: Share of the variance that the line explains.
    """

    what: str
    x: list[int]
    seconds: list[float]
    start: float
    each: float
    worst: float
    r2: float


def fitted(what: str, x: Sequence[int], seconds: Sequence[float]) -> Line:
    """Fit a line to points by least squares."""
    each, start = np.polyfit(x, seconds, 1)
    line = start + each * np.asarray(x, float)
    residuals = np.asarray(seconds) - line
    spread = np.asarray(seconds) - np.mean(seconds)
    r2 = 1 - float((residuals**2).sum() / (spread**2).sum())
    return Line(what, list(x), list(seconds), float(start), float(each), float(np.abs(residuals / line).max()), r2)


def measured(what: str, x: Sequence[int], work: Callable[[int], object], repeats: int) -> Line:
    """Time work(x) for each x, in interleaved turns of which the first is not counted."""
    times: dict[int, list[float]] = {value: [] for value in x}
    for turn in range(repeats + 1):
        for value in x:
            start = time.perf_counter()
            work(value)
            if turn:
                times[value].append(time.perf_counter() - start)
    click.echo(f"{what}: done", err=True)
    return fitted(what, x, [statistics.median(times[value]) for value in x])


def images(count: int) -> Any:
    """Make random images (N,3,H,W) uint8."""
    import torch

    return torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def crafting(model: str) -> Callable[[int, int, int], object]:
    """Make a function that attacks N images with T steps of m samples, in chunks of 8 at most, as a cell does."""
    import torch
    from contestants import about

    from crossfool import runtime
    from crossfool.attacks.chunk import Chunk
    from crossfool.attacks.config import Attack
    from crossfool.models.inference import batch_size, pixel_model
    from crossfool.pipeline.crafting import craft

    cpu = torch.device("cpu")
    wrapped = pixel_model.wrap(*about(model), device=cpu)
    runtime.keep_freed_memory()
    widest = batch_size.widest_output([wrapped], images(1).float())

    def work(count: int, steps: int, samples: int) -> None:
        row: dict[str, Any] = {"epsilon": 15, "steps": steps, "step_size": 15 if steps == 1 else 3}
        if samples > 1:
            row |= {"gradient": "smoothed", "samples": samples, "sigma": 15}
        attack, x = Attack.model_validate(row), images(count)
        labels = torch.zeros(count, dtype=torch.int64)
        chunk = Chunk(x, labels, labels, range(count))
        craft.craft_in_batches([wrapped], attack, chunk, batch_size.Fit(8, cpu, widest))

    return work


def answering(names: Sequence[str]) -> Callable[[int], object]:
    """Make a function that predicts 16 images by k targets, the given models in turn."""
    import torch
    from contestants import about

    from crossfool.models.inference import pixel_model
    from crossfool.pipeline.evaluation import predict

    cpu = torch.device("cpu")
    targets = [pixel_model.wrap(*about(name), device=cpu) for name in names]
    x = images(16).numpy()

    def work(count: int) -> None:
        for place in range(count):
            predict.top5(targets[place % len(targets)], x, batch=8, device=cpu)

    return work


def alone(connection: Connection, model: str, threads: int, gradients: int) -> None:
    """Compute so many gradients of 8 images, with so many threads, whenever a message asks for it; run by a worker."""
    import torch

    torch.set_num_threads(threads)
    work = crafting(model)
    work(8, 1, 1)
    connection.send(None)
    while connection.recv():
        work(8, gradients // 8, 1)
        connection.send(None)


def processes(model: str, shapes: Sequence[tuple[int, int]], gradients: int, repeats: int) -> list[float]:
    """Measure gradients a second of n processes with so many threads, for each (n, threads).

    The results are medians of interleaved turns. All processes wait for a message to start, so that loading is not
    timed; the clock stops with the last.
    """
    with ExitStack() as stack:
        workers = {
            threads: [
                stack.enter_context(worker(alone, model, threads, gradients))
                for _ in range(max(count for count, own_threads in shapes if own_threads == threads))
            ]
            for threads in {threads for _, threads in shapes}
        }
        for connection in (connection for group in workers.values() for connection in group):
            connection.recv()
        rates: list[list[float]] = [[] for _ in shapes]
        for _ in range(repeats):
            for (count, threads), measured_rates in zip(shapes, rates, strict=True):
                start = time.perf_counter()
                for connection in workers[threads][:count]:
                    connection.send(True)
                for connection in workers[threads][:count]:
                    connection.recv()
                measured_rates.append(count * gradients / (time.perf_counter() - start))
        return [statistics.median(measured_rates) for measured_rates in rates]


def markdown(lines: Sequence[Line], together: Sequence[tuple[int, int, float]]) -> str:
    """Tables of the lines, and of the rates of (processes, threads each)."""
    text = [
        "| against | at | each costs | start | worst distance from the line | R² |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for line in lines:
        text.append(
            f"| {line.what} | {', '.join(map(str, line.x))} | {1000 * line.each:.1f} ms | {1000 * line.start:.1f} ms | "
            f"{100 * line.worst:.1f}% | {line.r2:.5f} |"
        )
    text += ["", "| processes | threads each | gradients/s together | against the first |", "|---:|---:|---:|---:|"]
    for count, threads, rate in together:
        text.append(f"| {count} | {threads} | {rate:.1f} | {rate / together[0][2]:.2f} |")
    return "\n".join(text)


@click.command()
@click.option("--model", default=MODEL, show_default=True, help="What is attacked.")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1), help="Medians are over so many.")
@click.option("--quick", is_flag=True, help="Few and small: whether it runs.")
@click.option("--json", "to", type=click.Path(path_type=Path), help="Write the numbers.")
@click.option("--markdown", "table", type=click.Path(path_type=Path), help="Write the tables.")
def main(model: str, repeats: int, quick: bool, to: Path | None, table: Path | None) -> None:
    """Measure, fit and print."""
    import os

    work = crafting(model)
    repeats = 1 if quick else repeats
    points = (1, 2, 3, 4)
    count = 1 if quick else 8
    targets = [model] if quick else TARGETS
    lines = [
        measured("images N (T=1)", [count * x for x in points], lambda n: work(n, 1, 1), repeats),
        measured(f"steps T (N={count})", points, lambda steps: work(count, steps, 1), repeats),
        measured(
            f"samples m (N={count}, T=1)", [2 * x for x in points], lambda samples: work(count, 1, samples), repeats
        ),
        measured("targets (N=16)", [len(targets) * x for x in points], answering(targets), repeats),
    ]
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    shapes = sorted({(1, 1), (2, 1), (cores, 1), (1, cores)}, key=lambda shape: (shape[1], shape[0]))
    rates = processes(model, shapes, 8 if quick else 160, repeats)
    together = [(n, threads, rate) for (n, threads), rate in zip(shapes, rates, strict=True)]
    click.echo(markdown(lines, together))
    if to:
        rows = [{"processes": n, "threads": threads, "gradients_per_second": rate} for n, threads, rate in together]
        to.write_text(json.dumps({"lines": [asdict(line) for line in lines], "processes": rows}, indent=2) + "\n")
    if table:
        table.write_text(markdown(lines, together) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
