"""Networks that write in place, share modules, or compute what is no chain: outputs and gradients stay torch's own."""

import copy
import operator
from collections.abc import Callable

import pytest
import torch
from builders import calibrated
from torch import Tensor, fx, nn
from torch.nn import functional as F

from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.inference.cpu import fusion, inplace_writes

pytestmark = pytest.mark.skipif(not fusion._usable(), reason="torch has no oneDNN here")
CPU = torch.device("cpu")
ABOUT = {"mean": (127.0,) * 3, "std": (64.0,) * 3, "side": 12, "interpolation": "bilinear"}


class Made(nn.Module):
    """Two convolutions with batch normalisation, and what is done with them."""

    def __init__(self, does: Callable[["Made", Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.does = does
        self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.act = nn.ReLU()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self, x).flatten(1)

    def first(self, x: Tensor) -> Tensor:
        return self.norm1(self.conv1(x))

    def second(self, x: Tensor) -> Tensor:
        return self.norm2(self.conv2(x))


def agrees(network: nn.Module, *, fused: int | None = None, traced: bool = True) -> nn.Module:
    """Check that a wrapped network agrees with the network, which itself stays as it was; returns the model."""
    images = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(1)) * 255
    network = calibrated(network, (images - 127) / 64).requires_grad_(False)
    state = copy.deepcopy(network.state_dict())
    flags = [(type(module), getattr(module, "inplace", None)) for module in network.modules()]
    x = images.clone().requires_grad_()
    expected = network((x - 127) / 64)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    (wanted,) = torch.autograd.grad((expected * weights).sum(), x)
    assert wanted.abs().max() > 0
    for as_built in (False, True):
        model = pixel_model.wrap(copy.deepcopy(network) if as_built else network, ABOUT, device=CPU, as_built=as_built)
        for _ in range(2):  # the second time with what the first packed, and after what it wrote
            found = model(x)
            (own,) = torch.autograd.grad((found * weights).sum(), x)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(own, wanted, atol=1e-4 * float(wanted.abs().max()), rtol=1e-3)
            with torch.inference_mode():
                torch.testing.assert_close(model(images), expected, atol=1e-4, rtol=1e-4)
        if not as_built:
            made = model
    rough = pixel_model.wrap(copy.deepcopy(network), ABOUT, device=CPU, compute=Compute(precision="bfloat16", chunk=1))
    loss = (rough(x) * weights).sum()
    assert torch.autograd.grad(loss, x)[0].isfinite().all() and (rough(x) - expected).abs().max() < 0.3 * expected.std()
    # whoever holds the network, holds the one that was given
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert flags == [(type(module), getattr(module, "inplace", None)) for module in network.modules()]
    torch.testing.assert_close(network((x - 127) / 64), expected)
    assert isinstance(made.network, fx.GraphModule) is traced
    if fused is not None:
        assert sum(isinstance(module, fusion.Chain) for module in made.modules()) == fused
    return made


INPLACE_MODULES = [
    nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.ELU, nn.CELU, nn.SELU, nn.Mish,
    nn.LeakyReLU, nn.RReLU,
]  # fmt: skip


@pytest.mark.parametrize("kind", INPLACE_MODULES, ids=lambda kind: kind.__name__)
def test_a_convolution_then_an_activation_in_place(kind):
    agrees(Made(lambda own, x: own.second(own.late(own.first(x))), late=kind(inplace=True)))


WAYS = {  # what alters y in place; y is a convolution's output, or ReLU6's, which torch does not keep
    "F.relu": lambda y: F.relu(y, inplace=True),
    "F.relu by place": lambda y: F.relu(y, True),
    "F.hardtanh by place": lambda y: F.hardtanh(y, -1.0, 1.0, True),
    "F.silu": lambda y: F.silu(y, inplace=True),
    "torch.relu_": torch.relu_,
    "F.relu_": F.relu_,
    "method": lambda y: y.relu_(),
    "add_": lambda y: y.add_(1.0),
    "mul_": lambda y: y.mul_(2.0),
    "clamp_": lambda y: y.clamp_(-1.0, 1.0),
    "sigmoid_": lambda y: y.sigmoid_(),
    "iadd": lambda y: operator.iadd(y, 1.0),
    "isub": lambda y: operator.isub(y, y.mean()),
    "imul": lambda y: operator.imul(y, 0.5),
    "itruediv": lambda y: operator.itruediv(y, 3.0),
    "a view": lambda y: y.view(-1, 8, 144).mul_(2.0),
    "a flattened view": lambda y: torch.flatten(y, 2).mul_(2.0),
    "a channel": lambda y: y[:, 2].mul_(2.0),
    "a chunk": lambda y: y.chunk(2, 1)[1].mul_(2.0),
    "a chunk of chunks": lambda y: operator.add(y.chunk(2, 1), (y,))[0].mul_(2.0),
    "a permuted view": lambda y: y.permute(0, 2, 3, 1).add_(1.0),
    "the same by another name": lambda y: y.expand(-1, -1, -1, -1).mul_(2.0),
    "out": lambda y: torch.mul(y.detach(), 2.0, out=y.detach()),
    "torch.ops": lambda y: torch.ops.aten.mul_.Tensor(y, y.detach() * 0 + 2.0),
}


@pytest.mark.parametrize("kind", ["nothing", "relu6", "relu6 module"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_altered_later_is_read_as_altered(way, kind):
    """The altered value is read by its first name, by its second, or both."""

    def does(own: Made, x: Tensor) -> Tensor:
        y = F.relu6(own.first(x)) if kind == "relu6" else own.act6(own.first(x)) if kind != "nothing" else own.first(x)
        z = WAYS[way](y)
        return own.second(y) + z.mean() * y

    if way.startswith("a chunk"):
        # torch itself lets nobody alter one of several views
        with pytest.raises(RuntimeError, match="modified inplace"):
            agrees(Made(does, act6=nn.ReLU6()))
        return
    agrees(Made(does, act6=nn.ReLU6()))


@pytest.mark.parametrize("way", ["F.relu", "torch.relu_", "method", "add_", "iadd", "a view", "out"])
def test_a_result_that_nobody_takes_is_written_all_the_same(way):
    """torch.fx takes such an operation for one that does nothing."""

    def does(own: Made, x: Tensor) -> Tensor:
        y = own.first(x)
        WAYS[way](y)
        return own.second(y)

    agrees(Made(does))


def test_an_activation_module_whose_result_nobody_takes():
    def does(own: Made, x: Tensor) -> Tensor:
        y = own.first(x)
        own.late(y)
        return own.second(y) * y

    agrees(Made(does, late=nn.ReLU(inplace=True)))


@pytest.mark.parametrize("way", ["add_", "mul_", "iadd", "F.silu", "a view"])
@pytest.mark.parametrize("before", [False, True])
def test_a_chains_input_that_is_altered_before_its_output_is_read(way, before):
    """A chain reads it where its first operation stands, not where its last does; torch keeps it for a gradient."""

    def does(own: Made, x: Tensor) -> Tensor:
        y = own.norm1(own.conv1(x)) + 1.0
        z = own.norm2(y) if before else own.conv2(y)
        WAYS[way](y)
        return (own.conv2(own.act(z)) if before else own.act(z)) + y

    images = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(1)) * 255
    network = calibrated(Made(does), (images - 127) / 64)
    with torch.inference_mode():
        expected = network((images - 127) / 64)
        model = pixel_model.wrap(network, ABOUT, device=CPU)
        torch.testing.assert_close(model(images), expected, atol=1e-4, rtol=1e-4)
    assert sum(isinstance(module, fusion.Chain) for module in model.modules()) == 2


def test_dense_blocks_whose_features_are_altered():
    class Dense(nn.Module):
        def __init__(self, where: str) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.where, self.stem = where, nn.Conv2d(3, 8, 3, padding=1)
            self.layers = nn.ModuleList(
                nn.Sequential(nn.BatchNorm2d(8 + 4 * n), nn.ReLU(), nn.Conv2d(8 + 4 * n, 4, 3, padding=1))
                for n in range(3)
            )

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x) * 1.0
            for place, layer in enumerate(self.layers):
                y = layer(x)
                if self.where == "layer" and place == 1:
                    y.mul_(2.0)
                x = torch.cat([x, y], 1)
                if self.where == "between" and place == 0:
                    x.add_(1.0)
            if self.where == "output":
                x.sigmoid_()
            return x.flatten(1)

    for where in ("nowhere", "layer", "between", "output"):
        agrees(Dense(where))


def test_a_view_that_channels_last_cannot_be():
    network = Made(lambda own, x: own.act(own.second(own.first(x)).view(4, -1))).eval()
    x = torch.rand(4, 3, 12, 12) * 255
    with torch.inference_mode():
        expected = network((x - 127) / 64)
        torch.testing.assert_close(pixel_model.wrap(network, ABOUT, device=CPU)(x), expected, atol=1e-4, rtol=1e-4)


def test_identities_and_dropouts_are_no_obstacle():
    between = {"none": nn.Identity(), "drop": nn.Dropout(0.5), "drop2": nn.Dropout2d(0.5)}

    def does(own: Made, x: Tensor) -> Tensor:
        y = own.act(own.drop(own.none(own.norm1(own.none(own.conv1(x))))))
        return F.dropout(own.act(own.drop2(own.second(y))), 0.5, training=own.training)

    made = agrees(Made(does, **between), fused=1)
    assert not [module for module in made.modules() if isinstance(module, nn.BatchNorm2d | nn.Identity | nn.Dropout)]


def opaque(x: Tensor) -> Tensor:
    return x.mul_(2.0)


fx.wrap("opaque")


def test_a_function_that_nobody_knows_may_write():
    agrees(Made(lambda own, x: own.second(opaque(F.relu6(own.first(x))))))


def test_a_constant_is_not_altered_for_good():
    """torch.fx makes a constant of what needs no image; adding to it in place would add up over the calls."""

    def does(own: Made, x: Tensor) -> Tensor:
        total = torch.zeros(1, 8, 12, 12)
        total = total.repeat(4, 1, 1, 1)
        total += own.first(x)
        return total

    agrees(Made(does))


SHARED = {
    "a convolution, twice with one norm": lambda own, x: own.norm1(own.conv2(own.norm1(own.conv2(own.conv1(x))))),
    "a convolution, with two norms": lambda own, x: own.norm2(own.conv2(own.norm1(own.conv2(own.conv1(x))))),
    "a convolution, normalised once": lambda own, x: own.conv2(own.norm1(own.conv2(own.conv1(x)))),
    "a norm": lambda own, x: own.norm1(own.conv2(own.norm1(own.conv1(x)))),
    "the first convolution": lambda own, x: own.norm1(own.conv1(x)) * own.norm2(own.conv1(x * x)),
    "an output of two readers": lambda own, x: own.norm1(y := own.conv1(x)) * y,
    "a weight that is read elsewhere": lambda own, x: own.norm1(own.conv1(x)) * own.conv1.weight.sum(),
    "a weight that a function uses": lambda own, x: own.norm1(own.conv1(x)) * F.conv2d(x, own.conv1.weight, padding=1),
    "a weight by its module's name": lambda own, x: own.norm2(own.conv1(x)) + own.conv1.bias.view(1, 8, 1, 1),
    "arguments by name": lambda own, x: own.norm1(input=own.conv1(input=x)) + F.relu(input=own.conv2(own.conv1(x))),
    "relu by name before a convolution": lambda own, x: own.conv2(F.relu(input=own.norm2(own.norm1(own.conv1(x))))),
}


@pytest.mark.parametrize("what", SHARED)
def test_what_is_shared_is_folded_into_nothing(what):
    agrees(Made(SHARED[what]))


def normed(own: Made, x: Tensor) -> Tensor:
    return own.act(own.conv2(own.act(own.norm(own.conv1(x)))))


class Renamed(nn.BatchNorm2d):
    """A subclass of batch normalisation that does more, such as timm's BatchNormAct2d."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x)) * 2


KINDS = {
    "no running statistics": {"norm": nn.BatchNorm2d(8, track_running_stats=False)},
    "statistics of the images": {"norm": nn.BatchNorm2d(8, track_running_stats=False, affine=False)},
    "not affine": {"norm": nn.BatchNorm2d(8, affine=False)},
    "of another class": {"norm": Renamed(8)},
    "an instance's": {"norm": nn.InstanceNorm2d(8)},
    "circular padding": {"conv1": nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"), "norm": nn.BatchNorm2d(8)},
    "reflected padding": {"conv1": nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), "norm": nn.BatchNorm2d(8)},
    "padding same": {"conv1": nn.Conv2d(3, 8, 3, padding="same"), "norm": nn.BatchNorm2d(8)},
    "weight norm": {
        "conv1": nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3, padding=1)), "norm": nn.BatchNorm2d(8)
    },
    "spectral norm": {
        "conv1": nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 8, 3, padding=1)), "norm": nn.BatchNorm2d(8)
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_convolution_and_normalisation(kind):
    parts = copy.deepcopy(KINDS[kind])
    agrees(Made(normed, **parts), traced=kind != "of another class")


def test_a_weight_that_a_hook_computes():
    """Weight normalisation as it was before parametrisations; spectral normalisation, likewise, still is."""
    network = Made(lambda own, x: own.norm2(own.conv2(own.norm1(own.conv1(x)))))
    network.conv1.register_forward_pre_hook(lambda conv, args: (args[0] * 2,))
    network.norm2.register_forward_hook(lambda norm, args, output: output * 3)
    network.act.register_forward_hook(lambda act, args, output: output - 1)
    agrees(network)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_a_constant_or_a_convolution_of_another_type(dtype):
    agrees(Made(lambda own, x: own.second(own.first(x) * torch.tensor(0.5, dtype=dtype))))
    if dtype == torch.float64:
        inside = nn.Conv2d(8, 8, 1).double()
        agrees(Made(lambda own, x: own.second(own.inside(own.first(x).double()).float()), inside=inside))


def test_what_depends_on_the_images_is_not_traced():
    def does(own: Made, x: Tensor) -> Tensor:
        y = own.first(x)
        return own.second(y) if y.shape[-1] > 5 and y.mean() > -100 else y

    agrees(Made(does), traced=False)


def test_only_what_is_altered_behind_it_counts():
    def does(x: Tensor) -> Tensor:
        a = torch.relu(x)
        b = a + 1
        b.mul_(2.0)
        return a * b

    network = fx.symbolic_trace(does)
    found = inplace_writes.Writers(network)
    assert [node.name for node in network.graph.nodes if found.later(node)] == ["add"]
