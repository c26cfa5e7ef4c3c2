"""Write crossfool/models/weights/torchvision_models.csv from the installed torchvision's own metadata."""

import csv
import re
import sys
from typing import Any

from torchvision import models

FIELDS = ["name", "version", "url", "sha256", "resize", "side", "interpolation", "mean", "std", "top1", "parameters"]


def row(name: str) -> dict[str, Any]:
    """Read the row of a classifier from torchvision: weights IMAGENET1K_V1 where they exist, else its first weights."""
    versions = models.get_model_weights(name)
    weights = versions["IMAGENET1K_V1"] if "IMAGENET1K_V1" in versions.__members__ else next(iter(versions))
    preset = weights.transforms()
    digits = re.search(r"-([0-9a-f]{8,})\.pth$", weights.url)
    assert digits, weights.url
    return {
        "name": name,
        "version": weights.name,
        "url": weights.url,
        "sha256": digits[1],
        "resize": preset.resize_size[0],
        "side": preset.crop_size[0],
        "interpolation": preset.interpolation.value,
        "mean": " ".join(map(str, preset.mean)),
        "std": " ".join(map(str, preset.std)),
        "top1": weights.meta["_metrics"]["ImageNet-1K"]["acc@1"],
        "parameters": weights.meta["num_params"],
    }


if __name__ == "__main__":
    writer = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row(name) for name in models.list_models(module=models))
