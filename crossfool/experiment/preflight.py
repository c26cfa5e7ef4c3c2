"""The check of an experiment before it runs: what is missing, what will run, what it will cost. Computes nothing.

Imports no torch.
"""

import functools
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossfool.config import expand_path
from crossfool.datasets.preparation.dataset import Dataset, Survey
from crossfool.errors import UserError
from crossfool.experiment import costs, fetches, image_counts, leftover_files, loading, protected_folders
from crossfool.experiment.candidate_images import Candidates, known_candidates
from crossfool.experiment.config import Experiment, written_files
from crossfool.experiment.dvc_status import Stage, stage_statuses
from crossfool.models import own_models
from crossfool.models.defended_models import plain_name
from crossfool.models.weights import registry
from crossfool.pipeline import subset
from crossfool.pipeline.crafting import timings
from crossfool.pipeline.evaluation import predictions_file
from crossfool.storage import recovery
from crossfool.storage.tensors import TensorFile


@dataclass(frozen=True)
class Preflight:
    """The result of a check.

    Attributes:
        experiment: Its params.yaml, which is valid.
        stages: All stages; None where there is no DVC repository, so that everything counts as to be run.
        total: The cost of the experiment if nothing had been computed.
        left: The cost of the stages that have yet to run.
        most: The cost of these if the subset comes out as another.
        free: Bytes that are free on the folder's disk.
        attacked: The number of attacked images where `subset: images` is `all`: by clean predictions (an upper limit
            where some models' are not known), else that of the present subset; None where neither is here, or
            params.yaml gives the number.
        images: Where the images come from, as a phrase.
        rate: Gradients a second of the experiment's cells that were computed here; None where none was.
        pull: The command that fetches from the DVC remote; None where none is configured.
        evaluated: The number of images in the data set; None where neither its files nor what was made of them tell.
        notes: Warnings about the images, a line each.
        fetched: What is yet to be fetched from a network.
        candidates: The images that the subset is drawn from; None where no model's clean predictions are known.
    """

    experiment: Experiment
    stages: tuple[Stage, ...] | None
    total: costs.Cost
    left: costs.Cost
    most: costs.Cost
    free: int
    attacked: int | None
    images: str
    rate: float | None = None
    pull: str | None = None
    evaluated: int | None = None
    notes: tuple[str, ...] = ()
    fetched: tuple[fetches.Fetch, ...] = ()
    candidates: Candidates | None = None

    @property
    def known(self) -> int | None:
        """The number of attacked images, at most where the subset is `all` that models get right; None if unknown."""
        return costs.attacked_images(self.experiment, self.evaluated)

    @property
    def is_count_unknown(self) -> bool:
        """Whether nothing tells the number of attacked images: all images of a folder that is not decoded yet."""
        return self.experiment.subset.images == "all" and self.attacked is None and self.known is None

    def stage_seconds(self, rate: float | None = None) -> dict[str, float] | None:
        """Stage that will run -> estimated seconds to compute its gradients and forward passes, without its start.

        Args:
            rate: Gradients a second; of the cells computed here, or an assumption of `costs`, where it is None.

        Returns:
            None where the number of images, or of a model's operations, is unknown.
        """
        if self.is_count_unknown:
            return None
        seconds = {}
        for stage in (stage for stage in self.stages or () if stage.runs):
            cost = costs.cost(
                self.experiment, images=self.attacked, evaluated=self.evaluated, pending=frozenset(stage.outs)
            )
            seconds[stage.name] = self._seconds(cost, rate)
        known = {name: value for name, value in seconds.items() if value is not None}
        return known if len(known) == len(seconds) else None

    def estimated_seconds(self, rate: float | None = None) -> float | None:
        """Estimated seconds of all stages that will run, with their starts; None where `stage_seconds` is."""
        computing = None if self.is_count_unknown else self._seconds(self.left, rate)
        starts = costs.STAGE_SECONDS * sum(stage.runs for stage in self.stages or ())
        return None if computing is None else computing + starts

    def _seconds(self, cost: costs.Cost, rate: float | None) -> float | None:
        """Estimated seconds of a cost, without starts of stages."""
        rate = self.rate if rate is None else rate
        if rate is None and costs.is_small(self.experiment):
            return (cost.operations or 0) / costs.CPU_OPERATIONS_A_SECOND
        return cost.seconds(rate)


def check(folder: Path) -> Preflight:
    """Check an experiment's folder.

    Raises:
        UserError: params.yaml is wrong, something that it names is missing, all models classify too few images
            correctly, files are left over, or the disk is full.
    """
    experiment = loading.load_experiment(folder / "params.yaml")
    _usable(experiment)
    _check_graph(folder, experiment)
    protected_folders.refuse_foreign_outputs(folder, written_files(experiment))
    leftover_files.refuse_leftovers(folder, experiment, *leftover_files.FOLDERS)
    stages = stage_statuses(folder, experiment)
    pending = None if stages is None else {out for stage in stages if stage.runs for out in stage.outs}
    prepares = pending is None or "data/images.safetensors" in pending
    images = _images(folder, experiment, needed=prepares)
    trains = {m for m in experiment.models if pending is None or f"weights/{m}.safetensors" in pending}
    _weights(folder, experiment, trains)
    if prepares:
        survey = _survey(folder, experiment)
    else:
        survey = Survey(image_counts.decoded(folder, experiment), training=image_counts.decoded_training(folder))
    _refuse_more_than_all(experiment, survey.images)
    attacked = None if prepares else image_counts.row_count(folder / "subset/subset.csv")
    candidates = known_candidates(folder, experiment, pending)
    if candidates is not None:
        candidates.refuse_too_few(experiment.subset)
        attacked = candidates.drawn(experiment.subset)
    if isinstance(experiment.subset.images, int) or experiment.subset.uses_tuning:
        attacked = None  # params.yaml gives the number, whatever the present subset has
    evaluated, notes = survey.images, survey.notes
    if experiment.subset.images == "all" and experiment.subset.of == "all" and attacked is None:
        attacked = costs.attacked_images(experiment, evaluated)
    if pending is None or "subset/images.safetensors" not in pending:
        notes += _right(folder, experiment)
    cost = functools.partial(costs.cost, experiment, images=attacked, evaluated=evaluated, training=survey.training)
    maybe = {out for stage in stages or () if stage.maybe for out in stage.outs} | (pending or set())
    total, left, most = cost(), cost(pending=pending), cost(pending=None if pending is None else maybe)
    fetched = tuple(fetches.fetches(experiment, folder, pending))
    pull = recovery.pull_command(folder.resolve())
    free = shutil.disk_usage(folder).free
    if left.written > free:
        raise UserError(
            f"the stages to run will write {costs.bytes_text(left.written)}, but only "
            f"{costs.bytes_text(free)} are free in {folder.resolve()}; make room (`dvc gc --workspace` deletes what no "
            "params.yaml here needs), or use another disk"
        )
    rate = _rate(folder, experiment)
    return Preflight(
        experiment, stages, total, left, most, free, attacked, images, rate, pull, evaluated, notes, fetched, candidates
    )


def _rate(folder: Path, experiment: Experiment) -> float | None:
    """Gradients a second of the cells that were computed on this machine; None where none was."""
    gradients, seconds = 0, 0.0
    for source in experiment.sources:
        for attack, row in experiment.rows.items():
            timing = timings.read_timing(folder, source, attack, row)
            if timing is not None:
                gradients += timing.images * row.gradient_evaluations * len(source.split("+"))
                seconds += timing.seconds
    return gradients / seconds if seconds else None


def _usable(experiment: Experiment) -> None:
    """Refuse models that are known not to classify the data set, and sources that are known to have no gradient."""
    for model in experiment.models:
        if reason := _unusable(model, "model"):
            raise UserError(f"models: {model} cannot be used: {reason}; choose another")
    for where, model in experiment.differentiated():
        if reason := _unusable(model, "source"):
            raise UserError(
                f"{where}: {model} cannot be attacked: {reason}; remove it there (it may stay in models, as a target)"
            )


def _unusable(model: str, use: str) -> str | None:
    """The reason why a model cannot serve as a `model` or `source`; None where no reason is known."""
    return registry.unusable_reasons().get((registry.spec(model).network or model, use))


def _check_graph(folder: Path, experiment: Experiment) -> None:
    """Check that dvc.yaml is there and is the project's, and that `root` leads to the project."""
    root = folder / experiment.root
    if not (root / "stages").is_dir() or not (root / "dvc.yaml").is_file():
        raise UserError(
            f"root: {experiment.root} leads to {root.resolve()}, which has no stages/; give the path to the clone"
        )
    if not (folder / "dvc.yaml").is_file():
        raise UserError(f"{folder / 'dvc.yaml'} is missing; copy the root's: cp {root / 'dvc.yaml'} {folder}")
    if (folder / "dvc.yaml").read_bytes() != (root / "dvc.yaml").read_bytes():
        raise UserError(
            f"{folder / 'dvc.yaml'} differs from the root's; copy the root's: cp {root / 'dvc.yaml'} {folder}"
        )


def _refuse_more_than_all(experiment: Experiment, counted: int | None = None) -> None:
    """Refuse a subset of more images than the data set has, as counted, or as known by its name."""
    asked, name, tuning = experiment.subset.images, experiment.dataset.name, experiment.subset.tuning or 0
    most = experiment.dataset.IMAGES if counted is None else counted
    if most is not None and tuning and tuning + (1 if asked == "all" else asked) > most:
        both = f"images: {asked} and tuning: {tuning}"
        raise UserError(f"subset: {both} are more than the {most:,} images of {name}; ask for fewer")
    if isinstance(asked, int) and most is not None and asked > most:
        raise UserError(
            f"subset: images: {asked:,} are more than the {most:,} images of {name}; ask for fewer, or for all"
        )


def _images(folder: Path, experiment: Experiment, *, needed: bool) -> str:
    """The origin of the images, as a phrase; files have to be there only if they are `needed`, to be decoded."""
    data = experiment.dataset
    if data.given_path is None:
        return f"{data.name} from {data.FETCHED_FROM}" if needed else f"{data.name}, decoded"
    if not needed:
        return f"{data.name}, decoded from {data.given_path}"
    return f"{data.name} from {_seen_from_here(folder, data).place()}"


def _survey(folder: Path, experiment: Experiment) -> Survey:
    """Count images that are yet to be decoded, by their names, as `prepare` looks for them."""
    return _seen_from_here(folder, experiment.dataset).survey(training=experiment.training is not None)


def _seen_from_here(folder: Path, data: Dataset) -> Dataset:
    """The data set with its path relative to the current folder, not to the experiment's."""
    if data.given_path is None:
        return data
    return data.model_copy(update={"path": str(expand_path(data.given_path, "dataset: path", folder))})


def _right(folder: Path, experiment: Experiment) -> tuple[str, ...]:
    """A note if no image of the subset is right under all models; none where the subset is not here."""
    path = folder / "subset/images.safetensors"
    if experiment.subset.of != "all" or not path.is_file():
        return ()
    try:
        right = predictions_file.right_by_model(TensorFile(path))
    except UserError:
        return ()
    note = "" if right is None else subset.warning_none_right(np.stack(list(right.values()), 1))
    return (note,) if note else ()


def _weights(folder: Path, experiment: Experiment, wanted: set[str]) -> None:
    """Check, without a network, that published weights of the wanted models can be fetched."""
    weights = experiment.weights.dir
    key = "weights: dir" if wanted else ""  # where nothing is wanted, nobody looks into the folder
    place = None if weights is None else expand_path(weights, key, folder)
    if place is not None and wanted and not place.is_dir():
        raise UserError(f"weights: dir: {place} is not a folder; give the folder that holds the published weights")
    for model in sorted(set(map(plain_name, wanted))):
        spec = registry.spec(model)
        if experiment.is_trained(model):
            continue
        if own := own_models.find_own(model):
            own_models.require_weights(own)
            continue
        if spec.library == "timm" and importlib.util.find_spec("timm") is not None:
            from crossfool.models.weights import model_description

            model_description.timm_config(spec)
        if experiment.has_unpinned_weights(model):
            raise UserError(
                f"{model}: its weights have no pinned sha256; set weights: {{sha256: {{{model}: ...}}}} in params.yaml"
            )
        if not spec.fetched and (place is None or registry.file_in_folder(spec, place) is None):
            raise registry.missing_weights_error(spec, place)
