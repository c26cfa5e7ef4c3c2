"""Image files in class folders, in a folder or tar file, as splits of a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossfool.datasets.preparation.class_names import class_folders
from crossfool.datasets.preparation.split import SHAPES, Append, Shape, Split
from crossfool.datasets.reading import decoding
from crossfool.datasets.reading.devkit import DEVKIT
from crossfool.datasets.reading.image_files import ImageFiles
from crossfool.datasets.reading.image_names import EXTENSIONS, HIDDEN, passed_over_note
from crossfool.errors import UserError, unknown_name
from crossfool.storage import hashing


@dataclass(frozen=True)
class ImageSource:
    """Image files in a folder or tar, with the origin that outputs' metadata name.

    Attributes:
        files: The image files.
        kind: folder or tar, and never a path, which differs between machines.
        sha256: Hash of the tar; "" for a folder.
    """

    files: ImageFiles
    kind: str
    sha256: str

    @classmethod
    def from_files(cls, files: ImageFiles) -> "ImageSource":
        """Make a source of open image files; a tar is hashed."""
        return cls(files, "folder", "") if files.tar is None else cls(files, "tar", hashing.sha256(files.path))

    def split(
        self, shape: Shape, names: Sequence[str], labels: Sequence[int], split: str, base: str = "", table: str = ""
    ) -> Split:
        """Make a split of named images.

        Args:
            shape: The shape of the prepared images.
            names: Files, in order.
            labels: A label for each.
            split: Name of the split.
            base: The folder whose other files the split's note counts.
            table: The file that labels are read from, which the note leaves out.
        """

        def write(append: Append) -> None:
            decoding.decode_many(self.files, names, shape.resize, shape.side, append, channels=shape.channels)

        others = self.files.passed_over(base).items()
        reasons = {name: why for name, why in others if name != table and not name.startswith(DEVKIT)}
        note = passed_over_note(reasons)
        return Split(np.array(labels, np.int64), names, write, split, self.kind, self.sha256, note)

    def by_class(self, family: str, folder: str | None, split: str) -> Split:
        """Make a split of a folder whose sub-folders are classes; classes may be missing, other folders are refused.

        Args:
            family: The family of the classes: mnist, cifar10 or imagenet.
            folder: The folder inside the source; None for the source itself.
            split: Name of the split.

        Raises:
            UserError: there are no images, a folder is no class, an image lies in no class folder, or no file
                of a class folder is read.
        """
        base = self._class_parent(family, folder)
        place = self.files.where(base) if base else str(self.files.path)
        valid = {name: label for label, name in enumerate(class_folders(family))}
        for name in self.files.folders(base):
            if name not in valid:
                hint = str(unknown_name("folder", name, valid)).partition("; ")[2]
                kind = "ImageNet id (such as n01440764)" if family == "imagenet" else f"class of {family}"
                if self.files.folders(f"{base}/{name}" if base else name):
                    hint += "; if the class folders lie deeper, give their folder as dataset: folder"
                if family == "imagenet" and name.isdecimal():
                    hint += "; for ImageNet-V2's folders, 0 to 999, take the data set imagenet-v2"
                raise UserError(f"{place}: the class folder {name!r} is no {kind}; {hint}")
        names, reasons = self.files.names(base), self.files.passed_over(base)
        if not names:
            note = f"; {passed_over_note(reasons)}" if reasons else ""
            raise UserError(
                f"{place} holds no images ({', '.join(EXTENSIONS)}); expected class folders with images{note}"
            )
        self._refuse_lost_classes(base, names, reasons)
        labels = []
        for name in names:
            inside = name.removeprefix(f"{base}/").split("/") if base else name.split("/")
            if len(inside) < 2:
                raise UserError(f"{self.files.where(name)} lies in no class folder; move it into one or remove it")
            labels.append(valid[inside[0]])
        return self.split(SHAPES[family], names, labels, split, base)

    def _refuse_lost_classes(self, base: str, names: Sequence[str], reasons: Mapping[str, str]) -> None:
        """Refuse a class folder that has files but no image that is read; an empty class folder may be there.

        Args:
            base: The folder that holds the class folders.
            names: Images that are read.
            reasons: Files that are passed over, as `ImageFiles.passed_over` has them.
        """
        start = len(base) + 1 if base else 0
        classes = {name[start:].split("/")[0] for name in names}
        for name in reasons:
            folder, _, inside = name[start:].partition("/")
            if inside and reasons[name] != HIDDEN and folder not in classes:
                lost = {other: why for other, why in reasons.items() if other[start:].startswith(f"{folder}/")}
                place = self.files.where(f"{base}/{folder}" if base else folder)
                raise UserError(
                    f"{place}: no file of the class folder is taken; {passed_over_note(lost)}; "
                    "convert them, to .png say, or remove the folder"
                )

    def has_class_folders(self, family: str) -> bool:
        """Whether an image lies in a folder that is named like a class of a family."""
        valid = set(class_folders(family))
        return any(valid & set(name.split("/")[:-1]) for name in self.files.names())

    def refuse_no_class_folders(self, family: str) -> None:
        """Refuse the start of a tar whose images all lie in no class folder of a family.

        Raises:
            UserError: there are images, and none lies in a class folder.
        """
        names = self.files.names()
        if names and not self.has_class_folders(family):
            listed = ", ".join(sorted(class_folders(family)))
            kind = "ImageNet ids (such as n01440764)" if family == "imagenet" else listed
            raise UserError(
                f"{self.files.where(names[0])} lies in no class folder, nor do the other images at the tar's start; "
                f"expected folders named {kind}"
            )

    def _class_parent(self, family: str, folder: str | None) -> str:
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
                raise UserError(f"{place}: {unknown_name('folder', part, inside)}")
            base = f"{base}/{part}" if base else part
        return base
