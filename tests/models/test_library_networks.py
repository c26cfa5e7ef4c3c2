"""A few of the networks that `stress/networks.py` tries, one for each kind of trouble; and the table of all."""

import json
import runpy
from pathlib import Path

import library_networks
import pytest
import torch
import yaml
from builders import EMPTY, ROOT
from torch import Tensor, nn

from crossfool.attacks.backward import plain
from crossfool.attacks.config import Attack
from crossfool.errors import UserError
from crossfool.experiment import loading, preflight
from crossfool.experiment.config import Experiment
from crossfool.models import build
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.inference.cpu import fusion
from crossfool.models.weights import registry
from crossfool.pipeline.crafting import craft, device_crafter
from crossfool.pipeline.crafting.cell_inputs import Cell
from crossfool.storage.clean_images import read_clean_images

FEW = {  # name -> side of the images, 0 for the network's own
    "timm_resnet18": 64,  # Identity between normalisation and activation
    "efficientnet_b0": 64,  # SiLU in place
    "mobilenet_v3_small": 64,  # Hardswish in place
    "googlenet": 96,  # a tuple of outputs, were it trained
    "shufflenet_v2_x0_5": 64,  # views of a convolution's output
    "regnet_y_400mf": 64,  # gates, `+` of two branches
    "squeezenet1_1": 64,  # concatenation of two activations
    "mnasnet0_5": 64,
    "timm_mobilenetv3_small_050": 64,
    "timm_regnetx_002": 64,
    "timm_skresnet18": 64,
    "timm_repghostnet_050": 64,
    "timm_legacy_seresnet18": 64,
    "timm_nfnet_l0": 64,  # convolutions that standardise their weights
    "timm_vit_tiny_patch16_224": 0,  # hardly a convolution
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FEW)
def test_a_networks_gradient_is_its_librarys(name):
    if name.startswith("timm_"):
        pytest.importorskip("timm")
    row = library_networks.compared(name, side=FEW[name])
    assert row["verdict"] in (library_networks.EQUAL, library_networks.CHAOTIC), row
    assert row["traced"] or "why" in row
    if fusion._usable() and row["traced"]:
        assert row["fused"] > 0


class Untold(nn.Module):
    """A network on 28x28 images that torch cannot differentiate, or whose gradient says nothing."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.linear = how, nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        if self.how == "detached":
            return self.linear(x.detach())
        if self.how == "in place":
            y = x.sigmoid()
            return self.linear(y) + y.mul_(2.0).mean()
        if self.how == "no gradient":
            return self.linear(torch.igamma(x.sigmoid(), torch.ones_like(x)))
        if self.how == "a number":
            return self.linear(x.sign())
        if self.how == "whole numbers":
            return self.linear(x.round())
        return self.linear(x * float("nan"))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("detached", "torch has no gradient of the network by its images .*does not require grad"),
        ("in place", "torch has no gradient of the network by its images .*modified by an inplace operation"),
        ("no gradient", "torch has no gradient of the network by its images .*not implemented"),
        ("a number", "the gradient of fnn2 is zero at all of 8 images"),
        ("whole numbers", "the gradient of fnn2 is zero at all of 8 images"),
    ],
)
def test_a_source_without_a_gradient_is_one_line(subset, how, said):
    about = {"mean": [127.0], "std": [64.0], "side": 28, "interpolation": "bilinear"}
    member = pixel_model.wrap(Untold(how), about, device=torch.device("cpu"))
    row = Attack(epsilon=10, steps=2, step_size=5)
    compute = Compute(precision="float32", chunk=4)
    cell = Cell({"source": "fnn2", "members": {"fnn2": {}}}, "igsm", row, compute, subset)
    clean = read_clean_images(subset)
    work = device_crafter.Crafter(cell, [member], clean, torch.device("cpu"), craft.Fit(4, torch.device("cpu")))
    with pytest.raises(UserError, match=f"^igsm: (fnn2: )?{said}.*; remove it from sources in params.yaml; .*target$"):
        list(work.chunks([slice(0, 4)]))


def test_images_that_stay_as_they_are_are_no_fault_of_a_source_that_answers(subset):
    """Its softmax is so sure that its gradient is zero; the logits have one."""
    about = {"mean": [127.0], "std": [64.0], "side": 28, "interpolation": "bilinear"}
    network = build.crossfool_network("fnn0")
    clean = read_clean_images(subset)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.bias[:] = -1e6
                module.bias[int(clean["labels"][0])] = 1e6
    member = pixel_model.wrap(network, about, device=torch.device("cpu"))
    row = Attack(epsilon=10, steps=2, step_size=5)
    compute = Compute(precision="float32", chunk=1)
    cell = Cell({"source": "fnn0", "members": {"fnn0": {}}}, "igsm", row, compute, subset)
    work = device_crafter.Crafter(cell, [member], clean, torch.device("cpu"), craft.Fit(1, torch.device("cpu")))
    ((_, made),) = work.chunks([slice(0, 1)])
    assert (made["images"] == clean["images"][:1]).all()


def test_memory_that_runs_out_is_no_fault_of_the_network():
    def full(x: Tensor) -> Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    with pytest.raises(RuntimeError, match="allocate") as caught:
        plain(full, torch.zeros(1, 1, 2, 2))
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize("answer", [lambda y: (y, y), lambda y: {"logits": y}, lambda y: [y]])
def test_a_network_that_gives_no_logits_is_one_line(answer):
    class Several(nn.Flatten):
        def forward(self, x: Tensor) -> object:
            return answer(super().forward(x))

    model = pixel_model.PixelModel(Several(), mean=(0.0,), std=(1.0,), side=2)
    with pytest.raises(UserError, match=r"a network gave a (tuple|dict|list), expected logits \(N,K\)"):
        model(torch.zeros(1, 1, 2, 2))


def test_the_table_of_what_cannot_be_used_is_timms():
    timm = pytest.importorskip("timm")
    table = {
        name.removeprefix("timm_"): why for (name, use), why in registry.unusable_reasons().items() if use == "model"
    }
    assert all(use in ("model", "source") and why for (_, use), why in registry.unusable_reasons().items())
    for name in [*list(table)[:40], *library_networks.TIMM.values()]:
        config = timm.models.get_pretrained_cfg(name)
        assert config is None or (config.num_classes != 1000) == (name in table)


def test_every_family_of_timm_has_a_network_that_is_tried():
    timm = pytest.importorskip("timm")
    assert {*library_networks.TIMM, *library_networks.NONE} >= set(timm.list_modules())


def experiment(folder: Path, **changes: object) -> Experiment:
    """A small valid experiment on photographs, as it is read from its file."""
    values = {
        "root": ".",
        "dataset": {"name": "imagenet-sample"},
        "models": ["resnet18", "alexnet"],
        "weights": {},
        "training": None,
        "subset": {"images": 2, "seed": 0, "of": "all", "targets": "random"},
        "compute": {"precision": "float32", "chunk": 2},
        "sources": ["alexnet"],
        "attacks": {"igsm": {"epsilon": 8, "steps": 2, "step_size": 4}},
        "transforms": {},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(values | EMPTY | changes))
    return loading.load_experiment(folder / "params.yaml")


def test_check_refuses_models_of_other_classes(tmp_path):
    name = "timm_vit_base_patch14_dinov2"
    found = experiment(tmp_path, models=["resnet18", "alexnet", name])
    with pytest.raises(UserError, match=rf"^models: {name} cannot be used: it has no classes, not ImageNet's 1000;"):
        preflight.check(tmp_path)
    preflight._usable(experiment(tmp_path))
    assert found.models[-1] == name


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"sources": ["resnet18"]}, "sources"),
        ({"sources": ["alexnet", "alexnet+resnet18"]}, "sources"),
        ({"models": ["alexnet", "robust_Salman2020Do_R18"], "sources": ["robust_Salman2020Do_R18"]}, "sources"),
        ({"saliency": {"g": {"model": "resnet18", "images": [1], "samples": [1], "sigma": 15}}}, "saliency: g"),
    ],
)
def test_check_refuses_what_has_no_gradient_wherever_it_is_taken(tmp_path, monkeypatch, changes, where):
    monkeypatch.setattr(
        registry, "unusable_reasons", lambda: {("resnet18", "source"): "its gradient is not finite, or zero"}
    )
    preflight._usable(experiment(tmp_path))  # as a target it is welcome
    experiment(tmp_path, **changes)
    said = rf"^{where}: \w+ cannot be attacked: its gradient is not finite, or zero; .* as a target\)$"
    with pytest.raises(UserError, match=said):
        preflight.check(tmp_path)


def test_the_page_is_the_last_runs_table():
    tool = runpy.run_path(str(ROOT / "tools" / "networks_table.py"))
    rows = json.loads((ROOT / "stress" / "networks.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    assert tool["page"](rows, len(library_networks.names())) == page
    assert not [name for name, row in rows.items() if row["verdict"] == library_networks.DIFFERENT]
