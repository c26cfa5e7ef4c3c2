"""Choose values of attacks by trials on tuning images: an experiment in the folder `tuning/`, run by DVC."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from crossfool.cli import dvc_repro, new_params, remove_leftovers
from crossfool.config import expand_path
from crossfool.errors import UserError
from crossfool.experiment import costs, loading, params_file, project, tuning
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.cost_effectiveness import cost_effectiveness_rows
from crossfool.experiment.results.metrics import load_metrics
from crossfool.experiment.tuning import Trial
from crossfool.pipeline.stage import print_line
from crossfool.report.number_text import rate_text
from crossfool.report.renderers.terminal import print_table
from crossfool.report.table import Column, Table
from crossfool.storage.atomic import replacing

FOLDER = "tuning"
HEAD = "# Written by `crossfool tune`, which overwrites it: trials of rows of ../params.yaml on its tuning images.\n"


def tune(
    folder: Path, console: Console, *, tries: Sequence[str] = (), rows: Sequence[str] = (), write: bool = False
) -> None:
    """Run the trials of an experiment's rows on its tuning images, print all of them, and the best of each row.

    Args:
        folder: The experiment's.
        console: Where to.
        tries: Candidates, `KEY=NUMBER,NUMBER` each; four step sizes, if empty.
        rows: The rows to tune; all, if empty.
        write: Whether to write the best values into the experiment's params.yaml.

    Raises:
        UserError: the experiment sets no images apart, or has no black-box cell; a candidate is of no use; or a stage
            failed.
    """
    place, path = folder / FOLDER, folder / "params.yaml"
    text = params_file.read_text(path)
    experiment = loading.parse_experiment(text, path)
    if experiment.subset.uses_tuning or not experiment.subset.tuning:
        raise UserError(f"{path} sets no images apart for tuning; give subset a number of them, such as tuning: 100")
    if all(target in source.split("+") for source in experiment.sources for target in experiment.answering):
        raise UserError(f"{path}: no target is another model than the source, so that nothing transfers; add a model")
    candidates = tuning.parse_candidates(tries) or {tuning.REACH: tuning.REACHES}
    values = params_file.parse_strict(text)
    trials = tuning.make_trials(experiment, values["attacks"], candidates, rows)
    _write_experiment(folder, place, values, trials)
    tried = loading.load_experiment(place / "params.yaml")
    gradients = costs.count_text(costs.cost(tried).gradients)
    print_line(
        f"{len(trials)} trials of {len({trial.row for trial in trials})} rows on {tried.subset.tuning} tuning images, "
        f"{gradients} gradient evaluations; in {place}"
    )
    remove_leftovers.remove(place, confirmed=True)
    if dvc_repro.run(place):
        raise UserError(f"`dvc repro` failed in {place}: see the lines above")
    success = mean_success(place, tried)
    best = tuning.best_trials(trials, success)
    table = table_of(trials, success, best)
    console.print(Text(table.title, style="bold cyan"))
    print_table(table, console)
    for note in table.all_notes:
        console.print(Text(note, style="dim"))
    if write:
        changed = tuning.write_values(text, best)
        loading.parse_experiment(changed, path)
        with replacing(path) as temporary:
            temporary.write_text(changed, encoding="utf-8")
        print_line(f"the best values stand in {path}; next: dvc repro {folder / 'dvc.yaml'}")


def mean_success(folder: Path, experiment: Experiment) -> dict[str, float]:
    """Trial -> mean success in percent over its black-box cells; top-5 of a targeted attack."""
    return {cost.attack: cost.success for cost in cost_effectiveness_rows(folder, load_metrics(folder, experiment))}


def table_of(trials: Sequence[Trial], success: Mapping[str, float], best: Mapping[str, Trial]) -> Table:
    """All trials, those of a row together; the best of each row is marked."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.values))
    return Table(
        name="trials",
        title="Trials on tuning images: not for publication",
        columns=(
            Column("attack"),
            *(Column(key) for key in keys),
            Column("gradients", "gradients an image"),
            Column("success", "mean success", "percent", rate_text),
            Column("best", format=str),
        ),
        rows=tuple(
            {
                "attack": trial.row,
                **trial.values,
                "gradients": trial.attack.gradient_evaluations,
                "success": success[trial.name],
                "best": "best" if best[trial.row] is trial else None,
            }
            for trial in trials
        ),
        notes=("Mean success is over all black-box cells; of equals the smaller values are the best.",),
        command="crossfool tune",
    )


def _write_experiment(folder: Path, place: Path, values: Mapping[str, Any], trials: Sequence[Trial]) -> None:
    """Write the experiment of the trials into `place`.

    Raises:
        UserError: a params.yaml is there that this command did not write.
    """
    path = place / "params.yaml"
    if path.exists() and not path.read_text(encoding="utf-8").startswith(HEAD):
        raise UserError(f"{path} was not written by `crossfool tune`; move it elsewhere, or run it by `dvc repro`")
    root = project.find_root(folder)
    unused = params_file.parse_strict(new_params.UNUSED_SECTIONS)
    changed = {
        **values,
        "root": os.path.relpath(root, place),
        "dataset": _moved(values["dataset"], "path"),
        "weights": _moved(values["weights"], "dir"),
        "subset": {**values["subset"], "use": "tuning"},
        "lpips": False,
        "attacks": {trial.name: dict(trial.keys) for trial in trials},
        **unused,
    }
    place.mkdir(exist_ok=True)
    shutil.copyfile(root / "dvc.yaml", place / "dvc.yaml")
    with replacing(path) as temporary:
        temporary.write_text(HEAD + params_file.to_yaml(changed), encoding="utf-8")


def _moved(section: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A section whose relative path leads from `tuning/` where it led from the folder above."""
    path = section.get(key)
    if path is None or "$" in path or expand_path(path).is_absolute():
        return dict(section)
    return {**section, key: os.path.normpath(os.path.join("..", path))}
