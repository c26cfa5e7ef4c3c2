"""Attacks of torchattack that have the source model evaluate more gradients than their rows say."""

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crossfool.attacks.chunk import Chunk
from crossfool.attacks.config import Attack
from crossfool.errors import UserError
from crossfool.models.inference import pixel_model
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import craft

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torchattack = pytest.importorskip("torchattack", reason="pip install --editable '.[attacks]'")

from crossfool.attacks.torchattack.gradient_count import RowExceeded

CPU = torch.device("cpu")


def source() -> pixel_model.PixelModel:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 10)
        )
    about = {"mean": (120.0, 110.0, 100.0), "std": (60.0, 50.0, 70.0), "side": 24, "interpolation": "bilinear"}
    return pixel_model.wrap(network, about, device=CPU)


def chunk() -> Chunk:
    images = torch.randint(0, 256, (3, 3, 24, 24), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    return Chunk(images, torch.tensor([0, 3, 6]), torch.tensor([1, 2, 3]), [4, 1, 9])


class Cheating(torchattack.MIFGSM):
    """Momentum that takes a second gradient before its steps."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        self.spend(x.clone().requires_grad_())
        return super().forward(x, y)

    def spend(self, x: Tensor) -> None:
        torch.autograd.grad(self.model(self.normalize(x)).sum(), x)


class PastTheNormalisation(Cheating):
    """An attack whose second gradient does not go through the normalisation of images."""

    def spend(self, x: Tensor) -> None:
        torch.autograd.grad(self.model(x * 200).sum(), x)


class ToALayer(Cheating):
    """A gradient that ends at a copy's layer, which no gradient of the images shows."""

    def spend(self, x: Tensor) -> None:
        found: list[Tensor] = []
        hidden = copy.deepcopy(self.model)
        for module in hidden.modules():
            module.register_forward_hook(lambda module, images, output: found.append(output))
        torch.autograd.grad(hidden(x * 200).sum(), found[0])


class Stubborn(Cheating):
    """One that goes on when it is stopped."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        try:
            return super().forward(x, y)
        except UserError:
            return x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cheating", [Cheating, PastTheNormalisation, ToALayer, Stubborn])
def test_a_library_attack_that_takes_more_is_refused(cheating: type, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Attack(method="torchattack/MIFGSM", epsilon=8, steps=4, step_size=2)
    evaluated: list[int] = []

    def crafted() -> Any:
        return craft.craft_in_batches([source()], row, chunk(), Fit(3, CPU), evaluated.append, name="made")

    crafted()
    assert sum(evaluated) == 3 * 4
    monkeypatch.setattr(torchattack, "MIFGSM", cheating)
    line = (
        r"^torchattack/MIFGSM on made evaluates more gradients than its row says: 15 so far, and the row says 12 "
        r"\(an image each\); its cost in attacks/torchattack/catalogue\.py is wrong, or the library has changed$"
    )
    with pytest.raises(RowExceeded, match=line):
        crafted()


@pytest.mark.filterwarnings("ignore")
def test_a_library_attack_that_takes_fewer_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Attack(method="torchattack/MIFGSM", epsilon=8, steps=4, step_size=2)
    monkeypatch.setattr(torchattack, "MIFGSM", lambda *arguments, **options: lambda x, y: x)
    crafted, _ = craft.craft_in_batches([source()], row, chunk(), Fit(3, CPU), name="made")
    assert torch.equal(crafted["images"], chunk().images)
