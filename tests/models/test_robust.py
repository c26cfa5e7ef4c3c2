"""Adversarially trained models from checkpoints as RobustBench saves them: torchvision's networks, normalised.

Weights are random; the layouts are those that `robustbench.utils.load_model` takes off.
"""

import pytest
import torch
import yaml
from builders import ROOT
from library_networks import seeded_network
from torch import Tensor, nn

from crossfool.errors import UserError
from crossfool.experiment import preflight
from crossfool.experiment.config import Experiment
from crossfool.models import build, weights_file
from crossfool.models.inference import pixel_model
from crossfool.models.weights import model_description, published, registry
from crossfool.models.weights.config import Weights
from crossfool.models.weights.state_dicts import load_published
from crossfool.storage.hashing import sha256

CPU = torch.device("cpu")
IMAGENET = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
LAYOUTS = {
    "plain": lambda state, mean, std: state,
    "state_dict, module": lambda state, mean, std: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
    "normalize, model": lambda state, mean, std: {
        **{f"model.{k}": v for k, v in state.items()},
        "normalize.mean": mean.view(1, 3, 1, 1),
        "normalize.std": std.view(1, 3, 1, 1),
    },
    "module, model, mu": lambda state, mean, std: {
        "model": {
            **{f"module.model.{k}": v for k, v in state.items()},
            "module.mu": mean.view(1, 3, 1, 1),
            "module.sigma": std.view(1, 3, 1, 1),
        },
        "epoch": 3,
    },
}


def saved(folder, name: str, layout: str, network: nn.Module, normalisation=IMAGENET) -> Weights:
    path = folder / registry.file_names(registry.spec(name))[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(LAYOUTS[layout](network.state_dict(), *normalisation), path)
    return Weights(dir=str(folder), sha256={name: sha256(path)})


def ours(folder, name: str, where: Weights) -> pixel_model.PixelModel:
    weights_file.write_weights(folder / "w.safetensors", *published.fetch(registry.spec(name), where))
    return pixel_model.load(folder / "w.safetensors", device=CPU)


def theirs(network: nn.Module, x: Tensor, normalisation=IMAGENET) -> Tensor:
    mean, std = (one.view(1, 3, 1, 1) for one in normalisation)
    return network((x / 255 - mean) / std)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_are_torchvisions_behind_its_normalisation(tmp_path, layout):
    network, name = seeded_network("resnet18"), "robust_Salman2020Do_R18"
    model = ours(tmp_path, name, saved(tmp_path, name, layout, network))
    x = torch.randint(0, 256, (2, 3, 224, 224), generator=torch.Generator().manual_seed(0)).float().requires_grad_()
    expected, found = theirs(network, x), model(x)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.detach().abs().max()))
    gradients = [torch.autograd.grad(logits[:, 7].sum(), x)[0].flatten(1) for logits in (expected, found)]
    assert (torch.cosine_similarity(*gradients) > 0.999).all()


@pytest.mark.filterwarnings("ignore")
def test_normalisation_in_the_file_is_taken(tmp_path):
    network, name = seeded_network("resnet18"), "robust_Salman2020Do_R18"
    own = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    model = ours(tmp_path, name, saved(tmp_path, name, "normalize, model", network, own))
    x = torch.randint(0, 256, (1, 3, 224, 224), generator=torch.Generator().manual_seed(0)).float()
    with torch.no_grad():
        expected = theirs(network, x, own)
        assert torch.allclose(model(x), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
        assert not torch.allclose(model(x), theirs(network, x), rtol=1e-2)


def test_every_model_is_a_torchvision_network_of_its_sides_and_means():
    robust = [spec for spec in registry.all_specs().values() if spec.version == "robustbench"]
    assert len(robust) == 6
    for spec in robust:
        with torch.device("meta"):
            network = build.build(spec.network, spec.library)
        about = model_description.describe(spec, network)
        assert about["network"] == spec.network and about["name"] == spec.name
    assert registry.spec("robust_Wong2020Fast").side == 288  # published on crops of 288 pixels
    chen = registry.spec("robust_Chen2024Data_WRN_50_2")
    assert (chen.mean, chen.std) == ((0, 0, 0), (255, 255, 255))  # takes pixels 0..1 as they are


@pytest.mark.filterwarnings("ignore")
def test_mistakes_are_one_line(tmp_path):
    network, name = build.build("resnet18", "torchvision"), "robust_Salman2020Do_R18"
    where, spec = saved(tmp_path, name, "plain", network), registry.spec(name)
    with pytest.raises(UserError, match=f"nothing pins its weights .*{where.sha256[name]}"):
        published.fetch(spec, Weights(dir=str(tmp_path)))
    with pytest.raises(UserError, match=r"set weights: {dir: \.\.\.} to the folder"):
        published.fetch(spec, Weights())
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match=r"holds no models/imagenet/Linf/Salman2020Do_R18\.pt; put it there$"):
        published.fetch(spec, Weights(dir=str(tmp_path / "none")))
    state = {"normalize.mean": torch.zeros(1, 3, 1, 1), **network.state_dict()}
    with pytest.raises(UserError, match="expected three means and deviations"):
        load_published(name, build.build("resnet18", "torchvision"), state)
    with pytest.raises(UserError, match=r"conv1.weight .* another architecture"):
        load_published(name, build.build("resnet50", "torchvision"), network.state_dict())
    assert not registry.is_trained(name, has_dir=False) and not registry.is_trained(name, has_dir=True)


def test_check_says_what_is_missing(tmp_path):
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    name = "robust_Engstrom2019Robustness"
    values |= {"models": [name], "sources": [name], "weights": {"sha256": {name: "0" * 64}}}
    experiment = Experiment.model_validate(values)
    with pytest.raises(UserError, match=f"{name}: set weights: .*Engstrom2019Robustness"):
        preflight._weights(tmp_path, experiment, {name})
    (tmp_path / "Engstrom2019Robustness.pt").write_bytes(b"")
    values["weights"]["dir"] = "."
    preflight._weights(tmp_path, Experiment.model_validate(values), {name})
