"""Images in class folders, in a folder or tar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from crossfool.datasets import decoding, image_files
from crossfool.datasets.class_names import class_folders
from crossfool.datasets.config import Dataset
from crossfool.datasets.devkit import DEVKIT, FLAT, devkit_place
from crossfool.datasets.split import SHAPES, Split, Write
from crossfool.errors import UserError, unknown
from crossfool.storage import hashing

# --- image files ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageSource:
    """Image files in a folder or tar, and what the outputs' metadata say of it: never a machine's path."""

    files: image_files.ImageFiles
    kind: str
    sha256: str

    @classmethod
    def of(cls, files: image_files.ImageFiles) -> "ImageSource":
        return cls(files, "folder", "") if files.tar is None else cls(files, "tar", hashing.sha256(files.path))

    def split(self, family: str, names: Sequence[str], labels: Sequence[int], split: str, base: str = "") -> Split:
        shape = SHAPES[family]

        def write(append: Write) -> None:
            decoding.decode_many(self.files, names, shape.resize, shape.side, append, channels=shape.channels)

        others = {name: why for name, why in self.files.others(base).items() if not name.startswith(DEVKIT)}
        note = image_files.passed_over(others)
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
            said = f"; {image_files.passed_over(others)}" if others else ""
            raise UserError(
                f"{place} holds no images ({', '.join(image_files.EXTENSIONS)}); "
                f"expected class folders with images{said}"
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
            if inside and others[name] != image_files.HIDDEN and folder not in taken:
                lost = {one: why for one, why in others.items() if one[start:].startswith(f"{folder}/")}
                place = self.files.where(f"{base}/{folder}" if base else folder)
                raise UserError(
                    f"{place}: no file of the class folder is taken; {image_files.passed_over(lost)}; "
                    "convert them, to .png say, or remove the folder"
                )

    def likely(self, dataset: Dataset) -> None:
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
            devkit_place(self.files.path)

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
