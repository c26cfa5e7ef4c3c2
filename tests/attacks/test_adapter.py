"""Attacks of torchattack as rows: the library's own bytes, in the ball, again the same, at the cost that is told."""

import copy
import random
import warnings

import numpy as np
import pytest
import torch
import yaml
from builders import ROOT, a_few
from torch import Tensor, nn

from crossfool import seeds
from crossfool.attacks.chunk import Chunk
from crossfool.attacks.config import Attack
from crossfool.attacks.torchattack import catalogue
from crossfool.datasets.preparation import prepare
from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.errors import UserError
from crossfool.models import build
from crossfool.models.inference import pixel_model
from crossfool.models.weights import published, registry
from crossfool.models.weights.config import Weights
from crossfool.storage.tensors import TensorFile

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torchattack = pytest.importorskip("torchattack", reason="pip install --editable '.[attacks]'")

from crossfool.attacks.torchattack import adapter

CPU = torch.device("cpu")
IDS, LABELS, TARGETS = [5, 9], torch.tensor([3, 7]), torch.tensor([1, 2])
MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 70.0)
FEW = {  # options under which an attack takes few gradients, and its count at two steps
    "FGSM": ({}, 1),
    "IFGSM": ({}, 2),
    "PGD": ({}, 2),
    "MIFGSM": ({"decay": 0.5}, 2),
    "NIFGSM": ({}, 2),
    "SINIFGSM": ({"m": 2}, 4),
    "DIFGSM": ({}, 2),
    "TIFGSM": ({"kern_len": 5}, 2),
    "VMIFGSM": ({"n": 2}, 6),
    "VNIFGSM": ({"n": 3}, 8),
    "Admix": ({"size": 2}, 20),
    "BSR": ({"num_scale": 2}, 4),
    "DeCoWA": ({"num_warping": 2}, 8),
    "GRA": ({"num_neighbors": 2}, 6),
    "MIG": ({"s_factor": 3}, 6),
    "MuMoDIG": ({"n_trans": 2, "n_base": 2, "n_interpolate": 3}, 36),
    "SSA": ({"num_spectrum": 2}, 4),
    "BFA": ({"num_ens": 2, "feature_layer_cfg": "layer2"}, 6),
    "DANAA": ({"num_ens": 2, "feature_layer_cfg": "layer2"}, 4),
    "DR": ({"feature_layer_cfg": "layer2"}, 2),
    "FIA": ({"num_ens": 2, "feature_layer_cfg": "layer2"}, 4),
    "ILPD": ({"feature_layer_cfg": "layer2"}, 2),
    "NAA": ({"num_ens": 2, "feature_layer_cfg": "layer2"}, 4),
    "FDA": ({}, 4),
    "SGM": ({"hook_cfg": "resnet18"}, 2),
    "BPA": ({}, 2),
    "TGR": ({"hook_cfg": "vit_base_patch16_224"}, 2),
    "PNAPatchOut": ({"hook_cfg": "vit_base_patch16_224"}, 2),
    "VDC": ({"hook_cfg": "vit_base_patch16_224"}, 4),
    "ATT": ({"hook_cfg": "vit_base_patch16_224"}, 3),
}
UNLIKE = {  # attacks of networks with layers that no embedded one has, and how they are refused
    "BPA": "exchanges layers of torchvision's ResNets",
    "FDA": "has neither",
    "SGM": "weakens gradients of layers named relu in residual blocks, and .* has none",
    **dict.fromkeys(("TGR", "PNAPatchOut", "VDC", "ATT"), "cannot attack .* has no attribute"),
}
CALM = {"BFA": {"eta": 1}, "DeCoWA": {"rho": 0.0001}}  # smaller steps inside, through which rounding does not grow


class Residual(nn.Module):
    """Layers named as torchvision's ResNets name them, and little else: logits (N,10) of (N,3,H,W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu, self.maxpool = nn.Conv2d(3, 4, 3, 4, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        self.layer2 = nn.Sequential(Block(), Block())
        self.layer3, self.layer4 = nn.Sequential(Block(), Block()), nn.Sequential(Block())
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.conv1(x)))
        return 5 * self.fc(self.avgpool(self.layer4(self.layer3(self.layer2(x)))).flatten(1))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.conv(x))


def vit() -> nn.Module:
    """A ViT of twelve narrow blocks, 16 wide."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(224, 16, num_classes=10, embed_dim=16, depth=12, num_heads=2, mlp_ratio=1)


def network(name: str) -> nn.Module:
    torch.manual_seed(4)
    return (
        vit() if catalogue.METHODS[name].hooks == catalogue.VIT_ARCHITECTURES or name == "PNAPatchOut" else Residual()
    )


def pictures(name: str) -> Tensor:
    side = catalogue.METHODS[name].side or 40
    return torch.randint(0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def member(built: nn.Module, side: int, *, as_built: bool) -> pixel_model.PixelModel:
    about = {"mean": MEAN, "std": STD, "side": side, "interpolation": "bilinear"}
    return pixel_model.wrap(built, about, device=CPU, as_built=as_built)


def row(name: str, **more) -> Attack:
    two = {"steps": 2, "step_size": 5.0} if catalogue.METHODS[name].steps else {}
    return Attack(**{"method": f"torchattack/{name}", "epsilon": 8, **two, "options": FEW[name][0]} | more)


def craft(name: str, one: Attack, images: Tensor, ids=IDS, evaluated=lambda count: None):
    model = member(network(name), images.shape[-1], as_built=one.needs_original_network)
    part = slice(len(ids))
    made, finite = adapter.craft([model], one, Chunk(images, LABELS, TARGETS, ids).part(part), "made", evaluated)
    return made["images"], finite


def directly(name: str, images: Tensor, labels: Tensor, ids: list[int], **more) -> np.ndarray:
    """`called`, on the attack's own tiny network."""
    return called(name, network(name), (MEAN, STD), images, labels, ids, classes=10, **FEW[name][0], **more)


def called(name: str, built: nn.Module, normalised, images: Tensor, labels: Tensor, ids, *, classes, **options):
    """The library called by hand, on the plain network behind torchvision's kind of normalisation."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) / 255 for values in normalised)
    built.eval().requires_grad_(name in ("NAA", "BFA", "ATT"))  # these want more than the images' gradient
    for module in built.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    seed = seeds.derive_seed(0, *ids)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    two = {"steps": 2, "alpha": 5 / 255} if name != "FGSM" else {}
    if name in ("Admix", "BFA"):
        options["num_classes"] = classes
    attack = getattr(torchattack, name)(built, lambda x: (x - mean) / std, CPU, eps=8 / 255, **two | options)
    found = attack(images.float() / 255, labels).detach()
    return (found * 255).round().clamp(0, 255).numpy()


def test_the_documented_rows_take_twenty_gradients():
    text = (ROOT / "docs/parameters.md").read_text(encoding="utf-8")
    (block,) = (part for part in text.split("```yaml\n")[1:] if part.startswith("attacks:\n  ifgsm"))
    rows = yaml.safe_load(block.partition("```")[0])["attacks"]
    assert {row["method"] for row in rows.values()} == {f"torchattack/{name}" for name in FEW if name != "FGSM"}
    assert {Attack(**row).gradient_evaluations_per_seed for row in rows.values()} == {20}
    assert {row["epsilon"] for row in rows.values()} == {16}


def test_every_attack_of_the_library_is_offered_or_refused_with_a_reason():
    from torchattack.attack import ATTACK_REGISTRY

    assert catalogue.METHODS.keys() | catalogue.REFUSAL_REASONS.keys() == ATTACK_REGISTRY.keys()
    assert not catalogue.METHODS.keys() & catalogue.REFUSAL_REASONS.keys() and catalogue.METHODS.keys() == FEW.keys()


@pytest.mark.parametrize("name", FEW)
def test_options_and_defaults_are_the_librarys(name):
    import inspect

    known = catalogue.METHODS[name]
    theirs = {key: one.default for key, one in inspect.signature(getattr(torchattack, name)).parameters.items()}
    ours = {"model", "normalize", "device", "eps", "alpha", "steps", "clip_min", "clip_max", "targeted", "num_classes"}
    unused = {"BPA": {"hook_cfg"}, "VDC": {"sample_num_batches"}}.get(name, set())
    assert known.options == {key: value for key, value in theirs.items() if key not in ours | unused}
    assert known.targeted == ("targeted" in theirs) and known.steps == theirs.get("steps", 0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FEW)
def test_images_are_the_librarys(name):
    images, counts = pictures(name), []
    found, finite = craft(name, row(name), images, evaluated=counts.append)
    assert (
        found.dtype == torch.uint8
        and finite.all()
        and row(name).gradient_evaluations_per_seed * 2 == sum(counts) == FEW[name][1] * 2
    )
    distance = (found.int() - images.int()).abs()
    assert 4 <= distance.max() <= 8
    again, _ = craft(name, row(name), images)
    assert torch.equal(found, again)
    if catalogue.METHODS[name].alone:
        parts = [directly(name, images[i : i + 1], LABELS[i : i + 1], IDS[i : i + 1]) for i in range(2)]
        wanted = np.concatenate(parts)
    else:
        wanted = directly(name, images, LABELS, IDS)
    # the models' arithmetic differs in the last bits, which tip a sign where a gradient is next to nothing
    assert (found.numpy() != wanted).mean() < 0.01


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> tuple[dict[str, Tensor], dict, Tensor]:
    """What an embedded model is made of, its account, and a photograph."""
    folder = tmp_path_factory.mktemp("embedded")
    prepare.prepare(
        make_dataset(name="imagenet-sample"),
        *(folder / name for name in ("images.safetensors", "images.csv", "train")),
        training=False,
    )
    image = torch.from_numpy(np.array(TensorFile(folder / "images.safetensors")["images"][:1]))
    return *published.fetch(registry.spec("efficientnet_lite0"), Weights()), image


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", a_few([name for name in FEW if name not in UNLIKE], "MIFGSM", "DIFGSM", "NAA"))
def test_images_are_the_librarys_on_an_embedded_model(name, embedded):
    state, about, image = embedded
    built = build.crossfool_network("efficientnet_lite0")
    built.load_state_dict(state)
    options = FEW[name][0] | CALM.get(name, {})
    options |= {"feature_layer_cfg": "_blocks.4"} if "feature_layer_cfg" in options else {}
    steps = {"steps": 1} if catalogue.METHODS[name].steps else {}  # after one, rounding moves on to where it matters
    one = row(name, options=options, **steps)
    model = pixel_model.wrap(copy.deepcopy(built), about, device=CPU, as_built=one.needs_original_network)
    label = TARGETS[:1]  # no label that the model is sure of: the loss would be next to nothing, and its gradient noise
    made, finite = adapter.craft([model], one, Chunk(image, label, label, [5]), "efficientnet_lite0")
    wanted = called(name, built, (about["mean"], about["std"]), image, label, [5], classes=1000, **steps, **options)
    assert finite.all() and (made["images"] != image).float().mean() > 0.5
    assert (made["images"].numpy() != wanted).mean() < (0.1 if name == "BFA" else 0.01)  # BFA: it goes by whole numbers


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["MIFGSM", "BSR", "SGM"])
def test_targeted_is_the_librarys(name):
    images = pictures(name)
    found, _ = craft(name, row(name, objective="targeted"), images)
    assert (found.numpy() != directly(name, images, TARGETS, IDS, targeted=True)).mean() < 0.01
    assert not torch.equal(found, craft(name, row(name), images)[0])


@pytest.mark.filterwarnings("ignore")
def test_draws_depend_on_seed_and_ids():
    images = pictures("PGD")
    cases = {"none": ({}, [5, 9]), "0": ({"seed": 0}, [5, 9]), "1": ({"seed": 1}, [5, 9]), "ids": ({}, [5, 8])}
    found = {
        case: craft("PGD", row("PGD", **more), images, ids)[0].numpy().tobytes() for case, (more, ids) in cases.items()
    }
    assert found["none"] == found["0"] and len(set(found.values())) == 3


@pytest.mark.filterwarnings("ignore")
def test_other_draws_are_left_alone():
    images, model = pictures("BSR"), member(Residual(), 40, as_built=False)

    def after(attacked: bool) -> tuple[float, float, float]:
        torch.manual_seed(2)
        random.seed(2)
        np.random.seed(2)
        if attacked:
            adapter.craft([model], row("BSR"), Chunk(images, LABELS, TARGETS, IDS), "made")
        return torch.rand(1).item(), random.random(), np.random.rand()

    assert after(True) == after(False)


@pytest.mark.filterwarnings("ignore")
def test_an_ensemble_is_attacked_by_its_mean():
    images = pictures("IFGSM")
    torch.manual_seed(1)
    pair = [member(Residual(), 40, as_built=False) for _ in range(2)]
    one = Attack(method="torchattack/IFGSM", epsilon=8, steps=3, step_size=4, fusion="losses")
    found = adapter.craft(pair, one, Chunk(images, LABELS, TARGETS, IDS), "a+b")[0]["images"]
    x = images.float()
    for _ in range(3):
        x.requires_grad_()
        loss = sum(nn.functional.cross_entropy(model(x), LABELS, reduction="sum") for model in pair)
        step = x.detach() + 4 * torch.autograd.grad(loss, x)[0].sign()
        x = torch.clamp(torch.minimum(torch.maximum(step, images - 8.0), images + 8.0), 0, 255)
    assert (found.float() != x).float().mean() < 0.05
    for some in (pair[:1], pair[1:]):
        found = adapter.craft(some, one, Chunk(images, LABELS, TARGETS, IDS), "a")[0]["images"]
        assert (found.float() != x).float().mean() > 0.1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("FIA", {"feature_layer_cfg": "layer22"}, "unknown layer of made 'layer22'; did you mean layer2"),
        ("FIA", {}, "knows a layer of .*resnet50.*, and none of made; give options: {feature_layer_cfg"),
        ("TIFGSM", {"n_sig": 3, "kern_len": 4, "decay": 1.0}, None),
    ],
)
def test_layers_must_be_there(name, options, line):
    images = pictures(name)
    if line is None:
        assert craft(name, row(name, options=options), images)[1].all()
    else:
        with pytest.raises(UserError, match=line):
            craft(name, row(name, options=options), images)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", ["resnet20", "efficientnet_lite0"])
@pytest.mark.parametrize(("name", "line"), UNLIKE.items())
def test_networks_without_the_layers_are_refused(source, name, line):
    """The library attacks some of them nevertheless, without its hooks, and says nothing."""
    side = registry.spec(source).side
    model = member(build.crossfool_network(source), side, as_built=True)
    images = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    with pytest.raises(UserError, match=line):
        adapter.craft([model], row(name), Chunk(images, LABELS[:1], TARGETS[:1], [1]), source)


@pytest.mark.filterwarnings("ignore")
def test_images_whose_gradient_is_not_finite_are_named():
    """A gradient of zeros, by which the library divides, leaves an image where it is; one that is NaN is an error."""
    model = member(nn.Sequential(nn.Flatten(), nn.Linear(12, 10)), 2, as_built=False)

    def broken(x: Tensor) -> Tensor:
        factor = torch.tensor([0.0, float("nan"), 1.0]).repeat(len(x) // 3)
        return model(x) * factor[:, None]

    images = torch.full((3, 3, 2, 2), 100, dtype=torch.uint8)
    goal = torch.tensor([1, 2, 3])
    made, finite = adapter.craft([broken], row("MIFGSM"), Chunk(images, goal, goal, [1, 2, 3]), "broken")
    assert finite.tolist() == [True, False, True]
    found = made["images"]
    assert torch.equal(found[0], images[0]) and not torch.equal(found[2], images[2])


def test_foreign_errors_are_one_line():
    model = member(Residual(), 40, as_built=False)
    images = torch.zeros(2, 3, 40, 40, dtype=torch.uint8)
    with pytest.raises(UserError, match=r"SSA cannot attack made with images of 40 pixels \(RuntimeError"):
        adapter.craft([model], row("SSA"), Chunk(images, LABELS, TARGETS, IDS), "made")


def test_a_missing_library_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchattack", None)
    with pytest.raises(UserError, match=r"pip install --editable '\.\[attacks\]'"):
        adapter.library_version()
