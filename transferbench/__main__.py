"""The command `transferbench`."""

from pathlib import Path

import click

import transferbench
from transferbench.stage import friendly


@click.group()
@click.version_option(transferbench.__version__)
def main() -> None:
    """A benchmark of adversarial transferability."""


@main.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, file_okay=False, exists=True))
@friendly
def show(folders: tuple[Path, ...]) -> None:
    """Print the success-rate tables of experiment FOLDERS (here, if none is given)."""
    from rich.console import Console

    from transferbench.show import show as show_folder

    for folder in folders or (Path(),):
        show_folder(folder, Console())


if __name__ == "__main__":
    main()
