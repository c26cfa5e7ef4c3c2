"""A new experiment's folder: the shared graph, its own params.yaml, the beginning of a README. Imports no torch."""

import os
import re
import shutil
from pathlib import Path

from crossfool.config import located
from crossfool.errors import UserError
from crossfool.experiment import loading, params_file, project

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
TEMPLATE = """\
# Which question does this experiment answer? All keys: docs/parameters.md; names: `crossfool list`.
# Pixels are 0..255: epsilon, step_size and sigma are in those units.
root: ../..

dataset: {name: imagenet-sample}     # or mnist, cifar10, imagenet, imagefolder with a path

models: [efficientnet_lite0, efficientnet_lite1]
targets: all
weights: {}
training: null                       # or {epochs: ..., batch_size: ..., learning_rate: ...} for models without weights

# Attacked are images that all models classify correctly: all of them, or so many, drawn with a seed.
subset: {images: all, seed: 0, targets: random}
lpips: true                          # the perceptual distance beside L2 and SSIM; of colour images
compute: {precision: float32, chunk: 20}

# A source is a model, or models joined by + (an ensemble).
sources: [efficientnet_lite0, efficientnet_lite1]

# At equal cost, ten gradients an image; epsilon such that neither succeeds everywhere.
attacks:
  igsm:    {epsilon: 6, steps: 10, step_size: 1}
  sg_igsm: {epsilon: 6, steps: 5, step_size: 2, gradient: smoothed, samples: 2, sigma: 6}

grids:
  a: {attack: null, epsilon: [], steps: [], step_size: [], samples: [], sigma: []}
  b: {attack: null, epsilon: [], steps: [], step_size: [], samples: [], sigma: []}
transforms: {}

similarity: {}
boundary: {}
saliency: {}
scatter: {attacks: [], same_family: false}
"""
README = """\
# Which question does {name} answer?

{origin}

```console
dvc repro experiments/{name}/dvc.yaml     # from the root
crossfool show experiments/{name}
```

## What to expect

## What came out
"""


def new(name: str, start: Path, origin: str | None = None) -> Path:
    """Make `experiments/<name>`.

    Args:
        name: Of letters, digits, _ and -.
        start: A folder of the repository.
        origin: The experiment to take params.yaml from, by name or path; a small template where it is None.

    Returns:
        The folder.

    Raises:
        UserError: a name that is no folder's, a folder that is there, no such experiment, or one that is wrong.
    """
    root = project.root(start)
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for an experiment; expected letters, digits, _ and - such as my-sweep")
    folder = root / "experiments" / name
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder} is there already; take another name, or delete it")
    text = TEMPLATE if origin is None else _copied(project.experiment(origin, start), folder)
    made = folder.with_name(f".{name}.{os.getpid()}.tmp")
    made.mkdir(parents=True)  # a folder that is there already is none of ours, and not to be removed below
    try:
        (made / "params.yaml").write_text(text, encoding="utf-8")
        shutil.copyfile(root / "dvc.yaml", made / "dvc.yaml")
        about = f"Made from `{origin}`; what differs?" if origin else "What is compared, on which images, and why?"
        (made / "README.md").write_text(README.format(name=name, origin=about), encoding="utf-8")
        loading.load(made / "params.yaml")
        os.replace(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _copied(origin: Path, folder: Path) -> str:
    """An experiment's params.yaml with `root` as `experiments/<name>` needs it, and paths that lead where they led."""
    text = params_file.unshared(params_file.read(origin / "params.yaml"))
    experiment = loading.parsed(text, origin / "params.yaml")
    text, count = re.subn(r"^root:.*$", "root: ../..", text, count=1, flags=re.MULTILINE)
    assert count == 1, "params.load has seen a root"
    for key, path in (("dataset: path", experiment.dataset.path), ("weights: dir", experiment.weights.dir)):
        if path is not None and not located(path).is_absolute() and "$" not in path:
            text = _moved(text, key, path, os.path.relpath(origin / path, folder))
    return text


def _moved(text: str, key: str, before: str, after: str) -> str:
    """A relative path, seen from another folder."""
    if before == after:
        return text
    word = key.rpartition(" ")[2]
    changed, count = re.subn(
        rf"(\b{word}:\s*)(['\"]?){re.escape(before)}\2(?=\s*[,}}#\n])",
        lambda match: f"{match[1]}{match[2]}{after}{match[2]}",
        text,
    )
    if count != 1:
        raise UserError(f"{key}: {before} is relative to the experiment that is copied; make it absolute there")
    return changed


def following(folder: Path) -> list[str]:
    """What to do next, as commands for the repository's root."""
    place = f"experiments/{folder.name}"
    pair = list(loading.load(folder / "params.yaml").attacks)[:2]
    compared = [f"crossfool compare {' '.join(pair)} --folder {folder.name}"] if len(pair) == 2 else []
    return [
        f"edit {place}/params.yaml and {place}/README.md",
        f"crossfool check {place}",
        f"dvc repro {place}/dvc.yaml",
        f"crossfool show {place}",
        *compared,
        "python tools/costs.py     # its row for the map in experiments/README.md, if it is to be shared",
    ]
