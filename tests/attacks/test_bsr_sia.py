"""BSR and SIA, whole trajectories, against loops written straight from their papers, and their pieces by hand."""

import functools
import itertools
import math
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import scipy.fft
import torch
from small_convs import make_network
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import rotate

from crossfool import seeds
from crossfool.attacks import compose
from crossfool.attacks.config import Attack
from crossfool.attacks.inputs import bsr, sia
from crossfool.attacks.loop import Budget, attack
from crossfool.errors import UserError

EPSILON, STEP, STEPS, MU, COPIES = 16, 3, 3, 0.8, 2
LABELS, IDS = torch.tensor([0, 3, 6]), [4, 1, 9]


@functools.cache
def network() -> nn.Module:
    return make_network(8 * 12)


def loss(x: Tensor) -> Tensor:
    return nn.functional.cross_entropy(network()(x / 255), LABELS.repeat(len(x) // len(LABELS)), reduction="none")


@pytest.fixture
def images() -> Tensor:
    """The network looks at all pixels of odd sides; else signs of some gradients would be those of rounding errors."""
    return torch.randint(0, 256, (3, 3, 11, 13), generator=torch.Generator().manual_seed(1)).double()


def ours(images: Tensor, **row: object) -> Tensor:
    """The loop with the parts of a row."""
    seed = 5 if row else None
    one = Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, update="momentum", decay=MU, seed=seed, **row)
    estimate, update = compose.build_estimator(one, IDS), compose.build_update(one)
    return attack(
        compose.build_loss(one, loss, IDS), images, Budget(EPSILON, STEPS, STEP), estimate=estimate, update=update
    )


def by_the_paper(images: Tensor, part: str, transform: Callable[[Tensor, torch.Generator], Tensor]) -> Tensor:
    """MI-FGSM whose gradient is the mean over copies (C,H,W) transformed by draws from (seed, image id, step, copy)."""
    x, g = images, torch.zeros_like(images)
    for step in range(STEPS):
        y, total = x.clone().requires_grad_(), 0
        for copy in range(COPIES):
            drawn = [seeds.derive_seed(5, image_id, step, copy, zlib.crc32(part.encode())) for image_id in IDS]
            generators = [torch.Generator().manual_seed(seed) for seed in drawn]
            total += loss(torch.stack([transform(y[n], generators[n]) for n in range(len(IDS))])).sum() / COPIES
        total.backward()
        g = MU * g + y.grad / y.grad.abs().sum((1, 2, 3), keepdim=True)
        x = x + STEP * g.sign()
        x = torch.maximum(torch.minimum(x, (images + EPSILON).clamp(max=255)), (images - EPSILON).clamp(min=0))
    return x


# --- BSR ------------------------------------------------------------------------------------------------


def turned(block: Tensor, degrees: float) -> Tensor:
    """A block (C,h,w) turned counter-clockwise about its middle, pixel by pixel: bilinear, 0 from beyond its edge."""
    height, width = block.shape[1:]
    out, cos, sin = torch.zeros_like(block), math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    for i, j in itertools.product(range(height), range(width)):
        right, up = j - (width - 1) / 2, (height - 1) / 2 - i
        column = (width - 1) / 2 + cos * right + sin * up  # where the pixel was before the turn
        row = (height - 1) / 2 - (cos * up - sin * right)
        near_row = (1 - (row - torch.arange(height).double()).abs()).clamp(min=0)
        near_column = (1 - (column - torch.arange(width).double()).abs()).clamp(min=0)
        out[:, i, j] = near_row @ block @ near_column
    return out


def shuffled(image: Tensor, generator: torch.Generator, *, draw: str = "uniform") -> Tensor:
    """An image (C,H,W) whose 2 x 2 blocks are shuffled and turned by up to 24 degrees, of the library's layout."""
    layout = bsr.draw_layout(*image.shape[1:], 2, 24.0, draw, generator)
    top, left = int(layout.heights[0]), int(layout.widths[0])
    bands = [image[:, :top], image[:, top:]]
    blocks = [[band[:, :, :left], band[:, :, left:]] for band in bands]
    rows = [
        torch.cat(
            [turned(blocks[row][column], float(layout.angles[i, j])) for j, column in enumerate(layout.columns)], 2
        )
        for i, row in enumerate(layout.rows)
    ]
    return torch.cat(rows, 1)


@pytest.mark.parametrize("draw", ["uniform", "normal"])
def test_bsr_is_its_papers_loop(images, draw):
    expected = by_the_paper(images, "bsr", functools.partial(shuffled, draw=draw))
    found = ours(images, bsr=COPIES, **({} if draw == "uniform" else {"bsr_draw": draw}))
    assert torch.equal(found, expected)
    assert not torch.equal(found, ours(images))


def test_a_rotation_is_torchvisions(images):
    for degrees in (-31.0, 0.0, 90.0, 17.0):
        one = torch.tensor([11]), torch.tensor([13]), torch.tensor([0]), torch.tensor([0])
        found = bsr.rearranged(images, bsr.Layout(*one, torch.full((1, 1), degrees, dtype=torch.float64)))
        theirs = rotate(images, degrees, interpolation=InterpolationMode.BILINEAR)
        assert torch.allclose(found, theirs, atol=1e-4)


def test_blocks_by_hand():
    image = torch.arange(12.0).view(1, 1, 3, 4)
    layout = bsr.Layout(
        torch.tensor([1, 2]),
        torch.tensor([3, 1]),
        torch.tensor([1, 0]),
        torch.tensor([1, 0]),
        torch.zeros(2, 2).double(),
    )
    assert bsr.rearranged(image, layout)[0, 0].tolist() == [[7, 4, 5, 6], [11, 8, 9, 10], [3, 0, 1, 2]]


def layouts(count: int, **more: object) -> list[bsr.Layout]:
    arguments = {"height": 12, "width": 14, "blocks": 3, "angle": 24.0, "draw": "uniform"} | more
    generator = torch.Generator().manual_seed(0)
    return [bsr.draw_layout(**arguments, generator=generator) for _ in range(count)]


def test_layouts_are_whole_and_take_all_orders():
    drawn = layouts(500)
    for one in drawn:
        assert one.heights.sum() == 12 and one.widths.sum() == 14 and one.heights.min() >= 0 and one.widths.min() >= 0
    assert {tuple(one.rows.tolist()) for one in drawn} == set(itertools.permutations(range(3)))
    assert {tuple(one.columns.tolist()) for one in drawn} == set(itertools.permutations(range(3)))
    assert np.mean([one.heights[0].item() for one in drawn]) == pytest.approx(4, abs=0.25)


def test_angles_are_of_the_papers_law_and_of_its_codes():
    uniform = torch.stack([one.angles for one in layouts(500)]).flatten()
    normal = torch.stack([one.angles for one in layouts(500, draw="normal")]).flatten()
    assert uniform.abs().max() <= 24 and normal.abs().max() <= 24
    assert uniform.std().item() == pytest.approx(24 / math.sqrt(3), rel=0.03)
    assert normal.std().item() == pytest.approx(12 * 0.8796, rel=0.03)  # of a normal law cut off at two deviations


def test_more_blocks_than_pixels_leave_some_empty():
    image = torch.rand(1, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    for seed in range(20):
        layout = bsr.draw_layout(2, 2, 8, 0.0, "uniform", torch.Generator().manual_seed(seed))
        assert bsr.rearranged(image, layout).sum().item() == pytest.approx(image.sum().item())


# --- SIA ------------------------------------------------------------------------------------------------


def resized(block: Tensor) -> Tensor:
    size = [int(side * 0.8) + 1 for side in block.shape[1:]]
    smaller = nn.functional.interpolate(block[None], size=size, mode="bilinear", align_corners=False)
    return nn.functional.interpolate(smaller, size=block.shape[1:], mode="bilinear", align_corners=False)[0]


def cosines(side: int) -> Tensor:
    """The orthonormal cosine transform, as scipy has it."""
    return torch.from_numpy(scipy.fft.dct(np.eye(side), axis=0, norm="ortho"))


def low(block: Tensor) -> Tensor:
    height, width = block.shape[1:]
    spectrum = cosines(height) @ block @ cosines(width).T
    mask = torch.ones(height, width).double()
    mask[height - int(height * 0.4) :] = 0
    mask[:, width - int(width * 0.4) :] = 0
    return cosines(height).T @ (spectrum * mask) @ cosines(width)


def transformed(block: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """A block (C,h,w) under the paper's transformation of a number, of the library's draws."""
    channels, height, width = block.shape
    below = functools.partial(torch.randint, size=(), generator=generator)
    if number == 0:
        step = int(below(height))
        return torch.stack([block[:, (row - step) % height] for row in range(height)], 1)
    if number == 1:
        step = int(below(width))
        return torch.stack([block[:, :, (column - step) % width] for column in range(width)], 2)
    if number in (2, 3, 4):
        rows, columns = torch.arange(height), torch.arange(width)
        rows, columns = rows.flip(0) if number != 3 else rows, columns.flip(0) if number != 2 else columns
        return block[:, rows][:, :, columns]
    if number == 5:
        return block * torch.rand((), generator=generator).item()
    if number == 6:
        noise = torch.rand(1, channels, height, width, generator=generator)[0].double() * 32 - 16
        return (block + noise).clamp(0, 255)
    if number == 9:
        kept = torch.rand(channels, generator=generator) >= 0.1
        return torch.stack([block[n] / 0.9 if kept[n] else 0 * block[n] for n in range(channels)])
    return resized(block) if number == 7 else low(block)


def in_blocks(image: Tensor, generator: torch.Generator, *, blocks: int = 3, count: int = 10, seen: set | None = None):
    height, width = image.shape[1:]
    cuts = [
        [0, *sorted((torch.randperm(side - 1, generator=generator)[: blocks - 1] + 1).tolist()), side]
        for side in (height, width)
    ]
    out = image.clone()
    for (top, bottom), (left, right) in itertools.product(itertools.pairwise(cuts[0]), itertools.pairwise(cuts[1])):
        number = int(torch.randint(count, (), generator=generator))
        if seen is not None:
            seen.add(number)
        out[:, top:bottom, left:right] = transformed(image[:, top:bottom, left:right], number, generator)
    return out


def test_sia_is_its_papers_loop(images):
    seen: set[int] = set()
    expected = by_the_paper(images, "sia", functools.partial(in_blocks, seen=seen))
    found = ours(images, sia=COPIES)
    assert torch.equal(found, expected)
    assert seen == set(range(10))
    assert not torch.equal(found, ours(images))


def test_sia_of_seven_transforms_and_two_blocks_is_its_loop(images):
    expected = by_the_paper(images, "sia", functools.partial(in_blocks, blocks=2, count=7))
    assert torch.equal(ours(images, sia=COPIES, sia_blocks=2, sia_transforms=7), expected)


@pytest.mark.parametrize("number", range(10))
def test_each_transform_by_itself(images, number):
    for height, width in ((1, 1), (1, 5), (7, 2), (11, 13)):
        block = images[:1, :, :height, :width]
        found = sia.TRANSFORMS[number](block, torch.Generator().manual_seed(2))
        expected = transformed(block[0], number, torch.Generator().manual_seed(2))
        assert found.shape == block.shape
        assert torch.allclose(found[0], expected, atol=1e-9)


def test_blocks_take_every_cut_once():
    drawn = {tuple(sia._cuts(5, 3, torch.Generator().manual_seed(seed))) for seed in range(100)}
    assert drawn == {(0, first, second, 5) for first, second in itertools.combinations(range(1, 5), 2)}
    assert sia._cuts(3, 3, torch.Generator()) == [0, 1, 2, 3] and sia._cuts(4, 1, torch.Generator()) == [0, 4]


def test_more_blocks_than_pixels_are_an_error(images):
    with pytest.raises(UserError, match="sia_blocks is 12, and images have a side of 11 pixels; set sia_blocks: 11 or"):
        ours(images, sia=2, sia_blocks=12)


# --- both -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"bsr": 0}, "greater than or equal to 1"),
        ({"bsr": 2.5}, "valid integer"),
        ({"bsr": 2, "bsr_blocks": 1}, "greater than or equal to 2"),
        ({"bsr": 2, "bsr_angle": 181}, "less than or equal to 180"),
        ({"bsr": 2, "bsr_angle": math.inf}, "finite"),
        ({"bsr": 2, "bsr_draw": "gaussian"}, "'uniform' or 'normal'"),
        ({"bsr_blocks": 2}, "bsr_blocks is used only with bsr; remove bsr_blocks or give bsr"),
        ({"sia": 0}, "greater than or equal to 1"),
        ({"sia": 2, "sia_blocks": 17}, "less than or equal to 16"),
        ({"sia": 2, "sia_transforms": 8}, "7 or 10"),
    ],
)
def test_bad_values_are_errors(row, message):
    with pytest.raises(ValueError, match=message):
        Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, **row)


def test_two_parts_in_a_row_draw_independently(images):
    both = Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, bsr=2, sia=3, scales=2)
    assert both.gradient_evaluations_per_step == 12
    assert zlib.crc32(b"bsr") != zlib.crc32(b"sia")
    first, second = ours(images, bsr=2, sia=2), ours(images, sia=2, bsr=2)
    assert torch.equal(first, second) and not torch.equal(first, ours(images, sia=2))


@pytest.mark.parametrize("row", [{"bsr": 2}, {"sia": 2}])
def test_another_seed_draws_other_copies(images, row):
    def of_seed(seed: int) -> Tensor:
        one = Attack(epsilon=EPSILON, steps=1, step_size=STEP, seed=seed, **row)
        return compose.build_estimator(one, IDS)(compose.build_loss(one, loss, IDS), images)

    assert torch.equal(of_seed(1), of_seed(1)) and not torch.equal(of_seed(1), of_seed(2))
