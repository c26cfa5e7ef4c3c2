"""Shell completion: names that params.yaml and the repository hold. An error completes to no names."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from crossfool.experiment.config import Experiment

KINDS = ("models", "attacks", "datasets", "transforms", "defences", "claims", "protocols", "experiments")


def _experiment(context: click.Context) -> "Experiment":
    """The experiment that the command line names by --folder or FOLDER, or else the one here."""
    from crossfool.experiment import loading, project

    return loading.load_experiment(project.find_experiment(str(context.params.get("folder") or ".")) / "params.yaml")


def _beginning(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def kinds(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the kinds that `list` lists."""
    return _beginning(KINDS, incomplete)


def datasets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete data sets."""
    try:
        from crossfool.datasets.preparation import catalogue

        return _beginning(catalogue.names(), incomplete)
    except Exception:
        return []


def protocols(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete protocols."""
    try:
        from crossfool.experiment import protocol_files

        return _beginning(protocol_files.protocols(), incomplete)
    except Exception:
        return []


def attacks(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete attacks of the experiment, but for the one that is given already."""
    try:
        return _beginning(
            (name for name in _experiment(context).rows if name != context.params.get("first")), incomplete
        )
    except Exception:
        return []


def sources(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete sources of the experiment."""
    try:
        return _beginning(_experiment(context).sources, incomplete)
    except Exception:
        return []


def targets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete target models of the experiment."""
    try:
        return _beginning(_experiment(context).answering, incomplete)
    except Exception:
        return []


def cells(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete cells as source/attack; files, where no cell begins so."""
    try:
        experiment = _experiment(context)
        names = (f"{source}/{attack}" for source in experiment.sources for attack in experiment.rows)
        items = _beginning(names, incomplete)
    except Exception:
        items = []
    return items or [CompletionItem(incomplete, type="file")]


def experiments(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete experiments by name; folders, where no experiment begins so."""
    try:
        from crossfool.experiment import project

        items = _beginning(project.experiment_folders(project.find_root(Path())), incomplete)
    except Exception:
        items = []
    return items or [CompletionItem(incomplete, type="dir")]
