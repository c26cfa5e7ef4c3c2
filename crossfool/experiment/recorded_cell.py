"""A cell and its records: params.yaml, the adversarial file, dvc.lock, the weights record, metrics. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfool.attacks import sweeps
from crossfool.attacks.config import Attack
from crossfool.experiment.config import Experiment
from crossfool.storage.json_files import read_json
from crossfool.storage.tensors import TensorFile


@dataclass(frozen=True)
class RecordedCell:
    """A cell with its records, as far as they are there.

    Attributes:
        folder: The experiment's.
        source, name: The source, and the attack's name.
        experiment: Its params.yaml.
        path: The adversarial file's place, whether or not it is there.
        file: The adversarial file, which holds images and metadata; None where it is not there.
        attack: The attack that made the file, by its metadata or dvc.lock; by params.yaml where neither has it.
        locked: What dvc.lock says of each output: md5, size, stage, params; by its path in the folder.
        weights_record: Member -> its part of sources/<source>.json; empty where that file is not there.
    """

    folder: Path
    source: str
    name: str
    experiment: Experiment
    path: Path
    file: TensorFile | None
    attack: Attack
    locked: Mapping[str, Mapping[str, Any]]
    weights_record: Mapping[str, Any]

    @property
    def members(self) -> list[str]:
        """The source's models."""
        return self.source.split("+")

    @property
    def locked_file(self) -> Mapping[str, Any]:
        """The entry of the adversarial file in dvc.lock: md5, size, stage, params; empty where there is none."""
        return self.locked.get(f"adversarial/{self.source}/{self.name}.safetensors", {})

    @property
    def metadata(self) -> Mapping[str, str]:
        """The adversarial file's metadata; empty where the file is not there."""
        return self.file.metadata if self.file else {}

    def json_metadata(self, key: str) -> dict[str, Any] | None:
        """A JSON value in the adversarial file's metadata; None where there is no file, or no such key in it."""
        return self.file.metadata_object(key) if self.file and key in self.file.metadata else None

    @property
    def stage(self) -> str:
        """The name of the cell's stage: by dvc.lock, else as DVC makes it from params.yaml."""
        if stage := self.locked_file.get("stage"):
            return str(stage)
        if self.name in self.experiment.attacks:
            return f"attack@{self.source}-{self.name}"
        grid: sweeps.Grid = getattr(self.experiment.grids, self.name[0])
        points = dict(zip(grid.cells(self.name[0]), grid.points(), strict=True))
        return "-".join([f"attack_{self.name[0]}@{self.source}", *map(str, points[self.name])])

    def metrics(self) -> dict[str, Any]:
        """Target -> rates, as metrics/<source>/<attack>.json has them; empty where there is no such file."""
        path = self.folder / "metrics" / self.source / f"{self.name}.json"
        values = read_json(path) if path.is_file() else {}
        return values if isinstance(values, dict) else {}

    def attacked(self) -> int | None:
        """The number of attacked images: by the file, else by the metrics, which are in git; None if unknown."""
        if self.file:
            return int(self.file["images"].shape[0])
        return next((int(rates["n"]) for rates in self.metrics().values()), None)

    def right_under_all(self) -> int | None:
        """The number of attacked images that all models get right, by the cell's details; None where they lack it."""
        path = self.folder / "metrics" / self.source / f"{self.name}.detail.json"
        details = read_json(path) if path.is_file() else {}
        denominators = details.get("denominators") if isinstance(details, dict) else None
        first = next(iter(denominators.values()), None) if isinstance(denominators, dict) else None
        if not isinstance(first, dict) or "all_right" not in first:
            return None
        return int(first["all_right"]["n"]) if first["all_right"] else 0
