"""Measure gradient evaluations a second of crossfool and of other libraries, interleaved in one run.

Every implementation has a process of its own for each model, so that implementations share no allocator, threads or
caches; only one computes at a time. A round measures each once, in an order that
rotates; ratios are taken within a round, and their median is the result.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parent))  # for the processes that multiprocessing starts, too
from contestants import FROZEN, Work, contestants
from memory import resident
from workers import worker

from crossfool.runtime import MALLOC_TUNABLES

OURS = "crossfool"
BATCHES = {"efficientnet_lite0": 8, "resnet18": 8, "densenet121": 8, "vgg16_bn": 2}  # images; vgg16_bn is slow
QUICK = "efficientnet_lite0"
SECONDS = 200  # after which a quick run begins no round that is not an attack's first


def works(model: str, quick: bool) -> list[Work]:
    """Attacks that are measured on a model."""
    images = BATCHES[model]
    plain = [Work("igsm", images, steps=10)] if quick else [Work(name, images, 10) for name in ("igsm", "migsm")]
    return [*plain, Work("smoothed", images, steps=1, samples=20)]


@dataclass
class Measured:
    """Measurements of an implementation at an attack on a model: seconds of each round, and the peak of memory."""

    work: Work
    gradients: int
    seconds: list[float] = field(default_factory=list)
    peak_memory_mb: float = 0.0

    def rates(self) -> list[float]:
        return [self.gradients / seconds for seconds in self.seconds]

    def summary(self) -> dict[str, float]:
        rates = sorted(self.rates())
        return {
            "gradients_per_second": round(statistics.median(rates), 3),
            "gradients_per_second_low": round(rates[0], 3),
            "gradients_per_second_high": round(rates[-1], 3),
            "images_per_second": round(self.work.images / statistics.median(self.seconds), 4),
            "peak_memory_mb": round(self.peak_memory_mb, 1),
        }


def serve(connection: Connection, model: str, implementation: str) -> None:
    """Run the requested attacks of an implementation, and send seconds and peak memory; run by a worker."""
    import torch

    run = contestants(frozen=True)[implementation](model)
    generator = torch.Generator().manual_seed(0)
    while True:
        work = connection.recv()
        images = torch.randint(0, 256, (work.images, 3, 224, 224), generator=generator, dtype=torch.uint8)
        labels = torch.randint(0, 1000, (work.images,), generator=generator)
        start = time.perf_counter()
        run(work, images, labels)
        seconds = time.perf_counter() - start
        connection.send((seconds, resident()))


def measure(model: str, quick: bool, rounds: int) -> dict[str, dict[str, Measured]]:
    """Measure all implementations on a model: attack -> implementation -> measurements.

    The other libraries do all attacks, with frozen networks only igsm.
    """
    by_attack: dict[str, dict[str, Measured]] = {work.attack: {} for work in works(model, quick)}
    begun = time.perf_counter()
    with ExitStack() as stack:
        names = list(contestants(frozen=not quick))
        launched = {OURS: {**os.environ, "GLIBC_TUNABLES": MALLOC_TUNABLES}}  # as stages are
        workers = {
            name: stack.enter_context(worker(serve, model, name, environment=launched.get(name))) for name in names
        }
        for work in works(model, quick):
            taking_part = [name for name in names if work.attack == "igsm" or not name.endswith(FROZEN)]
            for name in taking_part:  # not counted: first calls choose kernels and fill caches
                workers[name].send(Work(work.attack, work.images, steps=3, samples=1))
                workers[name].recv()
                by_attack[work.attack][name] = Measured(work, work.gradients(name))
            for turn in range(rounds):
                if quick and turn and time.perf_counter() - begun > SECONDS:
                    break
                for place in range(len(taking_part)):
                    name = taking_part[(place + turn) % len(taking_part)]
                    measured = by_attack[work.attack][name]
                    workers[name].send(work)
                    seconds, memory = workers[name].recv()
                    measured.seconds.append(seconds)
                    measured.peak_memory_mb = max(measured.peak_memory_mb, memory)
                click.echo(f"{model} {work.attack}: round {turn + 1} of {rounds}", err=True)
    return by_attack


def matrix_peak(rounds: int = 5) -> float:
    """Measure the machine's best rate at a large float32 matrix product, FLOP/s."""
    import torch

    a, b = torch.randn(2, 4096, 4096)
    best = float("inf")
    for _ in range(rounds + 1):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * 4096**3 / best


def operations(model: str) -> int:
    """Count floating-point operations of one image's gradient: twice those of the forward pass."""
    import torch
    from contestants import about
    from torch.utils.flop_counter import FlopCounterMode

    network, _ = about(model)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.zeros(1, 3, 224, 224))
    return 2 * counter.get_total_flops()


def ratios(by_name: Mapping[str, Measured], peer: str) -> list[float]:
    """Ratio of our rate to that of another implementation, round by round."""
    pairs = zip(by_name[OURS].rates(), by_name[peer].rates(), strict=True)
    return [ours / theirs for ours, theirs in pairs]


def table(model: str, by_attack: Mapping[str, Mapping[str, Measured]], peak: float, flops: int) -> str:
    """Rows of the Markdown table, one for each attack and implementation."""
    lines = []
    for attack, by_name in by_attack.items():
        for name, measured in by_name.items():
            rate = measured.summary()
            share = rate["gradients_per_second"] * flops / peak
            against = "" if name == OURS else "{:.2f} [{:.2f}, {:.2f}]".format(*spread(ratios(by_name, name)))
            lines.append(
                f"| {model} | {attack} | {name} | {rate['gradients_per_second']:.1f} "
                f"[{rate['gradients_per_second_low']:.1f}, {rate['gradients_per_second_high']:.1f}] | "
                f"{rate['images_per_second']:.2f} | {against} | {100 * share:.0f}% | {rate['peak_memory_mb']:.0f} |"
            )
    return "\n".join(lines)


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, least and greatest value."""
    return statistics.median(values), min(values), max(values)


HEAD = """\
| model | attack | implementation | gradients/s [range] | images/s | ours over theirs [range] | of the limit | peak MB |
|---|---|---|---:|---:|---:|---:|---:|"""


@click.command()
@click.option("--quick", is_flag=True, help=f"{QUICK} alone, igsm and the smoothed attack: under five minutes.")
@click.option("--model", "chosen", multiple=True, type=click.Choice(list(BATCHES)), help="Only these models.")
@click.option("--rounds", type=click.IntRange(1), default=None, help="Rounds; 5, or 3 if quick.")
@click.option("--json", "to", type=click.Path(path_type=Path), help="Write medians: model -> attack -> implementation.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the table.")
def main(quick: bool, chosen: tuple[str, ...], rounds: int | None, to: Path | None, markdown: Path | None) -> None:
    """Measure, and print a table; gradient evaluations a second are medians over rounds."""
    import torch

    results: dict[str, Any] = {}
    lines: list[str] = []
    for model in [QUICK] if quick else list(chosen or BATCHES):
        before = matrix_peak()
        by_attack = measure(model, quick, rounds or (3 if quick else 5))
        peak, flops = max(before, matrix_peak()), operations(model)
        lines.append(table(model, by_attack, peak, flops))
        results[model] = {
            attack: {name: measured.summary() for name, measured in by_name.items()}
            for attack, by_name in by_attack.items()
        }
        click.echo(
            f"{model}: best matrix product {peak / 1e9:.0f} GFLOP/s, limit {peak / flops:.1f} gradients/s, "
            f"{torch.get_num_threads()} threads",
            err=True,
        )
        if to:  # after every model: a run takes a while
            to.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        if markdown:
            markdown.write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")
    click.echo("\n".join([HEAD, *lines]))


if __name__ == "__main__":
    main()
