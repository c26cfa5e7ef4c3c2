"""Craft the adversarial images of one chunk by the attack that a row of params.yaml describes."""

import importlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from crossfool.attacks import compose, fusion, parts
from crossfool.attacks.chunk import Chunk, Crafted
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.types import Loss, Model
from crossfool.models.inference.batch_size import Fit
from crossfool.models.weights import registry

REMOVE_SOURCE = "remove it from sources in params.yaml; it may stay in models, as a target"


def craft(
    members: Sequence[Model],
    row: Attack,
    chunk: Chunk,
    evaluated: Callable[[int], object] = lambda count: None,
    *,
    together: int = 1,
) -> Crafted:
    """Craft the adversarial images of one chunk, all in one batch.

    Args:
        members: The source's models.
        row: The attack.
        chunk: N images with their labels.
        evaluated: Called with the number of gradients that each pass evaluates.
        together: How many copies (noise samples, scales) of each image go through in one pass.

    Returns:
        Tensors by name: `images` (N,C,H,W) uint8; where the row asks for them, the snapshots `takes` (N,K,C,H,W) uint8,
        in the order of `row.snapshots`, and `floats` (N,C,H,W) float32, which `images` are rounded from. And which
        images had finite gradients throughout, (N,) bool.
    """
    x = chunk.images.float().contiguous(memory_format=torch.channels_last)
    norm, of_logits = compose.build_norm(row), row.parts.loss.takes_logits
    source = fusion.source_logits(members) if of_logits else fusion.source_log_probabilities(members, row.fusion)
    loss = compose.build_source_loss(row, source, chunk.labels, chunk.target_labels)
    finite = torch.ones(len(x), dtype=torch.bool, device=x.device)

    def counted(x: Tensor) -> Tensor:
        evaluated(len(x))
        return loss(x)

    snapshots: dict[tuple[int, int], Tensor] = {}

    def attacked(seed: int) -> Tensor:
        seeded_row = row.with_seed(seed)
        estimate = compose.build_estimator(seeded_row, chunk.ids, together, chunk.pool)

        def checked(loss: Loss, x: Tensor) -> Tensor:
            gradient = estimate(loss, x)
            finite.logical_and_(gradient.isfinite().flatten(1).all(1))
            return gradient

        def keep_snapshot(step: int, x_adv: Tensor) -> None:
            if (seed, step) in row.snapshots:
                snapshots[seed, step] = norm.quantise(x_adv, x, row.epsilon)

        budget = Budget(row.epsilon, row.steps, row.step_size)
        attacked_loss = compose.build_loss(seeded_row, counted, chunk.ids, chunk.pool)
        update = compose.build_update(seeded_row, x[0].numel())
        return attack(attacked_loss, x, budget, estimate=checked, update=update, norm=norm, each=keep_snapshot)

    x_adv = attacked(row.first_seed)
    for seed in (row.seeds or ())[1:]:
        attacked(seed)
    crafted = {"images": norm.quantise(x_adv, x, row.epsilon)}
    if row.snapshots:
        crafted["takes"] = torch.stack([snapshots[seed, step] for seed, step in row.snapshots], 1)
    if row.quantisation:
        crafted["floats"] = x_adv
    return crafted, finite


def craft_in_batches(
    members: Sequence[Model],
    row: Attack,
    chunk: Chunk,
    fit: Fit,
    evaluated: Callable[[int], object] = lambda count: None,
    *,
    name: str = "",
) -> Crafted:
    """Call `craft` on batches of as many images and copies as fit; torchattack's attacks take all images at once.

    Args:
        members: As for `craft`.
        row: As for `craft`.
        chunk: As for `craft`.
        evaluated: As for `craft`.
        fit: How many images and copies go through the models at once.
        name: The source's name.

    Returns:
        As `craft`.
    """
    if row.method is not None:
        adapter = importlib.import_module(parts.ADAPTER)
        crafted: Crafted = adapter.craft(members, row, chunk, name, evaluated, architecture=registry.architecture(name))
        return crafted

    def craft_batch(part: slice, together: int) -> Crafted:
        return craft(members, row, chunk.part(part), evaluated, together=together)

    batches, finite = zip(*fit.map(craft_batch, len(chunk.ids), row.gradient_evaluations_per_step), strict=True)
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}, torch.cat(finite)
