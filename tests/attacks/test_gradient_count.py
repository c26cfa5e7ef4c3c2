"""Gradient evaluations as the model counts them, beside what this package's attacks say that they cost."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from crossfool.attacks import parts, parts_table
from crossfool.attacks.chunk import Chunk, Pool
from crossfool.attacks.config import Attack
from crossfool.attacks.torchattack.gradient_count import GradientCount
from crossfool.models.inference import pixel_model
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import craft

CPU = torch.device("cpu")
IDS, LABELS, TARGETS = [4, 1, 9], torch.tensor([0, 3, 6]), torch.tensor([1, 2, 3])
LOOP: dict[str, Any] = {"epsilon": 16, "steps": 3, "step_size": 6}
TOGETHER: dict[str, dict[str, Any]] = {  # rows that combine parts, with their costs by hand
    "everything": {
        **LOOP,
        "gradient": "varied",
        "samples": 3,
        "radius": 20,
        "scales": 2,
        "diversity": 0.5,
        "kernel": 3,
        "update": "nesterov",
        "decay": 1.0,
    },
    "seeds": {**LOOP, "gradient": "smoothed", "samples": 4, "sigma": 15, "seeds": [0, 1], "record_steps": [1]},
    "noise": {**LOOP, "gradient": "relevant", "samples": 2, "sigma": 15, "noise": "antithetic", "scales": 3},
}
COSTS = {"everything": 3 * (3 + 1) * 2, "seeds": 2 * 3 * 4, "noise": 3 * (2 + 1) * 3}


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = (nn.Conv2d(3, 4, 3, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 10))
        return nn.Sequential(*layers).eval().requires_grad_(False)


def model() -> pixel_model.PixelModel:
    about = {"mean": (120.0, 110.0, 100.0), "std": (60.0, 50.0, 70.0), "side": 24, "interpolation": "bilinear"}
    return pixel_model.wrap(network(), about, device=CPU)


def chunk() -> Chunk:
    images = torch.randint(0, 256, (3, 3, 24, 24), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    return Chunk(images, LABELS, TARGETS, IDS, Pool(images.numpy(), LABELS.numpy(), np.array(IDS)))


def documented() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row that a part's docstring has."""
    for part in parts_table.part_rows():
        for name, text in part.rows:
            yield name, yaml.safe_load(text[text.index("{") :])


ROWS = dict(documented()) | TOGETHER


def test_rows_name_every_part() -> None:
    named = {module for row in ROWS.values() for module in Attack(**row).parts.modules}
    every = {part.__module__ for kind in parts.FOLDERS for part in parts.every(kind).values()}
    assert named == every
    assert {name: Attack(**TOGETHER[name]).gradient_evaluations for name in COSTS} == COSTS


@pytest.mark.parametrize("batch", [3, 2, 1])
@pytest.mark.parametrize("name", ROWS)
def test_an_attack_evaluates_as_many_gradients_as_it_says(name: str, batch: int) -> None:
    """Whatever number of images and copies shares a pass; each member of an ensemble counts its own."""
    row, pair = Attack(**ROWS[name]), [model(), model()]
    allowed = 3 * row.gradient_evaluations
    counts = [GradientCount(allowed, lambda count: None, name) for _ in pair]
    for count, member in zip(counts, pair, strict=True):
        count.watch(member)
    craft.craft_in_batches(pair, row, chunk(), Fit(batch, CPU))
    assert [count.count for count in counts] == [allowed, allowed]


# --- how the model counts ---------------------------------------------------------------------------


def counted() -> tuple[GradientCount, nn.Module, Tensor]:
    watched = network()
    count = GradientCount(100, lambda count: None, "an attack")
    count.watch(watched)
    return count, watched, torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(2)).requires_grad_()


def test_forward_passes_alone_count_nothing() -> None:
    count, watched, x = counted()
    watched(x)
    with torch.no_grad():
        watched(x)
    assert count.count == 0


def test_each_backward_pass_counts_its_images() -> None:
    count, watched, x = counted()
    torch.autograd.grad(watched(x).sum(), x)
    assert count.count == 2
    loss = watched(torch.cat([x, x])).sum()
    torch.autograd.grad(loss, x, retain_graph=True)
    torch.autograd.grad(loss, x)  # once more through one forward pass
    assert count.count == 2 + 4 + 4


def test_forward_passes_of_one_tensor_count_apart() -> None:
    count, watched, x = counted()
    losses = [watched(x).sum() for _ in range(3)]
    torch.autograd.grad(losses[0], x)
    assert count.count == 2
    torch.autograd.grad(losses[1] + losses[2], x)
    assert count.count == 6


def test_backward_passes_that_meet_at_a_layer_are_one() -> None:
    count, watched, x = counted()
    outputs: list[Tensor] = []
    watched.get_submodule("0").register_forward_hook(lambda module, images, output: outputs.append(output))
    logits = watched(x)
    (weights,) = torch.autograd.grad(logits.sum(), outputs[0], retain_graph=True)  # from the logits to the layer
    assert count.count == 2
    torch.autograd.grad((weights * outputs[0]).sum(), x, retain_graph=True)  # from the layer to the images
    assert count.count == 2
    torch.autograd.grad((weights * outputs[0]).sum(), x)
    assert count.count == 4


def test_a_copy_of_the_network_is_counted_with_it() -> None:
    count, watched, x = counted()
    torch.autograd.grad(copy.deepcopy(watched)(x).sum(), x)
    assert count.count == 2
