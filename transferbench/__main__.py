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


@main.command()
@click.option("--folder", default=".transferbench/smoke", type=click.Path(path_type=Path), help="Where to compute.")
@friendly
def smoke(folder: Path) -> None:
    """Run every experiment end to end in small: few embedded images, small models in place of the paper's."""
    from transferbench import smoke as small

    small.run(Path(), folder)


@main.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False, exists=True))
@friendly
def tidy(folder: Path) -> None:
    """Delete files of models, sources and attacks that the params.yaml in FOLDER lists no more."""
    from transferbench import leftovers, params

    for path in leftovers.find(folder, params.load(folder / "params.yaml"), *leftovers.FOLDERS):
        path.unlink()
        click.echo(f"deleted {path}")


if __name__ == "__main__":
    main()
