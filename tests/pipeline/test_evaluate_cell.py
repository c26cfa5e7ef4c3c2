"""A cell's and a model's tables and metrics: the bytes that `predict.top5` gives, whichever engine computes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import ROOT, a_few
from forked_python import run_python
from made_cells import CPU, ROWS, cell, run

from crossfool.attacks.config import Attack
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.weights_file import read_description
from crossfool.pipeline.evaluation import (
    detail_metrics,
    evaluate_cell,
    image_transforms,
    predict,
    predict_clean,
    predictions_file,
    success,
)
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile, write_tensors

COMPUTE = Compute(chunk=4)
TARGETS = ("fnn2", "fnn0")
TRANSFORMS = {"rotation": (10.0, 30.0), "jpeg": (30.0,), "gaussian_noise": (0.0, 20.0)}
SUBSET, WEIGHTS = Path("subset/images.safetensors"), Path("weights")
ADVERSARIAL = Path("adversarial/fnn2/takes.safetensors")


@pytest.fixture
def experiment(tmp_path: Path, subset: Path, fnn_weights: Path, monkeypatch) -> Path:
    """A folder with a cell of snapshots, seeds and floats, computed, and all that its evaluation reads."""
    for name in ("CROSSFOOL_ENGINE", "CROSSFOOL_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CROSSFOOL_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    run(cell(SUBSET, WEIGHTS, "takes"), WEIGHTS, ADVERSARIAL)
    write_tensors("data/lpips.safetensors", {})
    file = TensorFile(subset)
    clean = {name: np.array(file[name]) for name in ("images", "labels")}
    write_tensors("data/images.safetensors", clean, file.metadata)
    return tmp_path


def directly(out: Path) -> None:
    """Write what a cell's evaluation and a model's clean predictions are, by `predict.top5` alone."""
    row, clean, file = Attack(**ROWS["takes"]), TensorFile(SUBSET), TensorFile(ADVERSARIAL)
    networks = {
        name: pixel_model.load(WEIGHTS / f"{name}.safetensors", device=CPU, compute=COMPUTE) for name in TARGETS
    }

    def top5(images: np.ndarray) -> dict[str, np.ndarray]:
        return {name: predict.top5(model, images, batch=4, device=CPU) for name, model in networks.items()}

    top, takes, floats = top5(file["images"]), file["takes"], file["floats"]
    table, metrics = out / "predictions/fnn2/takes.parquet", out / "metrics/fnn2"
    predictions_file.write_cell(table, top, clean)
    stored, labels, _ = predictions_file.read_cell(table)
    write_json(metrics / "takes.json", success.cell_metrics(stored, labels, None, "fnn2"))
    others = {seed_and_step: top5(takes[:, place]) for place, seed_and_step in enumerate(row.snapshots)}
    others |= {"float": top5(floats), "truncated": top5(floats.astype(np.uint8))}
    details = detail_metrics.cell_details(ADVERSARIAL, SUBSET, row, top, others)
    write_json(metrics / "takes.detail.json", details)
    ids, table = clean["index"].tolist(), out / "transformed/fnn2/takes.parquet"
    after: predictions_file.Transformed = {}
    for model, network in networks.items():
        for name, levels in TRANSFORMS.items():
            for level in levels:
                parts = []
                for start in range(0, len(ids), 4):
                    chunk = torch.from_numpy(np.array(file["images"][start : start + 4]))
                    changed = image_transforms.apply(name, level, chunk, ids[start : start + 4]).numpy()
                    parts.append(predict.top5(network, changed, batch=4, device=CPU))
                after[model, name, level] = np.concatenate(parts)
    predictions_file.write_transformed(table, after, clean)
    transformed = predictions_file.read_transformed(table, 11)
    write_json(metrics / "takes.transform.json", success.destruction_rates(stored, transformed, labels))
    clean_top = top5(clean["images"])["fnn0"]
    predictions_file.write_clean(out / "predictions/clean/fnn0.parquet", clean_top, np.array(clean["labels"]))
    about = read_description(TensorFile(WEIGHTS / "fnn0.safetensors"))
    accuracy = predict.accuracy(clean_top, labels, dataset="made", about=about)
    write_json(out / "metrics/clean/fnn0.json", accuracy)


def written(folder: Path) -> dict[str, bytes]:
    """Bytes of all tables and metrics in a folder."""
    files = [path for name in ("predictions", "metrics", "transformed") for path in (folder / name).rglob("*.*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def evaluate(*, transforms=TRANSFORMS, targets=TARGETS) -> None:
    row, options = Attack(**ROWS["takes"]), {"lpips": False, "compute": COMPUTE}
    targets = dict.fromkeys(targets, "code")
    hashes = dict.fromkeys(transforms or {}, "code of a transform")
    options |= {"targets": targets, "transforms": transforms, "transform_hashes": hashes}
    evaluate_cell.evaluate_cell("fnn2", "takes", row, **options)


STAGE = f"""
import sys

if __name__ == "__main__":  # workers need nothing of it
    sys.path.insert(0, {str(ROOT / "tests/pipeline")!r})
    import test_evaluate_cell

    test_evaluate_cell.evaluate()
    test_evaluate_cell.predict_clean.predict_clean("fnn0", compute=test_evaluate_cell.COMPUTE)
"""


@pytest.mark.parametrize("engine", a_few(["here", "local", "slurm", "ray"], "here", "local"))
def test_files_are_those_of_top5_whichever_engine_computes(experiment, tmp_path, engine):
    if engine in ("slurm", "ray"):
        pytest.importorskip({"slurm": "submitit"}.get(engine, engine), reason="it is not installed")
    directly(tmp_path / "directly")
    (tmp_path / "stage.py").write_text(STAGE)
    environment = dict(os.environ) | {
        "CROSSFOOL_ENGINE": "local" if engine == "here" else engine,
        "CROSSFOOL_WORKERS": "1" if engine == "here" else "2",
        "CROSSFOOL_SLURM": "cluster=local timeout_min=5",
        "PYTHONPATH": str(ROOT / "tests"),
    }
    if engine == "ray":  # which is not started in forks
        pipe = subprocess.PIPE
        command = [sys.executable, "stage.py"]
        done = subprocess.run(command, env=environment, text=True, stdout=pipe, stderr=subprocess.STDOUT, timeout=300)
        code, text = done.returncode, done.stdout
    else:
        code, text = run_python([str(tmp_path / "stage.py")], tmp_path, environment)
    assert code == 0, text[-3000:]
    found, expected = written(tmp_path), written(tmp_path / "directly")
    assert len(expected) == 7 and found == expected
    folders = {path.name for path in Path(".crossfool").rglob("*") if path.is_dir()}
    assert folders == {"predictions"} | ({"slurm"} if engine == "slurm" else set())


def test_kept_predictions_give_the_same_files_and_load_no_model(experiment, tmp_path, monkeypatch):
    directly(tmp_path / "directly")
    expected = written(tmp_path / "directly")
    evaluate()
    predict_clean.predict_clean("fnn0", compute=COMPUTE)
    assert written(tmp_path) == expected
    for path in expected:
        if "clean" not in path:
            Path(path).unlink()
    monkeypatch.setattr(pixel_model, "load", lambda *arguments, **options: pytest.fail("a model is loaded"))
    torch.backends.cudnn.allow_tf32 = True
    evaluate()
    assert written(tmp_path) == expected
    assert not torch.backends.cudnn.allow_tf32  # LPIPS computes in the precision of params.yaml


def test_transforms_that_are_not_wanted_or_none(experiment):
    evaluate(transforms=None)
    assert not Path("transformed").exists() and not Path("metrics/fnn2/takes.transform.json").exists()
    evaluate(transforms={})
    assert predictions_file.read_transformed(Path("transformed/fnn2/takes.parquet"), 11) == {}
    assert json.loads(Path("metrics/fnn2/takes.transform.json").read_text()) == {"fnn2": {}, "fnn0": {}}
