"""Every torchvision model that an experiment names: our model on stored pixels is torchvision's on the photograph.

Weights are random, so that nothing is downloaded; batch statistics are no identity, so that folding counts.
"""

import csv
import io

import numpy as np
import pytest
import torch
from builders import ROOT, a_few
from library_networks import seeded_network
from PIL import Image
from torch import nn
from torch.nn import functional as F

from crossfool.datasets import imagenet_sample
from crossfool.datasets.preparation import prepare
from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.experiment import loading
from crossfool.models.inference import pixel_model
from crossfool.models.weights import model_description, registry
from crossfool.storage import wheels
from crossfool.storage.tensors import TensorFile

EXPERIMENTS = [loading.load_experiment(path) for path in sorted(ROOT.glob("experiments/*/params.yaml"))]
NAMED = sorted({model for one in EXPERIMENTS for model in one.models if registry.spec(model).library == "torchvision"})
PHOTOGRAPHS = 2


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> tuple[list[Image.Image], np.ndarray]:
    """The first photographs of the sample as their files are, and as the `prepare` stage stores them."""
    folder = tmp_path_factory.mktemp("sample")
    dataset = make_dataset(name="imagenet-sample")
    table = folder / "images.csv"
    prepare.prepare(dataset, folder / "images.safetensors", table, folder / "train.safetensors", training=False)
    wheel = wheels.fetch_wheel(*imagenet_sample.FOOLBOX_WHEEL)
    names = [row["file"] for row in csv.DictReader(table.read_text().splitlines())][:PHOTOGRAPHS]
    files = [Image.open(io.BytesIO(wheels.read_member(wheel, f"foolbox/data/{name}"))) for name in names]
    return files, np.array(TensorFile(folder / "images.safetensors")["images"][:PHOTOGRAPHS])


def test_experiments_name_models_of_every_kind():
    kinds = {name.rstrip("0123456789_bn") for name in NAMED}
    assert len(NAMED) >= 20 and kinds == {"resnet", "densenet", "vgg", "alexnet", "squeezenet"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", a_few(NAMED, "alexnet", "densenet121", "resnet18", "squeezenet1_0", "vgg11_bn"))
def test_logits_and_gradient_are_torchvisions(photographs, name):
    from torchvision import models as published

    files, pixels = photographs
    network, spec = seeded_network(name), registry.spec(name)
    model = pixel_model.wrap(network, model_description.describe(spec, network), device=torch.device("cpu"))
    normalised = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    # densenets normalise before their convolutions, where most cannot be folded
    assert not normalised or name.startswith("densenet")
    x = torch.from_numpy(pixels).float().requires_grad_()
    assert x.shape == (PHOTOGRAPHS, 3, 224, 224)

    version = published.get_model_weights(name).IMAGENET1K_V1
    preset = version.transforms()
    theirs = torch.stack([preset(file) for file in files]).requires_grad_()
    expected, found = network(theirs), model(x)
    assert found.shape == (PHOTOGRAPHS, 1000) and found.dtype == torch.float32
    assert expected.isfinite().all()
    spread = expected.std(1).min()
    assert spread > 0 and (expected[0] - expected[1]).abs().max() > 1e-2 * spread  # the photographs matter
    assert (found - expected).abs().max() < 1e-4 * spread

    # d/dx of f((x - mean) / std) is f' / std; torchvision's normalised image is of the same pixels
    loss = F.cross_entropy(found, torch.tensor([7, 500]), reduction="sum")
    gradient = torch.autograd.grad(loss, x)[0]
    loss = F.cross_entropy(expected, torch.tensor([7, 500]), reduction="sum")
    wanted = torch.autograd.grad(loss, theirs)[0] / (255 * torch.tensor(preset.std).view(1, 3, 1, 1))
    assert gradient.shape == x.shape and gradient.isfinite().all()
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
    assert (F.cosine_similarity(gradient.flatten(1), wanted.flatten(1)) > 0.999).all()
    ratio = gradient.flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    assert torch.allclose(ratio, torch.ones(PHOTOGRAPHS), rtol=0.02)
