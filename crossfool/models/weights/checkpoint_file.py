"""Read a state dict from a safetensors or torch file without running any code in it."""

import warnings
from pathlib import Path
from typing import Any

import torch

from crossfool.errors import UserError
from crossfool.models.weights.checkpoint_kind import foreign_kind, is_safetensors
from crossfool.models.weights.checkpoint_pickle import HARMLESS, why_refused


def read(path: Path) -> dict[str, Any]:
    """Read a state dict, or a checkpoint that contains one, from a safetensors or torch file; no code in it runs.

    The file's first bytes decide which of the two it is, not its name.

    Raises:
        UserError: the file is damaged, of another kind, or holds more than tensors and plain values.
    """
    description = foreign_kind(path)
    if description:
        kind, _, advice = description.partition("; ")
        raise UserError(
            f"{path} is {kind}, expected a PyTorch state dict or safetensors; {advice or 'give such a file'}"
        )
    try:
        if is_safetensors(path):
            from safetensors.torch import load_file

            return load_file(path)
        allowed = torch.serialization.safe_globals(list(HARMLESS))
        # ignored: torch's warnings about old pickle protocols; a file, since torch would go by a path's ending
        with allowed, warnings.catch_warnings(action="ignore"), open(path, "rb") as file:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises many kinds
        raise UserError(f"{path} holds no weights that can be read safely{why_refused(path, str(error))}") from None
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, expected a state dict")
    return state
