"""Modules that an attack's row names, each imported only for the rows that name it. Imports no torch.

A static import would make every cell depend on every part: an edit of one estimator would outdate the cells of all.
So what crafts a cell gets these modules from `load`, and what a cell depends on is known from `modules`.
"""

import importlib
from typing import Any

from crossfool.attacks.config import Attack

ADAPTER = "crossfool.attacks.torchattack.adapter"
CONVOLVED = "crossfool.attacks.gradients._convolved"
DIVERSITY = "crossfool.attacks.input_diversity"
SCALED = "crossfool.attacks.gradients._scaled"


def estimator_module(row: Attack) -> str:
    """Dotted name of the module with a row's gradient estimator: the value of `gradient` is the module's name."""
    return f"crossfool.attacks.gradients.{row.gradient}"


def modules(row: Attack) -> tuple[str, ...]:
    """Dotted names of all modules that a row names; what these import themselves is not among them."""
    if row.method is not None:
        return (ADAPTER,)
    named = {
        estimator_module(row): True,
        SCALED: row.gradient == "plain" and row.scales is not None,
        CONVOLVED: row.kernel is not None,
        DIVERSITY: row.diversity is not None,
    }
    return tuple(name for name, is_named in named.items() if is_named)


def load(row: Attack, name: str) -> Any:
    """Import the module `name`, one of the `modules` of a row."""
    assert name in modules(row), f"{name} is missing from the modules of the row"
    return importlib.import_module(name)
