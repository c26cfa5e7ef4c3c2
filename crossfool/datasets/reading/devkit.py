"""ImageNet's development kit: labels of the validation images that lie flat in one folder or tar."""

import io
import json
import re
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from crossfool.datasets.preparation.class_names import class_folders
from crossfool.datasets.reading.image_files import ImageFiles
from crossfool.errors import UserError, brief

IMAGENET_IMAGES = 50_000
DEVKIT = "ILSVRC2012_devkit_t12"
FLAT = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


def validation_labels(files: ImageFiles, names: Sequence[str]) -> list[int]:
    """Labels of validation images, by the numbers in their names, from the devkit's ground truth.

    Args:
        files: The folder or tar with the images; the devkit lies in it or beside it.
        names: The images.

    Raises:
        UserError: a name is no validation image's or is there twice, or the devkit is missing or damaged.
    """
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
    """Labels of the validation images 1 to 50,000, from the devkit in the folder `path` or beside it.

    The devkit numbers the classes in an order of its own; its meta.mat says which WordNet id each number is.
    """
    place = devkit_place(path)
    truth, meta = (_devkit_file(place, name) for name in ("ILSVRC2012_validation_ground_truth.txt", "meta.mat"))
    by_id = {name: label for label, name in enumerate(class_folders("imagenet"))}
    try:
        by_number = {number: by_id[name] for number, name in _synsets(meta).items()}
        labels = [by_number[int(line)] for line in truth.split()]
    except Exception as error:  # scipy raises many kinds at damaged bytes
        reason = brief(f"{type(error).__name__}: {error}")
        raise UserError(f"{place / DEVKIT}: the devkit cannot be read ({reason}); fetch it again") from None
    if len(labels) != IMAGENET_IMAGES:
        raise UserError(
            f"{place / DEVKIT} has labels of {len(labels)} images, expected {IMAGENET_IMAGES}; fetch it again"
        )
    return labels


def devkit_place(path: Path) -> Path:
    """The folder that holds the devkit of the images in `path`: that folder, or the one around it.

    Raises:
        UserError: there is none.
    """
    place = _place(path)
    if place is not None:
        return place
    raise UserError(
        f"{path}: the images lie in no class folders, and {DEVKIT}.tar.gz with their labels is not beside them; "
        f"put it, or Kaggle's LOC_val_solution.csv, into {path.parent}, or name a table of labels as dataset: table"
    )


def has_devkit(path: Path) -> bool:
    """Whether the devkit lies in the folder `path` or beside it."""
    return _place(path) is not None


def _place(path: Path) -> Path | None:
    """The folder that holds the devkit, unpacked or packed: `path` or the one around it; None where neither does."""
    ends = ("", ".tar.gz")
    return next((p for p in (path, path.parent) if any((p / f"{DEVKIT}{end}").exists() for end in ends)), None)


def _synsets(meta: bytes) -> dict[int, str]:
    """Number of each class in the devkit -> WordNet id, read in another process: damaged bytes can crash scipy."""
    command = [sys.executable, "-P", "-c", "from crossfool.datasets.reading import devkit; devkit.print_synsets()"]
    reader = subprocess.run(command, input=meta, capture_output=True)
    if reader.returncode:
        last = reader.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ValueError(*last or [f"meta.mat crashes its reader ({reader.returncode})"])
    return {int(number): name for number, name in json.loads(reader.stdout)}


def print_synsets() -> None:
    """Read meta.mat from standard input and print pairs of number and WordNet id as JSON."""
    from scipy.io import loadmat

    synsets = loadmat(io.BytesIO(sys.stdin.buffer.read()), squeeze_me=True)["synsets"]
    leaves = [synset for synset in synsets if int(synset["num_children"]) == 0]
    print(json.dumps([(int(leaf["ILSVRC2012_ID"]), str(leaf["WNID"])) for leaf in leaves]))


def _devkit_file(place: Path, name: str) -> bytes:
    """Bytes of a file of the devkit's data folder, from the unpacked devkit in the folder `place`, or its archive."""
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
