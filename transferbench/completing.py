"""What a shell may complete: names that params.yaml and the repository hold. Never an error: no names, then."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem


def _experiment(context: click.Context):  # type: ignore[no-untyped-def]
    """The params.yaml that the command line means: of --folder or FOLDER, where it was given."""
    from transferbench import params, roots

    return params.load(roots.experiment(str(context.params.get("folder") or ".")) / "params.yaml")


def _beginning(names, incomplete: str) -> list[CompletionItem]:  # type: ignore[no-untyped-def]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


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
    """Cells as source/attack; while no / is typed, sources alone; or files, where a path is begun."""
    try:
        experiment = _experiment(context)
    except Exception:
        return [CompletionItem(incomplete, type="file")]
    if "/" in incomplete:
        source = incomplete.partition("/")[0]
        found = _beginning((f"{source}/{name}" for name in experiment.rows if source in experiment.sources), incomplete)
    else:
        found = _beginning((f"{name}/" for name in experiment.sources), incomplete)
    return found or [CompletionItem(incomplete, type="file")]


def experiments(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Experiments by name; folders, where a path is begun."""
    try:
        from transferbench import roots

        found = _beginning(roots.experiments(roots.root(Path())), incomplete)
    except Exception:
        found = []
    return found or [CompletionItem(incomplete, type="dir")]
