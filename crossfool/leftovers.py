"""Files of what was taken from params.yaml: refused where a folder is read whole, tidied on request.

A file is ours, and may be deleted, if DVC's records name its path and bytes as an output: dvc.lock, now or in any
commit, or the run cache. Everything else in those folders is left alone.
"""

import functools
import hashlib
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from crossfool.errors import UserError
from crossfool.experiment.config import Experiment

FOLDERS = ("weights", "predictions", "sources", "adversarial", "transformed", "metrics", "analysis")


def expected(experiment: Experiment) -> Iterator[Path]:
    """The files of all models, sources and cells, relative to the experiment's folder."""
    for model in experiment.models:
        yield Path("weights", f"{model}.safetensors")
        yield Path("predictions/clean", f"{model}.parquet")
        yield Path("metrics/clean", f"{model}.json")
    for source in experiment.sources:
        yield Path("sources", f"{source}.json")
        for attack in experiment.rows:
            yield Path("adversarial", source, f"{attack}.safetensors")
            yield Path("predictions", source, f"{attack}.parquet")
            yield Path("metrics", source, f"{attack}.json")
            yield Path("metrics", source, f"{attack}.detail.json")
        for attack in experiment.attacks:
            yield Path("transformed", source, f"{attack}.parquet")
            yield Path("metrics", source, f"{attack}.transform.json")
    yield Path("analysis/list.json")
    yield from (Path("analysis/similarity", f"{name}.csv") for name in experiment.similarity)
    yield from (Path("analysis/boundary", f"{name}.safetensors") for name in experiment.boundary)
    yield from (Path("analysis/saliency", f"{name}.safetensors") for name in experiment.saliency)


def find(folder: Path, experiment: Experiment, *within: str) -> list[Path]:
    """Files in some folders of an experiment's that nothing in its params.yaml accounts for; hidden ones aside."""
    known = {folder / path for path in expected(experiment)}
    files = (path for name in within for path in sorted((folder / name).rglob("*")))
    return [path for path in files if path.is_file() and not path.name.startswith(".") and path not in known]


def refuse(folder: Path, experiment: Experiment, *within: str) -> None:
    """Check that there are none: a folder is read whole, so a file left in it would count.

    Raises:
        UserError: there are.
    """
    found = find(folder, experiment, *within)
    if not found:
        return
    ours, others = divided(folder, found)
    if others:
        raise UserError(
            f"{others[0]}{_more(others)} was not made by crossfool, and lies in a folder that stages write; "
            "move it to a folder of your own, such as own/, then run again"
        )
    raise UserError(
        f"{ours[0]}{_more(ours)} is of no model, source or attack that params.yaml lists; "
        "delete what was left over with `crossfool tidy`, then run again"
    )


def _more(found: list[Path]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""


# --- whose a file is --------------------------------------------------------------------------------


def divided(folder: Path, files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Files in an experiment's folder that stages made, and others.

    Where DVC's records do not name a file with the bytes that it has, it counts among the others.
    """
    left = {path: (path.relative_to(folder).as_posix(), _md5(path)) for path in files}
    ours = set[Path]()
    for records in (_lock, _runs, _history):  # the cheapest first, and no other where all is known
        if len(ours) < len(left):
            known = {left[path] for path in left.keys() - ours}
            named = known.intersection(_outputs(records(folder)))
            ours |= {path for path, output in left.items() if output in named}
    return [path for path in left if path in ours], [path for path in left if path not in ours]


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, functools.partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def _outputs(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(Path, md5) of what the lines of DVC's records list, an item a file; in a diff's lines, of both sides."""
    said: dict[str, str] = {}
    for line in lines:
        text = line.strip()
        if text.startswith("- "):
            said = {}
        key, _, value = text.removeprefix("- ").partition(": ")
        if key in ("path", "md5"):
            said[key] = value.strip("'\"")
            if len(said) == 2:
                yield said["path"], said["md5"]


def _lock(folder: Path) -> Iterator[str]:
    """Lines of dvc.lock."""
    path = folder / "dvc.lock"
    return iter(path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ())


def _runs(folder: Path) -> Iterator[str]:
    """Lines of the run cache: what every run of a stage here wrote."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(folder)) as repo:
            place = Path(repo.stage_cache.cache_dir)
    except DvcException:  # in no repository
        return
    for path in place.glob("*/*/*"):
        if path.is_file():
            yield from path.read_text(encoding="utf-8", errors="replace").splitlines()


def _history(folder: Path) -> Iterator[str]:
    """Lines of dvc.lock's changes in all commits, those of DVC's experiments among them."""
    command = ("git", "log", "--all", "--patch", "--no-color", "--no-ext-diff", "--format=", "--", "dvc.lock")
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True)
    except FileNotFoundError:
        return iter(())
    return (line[1:] for line in done.stdout.decode(errors="replace").splitlines())  # without the signs of a diff
