"""Vision transformers of timm as sources and targets: random weights in `weights: dir`, no download."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossfool.attacks.config import Attack
from crossfool.models import weights_file
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.weights import registry
from crossfool.models.weights.config import Weights
from crossfool.models.weights.published import fetch
from crossfool.pipeline.crafting import compute_cell, weights_record
from crossfool.pipeline.crafting.cell_inputs import Cell
from crossfool.pipeline.evaluation import adversarial_file, predict, predictions_file, success
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile, write_tensors

timm = pytest.importorskip("timm")
from safetensors.torch import save_file  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
CPU = torch.device("cpu")
SOURCE, TARGET = "timm_vit_tiny_patch16_224", "timm_mobilenetv3_small_050"
NAMES = (SOURCE, "timm_deit_tiny_distilled_patch16_224", "timm_vit_tiny_patch16_384", "timm_swin_s3_tiny_224")


def published(folder, name: str) -> nn.Module:
    """A timm network, its weights random but far from their start, and saved as published ones are."""
    torch.manual_seed(1)
    network = timm.create_model(name.removeprefix("timm_"), pretrained=False).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.2)
        elif isinstance(module, nn.Linear):  # attention of small weights hardly looks at the image
            module.weight.normal_(0, 1.5 / module.in_features**0.5)
    save_file(network.state_dict(), folder / f"{name}.safetensors")
    return network


def fetched(folder, name: str):
    where = Weights(dir=str(folder), sha256={name: sha256(folder / f"{name}.safetensors")})
    path = folder / "weights" / f"{name}.safetensors"
    weights_file.write_weights(path, *fetch(registry.spec(name), where))
    return path


def photographs() -> Tensor:
    """Two smooth made images (2,3,224,224), uint8."""
    noise = torch.rand(2, 3, 14, 14, generator=torch.Generator().manual_seed(3))
    return (255 * F.interpolate(noise, size=224, mode="bicubic").clamp(0, 1)).round().to(torch.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_gradient_are_timms(tmp_path, name):
    network = published(tmp_path, name)
    model, config = pixel_model.load(fetched(tmp_path, name), device=CPU), timm.data.resolve_model_data_config(network)
    side = config["input_size"][-1]
    assert model.side == side == (384 if "384" in name else 224)
    x = photographs()[:1].float().requires_grad_()
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    resized = x if side == 224 else F.interpolate(x, size=side, mode="bicubic", antialias=True)
    expected, found = network((resized / 255 - mean) / std), model(x)
    assert found.shape == (1, 1000) and (found - expected).abs().max() < 1e-3 * expected.std()
    gradients = [
        torch.autograd.grad(F.cross_entropy(one, torch.tensor([7])), x)[0].flatten() for one in (expected, found)
    ]
    assert gradients[0].norm() > 0 and F.cosine_similarity(*gradients, dim=0) > 0.999
    assert torch.isclose(*(gradient.norm() for gradient in gradients), rtol=0.01)


def test_attack_and_predict_from_end_to_end(tmp_path):
    """From published files to success rates: by our loop and by the library's for transformers, on a CNN and itself."""
    pytest.importorskip("torchattack")
    for name in (SOURCE, TARGET):
        published(tmp_path, name)
        fetched(tmp_path, name)
    targets, images = {}, photographs()
    for name in (SOURCE, TARGET):
        targets[name] = pixel_model.load(tmp_path / "weights" / f"{name}.safetensors", device=CPU)
    with torch.inference_mode():
        labels = targets[SOURCE](images.float()).argmax(1)
    arrays = {"images": images.numpy(), "labels": labels.numpy(), "target_labels": (labels + 1).numpy() % 1000}
    subset = tmp_path / "subset.safetensors"
    about = {"dataset": "made", "family": "imagenet", "classes": "1000"}
    write_tensors(subset, {**arrays, "index": np.array([4, 8])}, about)
    rows = {
        "igsm": Attack(epsilon=16, steps=3, step_size=6),
        "tgr": Attack(method="torchattack/TGR", epsilon=16, steps=2, options={"hook_cfg": "vit_base_patch16_224"}),
    }
    for attack, row in rows.items():
        print_of = weights_record.make_record(SOURCE, tmp_path / "weights")
        cell = Cell(print_of, attack, row, Compute(chunk=2), subset)
        member = pixel_model.load(
            *weights_record.verified_paths(print_of, tmp_path / "weights"),
            device=CPU,
            as_built=row.needs_original_network,
        )
        out = tmp_path / f"{attack}.safetensors"
        compute_cell.compute_here(cell, [member], out, device=CPU, scratch=tmp_path / "scratch")
        found = adversarial_file.read_adversarial(out, subset, SOURCE, row)
        assert 1 <= np.abs(found.astype(int) - arrays["images"]).max() <= 16
        said = TensorFile(out).metadata
        assert said["timm"] == timm.__version__ and ("torchattack" in said) == (attack == "tgr")
        assert json.loads(said["params"]).get("method") == row.method
        top = {name: predict.top5(model, found, batch=2, device=CPU, label=name) for name, model in targets.items()}
        predictions_file.write_cell(tmp_path / "p.parquet", top, TensorFile(subset))
        read, truth, _ = predictions_file.read_cell(tmp_path / "p.parquet")
        rates = success.cell_metrics(read, truth, None, SOURCE)
        assert rates[SOURCE]["top1"] == 100 and rates[SOURCE]["whitebox"] and not rates[TARGET]["whitebox"]
