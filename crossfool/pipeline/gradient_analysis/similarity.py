"""Write the cosines of a source's gradient, plain and smoothed, with a target's, image by image."""

import csv
from pathlib import Path

import torch

from crossfool.errors import UserError
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.pipeline.gradient_analysis import analysis
from crossfool.pipeline.gradient_analysis.config import Similarity
from crossfool.runtime import choose_device
from crossfool.storage.atomic import replacing
from crossfool.storage.clean_images import read_clean_images


def write_similarity(name: str, row: Similarity, compute: Compute) -> None:
    """Compute a row of `similarity` and write analysis/similarity/<name>.csv in the current folder.

    Raises:
        UserError: the subset has fewer images, or a gradient is not finite.
    """
    where, subset = choose_device(), read_clean_images("subset/images.safetensors")
    if row.images > len(subset["index"]):
        raise UserError(f"similarity: {name}: {row.images} images asked, the subset has {len(subset['index'])}")
    pair = pixel_model.load_all((row.source, row.target), Path("weights"), device=where, compute=compute)
    images, labels = (torch.from_numpy(subset[key][: row.images].copy()) for key in ("images", "labels"))
    x, ids = images.float().to(where), subset["index"][: row.images].tolist()
    rows = analysis.similarity(pair[row.source], pair[row.target], x, labels, ids, row, batch=compute.chunk)
    with (
        replacing(Path("analysis/similarity") / f"{name}.csv") as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "samples", "cosine"])
        table.writerows([id, m, f"{cosine:.9g}"] for id, m, cosine in rows)
