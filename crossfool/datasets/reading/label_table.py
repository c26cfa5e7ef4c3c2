"""Tables of file names and labels: their columns found by name, their files and classes checked row by row."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crossfool.datasets.preparation.class_names import class_folders, class_names
from crossfool.datasets.reading.image_files import ImageFiles
from crossfool.errors import UserError, brief, unknown_name


@dataclass(frozen=True)
class Column:
    """A column that a table is asked for.

    Attributes:
        key: The key of params.yaml that names it; "" where none does.
        name: Its name as the user gives it; None where it is one of `names`.
        names: Usual names, whose first wins over the others.
    """

    key: str
    name: str | None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelTable:
    """A table with a row an image.

    Attributes:
        place: The table's place as a user would look for it, for errors.
        name: Its name in the folder or tar of the images; "" where it lies beside them.
        columns: Names of the columns.
        rows: Number of each row's line in the file, from 1, and column -> text.
    """

    place: str
    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]

    def sorted_by(self, column: str) -> "LabelTable":
        """The table with its rows in the order of a column's texts."""
        return dataclasses.replace(self, rows=tuple(sorted(self.rows, key=lambda row: row[1][column])))

    def column(self, wanted: Column) -> str:
        """The name of a column, in the table's letters; usual names are found in small letters and capitals.

        Raises:
            UserError: there is no such column, or several have usual names.
        """
        if wanted.name is not None:
            if wanted.name not in self.columns:
                key = f" of dataset: {wanted.key}" if wanted.key else ""
                raise UserError(f"{self.place}: {unknown_name(f'column{key}', wanted.name, self.columns)}")
            return wanted.name
        found = [name for name in self.columns if name.lower() in wanted.names]
        first = [name for name in found if name.lower() == wanted.names[0]]
        if len(first or found) == 1:
            return (first or found)[0]
        here = f"{self.place} has the columns {brief(', '.join(self.columns), 100)}"
        name_it = f"; name the one to take as dataset: {wanted.key}" if wanted.key else ""
        if found:
            raise UserError(f"{here}, of which {' and '.join(found)} could be meant{name_it}")
        raise UserError(f"{here}, expected {' or '.join(wanted.names)}{name_it}")

    def files(self, column: str, files: ImageFiles) -> list[str]:
        """Names of the image files that the rows name, in order: whole, or their last parts, or those without ending.

        Raises:
            UserError: a file is not there, is named twice, or could be one of several.
        """
        find = _finder(files.names())
        found, missing = [], []
        first_line: dict[str, int] = {}
        for line, row in self.rows:
            matches = find(row[column])
            if len(matches) > 1:
                raise UserError(
                    f"{self.place}: line {line}: {row[column]} could be {matches[0]} or {matches[1]}; write the "
                    "whole name"
                )
            if not matches:
                missing.append((line, row[column]))
                continue
            if matches[0] in first_line:
                raise UserError(
                    f"{self.place}: line {line} names {row[column]!r} again, as line {first_line[matches[0]]} does; "
                    "remove one"
                )
            first_line[matches[0]] = line
            found.append(matches[0])
        if missing:
            line, name = missing[0]
            raise UserError(
                f"{self.place}: line {line} names {name!r}, which {files.path} does not hold"
                f"{f' (nor {len(missing) - 1:,} more)' if len(missing) > 1 else ''}; add the file, or remove the row"
            )
        return found

    def labels(
        self,
        column: str,
        family: str,
        *,
        first: int = 0,
        hint: str = "",
        pick: Callable[[str], str] = str.strip,
    ) -> list[int]:
        """Labels of the rows, from 0: a text is a number, the name of a class's folder, or a class's name.

        Args:
            column: The column.
            family: The family of the classes: mnist, cifar10 or imagenet.
            first: The number of the first class, 0 or 1.
            hint: What the error for a number of no class says to do.
            pick: The part of a text that is the label.

        Raises:
            UserError: a label is no class.
        """
        count = len(class_names(family))
        by_name = {text: label for names in (class_names, class_folders) for label, text in enumerate(names(family))}
        labels = []
        for line, row in self.rows:
            text = pick(row[column])
            if text.isascii() and text.isdecimal() and len(text) < 9:
                label = int(text) - first
            elif text in by_name:
                label = by_name[text]
            else:
                raise UserError(f"{self.place}: line {line}: {column}: {unknown_name('class', text, by_name)}")
            if not 0 <= label < count:
                expected = f"{first} to {count - 1 + first}"
                raise UserError(f"{self.place}: line {line}: {column} is {text}, expected {expected}{hint}")
            labels.append(label)
        return labels


def _finder(names: Sequence[str]) -> Callable[[str], list[str]]:
    """A function that finds the image files that a text of a table can mean."""
    whole, by_last, by_stem = set(names), defaultdict(list), defaultdict(list)
    for name in names:
        last = name.rpartition("/")[2]
        by_last[last].append(name)
        by_stem[last.rpartition(".")[0]].append(name)

    def find(text: str) -> list[str]:
        wanted = "/".join(part for part in text.strip().replace("\\", "/").split("/") if part not in ("", "."))
        if wanted in whole:
            return [wanted]
        last = wanted.rpartition("/")[2]
        found = [name for name in by_last.get(last, ()) if f"/{name}".endswith(f"/{wanted}")]
        stems = by_stem.get(last, ())
        return found or [name for name in stems if f"/{name.rpartition('.')[0]}".endswith(f"/{wanted}")]

    return find
