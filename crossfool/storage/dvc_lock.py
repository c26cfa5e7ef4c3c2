"""The outputs that a dvc.lock file records."""

from collections.abc import Mapping
from typing import Any

import yaml

from crossfool.errors import UserError


def parse_outputs(lock: str) -> dict[str, dict[str, Any]]:
    """Parse a dvc.lock's text: path of each output -> its md5, size, stage and the stage's params.

    Raises:
        UserError: the text is no YAML, or not of a dvc.lock.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times faster, where PyYAML has it
    try:
        stages = (yaml.load(lock, loader) or {}).get("stages", {})
        return {
            out["path"]: {"md5": str(out["md5"]), "size": out.get("size"), "stage": name, "params": _params(stage)}
            for name, stage in stages.items()
            for out in stage.get("outs", [])
            if "md5" in out
        }
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"dvc.lock cannot be read: {' '.join(str(error).split())}; see `git diff dvc.lock`") from None


def _params(stage: Mapping[str, Any]) -> Mapping[str, Any]:
    return (stage.get("params") or {}).get("params.yaml") or {}
