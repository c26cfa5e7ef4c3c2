"""Read and write tables of models' top-5 predictions, from which all statistics are computed.

Imports no torch.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from crossfool.errors import UserError
from crossfool.storage.parquet import read_table, write_table
from crossfool.storage.tensors import TensorFile

TOP_COLUMNS = [f"top{rank}" for rank in range(1, 6)]  # columns of the predictions

Transformed = dict[tuple[str, str, float], np.ndarray]  # target model, transform, level -> top-5 (N,5)


def write_clean(path: Path, top: np.ndarray, labels: np.ndarray) -> None:
    """Write a model's predictions (N,5) for the whole data set, a row an image: id, label, top1 to top5."""
    write_table(path, {"id": np.arange(len(labels)), "label": labels} | _columns(top))


def read_clean(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the labels (N,) and predictions (N,5) of a table of clean predictions."""
    table = read_table(path)
    return table["label"].to_numpy(), np.stack([table[name].to_numpy() for name in TOP_COLUMNS], 1)


def write_cell(path: Path, answers: Mapping[str, np.ndarray], subset: TensorFile) -> None:
    """Write a cell's predictions, a row an image and target model: id, model, label, target_label, top1 to top5.

    Args:
        path: The parquet file to write.
        answers: Target model -> its predictions (N,5).
        subset: The clean images, in the same order.
    """
    count, length = len(answers), len(subset["index"])
    columns = {
        "id": np.tile(subset["index"], count),
        "model": np.repeat(list(answers), length),
        "label": np.tile(subset["labels"], count),
        "target_label": np.tile(subset["target_labels"], count),
    }
    write_table(path, columns | _columns(np.concatenate(list(answers.values()))))


def read_cell(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Read a cell's predictions: target model -> predictions (N,5); labels (N,); target labels (N,)."""
    table = read_table(path)
    model = np.asarray(table["model"])
    top = np.stack([table[name].to_numpy() for name in TOP_COLUMNS], 1)
    names = list(dict.fromkeys(model))
    first = model == names[0]
    predictions = {str(name): top[model == name] for name in names}
    return predictions, table["label"].to_numpy()[first], table["target_label"].to_numpy()[first]


def right_by_model(subset: TensorFile) -> dict[str, np.ndarray] | None:
    """Read which clean images each model is right on: model -> (N,) bool; None where all models are on all images.

    Raises:
        UserError: the array's shape does not fit the subset's images and models.
    """
    if "right" not in subset:
        return None
    models, right = subset.metadata_text("models").split(","), subset["right"]
    if right.shape != (len(subset["index"]), len(models)):
        raise UserError(f"{subset.path}: right is not of its images and models; delete it and run `dvc repro`")
    return dict(zip(models, right.T.astype(bool), strict=True))


def write_transformed(path: Path, answers: Transformed, subset: TensorFile) -> None:
    """Write predictions for transformed images, a row an image, target model, transform and level.

    The columns are id, model, transform, level, label, top1 to top5.
    """
    keys, length = list(answers), len(subset["index"])
    model, transform, level = zip(*keys, strict=True) if keys else ((), (), ())
    columns = {
        "id": np.tile(subset["index"], len(keys)),
        "model": np.repeat(np.array(model, "U"), length),
        "transform": np.repeat(np.array(transform, "U"), length),
        "level": np.repeat(np.array(level, float), length),
        "label": np.tile(subset["labels"], len(keys)),
    }
    write_table(path, columns | _columns(np.concatenate([np.empty((0, 5), np.int64), *answers.values()])))


def read_transformed(path: Path, count: int) -> dict[tuple[str, str, float], np.ndarray]:
    """Read (target model, transform, level) -> most probable classes (N,), for a cell of `count` images.

    Raises:
        UserError: the number of rows is no multiple of `count`.
    """
    table = read_table(path)
    if len(table) % count:
        raise UserError(f"{path} has {len(table)} rows, no multiple of the cell's {count} images; run `dvc repro`")
    top = table["top1"].to_numpy()
    keys = zip(*(table[name].to_pylist()[::count] for name in ("model", "transform", "level")), strict=True)
    return {key: top[place * count : (place + 1) * count] for place, key in enumerate(keys)}


def _columns(top: np.ndarray) -> dict[str, np.ndarray]:
    """Columns top1 to top5 of predictions (N,5)."""
    return dict(zip(TOP_COLUMNS, top.T, strict=True))
