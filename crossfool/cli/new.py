"""Make a new experiment's folder: the shared graph, a params.yaml, the beginning of a README. Imports no torch."""

import os
import re
import shutil
from pathlib import Path

from crossfool.cli import new_params, new_seeds, protocol_params
from crossfool.config import expand_path
from crossfool.errors import UserError
from crossfool.experiment import loading, params_file, project, protocol_files

EXPERIMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
PARAMS_TEMPLATE = """\
# Which question does this experiment answer? All keys: docs/parameters.md; names: `crossfool list`.
# Pixels are 0..255: epsilon, step_size and sigma are in those units.
root: ../..

dataset: {name: imagenet-sample}     # or another: `crossfool list datasets`

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

"""
PARAMS_TEMPLATE += new_params.UNUSED_SECTIONS
README_TEMPLATE = """\
# Which question does {name} answer?

{origin}

```console
dvc repro experiments/{name}/dvc.yaml     # from the root
crossfool show experiments/{name}
```

## What to expect

## What came out
"""


def make_experiment(
    name: str,
    start: Path,
    origin: str | None = None,
    dataset: str | None = None,
    path: str | None = None,
    protocol: str | None = None,
    seeds: int | None = None,
) -> Path:
    """Make `experiments/<name>`.

    Args:
        name: The experiment's name, of letters, digits, _ and -.
        start: A folder of the repository.
        origin: The experiment to take params.yaml from, by name or path.
        dataset: The data set to make a params.yaml for, by name; the protocol's where a protocol is given.
        path: The data set's key `path`, from the current folder.
        protocol: The protocol to follow, by name. Where these four are None, params.yaml is a small template.
        seeds: How many networks each trained model gets, by seeds of its training; those of the file, if not given.

    Returns:
        The folder.

    Raises:
        UserError: the name is none, the folder is there already, `origin` is no experiment, or a wrong one, or there
            is no such data set or protocol, or the data set needs other keys; or no model has a seed.
    """
    root = project.find_root(start)
    if not EXPERIMENT_NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is not a valid name for an experiment; expected letters, digits, _ and - such as my-sweep"
        )
    folder = root / "experiments" / name
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder} exists already; choose another name, or delete it")
    chosen = dataset is not None or protocol is not None
    if (origin is not None and chosen) or (path is not None and not chosen):
        raise UserError(
            "give --from, or --dataset (and --path with it, where it has one) or --protocol, or both of these"
        )
    question = f"Made from `{origin}`; what differs?" if origin else "What is compared, on which images, and why?"
    if protocol is not None:
        declared = protocol_files.find_protocol(protocol)
        data = new_params.named_dataset(dataset or declared.dataset, path, folder)
        text = protocol_params.params_by(declared, data)
        question = f"{protocol_params.protocol_sentences(declared)}\n\n{new_params.images_sentence(data)}"
    elif dataset is not None:
        data = new_params.named_dataset(dataset, path, folder)
        text, question = new_params.params_on(data), f"{question}\n\n{new_params.images_sentence(data)}"
    else:
        text = PARAMS_TEMPLATE if origin is None else _copied(project.find_experiment(origin, start), folder)
    if seeds is not None:
        text = new_seeds.write_seeds(text, seeds, folder / "params.yaml")
    temporary = folder.with_name(f".{name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)  # outside `try`: a folder that was there already must not be removed below
    try:
        (temporary / "params.yaml").write_text(text, encoding="utf-8")
        shutil.copyfile(root / "dvc.yaml", temporary / "dvc.yaml")
        (temporary / "README.md").write_text(README_TEMPLATE.format(name=name, origin=question), encoding="utf-8")
        loading.load_experiment(temporary / "params.yaml")
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _copied(origin: Path, folder: Path) -> str:
    """The text of an experiment's params.yaml for another folder: `root` and relative paths lead where they did."""
    text = params_file.expand_aliases(params_file.read_text(origin / "params.yaml"))
    experiment = loading.parse_experiment(text, origin / "params.yaml")
    text, count = re.subn(r"^root:.*$", "root: ../..", text, count=1, flags=re.MULTILINE)
    assert count == 1, "loading.parsed refuses a params.yaml without root"
    for key, path in (("dataset: path", experiment.dataset.given_path), ("weights: dir", experiment.weights.dir)):
        if path is not None and not expand_path(path).is_absolute() and "$" not in path:
            text = _moved(text, key, path, os.path.relpath(origin / path, folder))
    return text


def _moved(text: str, key: str, before: str, after: str) -> str:
    """The text with a key's relative path replaced by the same path seen from another folder.

    Raises:
        UserError: the path does not stand there exactly once, as it was read.
    """
    if before == after:
        return text
    last_key = key.rpartition(" ")[2]
    changed, count = re.subn(
        rf"(\b{last_key}:\s*)(['\"]?){re.escape(before)}\2(?=\s*[,}}#\n])",
        lambda match: f"{match[1]}{match[2]}{after}{match[2]}",
        text,
    )
    if count != 1:
        raise UserError(f"{key}: {before} is relative to the copied experiment; make it absolute there")
    return changed


def next_steps(folder: Path) -> list[str]:
    """The next steps with a new experiment, as commands for the repository's root."""
    place = f"experiments/{folder.name}"
    experiment = loading.load_experiment(folder / "params.yaml")
    pair = list(experiment.attacks)[:2]
    compared = [f"crossfool compare {' '.join(pair)} --folder {folder.name}"] if len(pair) == 2 else []
    unpinned = [model for model in experiment.models if experiment.has_unpinned_weights(model)]
    pins = [f"pin the sha256 of {', '.join(unpinned)} in {place}/params.yaml, under weights"] if unpinned else []
    return [
        *pins,
        f"edit {place}/params.yaml and {place}/README.md",
        f"crossfool check {place}",
        f"dvc repro {place}/dvc.yaml",
        f"crossfool show {place}",
        *compared,
        "python tools/costs.py     # its row for the map in experiments/README.md, if it is to be shared",
    ]
