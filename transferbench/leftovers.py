"""Files of what was taken from params.yaml: refused where a folder is read whole, tidied on request."""

from collections.abc import Iterator
from pathlib import Path

from transferbench import params
from transferbench.errors import UserError

FOLDERS = ("weights", "predictions", "sources", "adversarial", "transformed", "metrics", "analysis")


def expected(experiment: params.Experiment) -> Iterator[Path]:
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


def find(folder: Path, experiment: params.Experiment, *within: str) -> list[Path]:
    """Files in some folders of an experiment's that nothing in its params.yaml accounts for; hidden ones aside."""
    known = {folder / path for path in expected(experiment)}
    files = (path for name in within for path in sorted((folder / name).rglob("*")))
    return [path for path in files if path.is_file() and not path.name.startswith(".") and path not in known]


def refuse(folder: Path, experiment: params.Experiment, *within: str) -> None:
    """Check that there are none: a folder is read whole, so a file left in it would count.

    Raises:
        UserError: there are.
    """
    found = find(folder, experiment, *within)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise UserError(
            f"{found[0]}{more} is of no model, source or attack that params.yaml lists; "
            "delete what was left over with `transferbench tidy`, then run again"
        )
