"""Data sets that tests make: images in folders by class, files of MNIST's format, the devkit of ImageNet."""

import csv
import gzip
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossfool.datasets.preparation import prepare
from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.errors import UserError
from crossfool.storage.tensors import TensorFile


def made_digits(folder: Path, *, train: int, contrast: int) -> Path:
    """Write 28x28 images of ten classes, a square in one of ten places: `train` a class in train/, three in test/."""
    generator = np.random.default_rng(0)
    for part, count in (("train", train), ("test", 3)):
        for label in range(10):
            (folder / part / str(label)).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 60, (28, 28), np.uint8)
                top, left = 4 + 12 * (label // 5), 1 + 5 * (label % 5)
                pixels[top : top + 8, left : left + 5] += contrast
                Image.fromarray(pixels).save(folder / part / str(label) / f"{number}.png")
    return folder


class Prepared:
    """The files that `prepare` wrote, opened."""

    def __init__(self, folder: Path, /, *, training: bool = False, **dataset: object) -> None:
        self.paths = [folder / name for name in ("images.safetensors", "images.csv", "train.safetensors")]
        prepare.prepare(make_dataset(**dataset), *self.paths, training=training)
        evaluation, train = TensorFile(self.paths[0]), TensorFile(self.paths[2])
        self.images, self.labels, self.metadata = evaluation["images"], evaluation["labels"], evaluation.metadata
        self.target_labels = evaluation["target_labels"] if "target_labels" in evaluation.names() else None
        self.train_images, self.train_labels, self.train_metadata = train["images"], train["labels"], train.metadata
        with open(self.paths[1], encoding="utf-8", newline="") as file:
            self.table = list(csv.reader(file))
        assert self.images.dtype == np.uint8 and self.labels.dtype == np.int64
        assert self.table[0] == ["id", "label", "file"]
        assert [row[:2] for row in self.table[1:]] == [[str(i), str(label)] for i, label in enumerate(self.labels)]
        self.files = [row[2] for row in self.table[1:]]

    def bytes(self) -> list[bytes]:
        return [path.read_bytes() for path in self.paths]


def refused(folder: Path, /, *, training: bool = False, **dataset: object) -> str:
    """The one line with which `prepare` refuses, having written nothing."""
    out = folder / "refused"
    with pytest.raises(UserError) as caught:
        Prepared(out, training=training, **dataset)
    assert not list(out.rglob("*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def save(path: Path, colour: int, side: int, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (side, side), (colour,) * 3 if mode == "RGB" else colour).save(path)


def write_rows(path: Path, columns: str, rows: Iterable[Iterable[object]]) -> Path:
    """A table of the user's: a line of column names, as it is given, and rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(f"{columns}\n")
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def packed(folder: Path, kind: str = "w", wrapped: bool = False) -> Path:
    """A tar of a folder's content, or of the folder itself, in tarfile's mode `kind`."""
    path = folder.parent / f"{folder.name}.tar"
    with tarfile.open(path, kind) as archive:
        archive.add(folder, arcname=folder.name if wrapped else ".")
    return path


def write_idx(path: Path, values: np.ndarray, zipped: bool) -> None:
    """The format of MNIST's files: a big-endian header, then bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape) + values.tobytes()
    if zipped:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(data))
    else:
        path.write_bytes(data)


def make_devkit(folder: Path, truth: list[int], packed: bool) -> None:
    """A devkit whose numbers 1, 2, 3 are the labels 281, 0, 1; its number 1001 is no leaf, as in the true one."""
    from scipy.io import savemat

    data = folder / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    kinds = [("ILSVRC2012_ID", "f8"), ("WNID", "O"), ("words", "O"), ("num_children", "f8")]
    rows = [(1, "n02123045", "tabby", 0), (2, "n01440764", "tench", 0), (3, "n01443537", "goldfish", 0)]
    rows.append((1001, "n00001740", "entity", 3))
    savemat(data / "meta.mat", {"synsets": np.array(rows, dtype=kinds).reshape(-1, 1)})
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{number}\n" for number in truth))
    if packed:
        with tarfile.open(folder / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
            archive.add(folder / "ILSVRC2012_devkit_t12", arcname="ILSVRC2012_devkit_t12")
        shutil.rmtree(folder / "ILSVRC2012_devkit_t12")
