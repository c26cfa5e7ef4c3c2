"""What an experiment says about the paper: figures side by side, and claims checked image by image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossfool import claims, comparison
from crossfool.errors import UserError
from crossfool.evidence import Evidence
from crossfool.pipeline.evaluation import predictions_file, success
from crossfool.pipeline.gradient_analysis.config import Similarity
from crossfool.results import Results
from crossfool.storage.csv_files import read_csv
from crossfool.storage.tensors import TensorFile


def gather(folder: Path, results: Results) -> Evidence:
    """Read, image by image, what the experiment in `folder` found; only on images that all models get right.

    Raises:
        UserError: a table is missing, broken or of other images.
    """
    experiment = results.experiment
    counted = _counted(folder) if experiment.sources else slice(None)
    hits: dict[tuple[str, str, str], np.ndarray] = {}
    hits5: dict[tuple[str, str, str], np.ndarray] = {}
    wrong: dict[tuple[str, str, str], np.ndarray] = {}
    destroyed: dict[tuple[str, str, str, str, float], np.ndarray] = {}
    for source in experiment.sources:
        for attack, row in experiment.rows.items():
            path = folder / "predictions" / source / f"{attack}.parquet"
            top, labels, target_labels = predictions_file.read_cell(path)
            if set(top) != set(experiment.answering) or len(labels) != results.n:
                raise UserError(f"{path} is of other models or images than metrics; delete it and run `dvc repro`")
            for target, given in top.items():
                cell = source, attack, target
                found = success.success(given, labels, target_labels if row.targeted else None)
                hits[cell], hits5[cell] = (one[counted] for one in found)
                wrong[cell] = (given[:, 0] != labels)[counted]
            if attack not in experiment.attacks:
                continue
            after = predictions_file.read_transformed(
                folder / "transformed" / source / f"{attack}.parquet", len(labels)
            )
            for (target, transform, level), given in after.items():
                destroyed[source, attack, target, transform, level] = (given == labels)[counted]
    similarity = {name: read_similarity(folder, name, row) for name, row in experiment.similarity.items()}
    return Evidence(experiment, hits, hits5, destroyed, results.clean, similarity, wrong)


def _counted(folder: Path) -> slice | np.ndarray:
    """Which images of the subset all models get right, (N,) bool; all, where none was taken that some get wrong."""
    right = predictions_file.right(TensorFile(folder / "subset/images.safetensors"))
    return slice(None) if right is None else np.logical_and.reduce(list(right.values()))


def read_similarity(folder: Path, name: str, row: Similarity) -> tuple[tuple[int, ...], np.ndarray]:
    """Values of m, 0 for the plain gradient, and cosines (images, values), of a similarity analysis.

    Raises:
        UserError: the table is missing, damaged or of other images or samples.
    """
    path = folder / "analysis/similarity" / f"{name}.csv"
    samples = (0, *row.samples)
    rows = read_csv(path, {"image": int, "samples": int, "cosine": float})
    if [int(one["samples"]) for one in rows] != list(samples) * row.images:
        raise UserError(f"{path} is not of {row.images} images and params.yaml's samples; run `dvc repro`")
    return samples, np.array([float(one["cosine"]) for one in rows]).reshape(row.images, len(samples))


def agreement(rows: Sequence[dict[str, Any]], found: Sequence[claims.Claim], untested: str = "") -> dict[str, Any]:
    """The whole in few numbers, for `dvc metrics`: agreement with the paper's figures, and each claim's verdict.

    `untested` says why claims could not be tested; it stands there only where it says something.
    """
    verdicts = {
        claim.name: {
            "holds": claim.holds,
            "effect": float(f"{claim.effect:.6g}"),
            "p": None if claim.p is None else float(f"{claim.p:.6g}"),
        }
        for claim in found
    }
    about = {"untested": untested} if untested else {}
    return {"paper": comparison.summary(rows), "claims": verdicts, **about}


def lines(rows: Sequence[dict[str, Any]], found: Sequence[claims.Claim]) -> list[str]:
    """The same for tables.md: paragraphs and tables."""
    parts = []
    if rows:
        total = comparison.summary(rows)
        rank = total["rank_correlation"]
        parts += [
            "## Agreement with the paper",
            f"{total['cells']} of the paper's figures have a cell here (comparison.csv has them all). Mean absolute "
            f"difference {total['mean_absolute_difference']:.1f} points, mean difference (ours minus the paper's) "
            f"{total['mean_difference']:+.1f}"
            + (f", rank correlation {rank:.2f} (Spearman)." if rank is not None else "."),
        ]
    if found:
        table = ["| claim | holds | effect | p | in the paper |", "| --- | --- | ---: | ---: | --- |"]
        for claim in found:
            p = "" if claim.p is None else "< 0.0001" if claim.p < 0.0001 else f"{claim.p:.2g}"
            table.append(
                f"| {claim.statement} | {'yes' if claim.holds else 'no'} | {claim.effect:+.3g} {claim.unit} | {p} | "
                f"{claim.section} |"
            )
        parts += [
            "## The paper's claims",
            "Each is a paired test on the same images (claims.csv says of which cells): a claim holds where the effect "
            "has the claimed sign and p < 0.05.",
            "\n".join(table),
        ]
    return parts
