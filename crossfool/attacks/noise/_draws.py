"""Draws of noise for each image from (seed, image id, step), which the kinds of noise share."""

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from crossfool import seeds
from crossfool.attacks.types import Noise


def drawn(seed: int, ids: Sequence[int], fill: Callable[[Tensor, torch.Generator], Tensor]) -> Noise:
    """Noise whose samples `fill` writes in place, an image (C,H,W) at a time."""

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        seeded = generators(seed, ids, step, x.device)
        side_by_side = x.device.type == "cpu" and len(ids) > 1
        map_images = _thread_pool(torch.get_num_threads()).map if side_by_side else map
        while True:
            sample = torch.empty(x.shape, dtype=x.dtype, device=x.device)
            for _ in map_images(fill, sample, seeded):
                pass
            yield sample

    return draw


def generators(seed: int, ids: Sequence[int], step: int, device: torch.device) -> list[torch.Generator]:
    """A random generator for each image, seeded by (seed, image id, step)."""
    return [torch.Generator(device).manual_seed(seeds.derive_seed(seed, image_id, step)) for image_id in ids]


@functools.cache
def _thread_pool(threads: int) -> ThreadPoolExecutor:
    """Threads that draw noise, kept for all steps: starting them anew for each takes longer than a small draw."""
    return ThreadPoolExecutor(threads, thread_name_prefix="noise")
