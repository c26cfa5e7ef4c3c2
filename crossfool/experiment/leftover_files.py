"""Left-over files, of models, sources and attacks that params.yaml lists no more.

They are refused where a folder is read whole, and deleted on request. A file is ours, and may be deleted, if DVC's
records name its path and bytes as an output: dvc.lock, now or in any commit, or the run cache. Every other file in
those folders is left alone.
"""

from collections.abc import Iterator
from pathlib import Path

from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.experiment.dvc_records import divide_by_origin

FOLDERS = ("weights", "predictions", "sources", "adversarial", "transformed", "metrics", "analysis")


def expected_files(experiment: Experiment) -> Iterator[Path]:
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


def find_leftovers(folder: Path, experiment: Experiment, *within: str) -> list[Path]:
    """List the files in folders of an experiment that its params.yaml does not account for, but for hidden ones.

    Args:
        folder: The experiment's.
        experiment: Its params.yaml.
        within: The names of folders there, such as those of `FOLDERS`.
    """
    accounted = {folder / path for path in expected_files(experiment)}
    files = (path for name in within for path in sorted((folder / name).rglob("*")))
    return [path for path in files if path.is_file() and not path.name.startswith(".") and path not in accounted]


def refuse_leftovers(folder: Path, experiment: Experiment, *within: str) -> None:
    """Refuse left-over files, which would count, since folders are read whole. Arguments are those of `find_leftovers`.

    Raises:
        UserError: there are left-over files.
    """
    leftovers = find_leftovers(folder, experiment, *within)
    if not leftovers:
        return
    ours, others = divide_by_origin(folder, leftovers)
    if others:
        raise UserError(
            f"{others[0]}{_more(others)} was not made by crossfool, and lies in a folder that stages write; "
            "move it to a folder of your own, such as own/, then run again"
        )
    raise UserError(
        f"{ours[0]}{_more(ours)} belongs to no model, source or attack that params.yaml lists; "
        "delete leftover files with `crossfool remove-leftovers`, then run again"
    )


def _more(files: list[Path]) -> str:
    return f" (and {len(files) - 1} more)" if len(files) > 1 else ""
