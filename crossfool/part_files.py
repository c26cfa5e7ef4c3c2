"""Parts that are files: a folder is the registry of its modules, and a module says as literals what it declares.

A declaration is read from the text of a file, which is not run: so params.yaml is validated without torch, and a stage
loads the parts that its plan names and no others.
"""

import ast
import dataclasses
import functools
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from crossfool.errors import UserError, brief, unknown_name


class InOrder(Protocol):
    """A declaration that has a place among the others of its folder."""

    @property
    def name(self) -> str: ...

    @property
    def order(self) -> int: ...


OWN = Path(__file__).resolve().parents[1] / "own"  # the user's own parts, at the top of the clone

Record = TypeVar("Record")
Ordered = TypeVar("Ordered", bound=InOrder)


def part_names(folder: Path) -> list[str]:
    """Names of the parts in a folder, sorted: its modules, but those whose names begin with _, and no sub-folders."""
    modules = pkgutil.iter_modules([str(folder)])
    return sorted(module.name for module in modules if not module.ispkg and not module.name.startswith("_"))


def own_files() -> list[Path]:
    """The files of the user's own parts, sorted: in folders of `own/` that are named like those of attacks' parts."""
    attacks = Path(__file__).parent / "attacks"
    return sorted(path for path in OWN.glob("*/*.py") if (attacks / path.parent.name).is_dir())


def declaration(path: Path, name: str) -> Any:
    """The literal that a module assigns to a name at its top level.

    Args:
        path: The module's file.
        name: Such as NETWORKS.

    Raises:
        UserError: the module assigns nothing to that name, or no literal; or it is no Python.
    """
    for node in _tree(path).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if value is not None and any(isinstance(target, ast.Name) and target.id == name for target in targets):
            try:
                return ast.literal_eval(value)
            except ValueError:
                raise UserError(
                    f"{path}: {name} is read without running the file; write texts, numbers, tuples and dictionaries "
                    "only, no calculation"
                ) from None
    raise UserError(f"{path} declares no {name}; add it, or begin the file's name with _ if it is no part")


def summary(path: Path) -> str:
    """The first line of a module's docstring, without its full stop.

    Raises:
        UserError: the module has no docstring, or is no Python.
    """
    docstring = ast.get_docstring(_tree(path))
    if not docstring:
        raise UserError(f"{path} begins with no docstring; say in its first line what the part is")
    return docstring.partition("\n")[0].removesuffix(".")


def record(kind: type[Record], values: Mapping[str, Any], where: str) -> Record:
    """Make a dataclass of declared values.

    Args:
        kind: The dataclass.
        values: Its fields' values, by name.
        where: File and name of the declaration, for errors.

    Raises:
        UserError: a key is unknown or missing, or a value is of the wrong type.
    """
    fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise UserError(f"{where}: {unknown_name('key', key, fields)}")
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def read_part(kind: type[Record], folder: Path, name: str, literal: str) -> Record:
    """Read the declaration of the part `folder`/`name`.py, a literal of that name, whose fields `name` is added to.

    Raises:
        UserError: the declaration is missing or wrong.
    """
    path = folder / f"{name}.py"
    return record(kind, {"name": name, **declaration(path, literal)}, f"{path}: {literal}")


def read_parts_in_order(kind: type[Ordered], folder: Path, literal: str) -> dict[str, Ordered]:
    """Read the declarations of all parts in a folder by name, by rising `order`, then by name.

    Raises:
        UserError: a declaration is missing or wrong.
    """
    declared = [read_part(kind, folder, name, literal) for name in part_names(folder)]
    return {part.name: part for part in sorted(declared, key=lambda part: (part.order, part.name))}


@functools.cache
def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path} is no Python: {brief(error)}") from None
