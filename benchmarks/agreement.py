"""Compare the fast path's results with those of a plain float32 loop; exit code 1 where they disagree.

The plain loop is the network as it was built: no folding, no fusing, no channels_last, differentiated by
torch. Whole trajectories of sign attacks part under any change of kernel, plain float32 from float64 as
well; so what has to agree is one gradient, one step, and the success rates of whole attacks.

An image's gradient jumps where an activation lies within rounding (1e-5) of its kink: one that falls to the
other side changes up to 1% of it, in the plain loop against float64 just as in the fast path. So signs and
pixels have to agree in the mean over images; the worst image is printed, and float64 beside it.

This is one module, over 300 lines long: the plain loop, and each quantity that is compared with it.
"""

import copy
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from contestants import about
from torch import Tensor, nn
from torch.nn import functional as F

from crossfool import runtime
from crossfool.attacks import fusion
from crossfool.attacks.backward import plain
from crossfool.attacks.chunk import Chunk
from crossfool.attacks.config import Attack
from crossfool.attacks.losses import cross_entropy
from crossfool.datasets.preparation import prepare
from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.inference.precision import configure
from crossfool.pipeline.crafting.craft import craft as craft_chunk
from crossfool.stats import rates
from crossfool.storage.tensors import TensorFile

CPU = torch.device("cpu")
LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")  # with published weights
OTHERS = ("resnet18", "densenet121", "vgg16_bn")  # random weights
SIGNS, COSINE, PIXELS = 0.999, 1e-4, 0.999  # what one gradient and one step have to reach
FGSM: dict[str, Any] = {"epsilon": 15, "steps": 1, "step_size": 15}
IGSM: dict[str, Any] = {"epsilon": 15, "steps": 5, "step_size": 5}
ATTACKS = {
    "igsm": IGSM,
    "migsm": IGSM | {"update": "momentum", "decay": 1.0},
    "sg_fgsm": FGSM | {"gradient": "smoothed", "samples": 5, "sigma": 15},
}
Model = Callable[[Tensor], Tensor]


@dataclass
class Pair:
    """A model computed in the plain way, in the fast way, and in the plain way in float64."""

    plain: Model
    fast: pixel_model.PixelModel
    double: Model
    precision: str = "float32"

    def use(self, way: str) -> Model:
        """Set torch's switches for a way of computing, and return its model: the plain ways compute in no tf32."""
        configure(self.precision if way == "fast" else "float32")
        return getattr(self, way)

    @classmethod
    def of(cls, name: str, precision: str, device: torch.device) -> "Pair":
        network, described = about(name)
        compute = Compute.model_validate({"precision": precision, "chunk": 1})
        fast = pixel_model.wrap(copy.deepcopy(network), described, device=device, compute=compute)
        mean, std = (torch.tensor(described[key], device=device).view(1, -1, 1, 1) for key in ("mean", "std"))

        def plainly(network: nn.Module, dtype: torch.dtype) -> Model:
            network = network.to(device, dtype).eval().requires_grad_(False)
            return lambda x: network((x.contiguous().to(dtype) - mean.to(dtype)) / std.to(dtype))

        return cls(plainly(copy.deepcopy(network), torch.float32), fast, plainly(network, torch.float64), precision)


def one_gradient(pair: Pair, images: Tensor, labels: Tensor, batch: int = 8) -> dict[str, float]:
    """Share of equal signs and cosine distance between fast and plain gradients, of the worst image and in the mean.

    The keys with float64 compare plain and fast with float64.
    """

    def gradient(way: str) -> Tensor:
        model, parts = pair.use(way), []
        for image_batch, label_batch in zip(images.split(batch), labels.split(batch), strict=True):
            loss = cross_entropy.untargeted(fusion.source_log_probabilities([model], "losses"), label_batch)
            parts.append(plain(loss, image_batch.float()).double().flatten(1))
        return torch.cat(parts)

    by_way = {way: gradient(way) for way in ("plain", "fast", "double")}

    def compared(first: str, second: str) -> tuple[Tensor, Tensor]:
        a, b = by_way[first], by_way[second]
        return (a.sign() == b.sign()).double().mean(1), 1 - F.cosine_similarity(a, b)

    signs, distance = compared("plain", "fast")
    return {
        "signs_worst": float(signs.min()),
        "signs_mean": float(signs.mean()),
        "cosine_distance_worst": float(distance.max()),
        "cosine_distance_mean": float(distance.mean()),
        "plain_float64_signs_mean": float(compared("plain", "double")[0].mean()),
        "fast_float64_signs_mean": float(compared("fast", "double")[0].mean()),
    }


def craft(pair: Pair, way: str, row: dict[str, Any], images: Tensor, labels: Tensor, batch: int = 8) -> Tensor:
    """Craft adversarial images (N,C,H,W) uint8; the noise is drawn by an image's place, whatever the batch."""
    attack, model = Attack.model_validate(row), pair.use(way)
    parts = []
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        ids = range(start, start + len(images[part]))
        chunk = Chunk(images[part], labels[part], labels[part], ids)
        parts.append(craft_chunk([model], attack, chunk)[0]["images"])
    return torch.cat(parts)


def equal(a: Tensor, b: Tensor) -> float:
    """Share of equal values."""
    return float((a == b).double().mean())


def answers(pair: Pair, way: str, images: Tensor, batch: int = 8) -> Tensor:
    """Predicted classes (N,) of images, in a way of computing."""
    model = pair.use(way)
    with torch.inference_mode():
        return torch.cat([model(part.float()).argmax(1) for part in images.split(batch)])


def paired_interval(only_first: int, only_second: int, n: int) -> tuple[float, float, float]:
    """Difference of two paired rates, in points, with its 95% interval.

    Agresti and Min 2005: half a case is added to each cell of the table.

    Args:
        only_first, only_second: Cases that count for the first rate alone, and for the second alone.
        n: All cases.
    """
    difference = 100 * (only_first - only_second) / n
    b, c, total = only_first + 0.5, only_second + 0.5, n + 2
    half = rates.Z * ((b + c) - (b - c) ** 2 / total) ** 0.5 / total
    middle = (b - c) / total
    return difference, 100 * (middle - half), 100 * (middle + half)


def photographs() -> Tensor:
    """Read the 20 photographs of the default benchmark, (20,3,224,224) uint8."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("images.safetensors", "images.csv", "train.safetensors")]
        prepare.prepare(make_dataset(name="imagenet-sample"), paths[0], paths[1], paths[2], training=False)
        return torch.from_numpy(np.array(TensorFile(paths[0])["images"]))


def enlarged(images: Tensor, count: int) -> Tensor:
    """Make `count` different views of photographs: seeded crops, resized and half of them mirrored."""
    generator = torch.Generator().manual_seed(0)
    views = []
    for place in range(count):
        image = images[place % len(images)]
        side = int(torch.randint(160, 216, (1,), generator=generator))  # never the whole: no view comes twice
        top, left = (int(torch.randint(0, 225 - side, (1,), generator=generator)) for _ in range(2))
        view = image[None, :, top : top + side, left : left + side].float()
        view = F.interpolate(view, size=(224, 224), mode="bilinear", antialias=True).round().clamp(0, 255)
        views.append(view.flip(3) if place // len(images) % 2 else view)
    enlarged_images = torch.cat(views).to(torch.uint8)
    assert len(torch.unique(enlarged_images.flatten(1), dim=0)) == count
    return enlarged_images


def whole_attacks(
    source: Pair, target: Pair, images: Tensor, echo: Callable[[str], object] = click.echo
) -> dict[str, dict[str, float]]:
    """Success of whole attacks on the source and on a target, crafted and predicted in the plain and in the fast way.

    Labels are the plain models' predictions for the clean images; images on which source and target agree count.
    """
    labels = answers(source, "plain", images)
    both = labels == answers(target, "plain", images)
    images, labels = images[both], labels[both]
    outcomes: dict[str, dict[str, float]] = {}
    for name, row in ATTACKS.items():
        crafted = {way: craft(source, way, row, images, labels) for way in ("plain", "fast")}
        for place, model in (("source", source), ("target", target)):
            answered = {way: answers(model, way, adversarial) for way, adversarial in crafted.items()}
            plain, fast = (answered[way] != labels for way in ("plain", "fast"))
            otherwise = int((answers(model, "plain", crafted["fast"]) != answered["fast"]).sum())
            counts = int((fast & ~plain).sum()), int((plain & ~fast).sum())
            difference, low, high = paired_interval(*counts, len(labels))
            outcomes[f"{name} on the {place}"] = {
                "n": len(labels),
                "plain": 100 * float(plain.double().mean()),
                "fast": 100 * float(fast.double().mean()),
                "only_fast": counts[0],
                "only_plain": counts[1],
                "answered_otherwise": otherwise,
                "difference": difference,
                "low": low,
                "high": high,
            }
        echo(f"{name}: done")
    return outcomes


def divergence(pair: Pair, images: Tensor, labels: Tensor) -> dict[str, dict[str, float]]:
    """Share of equal pixels after 1, 2, 5 and 10 steps of igsm: fast against plain, and plain against float64."""
    shares = {}
    for steps in (1, 2, 5, 10):
        row = {"epsilon": 15, "steps": steps, "step_size": 15 if steps == 1 else 3}
        plain, fast, double = (craft(pair, way, row, images, labels) for way in ("plain", "fast", "double"))
        shares[str(steps)] = {"fast_plain": equal(fast, plain), "plain_float64": equal(plain, double)}
    return shares


def failures(result: dict[str, Any]) -> list[str]:
    """Sentences about the numbers that do not agree."""
    wrong = []
    for name, row in result["gradient"].items():
        if not row["signs_mean"] >= SIGNS:
            wrong.append(f"{name}: {100 * row['signs_mean']:.3f}% of signs agree, expected {100 * SIGNS}")
        if not row["cosine_distance_worst"] <= COSINE:
            wrong.append(f"{name}: cosine distance {row['cosine_distance_worst']:.1e}, expected at most {COSINE}")
    for name, share in result["one_step"].items():
        if not share >= PIXELS:
            wrong.append(f"{name}: {100 * share:.3f}% of pixels agree after one step, expected {100 * PIXELS}")
    for name, row in result["attacks"].items():
        if not row["low"] <= 0 <= row["high"]:
            wrong.append(
                f"{name}: rates differ by {row['difference']:.1f} points [{row['low']:.1f}, {row['high']:.1f}]"
            )
    return wrong


def markdown(result: dict[str, Any]) -> str:
    """Tables of a result."""
    lines = [
        f"Precision of the fast path: {result['precision']}.",
        "",
        "| model | signs equal, mean (worst) | cosine distance, worst | pixels equal at T=1 | plain = float64 | "
        "fast = float64 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in result["gradient"].items():
        share = result["one_step"].get(name)
        lines.append(
            f"| {name} | {100 * row['signs_mean']:.4f}% ({100 * row['signs_worst']:.4f}%) | "
            f"{row['cosine_distance_worst']:.1e} | {'' if share is None else f'{100 * share:.4f}%'} | "
            f"{100 * row['plain_float64_signs_mean']:.4f}% | {100 * row['fast_float64_signs_mean']:.4f}% |"
        )
    lines += ["", "| igsm steps | fast = plain float32 | plain float32 = float64 |", "|---:|---:|---:|"]
    for steps, row in result["divergence"].items():
        lines.append(f"| {steps} | {100 * row['fast_plain']:.2f}% | {100 * row['plain_float64']:.2f}% |")
    lines += [
        "",
        f"Whole attacks on {result['images']}; labels are the plain source's answers to the clean images, and images",
        "on which source and target agree count. Percent fooled; the last column counts fast-made images that the fast",
        "model answers otherwise than the plain one.",
        "",
        "| attack | n | plain | fast | only fast, only plain | difference [95%] | predicted otherwise |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in result["attacks"].items():
        lines.append(
            f"| {name} | {row['n']:.0f} | {row['plain']:.1f} | {row['fast']:.1f} | "
            f"{row['only_fast']:.0f}, {row['only_plain']:.0f} | "
            f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}] | {row['answered_otherwise']:.0f} |"
        )
    return "\n".join(lines)


@click.command()
@click.option("--precision", default="float32", type=click.Choice(["float32", "tf32", "bfloat16"]))
@click.option(
    "--images", "file", type=click.Path(exists=True, path_type=Path), help="An experiment's data/images.safetensors."
)
@click.option("--count", default=360, help="Images of the whole attacks; views of 20 photographs where none are given.")
@click.option("--quick", is_flag=True, help="EfficientNet-Lite0 alone, on a few images: whether it runs.")
@click.option("--json", "to", type=click.Path(path_type=Path), help="Write the numbers.")
@click.option("--markdown", "table", type=click.Path(path_type=Path), help="Write the tables.")
def main(precision: str, file: Path | None, count: int, quick: bool, to: Path | None, table: Path | None) -> None:
    """Compare, print tables, and fail where the two ways differ by more than they may."""
    runtime.keep_freed_memory()
    device = runtime.choose_device()
    few = photographs().to(device)
    many = (
        enlarged(few.cpu(), 4 if quick else count)
        if file is None
        else torch.from_numpy(np.array(TensorFile(file)["images"][:count]))
    )
    result: dict[str, Any] = {"precision": precision, "gradient": {}, "one_step": {}, "divergence": {}, "attacks": {}}
    views = f"{len(many)} seeded crops of {len(few)} photographs, half of them mirrored (no independent images)"
    result["images"] = views if file is None else f"{len(many)} given images"
    pairs: dict[str, Pair] = {}
    for name in LITE[:2] if quick else (*LITE, *OTHERS):
        pair = Pair.of(name, precision, device)
        images = few[:8] if quick else few[:4] if name in OTHERS else few  # two would be at one kink's mercy
        labels = answers(pair, "plain", images)
        result["gradient"][name] = one_gradient(pair, images, labels)
        if name in LITE:
            pairs[name] = pair
            result["one_step"][name] = equal(
                craft(pair, "plain", FGSM, images, labels), craft(pair, "fast", FGSM, images, labels)
            )
        click.echo(f"{name}: done", err=True)
    source, target = pairs[LITE[0]], pairs[LITE[1]]
    images = few[:1] if quick else few[:8]
    result["divergence"] = divergence(source, images, answers(source, "plain", images))
    result["attacks"] = whole_attacks(source, target, many.to(device), lambda text: click.echo(text, err=True))
    click.echo(markdown(result))
    if to:
        to.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if table:
        table.write_text(markdown(result) + "\n", encoding="utf-8")
    wrong = failures(result)
    for line in wrong:
        click.secho(f"differs: {line}", fg="red", err=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
