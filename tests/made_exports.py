"""An experiment on the made subset whose cells are crafted and evaluated as the stages do, for what exports them."""

from pathlib import Path

import numpy as np
import yaml
from builders import make_subset
from made_cells import CPU, ROWS, cell, make_weights, run
from made_experiments import params_values

from crossfool.attacks.config import Attack
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.pipeline.crafting import weights_record
from crossfool.pipeline.evaluation import evaluate_cell, predict
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile, write_tensors

TARGETS = ("fnn0", "fnn2")
CELLS = {"fnn2/migsm": "migsm", "fnn2/targeted": "targeted", "fnn0+fnn2/sg": "sg"}


def make_computed(folder: Path) -> Path:
    """Craft and evaluate three cells in a folder, which must be the current one.

    fnn0 is right on six images and fnn2 on three others at least: the subset is one of `of: all`.
    """
    compute = Compute(chunk=4)
    subset, weights = make_subset(folder), make_weights(folder)
    file = TensorFile(subset)
    arrays = {name: np.array(file[name]) for name in file.names()}
    models = {name: pixel_model.load(weights / f"{name}.safetensors", device=CPU, compute=compute) for name in TARGETS}
    top = {name: predict.top5(model, arrays["images"], batch=4, device=CPU)[:, 0] for name, model in models.items()}
    place = np.arange(11)
    arrays["labels"] = np.select([place < 6, place < 9], [top["fnn0"], top["fnn2"]], (top["fnn0"] + 1) % 10)
    arrays["target_labels"] = (arrays["labels"] + 3) % 10
    arrays["right"] = np.stack([top[name] == arrays["labels"] for name in TARGETS], 1).astype(np.uint8)
    write_tensors(subset, arrays, {**file.metadata, "models": ",".join(TARGETS)})
    rows = {name: ROWS[name] for name in CELLS.values()}
    values = params_values(TARGETS, ["fnn2", "fnn0+fnn2"], rows, dataset={"name": "mnist"})
    values |= {"compute": {"chunk": 4}, "subset": {"images": "all", "of": "all"}}
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    write_tensors(folder / "data/lpips.safetensors", {})
    for name, row in CELLS.items():
        source = name.partition("/")[0]
        run(cell(subset, weights, row, source=source), weights, folder / f"adversarial/{name}.safetensors")
        weights_record.write_weights_record(source, weights, folder / f"sources/{source}.json")
        evaluate_cell.evaluate_cell(
            source,
            row,
            Attack(**ROWS[row]),
            targets=dict.fromkeys(TARGETS, "code"),
            lpips=False,
            transforms=None,
            transform_hashes={},
            compute=compute,
        )
    return folder


def digests(folder: Path) -> dict[str, str]:
    """File -> sha256, of all files in a folder."""
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}
