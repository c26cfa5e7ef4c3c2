"""Parts of the user's own: files in `own/gradients/`, `own/losses/`, ..., imported as modules of the package's folders.

So plans, workers and texts know them as they know the package's parts. The user's code runs here, and only where a row
names its part. What it gets wrong is one line that names its file. Imports no torch.
"""

import contextlib
import dataclasses
import functools
import importlib
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from crossfool import signals
from crossfool.attacks.types import Rule
from crossfool.errors import UserError, reason_in_code
from crossfool.part_files import OWN, part_names

PAGE = "docs/your-own.md"
_CHECKED = ("estimator", "gradient", "update", "loss", "loss_of_both")  # what gives tensors, or functions to them


def own_names(folder: str) -> list[str]:
    """Names of the user's own parts in a folder of `own/`, sorted. Nothing is imported."""
    return [name for name in part_names(OWN / folder) if name.isidentifier()]


def shown(folder: str, name: str) -> str:
    """The file of a part for messages: `own/gradients/mine.py`."""
    return f"{OWN.name}/{folder}/{name}.py"


def refuse_misnamed(folder: str, name: object) -> None:
    """Refuse a name that is no part's, where a file of that name lies there.

    Raises:
        UserError: it does.
    """
    if isinstance(name, str) and Path(name).name == name and (OWN / folder / f"{name}.py").is_file():
        raise UserError(
            f"{shown(folder, name)}: the name of a part's file has letters, digits and _, and begins with a letter; "
            "rename it"
        )


def import_part(folder: str, name: str, folders: Collection[str]) -> ModuleType:
    """Import a file of the user's own as a module of the package.

    Args:
        folder: Its folder, as `gradients`.
        name: The part's name.
        folders: The folders of parts.

    Raises:
        UserError: it raises, calls exit, or loads files of `own/` that no plan can know.
    """
    for other in folders:
        package = importlib.import_module(f"{__package__}.{other}")
        if str(OWN / other) not in package.__path__:
            package.__path__.append(str(OWN / other))
    importlib.invalidate_caches()  # the file may be younger than what Python remembers of its folder
    before, where = set(sys.modules), shown(folder, name)
    with errors_in_own_code(f"{where}: importing it"):
        module = importlib.import_module(f"{__package__}.{folder}.{name}")
    for loaded in sys.modules.keys() - before:
        file = Path(getattr(sys.modules[loaded], "__file__", None) or ".")
        if file.is_relative_to(OWN) and loaded != f"{__package__}.{file.parent.name}.{file.stem}":
            raise UserError(
                f"{where} loads {file}, which no plan would know; put it beside the part as _{file.stem}.py, and write "
                f"`from ._{file.stem} import ...`"
            )
    return module


@contextlib.contextmanager
def errors_in_own_code(where: str = "") -> Iterator[None]:
    """Turn what the user's own code raises into one line.

    Args:
        where: What is blamed for any error; where not given, errors that do not come through a file of `own/` pass.

    Raises:
        UserError: the block raised such an error.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        reason, frame = reason_in_code(error, OWN)
        passes = not where and (frame is None or isinstance(error, SystemExit))
        if passes or type(error).__name__ == "OutOfMemoryError" or signals.ending_on_signal():
            raise
        line = f" (line {frame.lineno})" if frame else ""
        place = Path(frame.filename).relative_to(OWN.parent).as_posix() if frame else ""
        blamed = where if where.startswith(place) else f"{where}: {place}" if where else f"{place}:"
        raise UserError(f"{blamed} {reason}{line}") from None


def check_results(part: type[Any], base: type[Any], where: str) -> None:
    """Have the methods of a part refuse results of a wrong shape, and NaN that they make themselves.

    Args:
        part: The class, which is changed.
        base: Its base class, whose own methods stay.
        where: The part's file.
    """
    for name in _CHECKED:
        method = getattr(part, name, None)
        if method is not None and method is not getattr(base, name, None):
            setattr(part, name, _checked(method, where, name.startswith("loss")))


def _checked(function: Callable[..., Any], where: str, is_loss: bool) -> Callable[..., Any]:
    """A function whose tensor is looked at, and so are those of functions that it returns."""

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        with errors_in_own_code():
            result = function(*arguments, **options)
        if isinstance(result, Rule):
            made = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
            return Rule(**{name: value and _checked(value, where, is_loss) for name, value in made.items()})
        if callable(result):
            return _checked(result, where, is_loss)
        _check(result, arguments, where, is_loss)
        return result

    return call


def _check(result: Any, arguments: tuple[Any, ...], where: str, is_loss: bool) -> None:
    """Refuse a result of images (N,C,H,W), the last argument, that is no loss (N,), or no gradient of their shape.

    Raises:
        UserError: it is no tensor, its shape is another, or it is NaN and neither the images nor their plain gradient
            are.
    """
    import torch

    images = arguments[-1] if arguments else None
    if not isinstance(images, torch.Tensor):
        raise UserError(f"{where} gives a {type(result).__name__}, expected a function; see {PAGE}")
    expected = (len(images),) if is_loss else tuple(images.shape)
    if not isinstance(result, torch.Tensor) or tuple(result.shape) != expected:
        given = f"shape {tuple(result.shape)}" if isinstance(result, torch.Tensor) else f"a {type(result).__name__}"
        what = "a loss for each image, not reduced" if is_loss else "that of the images"
        raise UserError(f"{where} gives {given}, expected shape {expected}, {what}")
    if result.isnan().any() and not images.isnan().any():
        from crossfool.attacks.backward import plain

        if callable(arguments[0]) and plain(arguments[0], images).isnan().any():
            return  # not the estimator's; the cell's error names the model and the image
        raise UserError(f"{where} gives NaN; look for a division by zero, a root or a logarithm of zero in it")
