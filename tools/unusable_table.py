"""Write crossfool/models/weights/unusable.csv: models that cannot be used, or be no source, and why.

Those of timm that tell other classes apart than ImageNet's, as the installed timm says; networks that have no gradient,
as `stress/networks.py` found.
"""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from crossfool.models.networks import build

FOUND = Path(__file__).parents[1] / "stress" / "networks.json"


def rows() -> Iterator[tuple[str, str, str]]:
    timm = build.timm_library()
    for name in timm.list_models():
        config = timm.models.get_pretrained_cfg(name)
        if config is not None and config.num_classes != 1000:
            yield f"timm_{name}", "model", f"it has {config.num_classes or 'no'} classes, not ImageNet's 1000"
    for name, row in json.loads(FOUND.read_text(encoding="utf-8")).items():
        if row["verdict"] == "no source":
            yield name, "source", row["why"]


if __name__ == "__main__":
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["name", "as", "why"])
    writer.writerows(sorted(rows()))
