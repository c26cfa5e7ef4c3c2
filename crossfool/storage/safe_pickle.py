"""Pickles of arrays, read so that nothing in them can run."""

import pickle
from typing import Any

import numpy as np

from crossfool.errors import UserError


class ArraysOnly(pickle.Unpickler):
    """Reads a pickle of numpy arrays and plain values, and refuses to look up anything else.

    Raises:
        UserError: by `load`, the pickle asks for something else.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            from numpy._core.multiarray import _reconstruct  # where the old name leads today

            return _reconstruct
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise UserError(f"the pickle asks for {module}.{name}, which is no array; do not use this file")
