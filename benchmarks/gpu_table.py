"""Rows of the GPU benchmark, what was measured of them, and the tables of it. Imports no torch."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from crossfool.experiment.network_sizes import network_size

PRECISIONS = ("float32", "tf32", "bfloat16")
WAYS = ("plain", "folded", "CUDA graph", "compiled", "torchattack")  # as gpu_gradients.py computes them
COMPARED = 4  # images whose gradients are compared with the CPU's
WEIGHTS = "Weights are random (seed 0), which speed does not depend on; images are random, too. Nothing is downloaded."
LEGEND = """\
*plain*: torchvision's network, parameters frozen; *folded*: as a cell computes; *CUDA graph*: folded, both passes in
one graph; *compiled*: folded, `compile: true`, which makes CUDA graphs, too; *torchattack*: its PGD as shipped, steps
included, which does not freeze parameters. *Of the product*: a gradient's operations (twice a forward pass) a second,
over the matrix product's in the same precision. *Of the copy*: bytes that the plain gradient's operations read and
write, by the rate, over the copy's; a way that joins operations moves fewer and may exceed 100%. *Start*: folding,
compiling or capturing, and the first calls."""
HEAD = """\
| network | batch | precision | way | gradients/s | over plain | of the product | of the copy | start, s |
|---|---:|---|---|---:|---:|---:|---:|---:|"""


@dataclass(frozen=True)
class Row:
    """A setting that is timed: input gradients of a network in a precision, a batch at a time, in one of the ways."""

    network: str
    precision: str
    batch: int
    way: str


@dataclass(frozen=True)
class Timed:
    """Times of a row: seconds to start, and seconds of a batch in each repeat; or the reason why there are none."""

    row: Row
    start: float = 0.0
    seconds: Sequence[float] = ()
    failure: str = ""

    @property
    def rate(self) -> float:
        """Gradients a second in the median repeat; 0 where the row failed."""
        return self.row.batch / statistics.median(self.seconds) if self.seconds else 0.0


@dataclass(frozen=True)
class Peaks:
    """Limits of a device: operations a second of a matrix product, by precision; bytes a second of a copy."""

    product: Mapping[str, float]
    copy: float


@dataclass(frozen=True)
class Agreement:
    """Gradients of a way against the plain ones of the CPU in float32; see `gpu_gradients.agreement`."""

    network: str
    precision: str
    way: str
    equal_signs: float
    difference: float


@dataclass
class Report:
    """Everything that was measured on a device so far."""

    hardware: Mapping[str, str]
    peaks: Peaks
    agreement: list[Agreement] = field(default_factory=list)
    timed: list[Timed] = field(default_factory=list)
    not_begun: list[Row] = field(default_factory=list)

    def as_json(self) -> str:
        rates = [asdict(one) | {"gradients_per_second": one.rate} for one in self.timed]
        return json.dumps(asdict(self) | {"weights": WEIGHTS, "timed": rates}, indent=2) + "\n"


def tables(report: Report, traffic: Mapping[str, tuple[float, float]]) -> str:
    """Everything as Markdown.

    Args:
        report: The measurements.
        traffic: Network -> bytes that its plain gradient reads and writes in float32: of any batch, and for each image.
    """
    products = ", ".join(f"{precision} {rate / 1e12:.1f}" for precision, rate in report.peaks.product.items())
    bandwidth = f"{report.peaks.copy / 1e9:.0f} GB/s read and written"
    lines = [
        "; ".join(value if key == "device" else f"{key} {value}" for key, value in report.hardware.items()) + ".",
        WEIGHTS,
        f"Matrix product, TFLOP/s: {products}. Copy within memory: {bandwidth}.",
        *("", HEAD),
        *rate_lines(report, traffic),
        *("", LEGEND),
    ]
    if "torchattack" not in report.hardware:
        lines += ["", "torchattack is not installed, and was left out: pip install --editable '.[attacks]'"]
    if report.not_begun:
        lines += ["", f"The time was over before {len(report.not_begun)} rows were begun; --seconds gives more."]
    lines += [
        *("", f"Gradients of {COMPARED} images against the CPU's plain ones in float32 (differences relative to the"),
        "greatest value of an image's gradient, of the worst image):",
        *("", "| network | precision | way | equal signs | greatest difference |", "|---|---|---|---:|---:|"),
    ]
    for one in report.agreement:
        cells = f"| {one.network} | {one.precision} | {one.way} |"
        lines.append(f"{cells} {one.equal_signs:.3f}% | {one.difference:.1e} |")
    return "\n".join(lines)


def rate_lines(report: Report, traffic: Mapping[str, tuple[float, float]]) -> list[str]:
    """Lines of the table of rates, by network, batch, precision and way; arguments as in `tables`."""
    rates, lines = {one.row: one.rate for one in report.timed}, []
    for one in sorted(report.timed, key=lambda one: place(one.row)):
        row = one.row
        cells = f"| {row.network} | {row.batch} | {row.precision} | {row.way} |"
        if one.failure:
            lines.append(f"{cells} {one.failure.replace('|', '/')} | | | | |")
            continue
        plain = rates.get(Row(row.network, row.precision, row.batch, "plain"))
        over = f"{one.rate / plain:.2f}" if plain else ""
        size, (of_batch, of_image) = network_size(row.network), traffic[row.network]
        assert size is not None, f"operations.csv has no {row.network}"
        product = 2 * size.operations * one.rate / report.peaks.product[row.precision]
        moved = (of_batch / row.batch + of_image) / (2 if row.precision == "bfloat16" else 1)
        shares = f"{100 * product:.0f}% | {100 * moved * one.rate / report.peaks.copy:.0f}%"
        lines.append(f"{cells} {one.rate:.1f} | {over} | {shares} | {one.start:.1f} |")
    return lines


def place(row: Row) -> tuple[str, int, int, int]:
    """The place of a row in the table."""
    return row.network, row.batch, PRECISIONS.index(row.precision), WAYS.index(row.way)
