"""Adversarial images of one chunk, by the attack that a row of params.yaml describes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from crossfool.attacks import compose, losses
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import Budget, Loss, attack, quantise
from crossfool.attacks.losses import Model
from crossfool.models.inference.batch_size import Fit
from crossfool.models.weights import registry

NO_SOURCE = "remove it from sources in params.yaml; it may stay in models, as a target"


def craft(
    members: Sequence[Model],
    row: Attack,
    images: Tensor,
    labels: Tensor,
    target_labels: Tensor,
    ids: Sequence[int],
    evaluated: Callable[[int], object] = lambda count: None,
    *,
    together: int = 1,
) -> tuple[dict[str, Tensor], Tensor]:
    """Adversarial images of one chunk.

    Args:
        members: The source's models.
        row: The attack.
        images: (N,C,H,W) uint8.
        labels, target_labels: (N,) int64.
        ids: The images' ids in the data set, which the noise is drawn by.
        evaluated: Told how many gradients each pass evaluates.
        together: How many copies (noise samples, scales) of each image go through in one pass.

    Returns:
        `images` (N,C,H,W) uint8; where the row asks for them `takes` (N,K,C,H,W) uint8, in the order of `row.takes`,
        and `floats` (N,C,H,W) float32, which `images` are rounded from; and which images had finite gradients
        throughout, (N,) bool.
    """
    x = images.float().contiguous(memory_format=torch.channels_last)
    model = losses.source(members, row.fusion)
    loss = losses.targeted(model, target_labels) if row.targeted else losses.untargeted(model, labels)
    finite = torch.ones(len(x), dtype=torch.bool, device=x.device)

    def counted(x: Tensor) -> Tensor:
        evaluated(len(x))
        return loss(x)

    takes: dict[tuple[int, int], Tensor] = {}

    def attacked(seed: int) -> Tensor:
        own = row.with_seed(seed)
        estimate = compose.estimate(own, ids, together)

        def watched(loss: Loss, x: Tensor) -> Tensor:
            gradient = estimate(loss, x)
            finite.logical_and_(gradient.isfinite().flatten(1).all(1))
            return gradient

        def each(step: int, x_adv: Tensor) -> None:
            if (seed, step) in row.takes:
                takes[seed, step] = quantise(x_adv, x, row.epsilon)

        budget = Budget(row.epsilon, row.steps, row.step_size)
        given = compose.loss(own, counted, ids)
        return attack(given, x, budget, estimate=watched, update=compose.update(own), each=each)

    x_adv = attacked(row.first_seed)
    for seed in (row.seeds or ())[1:]:
        attacked(seed)
    made = {"images": quantise(x_adv, x, row.epsilon)}
    if row.takes:
        made["takes"] = torch.stack([takes[take] for take in row.takes], 1)
    if row.quantisation:
        made["floats"] = x_adv
    return made, finite


def fitted(
    members: Sequence[Model],
    row: Attack,
    images: Tensor,
    labels: Tensor,
    target_labels: Tensor,
    ids: Sequence[int],
    fit: Fit,
    evaluated: Callable[[int], object] = lambda count: None,
    *,
    name: str = "",
) -> tuple[dict[str, Tensor], Tensor]:
    """As `craft`, with as many images and copies of them at a time as fit; another library's attack, all at once.

    Args:
        name: The source's.
    """
    if row.method is not None:
        from crossfool.attacks.torchattack import adapter  # and torchattack, which no other row needs

        return adapter.craft(
            members, row, images, labels, target_labels, ids, name, evaluated, architecture=registry.architecture(name)
        )

    def some(part: slice, together: int) -> tuple[dict[str, Tensor], Tensor]:
        own = images[part], labels[part], target_labels[part], ids[part]
        return craft(members, row, *own, evaluated, together=together)

    made, finite = zip(*fit.map(some, len(ids), row.copies), strict=True)
    return {name: torch.cat([one[name] for one in made]) for name in made[0]}, torch.cat(finite)
