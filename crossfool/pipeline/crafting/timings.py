"""Keep how long each cell took on this machine.

The times lie beside the results and in none of them, so that results have equal bytes wherever they were computed.
Imports no torch.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from crossfool.attacks.config import Attack
from crossfool.errors import UserError
from crossfool.storage.json_files import read_json, write_json

FOLDER = Path(".crossfool/seconds")  # in an experiment's folder


@dataclass(frozen=True)
class Timing:
    """Time that a cell took when it was computed last.

    Attributes:
        params: The attack's row, as the cell's file has it.
        images: Number of images computed then; where a cell was resumed, the others were computed before.
        seconds: Wall-clock time from the first chunk to the last, without loading the models.
        by: The device, or the engine and the kind of its devices.
    """

    params: str
    images: int
    seconds: float
    by: str


def write_timing(folder: Path, source: str, attack: str, taken: Timing) -> None:
    """Write a cell's time to a file in `folder`."""
    write_json(folder / source / f"{attack}.json", asdict(taken))


def read_timing(experiment: Path, source: str, attack: str, row: Attack) -> Timing | None:
    """Read the time of a cell in an experiment's folder; None where it was not computed here, or with another row."""
    path = experiment / FOLDER / source / f"{attack}.json"
    try:
        taken = Timing(**read_json(path))
        return taken if taken.params == row.model_dump_json(exclude_none=True) and taken.images else None
    except (UserError, TypeError):
        return None
