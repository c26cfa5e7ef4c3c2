"""Time against images, steps, noise samples, targets and processes: linear, and with what constant.

Each line is fitted by least squares to medians of interleaved repeats.
"""

import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # for the processes that multiprocessing starts, too
MODEL = "efficientnet_lite0"
SIDE = 224


@dataclass(frozen=True)
class Line:
    """seconds = start + each x, fitted by least squares.

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
    """The line through some points."""
    each, start = np.polyfit(x, seconds, 1)
    line = start + each * np.asarray(x, float)
    far = np.asarray(seconds) - line
    spread = np.asarray(seconds) - np.mean(seconds)
    r2 = 1 - float((far**2).sum() / (spread**2).sum())
    return Line(what, list(x), list(seconds), float(start), float(each), float(np.abs(far / line).max()), r2)


def measured(what: str, x: Sequence[int], work: Callable[[int], object], repeats: int) -> Line:
    """Time work(x) for each x, in turn, again and again; the first turn is not counted."""
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
    import torch

    return torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def crafting(model: str) -> Callable[[int, int, int], object]:
    """Attack N images with T steps of m samples, in chunks of 8 at most, as a cell does."""
    import torch
    from contestants import about

    from transferbench import cells, fitting, models, params, runtime

    runtime.keep_memory()
    cpu = torch.device("cpu")
    wrapped = models.wrap(*about(model), device=cpu)

    def work(count: int, steps: int, samples: int) -> None:
        row: dict[str, Any] = {"epsilon": 15, "steps": steps, "step_size": 15 if steps == 1 else 3}
        if samples > 1:
            row |= {"gradient": "smoothed", "samples": samples, "sigma": 15}
        attack, x = params.Attack.model_validate(row), images(count)
        labels = torch.zeros(count, dtype=torch.int64)

        def part(some: slice, together: int) -> None:
            ids = range(some.start, some.stop)
            own = x[some], labels[some], labels[some]
            cells.craft([wrapped], attack, *own, ids, together=together)

        fitting.Fit(8, cpu).map(part, count, samples)

    return work


def answering(names: Sequence[str]) -> Callable[[int], object]:
    """Answers of k targets, the given models in turn, to 16 images."""
    import torch
    from contestants import about

    from transferbench import models, predictions

    cpu = torch.device("cpu")
    targets = [models.wrap(*about(name), device=cpu) for name in names]
    x = images(16).numpy()

    def work(count: int) -> None:
        for place in range(count):
            predictions.top5(targets[place % len(targets)], x, batch=8, device=cpu)

    return work


def alone(model: str, threads: int, gradients: int, barrier: Any, results: Any) -> None:
    """A process of so many threads: how long so many gradients of 8 images take it, all starting together."""
    import torch

    torch.set_num_threads(threads)
    work = crafting(model)
    work(8, 1, 1)
    barrier.wait()
    start = time.perf_counter()
    work(8, gradients // 8, 1)
    results.put(time.perf_counter() - start)


def processes(model: str, count: int, threads: int, gradients: int) -> float:
    """Gradients a second of so many processes together."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(count), context.Queue()
    arguments = (model, threads, gradients, barrier, results)
    workers = [context.Process(target=alone, args=arguments, daemon=True) for _ in range(count)]
    for worker in workers:
        worker.start()
    slowest = max(results.get() for _ in workers)
    for worker in workers:
        worker.join()
    return count * gradients / slowest


def markdown(lines: Sequence[Line], together: Sequence[tuple[int, int, float]]) -> str:
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
@click.option("--model", default=MODEL, show_default=True)
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
@click.option("--quick", is_flag=True, help="Few and small: whether it runs.")
@click.option("--json", "to", type=click.Path(path_type=Path))
@click.option("--markdown", "table", type=click.Path(path_type=Path))
def main(model: str, repeats: int, quick: bool, to: Path | None, table: Path | None) -> None:
    """Measure, fit and print."""
    import os

    work = crafting(model)
    repeats = 1 if quick else repeats
    points = (1, 2, 3, 4)
    count = 1 if quick else 8
    lines = [
        measured("images N (T=1)", [count * x for x in points], lambda n: work(n, 1, 1), repeats),
        measured(f"steps T (N={count})", points, lambda steps: work(count, steps, 1), repeats),
        measured(
            f"samples m (N={count}, T=1)", [2 * x for x in points], lambda samples: work(count, 1, samples), repeats
        ),
        measured("targets (N=16)", points, answering([model] if quick else [model, model]), repeats),
    ]
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    shapes = sorted({(1, 1), (2, 1), (cores, 1), (1, cores)}, key=lambda shape: (shape[1], shape[0]))
    together = [(n, threads, processes(model, n, threads, 8 if quick else 160)) for n, threads in shapes]
    click.echo(markdown(lines, together))
    if to:
        rows = [{"processes": n, "threads": threads, "gradients_per_second": rate} for n, threads, rate in together]
        to.write_text(json.dumps({"lines": [asdict(line) for line in lines], "processes": rows}, indent=2) + "\n")
    if table:
        table.write_text(markdown(lines, together) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
