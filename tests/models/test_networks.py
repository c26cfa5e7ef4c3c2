"""Networks: sizes as published, folding of batch normalisation, loading of published weights."""

import re
from pathlib import Path

import pytest
import torch
from builders import calibrated
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.utils.flop_counter import FlopCounterMode

from crossfool.errors import UserError
from crossfool.models import build, network_files
from crossfool.models.networks.densenet_cifar import DenseNetCIFAR
from crossfool.models.networks.resnet_cifar import ResNetCIFAR, Shortcut
from crossfool.models.weights import registry
from crossfool.models.weights.state_dicts import load_published

# Counted in the published weights, or from the papers' tables; fnn2: 784*500+500 + 500*500+500 + 500*10+10.
PARAMETERS = {
    "fnn0": 7_850,
    "fnn2": 648_010,
    "fnn4": 1_149_010,
    "fnn8": 2_151_010,
    "lenet": 466_122,
    "resnet20": 269_722,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "densenet": 769_162,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
}


def made(name: str) -> nn.Module:
    """A network with seeded random weights, ready for inference."""
    torch.manual_seed(0)
    return calibrated(build.crossfool_network(name), images(name))


def images(name: str) -> Tensor:
    """Four normalised images of a network's native size."""
    shape = (1, 28, 28) if name.startswith("fnn") else (3, 224, 224) if name.startswith("eff") else (3, 32, 32)
    return torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))


def test_every_network_is_counted() -> None:
    """Those counted here by hand are there; what a network's file declares torch counts, too."""
    assert PARAMETERS.keys() <= network_files.networks().keys()
    for name, network in network_files.networks().items():
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            built = build.crossfool_network(name).eval()
            built(torch.empty(1, len(network.spec.mean), network.spec.side, network.spec.side))
        assert network.parameters == sum(parameter.numel() for parameter in built.parameters()), name
        assert network.operations == counter.get_total_flops(), name


def test_every_file_declares_networks_and_its_source() -> None:
    known = network_files.networks()
    assert network_files.problems() == []
    files = {path.stem for path in network_files._FOLDER.glob("[!_]*.py")}
    assert {network.part for network in known.values()} == files
    assert all(network.cite and network.summary for network in known.values())
    assert all(network.licence for network in known.values() if network.spec.published)
    assert network_files.modules("resnet20", "crossfool") == ("crossfool.models.networks.resnet_cifar",)
    assert network_files.modules("resnet20", "torchvision") == network_files.modules("resnet20", "timm") == ()
    with pytest.raises(UserError, match="unknown network 'resnet21'"):
        network_files.modules("resnet21", "crossfool")


WRONG = {  # what is wrong with a file of networks/ -> the line that says so
    "NETWORKS = {}": "mine.py declares no FAMILY; add it",
    "FAMILY = {}\nNETWORKS = {'mine': {'mean': 255 * 0.5}}": "NETWORKS is read without running the file",
    "FAMILY = {'sides': 28}\nNETWORKS = {'mine': {}}": "NETWORKS: mine: unknown key 'sides'; did you mean side",
    "FAMILY = {'family': 'mnist', 'mean': 3}\nNETWORKS = {'mine': {}}": "NETWORKS: mine: mean: Input should be a valid",
    "FAMILY = {'family': 'mnist'}\nNETWORKS = {'mine': {}}": "NETWORKS: mine: class_name: Field required",
    "FAMILY = {}\nNETWORKS = {'my-net': {}}": "my-net: a name has letters, digits and _ only",
    "FAMILY = {}\nNETWORKS = {'timm_a': {}}": "and does not begin with timm_ or robust_",
    "FAMILY = (": "mine.py is no Python",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_declaration_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.setattr(network_files, "_FOLDER", tmp_path)
    networks, (problem,) = network_files._read.__wrapped__()
    assert networks == {} and WRONG[text] in str(problem) and "\n" not in str(problem)


def test_two_files_do_not_declare_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = "FAMILY = {'class_name': 'A', 'cite': 'B', 'family': 'mnist'}\n"
    for file in ("one", "two"):
        (tmp_path / f"{file}.py").write_text(family + "NETWORKS = {'mine': {}}")
    (tmp_path / "_shared.py").write_text("no part")
    monkeypatch.setattr(network_files, "_FOLDER", tmp_path)
    networks, (problem,) = network_files._read.__wrapped__()
    assert networks["mine"].part == "one"
    assert re.search(r"two\.py declares mine, and so does .*one\.py; rename one", str(problem))


def test_an_unfinished_file_concerns_only_names_that_it_may_declare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network_files, "problems", lambda: [UserError("mine.py declares no FAMILY")])
    assert network_files.find_network("resnet20").class_name == "ResNetCIFAR"
    assert registry.spec("resnet18").library == "torchvision"
    for find in (network_files.find_network, registry.spec):
        with pytest.raises(UserError, match=r"mine\.py declares no FAMILY"):
            find("mine")


def test_a_file_does_not_take_another_librarys_name(monkeypatch: pytest.MonkeyPatch) -> None:
    known = network_files.networks() | {"resnet18": network_files.find_network("resnet20")}
    monkeypatch.setattr(network_files, "networks", lambda: known)
    with pytest.raises(UserError, match=r"resnet_cifar\.py declares resnet18, which is torchvision's"):
        registry.all_specs.__wrapped__()


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str) -> None:
    network = build.crossfool_network(name)
    # kernels that are extended for asymmetric padding hold zeros that are no parameters
    published = 0
    for module in network.modules():
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if isinstance(module, nn.Conv2d) and module.kernel_size[0] % 2 == 0:
            own = own // module.kernel_size[0] ** 2 * (module.kernel_size[0] - 1) ** 2
        published += own
    assert published == PARAMETERS[name]


@pytest.mark.parametrize("name", ["fnn0", "fnn8", "lenet", "resnet20", "resnet56", "densenet", "efficientnet_lite0"])
@torch.no_grad()
def test_folding_keeps_the_logits(name: str) -> None:
    network, x = made(name), images(name)
    expected = network(x)
    assert expected.shape == (4, 1000 if name.startswith("eff") else 10)
    assert expected.std(0).min() > 1e-3  # the answer depends on the image
    folded = fuse(network)
    torch.testing.assert_close(folded(x), expected, atol=1e-4, rtol=1e-4)
    left = sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    # DenseNet normalises before a convolution: only the second of a layer's two can be folded
    assert left == (3 * 16 + 2 + 1 if name == "densenet" else 0)


def test_fnn_is_the_formula() -> None:
    network = made("fnn2")
    x = images("fnn2")
    first, second, last = (m for m in network.modules() if isinstance(m, nn.Linear))
    h = (x.reshape(4, 784) @ first.weight.T + first.bias).clamp(min=0)
    h = (h @ second.weight.T + second.bias).clamp(min=0)
    torch.testing.assert_close(network(x), h @ last.weight.T + last.bias)


def test_shortcut_takes_every_second_pixel_and_pads_channels() -> None:
    x = torch.arange(2 * 4 * 4, dtype=torch.float32).view(1, 2, 4, 4)
    y = Shortcut(2, 4)(x)
    assert y.tolist() == [[[[0, 0], [0, 0]], [[0, 2], [8, 10]], [[16, 18], [24, 26]], [[0, 0], [0, 0]]]]


def test_depths_that_do_not_exist() -> None:
    with pytest.raises(AssertionError, match="6n"):
        ResNetCIFAR(21)
    with pytest.raises(AssertionError, match="6n"):
        DenseNetCIFAR(101)


def test_unknown_network_names_the_nearest() -> None:
    with pytest.raises(UserError, match="'resnet21'; did you mean resnet20"):
        build.crossfool_network("resnet21")


def published(network: nn.Module) -> dict[str, Tensor]:
    """A state dict as old training scripts saved it: DataParallel's prefix, no counts of batches."""
    return {f"module.{k}": v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}


def test_published_weights_load() -> None:
    trained, network = made("resnet20"), build.crossfool_network("resnet20")
    load_published("resnet20", network, {"state_dict": published(trained), "best_prec1": 91.7})
    x = images("resnet20")
    assert torch.equal(network.eval()(x), trained(x))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"module.linear.weight": torch.zeros(100, 64)},
            r"resnet20: weights: linear.weight has shape \(100, 64\), expected \(10, 64\); .*",
        ),
        ({"module.bn1.bias": None}, "resnet20: weights: bn1.bias is a NoneType, expected a tensor"),
        (
            {"module.layer4.conv.weight": torch.zeros(2)},
            r"resnet20: weights: layer4.conv.weight of shape \(2,\) is not expected at all; .*",
        ),
        *(
            ({"module.linear.bias": value}, f"resnet20: weights: linear.bias is {kind}, expected a dense tensor .*")
            for kind, value in (
                ("torch.int8", torch.zeros(10, dtype=torch.int8)),
                ("torch.complex64", torch.zeros(10, dtype=torch.complex64)),
                (r"no dense tensor \(torch.sparse_coo\)", torch.zeros(10).to_sparse()),
            )
        ),
    ],
)
def test_weights_that_do_not_fit(change: dict[str, Tensor], line: str) -> None:
    state = published(build.crossfool_network("resnet20")) | change
    network = made("resnet20")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match=f"^{line}$"):
        load_published("resnet20", network, {"state_dict": state})
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_width_load(dtype: torch.dtype) -> None:
    """Whatever the count of batches became when a script converted all that there was."""
    trained, network = made("resnet20"), build.crossfool_network("resnet20")
    load_published("resnet20", network, {k: v.to(dtype) for k, v in trained.state_dict().items()})
    for name, value in trained.state_dict().items():
        assert torch.equal(network.state_dict()[name], value.to(dtype).to(value.dtype))


def test_weights_of_a_shallower_network() -> None:
    state = published(build.crossfool_network("resnet20"))
    with pytest.raises(UserError, match=r"resnet44: weights: layer1.3.conv1.weight is missing, .* \(16, 16, 3, 3\)"):
        load_published("resnet44", build.crossfool_network("resnet44"), state)


def test_state_dict_that_is_none() -> None:
    with pytest.raises(UserError, match="fnn0: state_dict is a list, expected tensors by name"):
        load_published("fnn0", build.crossfool_network("fnn0"), {"state_dict": [1]})


@pytest.mark.parametrize("number", [0, 1, 2])
@torch.no_grad()
def test_efficientnet_lite_is_the_tensorflow_network(number: int) -> None:
    """timm recomputes TensorFlow's SAME padding from the input; its tensors come in the same order as ours."""
    timm = pytest.importorskip("timm")
    reference = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False)
    torch.manual_seed(number)
    x = torch.randn(4, 3, 224, 224)
    calibrated(reference, x)
    network = build.crossfool_network(f"efficientnet_lite{number}")
    tensors = ordered(reference)
    assert len(tensors) == len(ordered(network))
    state = dict(zip(ordered(network), tensors.values(), strict=True))
    load_published(f"efficientnet_lite{number}", network, state)
    expected = reference(x)
    assert expected.std(0).min() > 1e-3  # the answer depends on the image
    torch.testing.assert_close(network.eval()(x), expected, atol=1e-4, rtol=1e-3)


def ordered(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of convolutions, normalisations and the classifier, in the order in which they are used."""
    used: list[tuple[str, nn.Module]] = []
    names = {module: name for name, module in network.named_modules()}
    hooks = [
        module.register_forward_pre_hook(lambda module, _: used.append((names[module], module)))
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))
    ]
    network.eval()(torch.zeros(1, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    return {f"{name}.{key}": value for name, module in used for key, value in module.state_dict().items()}
