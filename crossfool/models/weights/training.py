"""Training by SGD with a one-cycle schedule (Smith and Topin, arXiv 1708.07120), resumable after every epoch.

Order and augmentation of an epoch are drawn from (seed, epoch) alone, so that a run that was killed
and goes on ends in the same bytes as one that was not (on the CPU; GPU kernels may add in any order).
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from crossfool.errors import UserError
from crossfool.models.inference.precision import autocast, configure
from crossfool.models.weights.config import Training
from crossfool.runtime import code_digest
from crossfool.storage.tensors import TensorFile, write_tensors

SHIFT = 4  # pixels, the usual augmentation of CIFAR-10
LOOK = 20  # steps between two checks of the loss, for which a GPU has to wait


def init_from_seed(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a network with random weights that depend on the seed alone; torch's global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def train(
    network: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    recipe: Training,
    *,
    normalise: tuple[Sequence[float], Sequence[float]],
    device: torch.device,
    checkpoint: Path | None = None,
    label: str = "train",
) -> dict[str, Tensor]:
    """Train a network that draws no random numbers itself (no dropout), in place.

    Args:
        network: Initialised; takes normalised images and returns logits.
        images: (N,C,H,W) uint8.
        labels: (N,) int64.
        recipe: The section `training` of params.yaml.
        normalise: Mean and standard deviation, each per channel or one for all, in pixels 0..255.
        device: Where to train.
        checkpoint: A file to resume from and to write after each epoch but the last; the caller deletes it once the
            result is kept. A file of another network, recipe, data, code or torch version is ignored.
        label: Text for the progress bar and errors.

    Returns:
        The state dict, on the CPU.

    Raises:
        UserError: the loss is no longer finite, or there are no images.
    """
    assert images.dtype == np.uint8 and images.ndim == 4, "images are (N,C,H,W) uint8"
    assert labels.dtype == np.int64 and labels.shape == images.shape[:1], "labels are (N,) int64"
    if not len(images):
        raise UserError(f"{label} is to be trained, and the data set has no training images (dataset: train_folder)")
    mean, std = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1).to(device) for values in normalise)
    run = fingerprint(network, images, labels, recipe, normalise, device) if checkpoint else ""
    configure(recipe.precision)
    network.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )
    steps = math.ceil(len(images) / recipe.batch_size)
    rates = learning_rates(recipe, recipe.epochs * steps)
    epochs_done = _restore(checkpoint, run, network, optimizer) if checkpoint else 0

    with tqdm(
        total=recipe.epochs * len(images), initial=epochs_done * len(images), desc=label, unit="image", unit_scale=True
    ) as progress:
        for epoch in range(epochs_done, recipe.epochs):
            draw = np.random.default_rng((recipe.seed, epoch))
            order = draw.permutation(len(images))
            for step in range(steps):
                batch = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
                x = torch.from_numpy(images[batch]).to(device)
                y = torch.from_numpy(labels[batch]).to(device)
                if recipe.augment:
                    x = augment(x, draw)
                x = ((x.float() - mean) / std).contiguous(memory_format=torch.channels_last)
                for group in optimizer.param_groups:
                    group["lr"] = rates[epoch * steps + step]
                with autocast(device.type, recipe.precision):
                    loss = F.cross_entropy(network(x), y, label_smoothing=recipe.label_smoothing)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                if step % LOOK == 0 or step == steps - 1:
                    value = loss.item()
                    if not math.isfinite(value):
                        raise _diverged(label, recipe, epoch)
                    progress.set_postfix_str(f"epoch {epoch + 1}/{recipe.epochs}, loss {value:.3f}", refresh=False)
                progress.update(len(batch))
            if checkpoint and epoch + 1 < recipe.epochs:
                _save(checkpoint, run, network, optimizer, epoch + 1)
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    if not all(value.isfinite().all() for value in state.values()):  # the very last step may break them
        raise _diverged(label, recipe, recipe.epochs - 1)
    return state


def learning_rates(recipe: Training, steps: int) -> list[float]:
    """Learning rates of all steps: up to the recipe's for 30% of the steps, then down to nothing, both by cosine."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=recipe.learning_rate)
    one_cycle = OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps, cycle_momentum=False)
    rates = []
    for step in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step < steps - 1:
            one_cycle.step()
    return rates


def augment(x: Tensor, draw: np.random.Generator) -> Tensor:
    """Shift images (N,C,H,W) by up to four pixels each (black comes in), and mirror each with probability 1/2."""
    n, _, height, width = x.shape
    top, left = (torch.from_numpy(draw.integers(0, 2 * SHIFT + 1, (n, 1))).to(x.device) for _ in range(2))
    mirror = torch.from_numpy(draw.random((n, 1)) < 0.5).to(x.device)
    column = torch.arange(width, device=x.device).expand(n, -1)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.where(mirror, width - 1 - column, column)
    padded = F.pad(x, (SHIFT,) * 4)
    image = torch.arange(n, device=x.device)[:, None, None]
    # with indices on both sides of the channels, the channels come last in the result
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def fingerprint(
    network: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    recipe: Training,
    normalise: tuple[Sequence[float], Sequence[float]],
    device: torch.device,
) -> str:
    """Hash of all that decides a training's result; a checkpoint belongs to runs of equal fingerprint."""
    settings = [
        recipe.model_dump(exclude={"retrain"}),
        normalise,
        repr(network),
        images.shape,
        device.type,
        torch.__version__,
        code_digest(),
    ]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for value in network.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    digest.update(np.ascontiguousarray(labels).data)
    for start in range(0, len(images), 1024):  # a memory map is read piece by piece
        digest.update(np.ascontiguousarray(images[start : start + 1024]).data)
    return digest.hexdigest()


def _save(path: Path, run: str, network: nn.Module, optimizer: torch.optim.Optimizer, epochs: int) -> None:
    """Write a checkpoint: the network's state after a number of epochs, and the momentum of each parameter."""
    tensors = {f"model.{name}": value for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_tensors(path, contiguous, {"run": run, "epochs": str(epochs)})


def _restore(path: Path, run: str, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load the checkpoint of an equal run; the number of epochs behind it, 0 where there is no such checkpoint."""
    try:
        file = TensorFile(path)
        if file.metadata.get("run") != run:
            return 0
        saved = {name: torch.from_numpy(np.array(file[name])) for name in file.names()}
    except UserError:  # none yet, or damaged: begin anew
        return 0
    network.load_state_dict({name: saved[f"model.{name}"] for name in network.state_dict()})
    for name, parameter in network.named_parameters():
        momentum = saved.get(f"momentum.{name}")
        if momentum is not None:
            # copied into the parameter's memory layout, which is channels last
            optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum).detach()
    return int(file.metadata["epochs"])


def _diverged(label: str, recipe: Training, epoch: int) -> UserError:
    """An error for a loss or weights that are no longer finite."""
    return UserError(
        f"{label}: training diverged in epoch {epoch + 1} of {recipe.epochs}, the loss is no longer finite; "
        f"lower training: learning_rate, which is {recipe.learning_rate:g}"
    )
