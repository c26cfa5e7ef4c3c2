"""Lists of models in the text of a params.yaml, written out for several networks of each trained model."""

import textwrap
from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML

from crossfool.errors import UserError
from crossfool.experiment import loading
from crossfool.experiment.config import Experiment
from crossfool.models.weights import registry

SECTIONS = ("models", "targets", "sources")  # the lists of models
WIDTH = 110


def write_seeds(text: str, count: int, path: Path) -> str:
    """Write the lists of models for several networks of each trained model: `fnn0` becomes `fnn0, fnn0_seed1, ...`.

    All else stays as it is, comments too. An ensemble becomes as many, each of networks of one number: `a+b` becomes
    `a+b, a_seed1+b_seed1, ...`.

    Args:
        text: The content of a params.yaml.
        count: How many networks each trained model gets; their seeds are that of `training` and those after it.
        path: The file, which errors name.

    Raises:
        UserError: the text is wrong, no model is trained, or one names a seed already.
    """
    experiment = loading.parse_experiment(text, path)
    if not any(map(experiment.is_trained, experiment.models)):
        raise UserError(f"--seeds: {path} trains no model, and published weights have no seed; leave it out")
    for model in experiment.models:
        if registry.spec(model).seed is not None:
            raise UserError(f"--seeds: {path} names networks of several seeds already ({model}); leave it out")
    nodes = {key.value: value for key, value in YAML(typ="safe", pure=True).compose(text).value}
    changes = []
    for section in SECTIONS:
        names, node = getattr(experiment, section), nodes[section]
        if names != "all":
            end = node.end_mark if node.flow_style else node.value[-1].end_mark
            networks = dict.fromkeys(network for name in names for network in _networks(experiment, name, count))
            changes.append((node.start_mark.index, end.index, _flow_list(networks, node.start_mark.column)))
    for start, stop, written in sorted(changes, reverse=True):
        text = text[:start] + written + text[stop:]
    return text


def _networks(experiment: Experiment, name: str, count: int) -> list[str]:
    """The networks of a model, or the ensembles of an ensemble; equal ones where no member is trained."""
    assert experiment.training is not None
    first = experiment.training.seed

    def network(model: str, number: int) -> str:
        return f"{model}_seed{first + number}" if number and experiment.is_trained(model) else model

    return ["+".join(network(member, number) for member in name.split("+")) for number in range(count)]


def _flow_list(names: Iterable[str], column: int) -> str:
    """A YAML list in brackets, over several lines where it is long, which begins in a column of its first line."""
    text = textwrap.fill(f"[{', '.join(names)}]", WIDTH, initial_indent=" " * max(column, 2), subsequent_indent="  ")
    return text[column:]
