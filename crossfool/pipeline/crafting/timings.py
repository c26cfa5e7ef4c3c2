"""How long cells took on this machine. Kept beside the results and in none of them, whose bytes are equal wherever
they were computed. Imports no torch."""

from dataclasses import asdict, dataclass
from pathlib import Path

from crossfool.attacks.config import Attack
from crossfool.errors import UserError
from crossfool.storage.json_files import read_json, write_json

PLACE = Path(".crossfool/seconds")  # in an experiment's folder


@dataclass(frozen=True)
class Taken:
    """What a cell took where it was computed last.

    Attributes:
        params: Its row, as the cell's file has it.
        images: That were computed then; of a cell that was resumed, the others were before.
        seconds: Of the clock, from the first chunk to the last, loading the models not included.
        by: Whom.
    """

    params: str
    images: int
    seconds: float
    by: str


def note(folder: Path, source: str, attack: str, taken: Taken) -> None:
    """Keep what a cell took, in `folder`."""
    write_json(folder / source / f"{attack}.json", asdict(taken))


def find(experiment: Path, source: str, attack: str, row: Attack) -> Taken | None:
    """What a cell of an experiment's folder took here; None where it was not computed here, or of another row."""
    path = experiment / PLACE / source / f"{attack}.json"
    try:
        taken = Taken(**read_json(path))
        return taken if taken.params == row.model_dump_json(exclude_none=True) and taken.images else None
    except (UserError, TypeError):
        return None
