"""What a shell may complete: names that params.yaml and the repository hold. Never an error: no names, then."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from crossfool.experiment.config import Experiment


KINDS = ("models", "attacks", "datasets", "transforms", "experiments")


def _experiment(context: click.Context) -> "Experiment":
    """The params.yaml that the command line means: of --folder or FOLDER, where it was given."""
    from crossfool.experiment import loading, project

    return loading.load(project.experiment(str(context.params.get("folder") or ".")) / "params.yaml")


def _beginning(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def kinds(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What `list` lists."""
    return _beginning(KINDS, incomplete)


def attacks(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Attacks of the experiment, but for the one that is there already."""
    try:
        return _beginning(
            (name for name in _experiment(context).rows if name != context.params.get("first")), incomplete
        )
    except Exception:
        return []


def sources(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        return _beginning(_experiment(context).sources, incomplete)
    except Exception:
        return []


def targets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        return _beginning(_experiment(context).answering, incomplete)
    except Exception:
        return []


def cells(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Cells as source/attack; files, where a path is begun."""
    try:
        experiment = _experiment(context)
        names = (f"{source}/{attack}" for source in experiment.sources for attack in experiment.rows)
        found = _beginning(names, incomplete)
    except Exception:
        found = []
    return found or [CompletionItem(incomplete, type="file")]


def experiments(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Experiments by name; folders, where a path is begun."""
    try:
        from crossfool.experiment import project

        found = _beginning(project.experiments(project.root(Path())), incomplete)
    except Exception:
        found = []
    return found or [CompletionItem(incomplete, type="dir")]
