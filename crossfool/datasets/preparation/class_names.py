"""Classes of each family of data sets: their names, and the names of their folders."""

import csv
import functools
from importlib import resources

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@functools.cache
def class_names(family: str) -> list[str]:
    """Names of a family's classes (mnist, cifar10, imagenet), by label."""
    return [name for _, name in _classes(family)]


@functools.cache
def class_folders(family: str) -> list[str]:
    """Names of the folders of a family's classes, by label; ImageNet's are WordNet ids."""
    return [folder for folder, _ in _classes(family)]


def _classes(family: str) -> list[tuple[str, str]]:
    """Folder and name of each class, by label."""
    if family != "imagenet":
        names = {"mnist": [str(digit) for digit in range(10)], "cifar10": list(CIFAR10)}[family]
        return list(zip(names, names, strict=True))
    table = resources.files("crossfool") / "datasets" / "preparation" / "imagenet_classes.csv"
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return [(row["id"], row["name"]) for row in rows]
