"""Measure how fast photographs are decoded, resized and cropped, and whether a faster decoder gives the same pixels.

Also measured is the overhead of `predict.top5` over the bare forward pass. Rates are medians of interleaved turns.
"""

import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from contestants import about
from PIL import Image, features

from crossfool import runtime
from crossfool.datasets import imagenet_sample
from crossfool.datasets.reading import image_files
from crossfool.datasets.reading.decoding import decode_many
from crossfool.storage import wheels

OURS, ALL, RAW, DECODE, THEIRS = (
    "ours, one process",
    "ours, a process a core (with their start)",
    "Pillow, decoding alone",
    "torchvision, decoding alone",
    "torchvision, decoding and resizing tensors, one thread",
)


def photographs(folder: Path, copies: int) -> str:
    """Write the default benchmark's 20 photographs into a folder, `copies` times each; return a description."""
    wheel = wheels.fetch_wheel(*imagenet_sample.FOOLBOX_WHEEL)
    for name in wheels.member_names(wheel):
        if "/imagenet_" in name and name.endswith(".jpg"):
            for copy in range(copies):
                (folder / f"{copy}_{Path(name).name}").write_bytes(wheels.read_member(wheel, name))
    return f"20 photographs of 512x512 and more, each {copies} times"


def raw(data: bytes) -> np.ndarray:
    """Decode an image by Pillow and do nothing else, (H,W,3) uint8."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def raw_torchvision(data: bytes) -> torch.Tensor:
    """Decode a JPEG by torchvision and do nothing else, (3,H,W) uint8."""
    from torchvision.io import ImageReadMode, decode_jpeg

    return decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)


def torchvisions(data: bytes) -> np.ndarray:
    """Decode, resize with antialiasing and crop a JPEG by torchvision, (3,224,224) uint8."""
    from torchvision.transforms.v2 import functional as V

    return V.center_crop(V.resize(raw_torchvision(data), [256], antialias=True), [224, 224]).numpy()


def medians(works: Mapping[str, Callable[[], object]], count: int, repeats: int) -> dict[str, float]:
    """Measure images a second of each work, in interleaved turns of which the first is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: count / statistics.median(values) for name, values in seconds.items()}


def difference(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> dict[str, float]:
    """Absolute differences of two lists of uint8 images: share of equal values, mean and greatest."""
    distances = [np.abs(first.astype(np.int16) - second).ravel() for first, second in zip(a, b, strict=True)]
    apart = np.concatenate(distances)
    return {"equal": float((apart == 0).mean()), "mean": float(apart.mean()), "most": int(apart.max())}


def decoding(path: Path, limit: int, repeats: int) -> dict[str, Any]:
    """Measure rates, and how torchvision's pixels differ from ours, on the first JPEGs in a folder or tar file."""
    with image_files.open_images(path) as files:
        names = [name for name in files.names() if name.lower().endswith((".jpg", ".jpeg"))][:limit]
        jpegs = [files.read(name) for name in names]

        def ours(processes: int | None) -> list[np.ndarray]:
            parts: list[np.ndarray] = []
            decode_many(files, names, 256, 224, parts.append, processes=processes)
            return parts

        works: dict[str, Callable[[], object]] = {
            RAW: lambda: [raw(data) for data in jpegs],
            DECODE: lambda: [raw_torchvision(data) for data in jpegs],
            OURS: lambda: ours(1),
            THEIRS: lambda: [torchvisions(data) for data in jpegs],
            ALL: lambda: ours(None),
        }
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # torchvision's resize would take every core
        rates = medians(works, len(names), repeats)
        torch.set_num_threads(threads)
        decoded = list(np.concatenate(ours(1)))
    few = jpegs[:40]
    theirs = [raw_torchvision(data).numpy() for data in few]
    return {
        "count": len(names),
        "images_per_second": rates,
        "decoded": difference([raw(data).transpose(2, 0, 1) for data in few], theirs),
        "resized": difference(decoded, [torchvisions(data) for data in jpegs]),
        "libjpeg": f"{'libjpeg-turbo ' if features.check_feature('libjpeg_turbo') else 'libjpeg '}"
        f"{features.version('libjpeg_turbo') or features.version('jpg')}",
    }


def forward(model: str, count: int, repeats: int, batch: int = 8) -> dict[str, float]:
    """Measure images a second of `predict.top5` and of the bare forward pass on prepared batches, and the overhead."""
    from crossfool.models.inference import pixel_model
    from crossfool.pipeline.evaluation import predict

    runtime.keep_freed_memory()
    cpu = torch.device("cpu")
    wrapped = pixel_model.wrap(*about(model), device=cpu)
    x = torch.randint(0, 256, (count, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batches = [part.float().contiguous(memory_format=torch.channels_last) for part in x.split(batch)]

    def bare() -> None:
        with torch.inference_mode():
            for part in batches:
                wrapped(part)

    pixels = x.numpy()
    works = {"top5": lambda: predict.top5(wrapped, pixels, batch=batch, device=cpu), "bare": bare}
    rates = medians(works, count, repeats)
    return rates | {"overhead_percent": 100 * (rates["bare"] / rates["top5"] - 1)}


def markdown(result: Mapping[str, Any]) -> str:
    """Tables of a result."""
    lines = [f"JPEGs: {result['photographs']}; Pillow with {result['libjpeg']}.", ""]
    lines += ["| decode, resize to 256, crop to 224 | images/s |", "|---|---:|"]
    lines += [f"| {name} | {rate:.0f} |" for name, rate in result["images_per_second"].items()]
    lines += ["", "| torchvision's pixels against ours | equal | mean difference | largest |", "|---|---:|---:|---:|"]
    for name, key in (("decoded", "decoded"), ("decoded, resized, cropped", "resized")):
        apart = result[key]
        lines.append(f"| {name} | {100 * apart['equal']:.4f}% | {apart['mean']:.5f} | {apart['most']} |")
    rates = result["forward"]
    lines += ["", "| efficientnet_lite0 | images/s |", "|---|---:|"]
    lines += [f"| bare forward pass | {rates['bare']:.1f} |", f"| predictions.top5 | {rates['top5']:.1f} |"]
    return "\n".join([*lines, "", f"top5 takes {rates['overhead_percent']:+.1f}% longer."])


@click.command()
@click.option("--images", "path", type=click.Path(exists=True, path_type=Path), help="A folder or tar file of JPEGs.")
@click.option("--limit", default=400, show_default=True, help="At most so many files.")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1), help="Medians are over so many.")
@click.option("--quick", is_flag=True, help="Few and small: whether it runs.")
@click.option("--json", "to", type=click.Path(path_type=Path), help="Write the numbers.")
@click.option("--markdown", "table", type=click.Path(path_type=Path), help="Write the tables.")
def main(path: Path | None, limit: int, repeats: int, quick: bool, to: Path | None, table: Path | None) -> None:
    """Measure, compare and print tables."""
    repeats = 1 if quick else repeats
    with tempfile.TemporaryDirectory() as folder:
        description = "given files" if path else photographs(Path(folder), 1 if quick else max(1, limit // 20))
        result = {"photographs": description} | decoding(path or Path(folder), limit, repeats)
    result["forward"] = forward("efficientnet_lite0", 8 if quick else 64, 1 if quick else 5)
    click.echo(markdown(result))
    if to:
        to.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if table:
        table.write_text(markdown(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
