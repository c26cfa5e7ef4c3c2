"""Write crossfool/models/weights/unusable.csv: models that cannot be used at all, or not as a source, and why.

They are models of timm with other classes than ImageNet's, by the installed timm, and networks that have no gradient,
by `stress/networks.py`.
"""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from crossfool.models import build

VERDICTS = Path(__file__).parents[1] / "stress" / "networks.json"


def rows() -> Iterator[tuple[str, str, str]]:
    """Name, use (model or source) and reason of every unusable model."""
    timm = build.timm_library()
    for name in timm.list_models():
        config = timm.models.get_pretrained_cfg(name)
        if config is not None and config.num_classes != 1000:
            yield f"timm_{name}", "model", f"it has {config.num_classes or 'no'} classes, not ImageNet's 1000"
    for name, row in json.loads(VERDICTS.read_text(encoding="utf-8")).items():
        if row["verdict"] == "no source":
            yield name, "source", row["why"]


if __name__ == "__main__":
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["name", "as", "why"])
    writer.writerows(sorted(rows()))
