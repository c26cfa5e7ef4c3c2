"""Chains of convolutions and activations against torch's own differentiation of the same modules, in float64."""

import copy
import warnings

import pytest
import torch
from builders import calibrated
from torch import Tensor, fx, nn
from torch.nn import functional as F

from crossfool.errors import UserError
from crossfool.models import build
from crossfool.models.inference import pixel_model
from crossfool.models.inference.cpu import convolution, fusion
from crossfool.models.inference.cpu.dense_blocks import Block, replace_dense_blocks
from crossfool.models.weights import registry

pytestmark = pytest.mark.skipif(not fusion._usable(), reason="torch has no oneDNN here")
CPU = torch.device("cpu")


def images(*shape: int) -> Tensor:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(5))
    return x.contiguous(memory_format=torch.channels_last)


def gradient(network: nn.Module, x: Tensor, weights: Tensor) -> Tensor:
    """Of a weighted sum of the outputs, so that every output has its own say."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad((network(x) * weights).sum(), x)[0]


def check(network: nn.Module, x: Tensor, chains: int) -> nn.Module:
    """A network and its fused copy agree in outputs and input gradients; returns the copy."""
    network = network.eval().requires_grad_(False)
    exact = copy.deepcopy(network).double()
    fused = fusion.fuse_chains(fx.symbolic_trace(copy.deepcopy(network)))
    assert sum(isinstance(module, fusion.Chain) for module in fused.modules()) == chains
    expected = exact(x.double())
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(6))
    wanted = gradient(exact, x.double(), weights.double())
    for _ in range(2):  # the second time with what the first packed
        torch.testing.assert_close(fused(x).double(), expected, atol=2e-5, rtol=1e-4)
        with torch.inference_mode():
            torch.testing.assert_close(fused(x).double(), expected, atol=2e-5, rtol=1e-4)
        found = gradient(fused, x, weights)
        assert found.shape == x.shape
        torch.testing.assert_close(found.double(), wanted, atol=2e-5 * float(wanted.abs().max()), rtol=1e-3)
    return fused


GEOMETRIES = [  # inputs, outputs, kernel, stride, padding, dilation, groups, side
    (8, 16, 3, 1, 1, 1, 1, 9),
    (8, 16, 1, 1, 0, 1, 1, 9),
    (8, 16, 3, 1, 0, 1, 1, 9),
    (8, 16, 3, 2, 1, 1, 1, 9),
    (8, 16, 1, 2, 0, 1, 1, 8),
    (8, 8, 3, 1, 1, 1, 8, 9),
    (8, 8, 5, 2, 2, 1, 8, 10),
    (8, 16, 3, 1, 1, 1, 2, 9),
    (8, 8, 3, 1, 2, 2, 1, 11),
    (8, 8, 2, 1, 1, 1, 1, 7),
    (8, 8, 1, 1, 1, 1, 1, 7),  # more padding than a turned kernel can have
    (3, 16, 7, 2, 3, 1, 1, 32),  # the stems of ResNet, EfficientNet and others: pixel phases
    (3, 16, 3, 2, 1, 1, 1, 32),
    (3, 16, 4, 2, 1, 1, 1, 32),
    (3, 16, 4, 4, 0, 1, 1, 32),
    (3, 16, 11, 4, 2, 1, 1, 64),
    (3, 16, 3, 2, 0, 1, 1, 32),  # does not read the last row
    (3, 16, 3, 2, 1, 1, 1, 33),  # a side that the stride does not divide
    (1, 6, 5, 3, 2, 1, 1, 27),
]


@pytest.mark.parametrize("activation", [None, nn.ReLU(inplace=True), nn.ReLU6()], ids=["none", "relu", "relu6"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_a_convolution(geometry, activation):
    inputs, outputs, kernel, stride, padding, dilation, groups, side = geometry
    torch.manual_seed(1)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups)
    layers = [conv] if activation is None else [conv, activation]
    x = 4 * images(3, inputs, side, side)
    check(nn.Sequential(*layers), x, chains=1)


def test_zeros_that_only_made_the_padding_symmetric_take_no_work():
    conv = nn.Conv2d(3, 8, 4, 2, padding=1)
    with torch.no_grad():
        conv.weight[:, :, 0] = 0
        conv.weight[:, :, :, 0] = 0
    fused = check(nn.Sequential(conv), images(2, 3, 16, 16), chains=1)
    (chain,) = (module for module in fused.modules() if isinstance(module, fusion.Chain))
    assert chain.convolutions[0].phases.kernel.shape == (12, 8, 2, 2)  # 4 phases of 3 colours, 2x2 taps and not 3x3


class Residual(nn.Module):
    """Inverted residual: the chain's input is used again behind it, and its gradient must not be overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(8, 48, 1)
        self.filter = nn.Conv2d(48, 48, 3, padding=1, groups=48)
        self.project = nn.Conv2d(48, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.filter(F.relu6(self.expand(x))))
        return torch.relu(self.project(y) + x) * x


def test_chains_around_a_residual(monkeypatch):
    torch.manual_seed(2)
    monkeypatch.setattr(convolution, "CACHE", 4 * 48 * 100 * 2)  # two images at a time
    network = Residual()
    x = images(5, 8, 10, 10)
    fused = check(network, x, chains=1)
    (chain,) = (module for module in fused.modules() if isinstance(module, fusion.Chain))
    assert chain.at_once(x) == 2
    monkeypatch.setattr(convolution, "CACHE", 1 << 30)
    check(network, x, chains=1)


def test_an_activation_read_twice_is_kept():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            y = torch.relu(self.first(x))
            return self.third(self.second(y)) + y * y

    check(Twice(), images(2, 8, 6, 6), chains=2)


def test_the_outer_gradient_is_left_alone():
    network = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()).requires_grad_(False)
    fused = fusion.fuse_chains(fx.symbolic_trace(network))
    x = images(2, 4, 6, 6).requires_grad_()
    outer = images(2, 4, 4, 4)
    before = outer.clone()
    torch.autograd.grad(fused(x), x, outer)
    assert torch.equal(outer, before)


class Dense(nn.Module):
    """DenseNet's layer: normalisation and ReLU before the convolutions; some scales negative, one zero."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv1, self.conv2 = nn.BatchNorm2d(8), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 4, 3, padding=1)
        with torch.no_grad():
            self.norm.weight.copy_(torch.tensor([1.0, -0.5, 0.0, 2.0, -1.0, 0.3, 1.5, 1e-20]))
            self.norm.bias.copy_(torch.linspace(-1, 1, 8))
            self.norm.running_mean.copy_(torch.linspace(-0.5, 0.5, 8))
            self.norm.running_var.copy_(torch.linspace(0.1, 4, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(torch.relu(self.conv1(torch.relu(self.norm(x)))))
        return torch.cat([x, y], 1)


def test_normalisation_before_a_convolution():
    torch.manual_seed(3)
    fused = check(Dense(), images(3, 8, 6, 6), chains=1)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())


class Blocks(nn.Module):
    """Two dense blocks as torchvision writes them (all features concatenated for each layer) and as we do, and what
    lies between and behind; in the second the third layer's features are read by something else, too."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first = nn.ModuleList(self.layer(8 + 4 * place) for place in range(3))
        self.between = nn.Sequential(nn.BatchNorm2d(20), nn.ReLU(), nn.Conv2d(20, 6, 1), nn.AvgPool2d(2))
        self.second = nn.ModuleList(self.layer(6 + 4 * place) for place in range(3))
        self.behind = nn.BatchNorm2d(18)
        calibrated(self, images(16, 8, 8, 8))

    @staticmethod
    def layer(inputs: int) -> nn.Sequential:
        inside = [nn.Conv2d(inputs, 12, 1), nn.BatchNorm2d(12), nn.ReLU(inplace=True), nn.Conv2d(12, 4, 3, padding=1)]
        return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), *inside)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.first:
            features.append(layer(torch.cat(features, 1)))
        x = self.between(torch.cat(features, 1))
        for layer in self.second:
            x = torch.cat([x, layer(x)], 1)
        return F.relu(self.behind(x)) + x.mean()


def dense_blocks(network: nn.Module) -> list[int]:
    return [len(module.layers) for module in network.modules() if isinstance(module, Block)]


def test_dense_blocks():
    network = Blocks().eval().requires_grad_(False)
    x = images(5, 8, 8, 8)
    traced = replace_dense_blocks(fusion.fuse_chains(pixel_model.fold_batch_norm(copy.deepcopy(network))))
    assert dense_blocks(traced) == [3, 3]
    assert not [node for node in traced.graph.nodes if node.target is torch.cat]
    exact = network.double()
    expected = exact(x.double())
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(6))
    wanted = gradient(exact, x.double(), weights.double())
    for _ in range(2):
        torch.testing.assert_close(traced(x).double(), expected, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(gradient(traced, x, weights).double(), wanted, atol=2e-5, rtol=1e-3)


def test_dense_blocks_of_few_images_at_a_time_are_the_same(monkeypatch):
    traced = replace_dense_blocks(
        fusion.fuse_chains(pixel_model.fold_batch_norm(Blocks().eval().requires_grad_(False)))
    )
    x = images(5, 8, 8, 8)
    weights = torch.randn(traced(x).shape)
    at_once = traced(x), gradient(traced, x, weights)
    monkeypatch.setattr(convolution, "CACHE", 1)  # two images at a time
    torch.testing.assert_close(traced(x), at_once[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradient(traced, x, weights), at_once[1], atol=1e-5, rtol=1e-4)


def test_a_layer_whose_output_is_read_alone_is_no_part_of_a_block():
    class Network(Blocks):
        def forward(self, x: Tensor) -> Tensor:
            first = self.first[0](x)
            both = torch.cat([x, first], 1)
            return torch.cat([both, self.first[1](both)], 1).mean() + first

    network = Network().eval().requires_grad_(False)
    traced = replace_dense_blocks(fusion.fuse_chains(pixel_model.fold_batch_norm(copy.deepcopy(network))))
    assert dense_blocks(traced) == []
    x = images(2, 8, 8, 8)
    torch.testing.assert_close(traced(x), network(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "layers"), [("densenet121", [6, 12, 24, 16]), ("densenet", [16, 16, 16])])
def test_dense_networks_have_their_blocks_joined(name, layers):
    network = build.build(name, registry.spec(name).library).eval().requires_grad_(False)
    assert dense_blocks(replace_dense_blocks(fusion.fuse_chains(pixel_model.fold_batch_norm(network)))) == layers


def test_what_is_no_chain_is_left_alone():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), nn.Conv2d(4, 4, 3, padding="same"))
    check(network, images(2, 3, 6, 6), chains=0)
    untraced = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert fusion.fuse_chains(untraced) is untraced


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet20", "densenet", "lenet"])
def test_whole_networks_gradient_is_the_plain_loops(name):
    """As near to float64 as torch's own float32 is. (Published weights: benchmarks/agreement.py.)"""
    spec = registry.spec(name)
    torch.manual_seed(4)
    network = calibrated(build.crossfool_network(name), images(4, 3, spec.side, spec.side)).requires_grad_(False)
    pixels = torch.randint(0, 256, (2, 3, spec.side, spec.side), generator=torch.Generator().manual_seed(0)).float()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    about = {"mean": spec.mean, "std": spec.std, "side": spec.side, "interpolation": "bilinear"}
    fast = pixel_model.wrap(copy.deepcopy(network), about, device=CPU)
    assert any(isinstance(module, fusion.Chain) for module in fast.modules())

    def plain(x: Tensor) -> Tensor:
        return network((x - mean) / std)

    exact_network = copy.deepcopy(network).double()

    def exact(x: Tensor) -> Tensor:
        return exact_network((x.double() - mean.double()) / std.double())

    def found(model) -> Tensor:
        x = pixels.clone().requires_grad_()
        return torch.autograd.grad(F.cross_entropy(model(x), torch.tensor([1, 2]), reduction="sum"), x)[0].double()

    wanted = found(exact)
    far = [
        ((model.sign() != wanted.sign()).double().mean(), 1 - F.cosine_similarity(model.flatten(), wanted.flatten(), 0))
        for model in (found(fast), found(plain))
    ]
    for ours, theirs, slack in zip(*far, (1e-4, 1e-9), strict=True):
        assert ours <= 10 * theirs + slack


@pytest.mark.exhaustive  # half a minute of a compiler
@pytest.mark.slow
def test_compiled_network_is_the_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    torch.manual_seed(7)
    network = build.crossfool_network("lenet").eval()
    about = {"mean": (127.0,) * 3, "std": (64.0,) * 3, "side": 32, "interpolation": "bilinear"}
    exact = pixel_model.wrap(copy.deepcopy(network), about, device=CPU)
    compute = pixel_model.Compute(precision="float32", chunk=2, compile=True)
    compiled = pixel_model.wrap(copy.deepcopy(network), about, device=CPU, compute=compute)
    x = 127 + 40 * images(2, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, wanted = (gradient(model, x, torch.ones(2, 10)) for model in (compiled, exact))
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-3)
    assert any((tmp_path / ".crossfool/compiled").rglob("*"))


def test_weights_that_are_not_finite_are_refused(fnn_weights):
    import numpy as np

    from crossfool.storage.tensors import TensorFile, write_tensors

    path = fnn_weights / "fnn2.safetensors"
    file = TensorFile(path)
    tensors = {name: np.array(file[name]) for name in file.names()}
    name = next(iter(tensors))
    tensors[name].flat[0] = np.nan
    write_tensors(path, tensors, file.metadata)
    with pytest.raises(UserError, match=f"{name} of fnn2 is not finite"):
        pixel_model.load(path, device=CPU)
