"""The plan of a stage: the values that it computes with, and hashes of the code that computes them.

A stage computes with its plan, its data, and nothing else. `stage_plans` makes plans, `plan_files` writes and
checks them.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from crossfool.experiment import fingerprint

Values = TypeVar("Values")


@dataclass(frozen=True)
class StagePlan(Generic[Values]):
    """The plan of one stage, or of several that differ in their source alone.

    Attributes:
        name: Path of the plan file below `plan/`, without its ending: `attack/igsm`.
        values: All that the stage computes with, beside its data.
        modules: Dotted names of the modules that compute, where the closure of imports starts.
        derived: Values that follow from `values` by code that is in no fingerprint.
        libraries: Libraries whose version the result depends on.
        files: The user's own files of code that compute -> hash.
    """

    name: str
    values: Values
    modules: tuple[str, ...]
    derived: Mapping[str, Any] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """The content of the plan file: values, hashes of code and data of the package, versions of libraries."""
        content = {
            "values": plain(self.values),
            "derived": plain(self.derived),
            "libraries": {name: library_version(name) for name in sorted(set(self.libraries))},
            "code": fingerprint.fingerprint(self.modules) | dict(self.files),
        }
        as_read: dict[str, Any] = json.loads(json.dumps({key: value for key, value in content.items() if value}))
        return as_read

    def digest(self) -> str:
        """Hash of the content, which stands for it in keys and in plans of other stages."""
        return hashlib.sha256(json.dumps(self.content()).encode()).hexdigest()[: fingerprint.HASH_DIGITS]


def library_version(library: str) -> str:
    """The installed version of a library; "not installed" where there is none."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def plain(value: Any) -> Any:
    """A value as JSON has it: sections and records as objects, keys that are null left out."""
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        value = fields | (value.model_extra or {})
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [plain(element) for element in value]
    return value
