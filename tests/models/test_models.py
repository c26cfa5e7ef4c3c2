"""The zoo: names, wrappers, folding, weights that are verified before they are read."""

import csv
import json
import os
import pickle
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import a_few
from torch import nn
from torch.nn import functional as F

from crossfool.errors import UserError
from crossfool.models import build, weights_file
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.weights import checkpoint_file, model_description, registry
from crossfool.models.weights import published as weights_published
from crossfool.models.weights.config import Weights
from crossfool.pipeline.crafting import weights_record
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile, write_tensors

CPU = torch.device("cpu")
NOTHING = Weights()


def randomise(network: nn.Module) -> nn.Module:
    """Batch statistics that are not the identity, so that folding has something to do."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


def test_pixels_normalise_in_pixel_units():
    model = pixel_model.PixelModel(nn.Flatten(), mean=(127.0, 10.0), std=(128.0, 2.0), side=1)
    x = torch.tensor([255.0, 14.0]).view(1, 2, 1, 1)
    assert model(x).tolist() == [[1.0, 2.0]]


def test_pixels_resize_to_the_native_side():
    model = pixel_model.PixelModel(nn.Identity(), mean=(0.0,), std=(1.0,), side=3)
    x = torch.rand(2, 1, 6, 6) * 255
    expected = F.interpolate(x, size=(3, 3), mode="bilinear", antialias=True)
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize("name", ["efficientnet_lite1", "resnet20"])
def test_loaded_model_is_the_network_normalised_and_folded(tmp_path, name):
    torch.manual_seed(1)
    network = randomise(build.crossfool_network(name)).eval()
    spec = registry.spec(name)
    weights_file.write_weights(
        tmp_path / "w.safetensors", network.state_dict(), model_description.describe(spec, network)
    )
    model = pixel_model.load(tmp_path / "w.safetensors", device=CPU)
    assert not [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not [parameter for parameter in model.parameters() if parameter.requires_grad]
    x = torch.randint(0, 256, (2, 3, spec.side, spec.side)).float()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    with torch.no_grad():
        expected = network((x - mean) / std)
    assert torch.allclose(model(x), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_folding_keeps_input_gradients(tmp_path):
    network = randomise(build.crossfool_network("resnet20")).eval()
    x = torch.randn(2, 3, 32, 32, requires_grad=True)
    plain = torch.autograd.grad(network(x).logsumexp(1).sum(), x)[0]
    folded = torch.autograd.grad(pixel_model.fold_batch_norm(network)(x).logsumexp(1).sum(), x)[0]
    assert 1 - F.cosine_similarity(plain.flatten(), folded.flatten(), dim=0) < 1e-5


def test_bfloat16_is_near_float32():
    network = build.crossfool_network("lenet").eval()
    exact = pixel_model.PixelModel(network, mean=(127.0,) * 3, std=(64.0,) * 3, side=32)
    rough = pixel_model.PixelModel(network, mean=(127.0,) * 3, std=(64.0,) * 3, side=32, precision="bfloat16")
    x = torch.rand(4, 3, 32, 32) * 255
    assert rough(x).dtype == torch.float32
    difference = (rough(x) - exact(x)).abs().max()
    assert 0 < difference < 0.05 * exact(x).abs().max()


# Networks of torchvision of several kinds; those of vit_h_14 and inception_v3 depend on the weights.
BUILT = ("inception_v3", "resnet18", "vgg11_bn", "vit_b_16", "vit_h_14")


@pytest.mark.filterwarnings("ignore")
def test_table_is_torchvisions_own_metadata():
    from torchvision import models as published

    table = resources.files("crossfool") / "models" / "weights" / "torchvision_models.csv"
    rows = {row["name"]: row for row in csv.DictReader(table.read_text().splitlines())}
    assert set(rows) >= {"resnet18", "resnet152", "vgg19_bn", "densenet161", "alexnet", "squeezenet1_0", "vit_b_16"}
    for name in published.list_models(module=published):
        version = published.get_model_weights(name)[rows[name]["version"]]
        preset = version.transforms()
        assert rows[name]["url"] == version.url and rows[name]["sha256"] in version.url
        assert float(rows[name]["top1"]) == version.meta["_metrics"]["ImageNet-1K"]["acc@1"]
        assert int(rows[name]["side"]) == preset.crop_size[0]
        assert registry.spec(name).mean == tuple(255 * value for value in preset.mean)
        if "IMAGENET1K_V1" in published.get_model_weights(name).__members__:
            assert rows[name]["version"] == "IMAGENET1K_V1"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("which", [BUILT, pytest.param(None, marks=pytest.mark.exhaustive)], ids=["some", "all"])
def test_torchvision_networks_are_built_as_their_published_weights_are(monkeypatch, which):
    """As torchvision builds them for these: vit_h_14 with positions for images of 518 pixels."""
    from torchvision import models as published

    def shapes(network: nn.Module) -> dict[str, torch.Size]:
        return {key: value.shape for key, value in network.state_dict().items() if not key.lower().startswith("aux")}

    monkeypatch.setattr(published.WeightsEnum, "get_state_dict", lambda *_, **__: {})
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
    compared = []
    for name in which or published.list_models(module=published):
        try:
            with torch.device("meta"):  # no memory, no values
                theirs = shapes(published.get_model(name, weights=registry.spec(name).version))
                ours = shapes(build.build(name, "torchvision"))
        except NotImplementedError:  # it looks at values while it is built
            continue
        assert ours == theirs, name
        compared.append(name)
    assert compared == list(which) if which else len(compared) > 50 and set(BUILT) <= set(compared)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", a_few(["resnet18", "densenet121", "googlenet", "squeezenet1_0"], "googlenet", "squeezenet1_0")
)
def test_torchvision_models_load_from_a_folder_as_torchvision_runs_them(tmp_path, monkeypatch, name):
    """Weights of random numbers, in a file named and hashed as published, through our loader and torchvision's."""
    from torchvision import models as published

    torch.manual_seed(0)
    extra = {"init_weights": False} if name == "googlenet" else {}
    state = randomise(published.get_model(name, weights=None, **extra)).state_dict()
    spec = registry.spec(name)
    torch.save(state, tmp_path / spec.file)
    digest = sha256(tmp_path / spec.file)
    with pytest.raises(UserError, match=f"{name}: .* has sha256 {digest[:16]}..., expected {spec.sha256}"):
        weights_published.fetch(spec, Weights(dir=str(tmp_path)))
    monkeypatch.setattr(weights_published, "verify", lambda path, spec, weights: sha256(path))
    state, about = weights_published.fetch(spec, Weights(dir=str(tmp_path)))
    assert about["file_sha256"] == digest and about["version"] == "IMAGENET1K_V1"
    weights_file.write_weights(tmp_path / "w.safetensors", state, about)
    model = pixel_model.load(tmp_path / "w.safetensors", device=CPU)

    # torchvision's own way: weights given as an enum member whose file is ours
    version = published.get_model_weights(name).IMAGENET1K_V1
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: torch.load(tmp_path / spec.file))
    monkeypatch.setattr(type(version), "get_state_dict", lambda *_, **__: torch.load(tmp_path / spec.file))
    theirs = published.get_model(name, weights=version).eval()
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    preset = version.transforms()
    normalised = torch.stack([(image / 255 - torch.tensor(preset.mean).view(3, 1, 1)) for image in images])
    normalised = normalised / torch.tensor(preset.std).view(3, 1, 1)
    with torch.no_grad():
        expected, found = theirs(normalised), model(images.float())
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.filterwarnings("ignore")
def test_timm_model_is_not_fetched_without_a_pinned_hash(monkeypatch):
    pytest.importorskip("timm")
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def download(*arguments):
        asked.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(hub, "hf_hub_download", download)
    spec = registry.spec("timm_mobilenetv3_small_050")
    with pytest.raises(
        UserError, match=r"nothing pins its weights, .*https://huggingface\.co/timm/mobilenetv3_small_050"
    ) as error:
        weights_published.fetch(spec, Weights())
    assert not asked and str(error.value).isprintable()
    with pytest.raises(UserError, match=r"cannot fetch timm/mobilenetv3_small_050.* \(no network\)"):
        weights_published.fetch(spec, Weights(sha256={spec.name: "0" * 64}))
    assert len(asked) == 1


def test_timm_model_from_a_folder_needs_a_pinned_hash(tmp_path):
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    network = timm.create_model("mobilenetv3_small_050", pretrained=False)
    save_file(network.state_dict(), tmp_path / "timm_mobilenetv3_small_050.safetensors")
    digest = sha256(tmp_path / "timm_mobilenetv3_small_050.safetensors")
    spec = registry.spec("timm_mobilenetv3_small_050")
    with pytest.raises(UserError, match=f"set weights: {{sha256: {{{spec.name}: {digest}}}}} in params.yaml"):
        weights_published.fetch(spec, Weights(dir=str(tmp_path)))
    state, about = weights_published.fetch(spec, Weights(dir=str(tmp_path), sha256={spec.name: digest}))
    weights_file.write_weights(tmp_path / "w.safetensors", state, about)
    model = pixel_model.load(tmp_path / "w.safetensors", device=CPU)
    config = timm.data.resolve_model_data_config(network)
    x = torch.randint(0, 256, (2, 3, 224, 224)).float()
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        expected = network.eval()((x / 255 - mean) / std)
    assert torch.allclose(model(x), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_embedded_weights_are_the_wheels_own(tmp_path, monkeypatch):
    spec = registry.spec("efficientnet_lite0")
    state, about = weights_published.fetch(spec, NOTHING)
    assert about["file_sha256"] == spec.sha256
    assert state["_fc.weight"].shape == (1000, 1280)


class Bomb:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def test_code_in_a_weights_file_does_not_run(tmp_path):
    canary = tmp_path / "canary"
    torch.save({"conv1.weight": Bomb(canary)}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="holds no weights that can be read safely"):
        checkpoint_file.read(tmp_path / "evil.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Bomb(canary), protocol=2))
    with pytest.raises(UserError):
        checkpoint_file.read(tmp_path / "raw.pth")
    assert not canary.exists()
    pickle.loads(pickle.dumps(Bomb(canary)))  # the canary does sing when it is let out
    assert canary.exists()


def test_weights_of_another_architecture(tmp_path, monkeypatch):
    spec = registry.spec("resnet20")
    torch.save({"state_dict": build.crossfool_network("resnet44").state_dict()}, tmp_path / spec.file)
    monkeypatch.setattr(weights_published, "verify", lambda *_: "0" * 64)
    with pytest.raises(UserError, match=r"resnet20: weights: .* these are the weights of another architecture"):
        weights_published.fetch(spec, Weights(dir=str(tmp_path)))


def test_missing_published_file_names_it(tmp_path):
    with pytest.raises(UserError, match=r"holds no resnet20-12fca82f\.th; put it there, or remove weights: dir"):
        weights_published.fetch(registry.spec("resnet20"), Weights(dir=str(tmp_path)))
    with pytest.raises(UserError, match="is no folder"):
        weights_published.fetch(registry.spec("resnet20"), Weights(dir=str(tmp_path / "none")))


def test_damaged_weights_file_is_refused(tmp_path, fnn_weights):
    path = fnn_weights / "fnn0.safetensors"
    file = TensorFile(path)
    about = json.loads(file.metadata["model"])
    write_tensors(path, {"wrong": np.zeros(3, np.float32)}, {"model": json.dumps(about)})
    with pytest.raises(UserError, match=r"fnn0.safetensors does not fit fnn0"):
        pixel_model.load(path, device=CPU)
    write_tensors(path, {"wrong": np.zeros(3, np.float32)})
    with pytest.raises(UserError, match="its metadata lacks 'model'"):
        pixel_model.load(path, device=CPU)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "fnn9"}, {"name": []}, {"name": "resnet18"}, {"name": "timm_hf-hub:a/b"}, {"library": "timm"},
        {"network": "fnn2"}, {"network": 3}, {"family": None}, {"mean": None}, {"mean": []}, {"mean": [1, 2, 3]},
        {"mean": ["1"]}, {"mean": [float("nan")]}, {"mean": [10**400]}, {"mean": [True]}, {"std": "x"}, {"std": [0]},
        {"std": [-1]}, {"std": [float("inf")]}, {"side": 0}, {"side": 2.5}, {"side": True}, {"interpolation": "area"},
        {"interpolation": []}, {"published_top1": "high"}, {"published_preprocessing": None},
    ],
)  # fmt: skip
def test_a_weights_file_that_describes_no_model_is_one_line(fnn_weights, change):
    path = fnn_weights / "fnn0.safetensors"
    file = TensorFile(path)
    about = json.loads(file.metadata["model"])
    tensors = {name: np.array(file[name]) for name in file.names()}
    write_tensors(path, tensors, {"model": json.dumps(about | change)})
    with pytest.raises(UserError) as caught:
        pixel_model.load(path, device=CPU)
    assert "\n" not in str(caught.value)
    assert "fnn0.safetensors" in str(caught.value) or "unknown model" in str(caught.value)
    if not change.keys() & {"name", "library", "network"}:  # which only the zoo can tell
        with pytest.raises(UserError, match=r"fnn0\.safetensors: .* delete it and run `dvc repro`"):
            weights_record.describe_weights(path)


@pytest.mark.parametrize("said", ["x", "[]", "null", "5", "{}", "[" * 100_000])
def test_a_model_that_is_no_object_is_one_line(fnn_weights, said):
    path = fnn_weights / "fnn0.safetensors"
    write_tensors(path, {"x": np.zeros(1, np.float32)}, {"model": said})
    for read in (lambda: pixel_model.load(path, device=CPU), lambda: weights_record.describe_weights(path)):
        with pytest.raises(UserError, match=r"fnn0\.safetensors: .*metadata .*; delete it and run `dvc repro`"):
            read()


@pytest.mark.parametrize("name", ["conv1.weight", "bn1.running_mean", "bn1.num_batches_tracked"])
def test_weights_of_another_type_are_one_line(tmp_path, name):
    network, path = build.crossfool_network("resnet20"), tmp_path / "resnet20.safetensors"
    state = network.state_dict()
    state[name] = state[name].long() if state[name].is_floating_point() else state[name].float()
    weights_file.write_weights(path, state, model_description.describe(registry.spec("resnet20"), network))
    with pytest.raises(UserError, match=rf"resnet20\.safetensors.* (does not fit resnet20|{name} is torch)") as caught:
        pixel_model.load(path, device=CPU)
    assert "\n" not in str(caught.value)


def test_a_weights_file_cannot_say_its_own_hash(fnn_weights):
    path = fnn_weights / "fnn0.safetensors"
    file = TensorFile(path)
    about = json.loads(file.metadata["model"]) | {"sha256": "0" * 64}
    write_tensors(path, {name: np.array(file[name]) for name in file.names()}, {"model": json.dumps(about)})
    found = weights_record.describe_weights(path)
    assert found["sha256"] == sha256(path) and next(iter(found)) == "sha256"


def test_fingerprints_that_are_none_are_one_line(tmp_path, fnn_weights):
    right = weights_record.make_record("fnn0+fnn2", fnn_weights)
    path = tmp_path / "fnn0+fnn2.json"
    path.write_text(json.dumps(right))
    assert weights_record.read_weights_record(path) == right
    assert len(weights_record.verified_paths(weights_record.read_weights_record(path), fnn_weights)) == 2
    fnn0, fnn2 = right["members"].values()
    for wrong in (
        "{", "[]", "null", "5", "{}", '{"members": null}', '{"members": {}}', '{"members": ["fnn0", "fnn2"]}',
        json.dumps(right | {"source": "fnn0"}), json.dumps({"members": right["members"]}),
        json.dumps(right | {"members": {"fnn0": fnn0}}), json.dumps(right | {"members": {"../a": fnn0, "fnn2": fnn2}}),
        json.dumps(right | {"members": {"fnn0": fnn0, "fnn2": None}}),
        json.dumps(right | {"members": {"fnn0": fnn0, "fnn2": fnn2 | {"sha256": 5}}}),
        json.dumps(right | {"members": {"fnn0": fnn0, "fnn2": {"sha256": "0" * 64}}}),
        json.dumps(right | {"members": {"fnn0": fnn0, "fnn2": fnn2 | {"recipe": 5}}}),
        json.dumps(right | {"members": {"fnn0": fnn0, "fnn2": fnn2 | {"recipe": {"epochs": 5}}}}),
        json.dumps(right | {"members": {"fnn0": fnn0, "fnn2": fnn2 | {"file": "a.pth"}}}),
    ):  # fmt: skip
        path.write_text(wrong)
        with pytest.raises(
            UserError, match=r"fnn0\+fnn2\.json (is no|lacks|does not say) .*; delete it and run `dvc repro`"
        ):
            weights_record.read_weights_record(path)


def test_unknown_models_name_the_nearest():
    with pytest.raises(UserError, match="unknown model 'resnet_18'; did you mean resnet18"):
        registry.spec("resnet_18")
    with pytest.raises(UserError):
        registry.spec("timm_../evil")


def test_weights_under_another_models_name_are_refused(tmp_path, fnn_weights):
    for name in ("fnn0", "fnn2"):
        shutil.copy(fnn_weights / f"{name}.safetensors", tmp_path)
    shutil.copy(fnn_weights / "fnn2.safetensors", tmp_path / "fnn0.safetensors")
    for act in (
        lambda: pixel_model.load_all(["fnn2", "fnn0"], tmp_path, device=torch.device("cpu"), compute=Compute(chunk=4)),
        lambda: weights_record.make_record("fnn2+fnn0", tmp_path),
    ):
        with pytest.raises(UserError, match=r"fnn0\.safetensors holds the weights of 'fnn2'; delete it"):
            act()
