"""Networks of libraries as sources, through the stages from photographs to metrics; weights random, from a folder."""

import importlib.util
import json
from collections.abc import Callable

import library_networks
import numpy as np
import pytest
import torch
import yaml
from builders import EMPTY, ROOT, calibrated, write_plans
from safetensors.torch import save_file

from crossfool.models.weights import published, registry
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile

STAGES = ROOT / "stages"
MODELS = ["timm_resnet18", "mobilenet_v3_small", "efficientnet_b0"]


def stage(name: str, **options: str) -> None:
    """Run a stage's script here: processes of their own would load torch twenty times."""
    spec = importlib.util.spec_from_file_location(f"stage_{name}", STAGES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    main: Callable = module.main.main
    main([text for key, value in options.items() for text in (f"--{key}", value)], standalone_mode=False)


@pytest.mark.exhaustive  # test_stages.py runs each stage on a trained network
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("models", [MODELS[:2], MODELS], ids="+".join)
def test_from_photographs_to_metrics(tmp_path, monkeypatch, models):
    pytest.importorskip("timm")
    monkeypatch.chdir(tmp_path)
    digests, own = {}, tmp_path / "own"
    own.mkdir()
    for model in models:
        network = calibrated(library_networks.built(model), torch.randn(2, 3, 64, 64))
        if model.startswith("timm_"):
            path = own / f"{model}.safetensors"
            save_file(network.state_dict(), path)
            digests[model] = sha256(path)
        else:
            torch.save(network.state_dict(), own / registry.spec(model).file)
    verify = published.verify  # torchvision's hashes are of its own files
    monkeypatch.setattr(
        published, "verify", lambda path, spec, given: "0" * 64 if spec.url else verify(path, spec, given)
    )
    values = {
        "root": ".",
        "dataset": {"name": "imagenet-sample"},
        "models": models,
        "weights": {"dir": "own", "sha256": digests},
        "training": None,
        "subset": {"images": 2, "seed": 0, "of": "all", "targets": "random"},
        "compute": {"precision": "float32", "chunk": 2},
        "sources": [*models, "+".join(models[:2])],
        "attacks": {"igsm": {"epsilon": 8, "steps": 2, "step_size": 4}},
        "transforms": {},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values | EMPTY))
    write_plans(tmp_path)
    stage("prepare")
    stage("lpips")
    for model in models:
        stage("train", model=model)
        stage("predict", model=model)
    stage("select")
    clean = np.array(TensorFile(tmp_path / "subset/images.safetensors")["images"]).astype(int)
    for source in values["sources"]:
        stage("source", source=source)
        stage("attack", source=source, attack="igsm")
        stage("evaluate", source=source, attack="igsm")
        images = np.array(TensorFile(tmp_path / f"adversarial/{source}/igsm.safetensors")["images"]).astype(int)
        moved = np.abs(images - clean)
        assert moved.max() == 8 and (moved > 0).mean() > 0.5
        metrics = json.loads((tmp_path / f"metrics/{source}/igsm.json").read_text())
        assert all(model in json.dumps(metrics) for model in models)
