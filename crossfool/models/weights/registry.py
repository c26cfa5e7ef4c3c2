"""Registry of models: names, expected images, and where weights come from. Imports no torch.

A name is one of this package's networks (`fnn0`, `lenet`, `resnet20`, `efficientnet_lite0`, ...), any torchvision
classifier (`resnet18`; version and hash of the weights are pinned in `torchvision_models.csv`), `timm_<name>`
(`timm_<name>__<tag>`: other weights than timm's default), or `robust_<Name>`, an adversarially trained model of
RobustBench. A model that is trained here has as many networks as are named: `fnn0_seed3` is `fnn0` with seed 3.
"""

import csv
import dataclasses
import functools
import re
from importlib import resources
from pathlib import Path

from crossfool.errors import UserError, unknown_name
from crossfool.models import network_files, own_models
from crossfool.models.defended_models import find_defended
from crossfool.models.spec import Spec

ENDINGS = (".safetensors", ".pth", ".bin", ".pt", ".th")
TIMM_NAME = r"timm_[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*(?:__[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*)?"
SEEDED_NAME = r"([A-Za-z0-9_]+)_seed([0-9]{1,18})"


def spec(name: str) -> Spec:
    """The specification of a model, by its name in params.yaml.

    Raises:
        UserError: no such model; the line names the nearest, or how timm's name is written, or what is wrong with a
            file that may declare it.
    """
    specs = all_specs()
    if name in specs:
        return specs[name]
    if own := own_models.find_own(name):
        return own.spec
    if defended := find_defended(name):
        return defended.spec
    if re.fullmatch(TIMM_NAME, name):
        return Spec(name, "imagenet", "timm", version="timm", file=name)
    if seeded := re.fullmatch(SEEDED_NAME, name):
        return _seeded(*seeded.groups())
    hint = timm_name_hint(name)
    if hint:
        raise UserError(f"unknown model {name!r}; {hint}")
    raise unknown_model(name)


def unknown_model(name: str) -> UserError:
    """An error for a name that is no model's: the nearest name, or what is wrong with a file that may declare it."""
    unknown = unknown_name("model", name, [*all_specs(), "timm_<name>"])
    return next(iter(network_files.problems()), UserError(f"{unknown} (a model of your own: {own_models.PAGE})"))


def _seeded(model: str, seed: str) -> Spec:
    """The specification of a model that is trained with a seed of its own, given the two halves of its name."""
    specs = all_specs()
    if model not in specs:
        raise unknown_name("model", f"{model}_seed{seed}", [f"{name}_seed{seed}" for name in specs])
    if seed != str(int(seed)):
        raise UserError(f"unknown model '{model}_seed{seed}'; write {model}_seed{int(seed)}, without the zeros")
    plain = specs[model]
    return dataclasses.replace(plain, name=f"{model}_seed{seed}", network=plain.network or model, seed=int(seed))


def timm_name_hint(name: str) -> str:
    """A hint on how to write a name as timm or its hub has it (`resnet50.a1_in1k`); "" for any other name."""
    match = re.fullmatch(r"(?:hf[-_]hub:)?(?:timm[_/.:-])?([a-z0-9]\w*)\.([a-z0-9]\w*)", name, re.ASCII)
    match = match or re.fullmatch(r"(?:hf[-_]hub:)?timm[/.:-]([a-z0-9]\w*)()", name, re.ASCII)
    if match is None:
        return ""
    model, tag = match.groups()
    reason = "names have letters, digits and _ only"
    return (
        f"write timm_{model}__{tag}: {reason}, and timm's tag follows two _" if tag else f"write timm_{model}: {reason}"
    )


def architecture(name: str) -> str:
    """Name of a model's network in its library: the model's name without `timm_` and a tag, or without a seed."""
    if name.startswith("timm_"):
        return name.removeprefix("timm_").partition("__")[0]
    seeded = re.fullmatch(SEEDED_NAME, name)
    return seeded[1] if seeded else name


def is_trained(name: str, has_dir: bool) -> bool:
    """Whether the `train` stage trains a model rather than taking published weights.

    The CIFAR-10 ResNets have published weights that no one serves with a pinned hash: they come from the folder
    `weights: {dir: ...}` where one is given, and are trained where none is.

    Args:
        name: The model.
        has_dir: Whether params.yaml gives such a folder.
    """
    model = spec(name)
    if own_models.find_own(name) or find_defended(name):
        return False
    return not model.published or not (model.fetched or model.family == "imagenet" or has_dir)


def file_names(spec: Spec) -> list[str]:
    """Paths in `weights: {dir: ...}` at which a model's published weights are looked for; the first one is advised."""
    if not spec.file and spec.url:
        return [spec.url.partition("?")[0].rsplit("/", 1)[1]]
    if spec.file in ("", spec.name):  # timm's, and models whose specification names no file
        return [f"{spec.name}{ending}" for ending in ENDINGS]
    parts = spec.file.split("/")  # RobustBench's folders may be there whole, in part, or not at all
    return ["/".join(parts[start:]) for start in range(len(parts))]


def file_in_folder(spec: Spec, folder: Path) -> Path | None:
    """A model's published weights file in a folder, the first of `file_names` that is there; None where none is."""
    return next((folder / name for name in file_names(spec) if (folder / name).is_file()), None)


def missing_weights_error(spec: Spec, folder: Path | None) -> UserError:
    """An error for weights that cannot be fetched and are not in `weights: {dir: ...}`, or no such folder is given."""
    file = file_names(spec)[0]
    if folder is None:
        return UserError(f"{spec.name}: set weights: {{dir: ...}} to the folder that holds {file}")
    instead = "" if spec.family == "imagenet" else ", or remove weights: dir to train it"
    return UserError(f"{spec.name}: {folder} holds no {file}; put it there{instead}")


@functools.cache
def unusable_reasons() -> dict[tuple[str, str], str]:
    """Reasons why networks cannot be used: (name, "model" for any use, or "source" for a source model) -> reason."""
    table = resources.files("crossfool") / "models" / "weights" / "unusable.csv"
    with table.open(encoding="utf-8") as file:
        return {(row["name"], row["as"]): row["why"] for row in csv.DictReader(file)}


@functools.cache
def all_specs() -> dict[str, Spec]:
    """Specifications of all models by name, except timm's, which are any `timm_<name>`.

    Raises:
        UserError: a file of `models/networks/` declares a name that another library's model has.
    """
    others = {spec.name: spec for spec in (*_torchvision(), *_robustbench())}
    own = network_files.networks()
    for name in own.keys() & others.keys():
        raise UserError(f"{own[name].path} declares {name}, which is {others[name].library}'s; give it another name")
    return {name: network.spec for name, network in own.items()} | others


def _torchvision() -> list[Spec]:
    """Specifications of torchvision's classifiers, from the table beside this module."""
    table = resources.files("crossfool") / "models" / "weights" / "torchvision_models.csv"
    with table.open(encoding="utf-8") as file:
        return [
            Spec(
                row["name"],
                "imagenet",
                "torchvision",
                mean=tuple(255 * float(value) for value in row["mean"].split()),
                std=tuple(255 * float(value) for value in row["std"].split()),
                side=int(row["side"]),
                interpolation=row["interpolation"],
                version=row["version"],
                file=row["url"].rsplit("/", 1)[1],
                url=row["url"],
                sha256=row["sha256"],
                published_top1=float(row["top1"]),
                published_preprocessing=f"resize {row['resize']} {row['interpolation']}, crop {row['side']}",
            )
            for row in csv.DictReader(file)
        ]


def _robustbench() -> list[Spec]:
    """Specifications of RobustBench's ImageNet models against L-inf attacks whose networks are torchvision's.

    A name is RobustBench's with _ for -. No hash of the files is published. All models normalise like torchvision's,
    except Chen's, which takes pixels 0..1.
    """
    usual = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    unit = ((0.0,) * 3, (255.0,) * 3)
    return [
        Spec(
            f"robust_{name}",
            "imagenet",
            "torchvision",
            network=network,
            mean=mean,
            std=std,
            side=side,
            version="robustbench",
            file=f"models/imagenet/Linf/{name}.pt",
        )
        for name, network, side, (mean, std) in (
            ("Salman2020Do_R18", "resnet18", 224, usual),
            ("Salman2020Do_R50", "resnet50", 224, usual),
            ("Salman2020Do_50_2", "wide_resnet50_2", 224, usual),
            ("Engstrom2019Robustness", "resnet50", 224, usual),
            ("Wong2020Fast", "resnet50", 288, usual),
            ("Chen2024Data_WRN_50_2", "wide_resnet50_2", 224, unit),
        )
    ]
