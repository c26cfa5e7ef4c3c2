"""Measure input gradients a second of large networks on a GPU, in at most eight minutes.

Gradients are computed in several ways (`gpu_gradients.py`), in float32, TF32 and bfloat16. Each rate stands beside
what the same card does at most (`gpu_limits.py`), and gradients are compared with the CPU's.
"""

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import click
from gpu_table import COMPARED, PRECISIONS, Agreement, Peaks, Report, Row, Timed, tables

from crossfool.errors import UserError, brief
from crossfool.pipeline.stage import errors_in_one_line

NETWORKS = ("resnet50", "vit_b_16", "densenet121")  # the last takes longest to compile
BATCHES = (64, 8, 256)  # the first is compiled first; 8 shows overhead, 256 throughput
UNCOMPILED = ("plain", "folded", "CUDA graph", "torchattack")
QUICK = "mobilenet_v3_small"
COMPILING = 60  # seconds before the end at which no network is compiled any more: some take a minute and more


def rows(with_library: bool) -> list[Row]:
    """All rows, the most telling first; what is compiled, but for the first network, comes last: it takes so long."""

    def group(networks: Sequence[str], batch: int, ways: Sequence[str]) -> list[Row]:
        return [Row(name, precision, batch, way) for name in networks for precision in PRECISIONS for way in ways]

    ways = [way for way in UNCOMPILED if with_library or way != "torchattack"]
    first, *others = BATCHES
    order = group(NETWORKS, first, ways) + group(NETWORKS[:1], first, ["compiled"])
    order += [row for batch in others for row in group(NETWORKS, batch, ways)]
    order += group(NETWORKS[1:], first, ["compiled"])
    return order + [row for batch in others for row in group(NETWORKS, batch, ["compiled"])]


def quick_rows() -> list[Row]:
    """A few rows that a CPU, too, computes in a second each."""
    return [Row(QUICK, precision, 2, way) for precision in ("float32", "bfloat16") for way in ("plain", "folded")]


def measure(row: Row, device: str) -> Timed:
    """Time a row; where memory runs out, or torch or the library has an error, that is the row's result."""
    import torch
    from gpu_gradients import time_gradients

    try:
        return Timed(row, *time_gradients(row.network, row.precision, row.batch, row.way, torch.device(device)))
    except torch.OutOfMemoryError:
        return Timed(row, failure="out of memory")
    except Exception as error:  # torch.compile, cuDNN and the library raise many kinds
        return Timed(row, failure=f"fails: {brief(error, 80)}")


def compare(networks: Sequence[str], precisions: Sequence[str], device: str) -> Iterator[Agreement]:
    """Compare the plain and the folded gradients of a few images with the CPU's plain ones in float32."""
    import torch
    from gpu_gradients import WAYS, Setting, agreement

    for name in networks:
        reference = WAYS["plain"](Setting.make(name, "float32", COMPARED, torch.device("cpu")))()
        for precision in precisions:
            for way in ("plain", "folded"):
                gradient = WAYS[way](Setting.make(name, precision, COMPARED, torch.device(device)))()
                yield Agreement(name, precision, way, *agreement(gradient, reference))


def hardware(device: str) -> dict[str, str]:
    """The device, its driver, versions of the libraries, and today's date."""
    import torch

    about = {name: importlib.metadata.version(name) for name in ("torch", "torchvision")}
    if importlib.util.find_spec("torchattack"):
        about["torchattack"] = importlib.metadata.version("torchattack")
    about["date"] = datetime.now(UTC).date().isoformat()
    if device == "cpu":
        return {"device": f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)", **about}
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        driver = "unknown"
    card = torch.cuda.get_device_properties(0)
    libraries = {"CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}
    return {"device": f"{card.name}, {card.total_memory / 2**30:.0f} GiB", "driver": driver, **libraries, **about}


def refuse_device(device: str, quick: bool) -> None:
    """Refuse a full run on the CPU, and any run on a GPU where there is none.

    Raises:
        UserError: as said.
    """
    import torch

    if device == "cpu" and not quick:
        raise UserError("--device cpu is for trials: expected --quick beside it; the full run needs an NVIDIA GPU")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"torch {torch.__version__} finds no NVIDIA GPU: run this on a machine with one, "
            "or try the script by python benchmarks/gpu.py --device cpu --quick"
        )


@click.command()
@click.option("--seconds", default=420.0, show_default=True, help="Time after which no further row is begun.")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option("--quick", is_flag=True, help=f"{QUICK} alone, two images a batch: a trial of the script.")
@click.option("--json", "to", type=click.Path(path_type=Path), help="Write everything that was measured.")
@errors_in_one_line
def main(seconds: float, device: str, quick: bool, to: Path | None) -> None:
    """Measure, and print tables; rates are medians of repeats."""
    begun = time.perf_counter()
    refuse_device(device, quick)
    import torch
    from gpu_limits import copy_bandwidth, matrix_product, traffic

    where = torch.device(device)
    chosen = quick_rows() if quick else rows(bool(importlib.util.find_spec("torchattack")))
    networks = list(dict.fromkeys(row.network for row in chosen))
    precisions = list(dict.fromkeys(row.precision for row in chosen))
    product = {name: matrix_product(name, where, 512 if quick else 8192) for name in precisions}
    report = Report(hardware(device), Peaks(product, copy_bandwidth(where, 2**24 if quick else 2**30)))
    report.agreement += compare(networks, precisions, device)
    # an empty folder for what is compiled: it takes the time that it takes
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=cache):
        for row in chosen:
            if time.perf_counter() - begun >= seconds - (COMPILING if row.way == "compiled" else 0):
                report.not_begun.append(row)
                continue
            report.timed.append(timed := measure(row, device))
            click.echo(f"{row}: {timed.failure or f'{timed.rate:.1f} gradients/s'}", err=True)
            if to:  # after every row: a run may be cut off
                to.write_text(report.as_json(), encoding="utf-8")
    if to:
        to.write_text(report.as_json(), encoding="utf-8")
    click.echo(tables(report, {name: traffic(name) for name in networks}))


if __name__ == "__main__":
    main()
