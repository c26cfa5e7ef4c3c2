"""Networks behind an input defence: pixels 0..255 in, the defence, then the plain model, logits out.

A random defence draws by its seed, the image's own bytes and the number of the draw. So an image's logits depend on
that image alone, and on neither the batch nor the order of images.
"""

import hashlib
import importlib
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossfool import seeds
from crossfool.config import Precision
from crossfool.errors import UserError
from crossfool.models import build as networks
from crossfool.models.defended_models import DefendedNetwork, find_defended
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.inference.pixel_model import PixelModel
from crossfool.models.weights.model_description import describe


def build(key: str) -> "Defended":
    """Build a defended network, its weights not loaded.

    Args:
        key: The model's key.

    Raises:
        UserError: the plain model's network cannot be built.
    """
    defended = find_defended(key)
    assert defended is not None, key
    plain = defended.plain
    network = networks.build(plain.network or plain.name, plain.library)
    return Defended(network, describe(plain, network), defended)


class Defended(nn.Module):
    """Logits (N,K) of a plain model behind an input defence, for images (N,C,H,W) with pixels 0..255.

    Where draws are averaged, the logits are logarithms of mean probabilities. Where draws vote, they are ranks: K for
    the class with the most votes, down to 1; classes of equal votes are ranked by mean probability.

    Args:
        network: The plain model's network.
        description: The plain model's mean, std, side and interpolation, as in a weights file's metadata.
        defended: The defended model.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, description: Mapping[str, Any], defended: DefendedNetwork) -> None:
        super().__init__()
        self.network, self.defended = network, defended
        self.native = {key: description[key] for key in ("side", "interpolation")}
        # a weights file may bring its own normalisation
        self.register_buffer("mean", torch.tensor(description["mean"]))
        self.register_buffer("std", torch.tensor(description["std"]))
        self._ready: list[PixelModel] = []  # a list, since a module's modules are in its state dict

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, images: Tensor, not_traced: None = None) -> Tensor:
        """Logits (N,K); neither torch.fx, by the second argument, nor torch.compile trace into the defence.

        Raises:
            UserError: a gradient is asked for.
        """
        if images.requires_grad and torch.is_grad_enabled():
            raise UserError(
                f"{self.defended.name} has a defence, which has no gradient; attack {self.defended.plain.name}"
            )
        model, combine = self._plain_model(images.device), self.defended.declared.combine
        if not combine:
            logits: Tensor = model(self.defend(images, 0))
            return logits
        draws = range(self.defended.draws)
        by_draw = torch.stack([model(self.defend(images, draw)).log_softmax(1) for draw in draws])
        mean = by_draw.logsumexp(0) - math.log(len(draws))
        return mean if combine == "mean" else ranks(F.one_hot(by_draw.argmax(2), by_draw.shape[2]).sum(0), mean)

    def defend(self, images: Tensor, draw: int) -> Tensor:
        """Apply the defence to images (N,C,H,W), pixels 0..255, one by one on the CPU; on every device alike.

        Args:
            images: The images, of a common side, which the result need not have.
            draw: The number of the draw.
        """
        defence = importlib.import_module(self.defended.declared.module)
        defended = [
            defence.defend(image, self.defended.level, torch.Generator().manual_seed(self._seed(image, draw)))
            for image in images.detach().float().cpu().contiguous()
        ]
        return torch.stack(defended).to(images.device).contiguous(memory_format=torch.channels_last)

    def _seed(self, image: Tensor, draw: int) -> int:
        """Seed of an image's draw, by the image's own bytes as float32."""
        digest = hashlib.blake2b(image.numpy().tobytes(), digest_size=8).digest()
        return seeds.derive_seed(self.defended.seed, int.from_bytes(digest, "little") >> 1, draw)

    def _plain_model(self, device: torch.device) -> PixelModel:
        """The plain model, computed as it is without a defence; made at the first call, when the weights are loaded."""
        if not self._ready:
            precision: Precision = "tf32" if torch.backends.cuda.matmul.allow_tf32 else "float32"
            if torch.is_autocast_enabled(device.type):
                precision = "bfloat16"
            description = {**self.native, "mean": self.mean.tolist(), "std": self.std.tolist()}
            compute = Compute(precision=precision, chunk=1)
            with torch.inference_mode(False):
                self._ready = [pixel_model.wrap(self.network, description, device=device, compute=compute)]
            self._ready[0].called = True  # a defence may give one image's pixels any values
        return self._ready[0]


def ranks(votes: Tensor, log_probabilities: Tensor) -> Tensor:
    """Rank classes by votes (N,K), and by log-probability (N,K) where votes are equal: K for the first, 1 for the last.

    A row with a value that is not finite becomes NaN.
    """
    by_probability = log_probabilities.argsort(dim=1, descending=True, stable=True)
    by_votes = votes.gather(1, by_probability).argsort(dim=1, descending=True, stable=True)
    order = by_probability.gather(1, by_votes)
    places = torch.arange(
        log_probabilities.shape[1], 0, -1, device=log_probabilities.device, dtype=log_probabilities.dtype
    ).expand_as(log_probabilities)
    ranked = torch.empty_like(log_probabilities).scatter_(1, order, places)
    return ranked.masked_fill(~log_probabilities.isfinite().all(1, keepdim=True), torch.nan)
