"""Compare engines with this process: what one and two workers of one thread each gain, and what a chunk costs them.

There are two cells: chunks of photographs through efficientnet_lite0, which take seconds, for the gain; and chunks of
a small image through a linear network, which take next to nothing, for what handing a chunk out costs. Each is run
with a number of chunks and with three times as many: the difference is what a chunk takes, the rest what a start takes.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # for the processes that multiprocessing starts, too

CELLS = {"photographs": ("efficientnet_lite0", 4, 4), "digits": ("fnn0", 1, 1)}  # model, images a chunk, steps
CHUNKS = {"photographs": 6, "digits": 100}
ENGINES = (("processes", 1), ("processes", 2), ("ray", 1), ("ray", 2))


@dataclass(frozen=True)
class Cost:
    """Cost of an engine's workers, each with one thread, beside this process with one thread.

    Attributes:
        engine, workers: Name of the engine, and number of its workers.
        cell: Kind of the chunks, a key of CELLS.
        start: Seconds before the first chunk is computed, and after the last.
        chunk: Seconds a chunk.
        here: Seconds a chunk in this process, measured in turn with the engine's.
    """

    engine: str
    workers: int
    cell: str
    start: float
    chunk: float
    here: float


def made(folder: Path, name: str, chunks: int) -> tuple[Any, list[Path]]:
    """Make a cell of so many chunks of random images, and the weights file of its source."""
    from contestants import about

    from crossfool.attacks.config import Attack
    from crossfool.models import weights_file
    from crossfool.models.inference.config import Compute
    from crossfool.pipeline.crafting import weights_record
    from crossfool.pipeline.crafting.cell_inputs import Cell
    from crossfool.storage.tensors import write_tensors

    model, chunk, steps = CELLS[name]
    network, described = about(model)
    shape = (chunks * chunk, len(described["mean"]), described["side"], described["side"])
    ids = np.arange(shape[0])
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    tensors = {"images": images, "labels": ids % 10, "target_labels": (ids + 1) % 10, "index": ids}
    subset = folder / f"{name}{chunks}.safetensors"
    write_tensors(subset, tensors, {"dataset": "made", "family": described["family"], "classes": "10"})
    path = folder / f"{model}.safetensors"
    weights_file.write_weights(path, network.state_dict(), described)
    row = Attack(epsilon=16, steps=steps, step_size=4)
    cell = Cell(weights_record.make_record(model, folder), name, row, Compute(chunk=chunk), subset)
    return cell, [path]


def measured(engine: str, workers: int, name: str, chunks: int, repeats: int) -> Cost:
    """Measure an engine and this process in turn; each engine needs a new process."""
    import torch

    from crossfool.models.inference import pixel_model
    from crossfool.pipeline.crafting.compute_cell import compute_here, compute_with_engine
    from crossfool.pipeline.workers import local, ray_cluster

    torch.set_num_threads(1)
    device = torch.device("cpu")
    if engine == "ray":
        import ray

        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    asked = ray_cluster.Ray() if engine == "ray" else local.Processes(workers, 0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        few, many = (made(folder, name, count) for count in (chunks, 3 * chunks))
        members = [pixel_model.load(path, device=device, compute=few[0].compute) for path in few[1]]

        def elsewhere(cell: Any, files: Sequence[Path]) -> None:
            compute_with_engine(cell, files, folder / "out", engine=asked, scratch=folder / "scratch")

        def here(cell: Any, files: Sequence[Path]) -> None:
            compute_here(cell, members, folder / "out", device=device, scratch=folder / "scratch")

        times: dict[tuple[Callable[..., None], int], list[float]] = {}
        for turn in range(repeats + 1):
            for compute in (elsewhere, here):
                for place, cell_and_files in enumerate((few, many)):
                    begun = time.perf_counter()
                    compute(*cell_and_files)
                    if turn:
                        times.setdefault((compute, place), []).append(time.perf_counter() - begun)
        low, high, here_low, here_high = (statistics.median(seconds) for seconds in times.values())
    each = (high - low) / (2 * chunks)
    return Cost(engine, workers, name, low - chunks * each, each, (here_high - here_low) / (2 * chunks))


def markdown(costs: Sequence[Cost]) -> str:
    """Table of costs."""
    lines = [
        "| engine | workers | chunk of | here | with it | times as fast | more a chunk | start |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for cost in costs:
        here, chunk = 1000 * cost.here, 1000 * cost.chunk
        # with two workers, handing out is done while others compute: what it costs is seen with one
        more = f"{chunk - here:.1f} ms" if cost.workers == 1 else ""
        lines.append(
            f"| {cost.engine} | {cost.workers} | {cost.cell} | {here:.1f} ms | {chunk:.1f} ms | "
            f"{here / chunk:.2f} | {more} | {cost.start:.1f} s |"
        )
    return "\n".join(lines)


@click.command()
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1), help="Medians are over so many.")
@click.option("--quick", is_flag=True, help="Few and small: whether it runs.")
@click.option("--json", "to", type=click.Path(path_type=Path), help="Write the numbers.")
@click.option("--markdown", "table", type=click.Path(path_type=Path), help="Write the table.")
def main(repeats: int, quick: bool, to: Path | None, table: Path | None) -> None:
    """Measure and print."""
    costs = []
    for name in ("digits",) if quick else CELLS:
        for engine, workers in ENGINES[:1] if quick else ENGINES:
            chunks = 4 if quick else CHUNKS[name]
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                costs.append(process.submit(measured, engine, workers, name, chunks, 1 if quick else repeats).result())
            click.echo(f"{name}, {engine}, {workers}: done", err=True)
    click.echo(markdown(costs))
    if to:
        to.write_text(json.dumps([asdict(cost) for cost in costs], indent=2) + "\n")
    if table:
        table.write_text(markdown(costs) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
