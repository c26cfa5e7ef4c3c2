"""The bytes that `check` states are those that a run leaves on the disk; a run attacks tuning images where asked to."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import metadata
from command_line import told
from repositories import Repository, finished, made_on_digits

from crossfool.experiment import preflight
from crossfool.experiment.descriptions import TUNING_NOTICE
from crossfool.experiment.output_sizes import output_sizes, snapshot_bytes
from crossfool.storage.tensors import TensorFile

HEADERS = 6_000  # bytes a file beyond its values: safetensors' header with metadata, the statistics that parquet keeps
ROWS = {
    "fgsm": {"epsilon": 100, "steps": 1, "step_size": 100},
    "kept": {"epsilon": 100, "steps": 4, "step_size": 25.5, "record_steps": [1, 3], "quantisation": True},
}


def test_sizes_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """12 attacked images of 784 bytes: one as uint8, two snapshots, one as float32."""
    repository = made_on_digits(tmp_path, monkeypatch, train=12)
    repository.edit(lambda values: values.update(attacks=ROWS))
    found = preflight.check(repository.path)
    sizes = output_sizes(found.experiment, 12, found.evaluated, 120)
    assert sizes["adversarial/fnn0/fgsm.safetensors"] == 12 * 784
    assert sizes["adversarial/fnn0+fnn2/kept.safetensors"] == 12 * 784 * (1 + 2 + 4)
    assert snapshot_bytes(found.experiment, 12) == 2 * 12 * 784 * (2 + 4)
    assert sizes["data/train.safetensors"] == 120 * (784 + 8)  # the images in train_folder, and not MNIST's 60,000
    assert found.total.folders["data"] == sum(size for out, size in sizes.items() if out.startswith("data/"))
    text = told("check", str(repository.path))
    assert "attacked  12 images that all models get right\n" in text and "download  nothing\n" in text
    assert "of which snapshots 113 kB" in text


@pytest.mark.exhaustive  # half a minute
@pytest.mark.slow
def test_estimated_bytes_are_those_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact but for headers where images and weights are stored; tables of predictions within a half and headers."""
    repository = made_on_digits(tmp_path, monkeypatch, train=12)
    change: dict[str, Any] = {"attacks": ROWS, "sources": ["fnn0"], "transforms": {"jpeg": [30, 60]}}
    repository.edit(lambda values: values.update(change, subset={"images": 12, "of": "all"}))
    sizes = preflight.check(repository.path)
    repository.repro()
    estimated = output_sizes(sizes.experiment, 12, sizes.evaluated, 120)
    for out, size in estimated.items():
        actual = (repository.path / out).stat().st_size
        tolerance = HEADERS + (size / 2 if out.endswith(".parquet") else 0)
        assert size - tolerance <= actual <= size + tolerance, out
    for folder, size in sizes.left.folders.items():
        files = [path for path in (repository.path / folder).rglob("*") if path.suffix in (".safetensors", ".parquet")]
        actual = sum(path.stat().st_size for path in files)
        assert abs(actual - size) <= 0.05 * size + HEADERS * len(files), folder
    assert {path.partition("/")[0] for path in estimated} == sizes.left.folders.keys()


@pytest.mark.exhaustive  # pipeline/test_tuning_images.py and report/test_tuning_report.py have the parts
@pytest.mark.slow
def test_tuning_images_are_attacked_and_count_for_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By DVC itself: to set tuning images apart attacks nothing anew; to use them attacks others than those scored."""
    repository = finished(tmp_path / "made", tmp_path_factory)
    monkeypatch.setenv("MADE_DIGITS", repository.environment["MADE_DIGITS"])
    scored, before = subset_of(repository), (repository.path / "subset/images.safetensors").read_bytes()
    repository.edit(lambda values: values["subset"].update(tuning=5))
    assert repository.repro() <= {"plan", "select", "report"}
    assert (repository.path / "subset/images.safetensors").read_bytes() == before
    repository.edit(lambda values: values["subset"].update(use="tuning"))
    assert "attacked  5 tuning images, not for publication; " in told("check", str(repository.path))
    assert {name.partition("@")[0] for name in repository.repro()} >= {"attack", "evaluate", "report"}
    tuning = subset_of(repository)
    assert len(scored) == 12 and len(tuning) == 5 and not set(scored) & set(tuning)
    assert metadata(repository.path / "subset/images.safetensors")["use"] == "tuning"
    images = TensorFile(repository.path / "adversarial/fnn0/fgsm.safetensors")["images"]
    assert images.shape == (5, 1, 28, 28)
    assert {rates["n"] for rates in repository.metrics("fnn0/fgsm.json").values()} == {5}
    assert json.loads((repository.path / "agreement.json").read_text(encoding="utf-8"))["untested"] == TUNING_NOTICE
    assert TUNING_NOTICE in (repository.path / "report/index.html").read_text(encoding="utf-8")


def subset_of(repository: Repository) -> list[int]:
    """Ids of the attacked images."""
    ids: list[int] = np.array(TensorFile(repository.path / "subset/images.safetensors")["index"]).tolist()
    return ids
