"""Networks of the user's own: built by a function of a file in `own/`, which runs here, and brought to logits (N,K)."""

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from crossfool import signals
from crossfool.errors import UserError, reason_in_code, unknown_name
from crossfool.models import own_models
from crossfool.models.own_models import OwnNetwork
from crossfool.storage.hashing import sha256


def build(key: str) -> nn.Module:
    """Build a network of the user's own, its weights not loaded: it takes normalised images and gives logits (N,K).

    Args:
        key: The model's key.

    Raises:
        UserError: its code fails, is not the code that was planned, or gives no logits of the data set's classes.
    """
    own = own_models.find_own(key)
    assert own is not None, key
    return to_logits(build_as_written(own), own)


def build_as_written(own: OwnNetwork) -> nn.Module:
    """Call the user's function; random numbers are drawn alike in each call.

    Raises:
        UserError: it fails, or returns no network that can be evaluated.
    """
    module, where = _module(own.key, own.path), f"{own.name}: {own.shown}"
    function = getattr(module, own.function, None)
    if not callable(function):
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise unknown_name(f"function of {own.shown}", own.function, names)
    with users_code(own, f"{own.function}()"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = function()
    if not isinstance(network, nn.Module):
        raise UserError(f"{where}: {own.function}() returns a {type(network).__name__}, expected an nn.Module")
    with users_code(own, "eval() of the network"):
        is_itself = network.cpu().float().eval() is network
    if not is_itself:
        raise UserError(f"{where}: eval() of the network does not return the network; have its train() return self")
    training = next((name for name, part in network.named_modules() if part.training), None)
    if training is not None:
        raise UserError(f"{where}: {training or 'the network'} is in training mode after eval(); look at its train()")
    return network


def to_logits(network: nn.Module, own: OwnNetwork) -> nn.Module:
    """Bring a network to logits (N,K) of the data set's classes: out of a dictionary or tuple, without background.

    Raises:
        UserError: it fails on a blank image, or no output, or more than one, has a logit for each class.
    """
    with users_code(own, "the network"), torch.no_grad():
        output = network(torch.zeros(1, len(own.mean), own.side, own.side))
    if isinstance(output, Tensor):
        outputs: dict[Any, Any] = {None: output}
    elif isinstance(output, Mapping):
        outputs = dict(output)
    elif isinstance(output, tuple | list):
        outputs = dict(enumerate(output))
    else:
        raise UserError(f"{own.name}: the network gives a {type(output).__name__}, expected logits (N,{own.outputs})")
    fitting = [key for key, value in outputs.items() if _shape(value) == (1, own.outputs)]
    if "logits" in fitting:
        fitting = ["logits"]
    if len(fitting) != 1:
        raise _no_logits(own, output, outputs, len(fitting))
    if fitting == [None] and not own.background:
        return network
    return _Logits(network, fitting[0], own.background)


class _Logits(nn.Module):
    """One output of a network, without the logits of background classes.

    Args:
        network: The network.
        key: Which of its outputs; None where it has one.
        background: The number of logits, the first ones, that are left out.
    """

    def __init__(self, network: nn.Module, key: Any, background: int) -> None:
        super().__init__()
        self.network, self.key, self.background = network, key, background

    def forward(self, images: Tensor, not_traced: None = None) -> Tensor:
        """Logits (N,K); the second argument keeps torch.fx from tracing into outputs that are no tensors."""
        output = self.network(images)
        logits: Tensor = output if self.key is None else output[self.key]
        return logits[:, self.background :]


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _no_logits(own: OwnNetwork, output: Any, outputs: Mapping[Any, Any], fitting: int) -> UserError:
    shapes = [
        f"{'' if key is None else f'{key}: '}{_shape(value) or type(value).__name__}" for key, value in outputs.items()
    ]
    found = f"{'' if isinstance(output, Tensor) else f'a {type(output).__name__} of '}{', '.join(shapes) or 'nothing'}"
    message = f"{own.name}: the network gives {found} for one image, expected one output (1, {own.outputs})"
    classes = own.outputs - own.background
    if fitting > 1:
        return UserError(f"{message}; have the function return a module that gives the logits alone")
    if any(_shape(value) == (1, classes + 1) for value in outputs.values()):
        return UserError(f"{message}; where the first logit is of a background class, set classes: {classes + 1}")
    return UserError(f"{message}: a logit for each class of {own.family}")


@functools.cache
def _module(key: str, path: str) -> ModuleType:
    """Import the user's file, and what it imports from its folder.

    Raises:
        UserError: it fails, hides an installed module, loads files that no import statement names, or has changed.
    """
    own = own_models.find_own(key)
    assert own is not None, key
    folder, start = Path(path).parent, next(iter(own.files))
    root = Path(path.removesuffix(start))
    for file in own.files:
        _refuse_hidden(own, root / file, folder)
    before, name = set(sys.modules), f"own_model_{own.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # last, so that it hides no library
    sys.modules[name] = module
    with users_code(own, "importing it"):
        spec.loader.exec_module(module)
    loaded = (getattr(sys.modules[other], "__file__", None) for other in sys.modules.keys() - before)
    known = {str(root / file) for file in own.files}
    strange = next((file for file in loaded if file and Path(file).is_relative_to(root) and file not in known), None)
    if strange is not None:
        raise UserError(f"{own.name}: {own.shown} loads {strange}, which no import statement names; write `import`")
    changed = [file for file, digest in own.files.items() if sha256(root / file) != digest]
    if changed:
        raise UserError(f"{own_models.FOLDER}/{changed[0]} changed while the stage was loading it; run `dvc repro`")
    return module


def _refuse_hidden(own: OwnNetwork, file: Path, folder: Path) -> None:
    """Refuse a file beside the model's own whose name Python finds elsewhere first."""
    name = file.relative_to(folder).parts[0].removesuffix(".py") if file.is_relative_to(folder) else ""
    if not name or str(file) == own.path:
        return
    loaded = sys.modules.get(name)
    spec = importlib.util.find_spec(name) if loaded is None else None
    place = getattr(loaded, "__file__", None) or (spec.origin if spec is not None else None)
    if (loaded is not None or place is not None) and not (place and Path(place).is_relative_to(folder)):
        raise UserError(f"{own.name}: {file} has the name of another module, {place or name}; rename it")


@contextlib.contextmanager
def users_code(own: OwnNetwork, what: str) -> Iterator[None]:
    """Turn whatever the user's code raises into one line; what it prints goes to standard error.

    Raises:
        UserError: the block raised anything, or called exit.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        if signals.ending_on_signal():
            raise
        reason, frame = reason_in_code(error, Path(own.path).parent)
        line = f" ({Path(frame.filename).name}, line {frame.lineno})" if frame else ""
        raise UserError(f"{own.name}: {own.shown}: {what} {reason}{line}") from None
