"""Folders of experiments whose results are made by hand: which images an attack fools stands in a table.

`make` writes what the report reads, `complete` what the HTML page shows besides, `lock` the folder's dvc.lock.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from builders import EMPTY

from crossfool.experiment import loading, provenance
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.metrics import load_metrics
from crossfool.pipeline.evaluation import success
from crossfool.pipeline.evaluation.predictions_file import write_cell, write_clean, write_transformed
from crossfool.report import report_folder
from crossfool.report.findings import Findings
from crossfool.report.renderers.csv_text import csv_text
from crossfool.stats import rates as stats_rates
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile, write_tensors

FGSM = {"epsilon": 40, "steps": 1, "step_size": 40}
SG = {"epsilon": 40, "steps": 1, "step_size": 40, "gradient": "smoothed", "samples": 5, "sigma": 15}
TARGETED = {"epsilon": 20, "steps": 20, "step_size": 15, "objective": "targeted"}
LABELS = np.array([0, 1, 2, 3, 4, 5, 6, 7])
DETAIL = {
    "gradients": 1,
    "size": {"n": 8, "l2": 100.0, "linf": 15, "mean_abs": 9.0, "ssim": 0.5, "ssim_low": 0.25},
    "steps": {},
    "seeds": {},
    "quantisation": {},
    "denominators": {},
}
FOOLED = {
    ("fnn0", "fgsm", "fnn0"): 8,
    ("fnn0", "fgsm", "fnn2"): 5,
    ("fnn0", "fgsm", "fnn4"): 0,
    ("fnn2+fnn0", "fgsm", "fnn4"): 4,
    ("fnn0", "far", "fnn2"): 1,
}
WEIGHTS = {"fnn0": "a" * 64, "fnn2": "b" * 64}
SUBSET = "c" * 64
FILES = [f"digit & {number}.png" for number in range(8)]


def params_values(
    models: Sequence[str],
    sources: Sequence[str],
    attacks: Mapping[str, Mapping[str, Any]],
    *,
    dataset: Mapping[str, Any],
) -> dict[str, Any]:
    """The values of a params.yaml, with `training` where models are trained (`fnn0`, ...)."""
    is_trained = models[0].startswith("fnn")
    return {
        "root": ".",
        "dataset": dataset,
        "models": list(models),
        "weights": {},
        "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1} if is_trained else None,
        "subset": {"images": "all"},
        "compute": {"chunk": 8},
        "sources": list(sources),
        "attacks": {name: dict(row) for name, row in attacks.items()},
        "transforms": {},
        **EMPTY,
    }


def make(
    folder: Path,
    fooled: Mapping[tuple[str, str, str], int],
    *,
    models: tuple[str, ...] = ("fnn0", "fnn2", "fnn4"),
    sources: tuple[str, ...] = ("fnn0", "fnn2+fnn0"),
    attacks: Mapping[str, Mapping[str, Any]] | None = None,
    transforms: Mapping[str, list[float]] | None = None,
    dataset: Mapping[str, Any] | None = None,
    labels: np.ndarray = LABELS,
    images: np.ndarray | None = None,
    **more: Any,
) -> Experiment:
    """Write an experiment's folder, in which an attack succeeds on the first images.

    Args:
        folder: Where to.
        fooled: (source, attack, target) -> on how many; 2 where nothing stands. A transform undoes the first half.
        models, sources, attacks, transforms, dataset: Of params.yaml.
        labels: True classes, (N,).
        images: (N,C,H,W) uint8.
        more: Further sections of params.yaml.
    """
    count = len(labels)
    images = np.full((count, 1, 28, 28), 100, np.uint8) if images is None else images
    attacks = attacks or {"fgsm": FGSM, "sg_fgsm": SG, "far": TARGETED}
    transforms = {"jpeg": [75, 20], "rotation": [5]} if transforms is None else transforms
    values = params_values(models, sources, attacks, dataset=dict(dataset or {"name": "mnist"}))
    values |= {"transforms": dict(transforms), **more}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    targets, ids = (labels + 3) % 10, np.arange(count) * 2 + 1
    tensors = {"images": images, "labels": labels, "target_labels": targets, "index": ids}
    write_tensors(folder / "subset/images.safetensors", tensors)
    subset = TensorFile(folder / "subset/images.safetensors")
    for number, model in enumerate(models):
        whole = np.arange(2 * count + 1)  # the data set: the subset's images, and others that are wrong
        top = np.zeros((len(whole), 5), np.int64) + 9
        top[ids, 0] = labels
        truth = np.full(len(whole), 8)
        truth[ids] = labels
        write_clean(folder / "predictions/clean" / f"{model}.parquet", top, truth)
        rate = stats_rates.wilson_rate(90 + number, 100)
        accuracy = {"top1": rate.percent, "top1_low": rate.low, "top1_high": rate.high, "top5": 99.0, "n": 100}
        accuracy["parameters"] = 1000 + number
        write_json(
            folder / "metrics/clean" / f"{model}.json", {**accuracy, "published_top1": 91.25 if number else None}
        )
    wrong = np.stack([(labels + step) % 10 for step in (1, 2, 4, 5, 6)], 1)  # neither label nor target
    right = np.concatenate([labels[:, None], wrong[:, 1:]], 1)
    aimed = np.concatenate([targets[:, None], wrong[:, 1:]], 1)
    for source in sources:
        for name, attack in attacks.items():
            targeted = attack.get("objective") == "targeted"
            hits = {model: np.arange(count) < fooled.get((source, name, model), 2) for model in models}
            answers = {
                model: np.where(hit[:, None], aimed if targeted else wrong, right) for model, hit in hits.items()
            }
            write_cell(folder / "predictions" / source / f"{name}.parquet", answers, subset)
            rates = success.cell_metrics(answers, labels, targets if targeted else None, source)
            write_json(folder / "metrics" / source / f"{name}.json", rates)
            write_json(folder / "metrics" / source / f"{name}.detail.json", DETAIL)
            destroyed = {
                model: {
                    transform: {
                        f"{level:g}": success.destruction_rate(hit, np.arange(count) < (int(hit.sum()) + 1) // 2)
                        for level in levels
                    }
                    for transform, levels in transforms.items()
                }
                for model, hit in hits.items()
            }
            write_json(folder / "metrics" / source / f"{name}.transform.json", destroyed if transforms else {})
            after = {
                (model, transform, float(level)): np.where(
                    (np.arange(count) < (int(hit.sum()) + 1) // 2)[:, None] | ~hit[:, None], right, answers[model]
                )
                for model, hit in hits.items()
                for transform, levels in transforms.items()
                for level in levels
            }
            write_transformed(folder / "transformed" / source / f"{name}.parquet", after, subset)
            noise = np.random.default_rng(0).choice([-1, 1], images.shape) * attack["epsilon"]
            adversarial = np.clip(images + noise, 0, 255).astype(np.uint8)
            write_tensors(folder / "adversarial" / source / f"{name}.safetensors", {"images": adversarial})
    write_json(folder / "analysis/list.json", {})
    return loading.load_experiment(folder / "params.yaml")


def write_report(folder: Path, experiment: Experiment, out: Path) -> None:
    """Write the report of an experiment's folder, as its stage does."""
    report_folder.write_report(Findings(folder, load_metrics(folder, experiment)), out)


def complete(folder: Path) -> None:
    """Add the subset's table and the cells' metadata, which `make` leaves out and the page shows."""
    subset = TensorFile(folder / "subset/images.safetensors")
    rows = [
        {"id": id, "label": label, "target_label": target, "file": FILES[place % len(FILES)]}
        for place, (id, label, target) in enumerate(
            zip(*(subset[name].tolist() for name in ("index", "labels", "target_labels")), strict=True)
        )
    ]
    text = csv_text(("id", "label", "target_label", "file"), rows)
    (folder / "subset/subset.csv").write_text(text, encoding="utf-8")
    for path in folder.glob("adversarial/*/*.safetensors"):
        images = np.array(TensorFile(path)["images"])
        members = {name: WEIGHTS[name] for name in path.parent.name.split("+") if name in WEIGHTS}
        said = {"torch": "2.9.0", "crossfool": "0.1.0", "weights": json.dumps(members), "subset": SUBSET}
        said["compute"] = '{"precision":"float32","compile":false,"chunk":8}'
        write_tensors(path, {"images": images}, said)


def lock(project: Path, folder: Path) -> None:
    """Write the folder's dvc.lock of the files that are there, and put them into the project's DVC cache."""
    stages: dict[str, Any] = {}
    values = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    for kind, stage in (("predictions/*/*.parquet", "evaluate"), ("adversarial/*/*.safetensors", "attack")):
        for path in sorted(folder.glob(kind)):
            if path.parent.name == "clean":
                continue
            md5 = hashlib.md5(path.read_bytes()).hexdigest()
            kept = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, kept)
            out = {"path": path.relative_to(folder).as_posix(), "hash": "md5", "md5": md5, "size": path.stat().st_size}
            own = {f"attacks.{path.stem}": values["attacks"][path.stem]} if stage == "attack" else {"models": []}
            name = f"{stage}@{path.parent.name}-{path.stem}"
            stages[name] = {"cmd": "x", "params": {"params.yaml": own}, "outs": [out]}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}), encoding="utf-8")


def facts(cell: str, folder: Path) -> dict[str, str]:
    """Lines that `explain` prints for a cell, by heading."""
    sections = provenance.provenance_sections(provenance.find_cell(cell, folder))
    return {heading: text for rows in sections.values() for heading, text in rows}
