"""The command `crossfool` and its subcommands: arguments and help texts; the work is done by modules beside this one.

Each subcommand imports what it needs when it runs, so that --help starts at once.
The commands are one module, over 300 lines long, since a file for each would have to be imported for --help.
"""

import os
import sys
from pathlib import Path
from typing import Any

import click

from crossfool.cli import completion, former_names
from crossfool.pipeline.stage import errors_in_one_line, print_line
from crossfool.version import VERSION

FOLDER = click.option(
    "--folder",
    default=".",
    show_default="here",
    shell_complete=completion.experiments,
    help="The experiment: a folder, or a name under experiments/.",
)

RATE = click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="Gradient evaluations a second, to estimate time."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, with numbers as numbers.")


class Ordered(click.Group):
    """A group that lists commands in the order in which they are used, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in former_names.COMMANDS:
            ctx.fail(f"{args[0]} is called {former_names.COMMANDS[args[0]]} now")
        return super().resolve_command(ctx, args)


FIRST_STEPS = """\
crossfool measures how well adversarial images made for one model fool other models. To begin:

  crossfool new mine                     make an experiment: two models, two attacks, 20 photographs
  dvc repro experiments/mine/dvc.yaml    run it, one to two minutes on two CPU cores
  crossfool show mine                    print its success rates

All commands: crossfool --help. All names for params.yaml: crossfool list."""


@click.group(
    cls=Ordered,
    invoke_without_command=True,
    # click asks only the terminal whether to colour; rich heeds NO_COLOR, too
    context_settings={"help_option_names": ["-h", "--help"], "color": False if os.environ.get("NO_COLOR") else None},
)
@click.version_option(VERSION, prog_name="crossfool")
@click.pass_context
def main(context: click.Context) -> None:
    """A benchmark of adversarial transferability.

    \b
    Examples:
      crossfool list models --filter resnet
      crossfool new mine --from depth-mnist
      crossfool check experiments/mine
      dvc repro experiments/mine/dvc.yaml
      crossfool show experiments/mine
      crossfool compare sg_fgsm fgsm --folder experiments/mine

    Exit codes: 0, done; 1, interrupted, or an error of the program; 2, an error of yours, printed in one line.
    """
    if context.invoked_subcommand is None:
        print_line(FIRST_STEPS)


@main.command("list")
@click.argument("kind", required=False, shell_complete=completion.kinds, metavar=f"[{'|'.join(completion.KINDS)}]")
@click.option("--filter", "text", default="", help="Only lines that contain this text, in any case.")
@JSON
@errors_in_one_line
def list_(kind: str | None, text: str, as_json: bool) -> None:
    """List what params.yaml can name, and the experiments here: what each is, and its source.

    \b
    Examples:
      crossfool list
      crossfool list models --filter densenet
      crossfool list attacks
    """
    from crossfool.cli import console
    from crossfool.cli import list as command
    from crossfool.errors import unknown_name

    if kind is not None and kind not in completion.KINDS:
        raise unknown_name("kind", kind, completion.KINDS)
    command.show(kind, text, console.make_console(), Path(), as_json=as_json)


@main.command()
@click.argument("name")
@click.option(
    "--from", "origin", shell_complete=completion.experiments, help="Copy params.yaml from this experiment, or folder."
)
@click.option("--dataset", shell_complete=completion.datasets, help="Make params.yaml for this data set.")
@click.option("--path", help="The data set's folder or tar of images, if it is not fetched.")
@click.option("--protocol", shell_complete=completion.protocols, help="Follow this published protocol.")
@click.option("--seeds", type=click.IntRange(min=2), help="Networks of each trained model, one a training seed.")
@errors_in_one_line
def new(
    name: str, origin: str | None, dataset: str | None, path: str | None, protocol: str | None, seeds: int | None
) -> None:
    """Make the folder experiments/NAME with the shared graph, a params.yaml and a README to fill in.

    \b
    Examples:
      crossfool new mine
      crossfool new mine --dataset imagenet-sample-images
      crossfool new mine --dataset imagenet --path ~/imagenet/val
      crossfool new mine --protocol transferattack --path ~/nips2017
      crossfool new smaller-steps --from depth-mnist
      crossfool new mine --from .
      crossfool new digits --dataset mnist --seeds 5
    """
    from crossfool.cli import new as cli_new

    folder = cli_new.make_experiment(name, Path(), origin, dataset, path, protocol, seeds)
    print_line(
        f"made experiments/{folder.name}: dvc.yaml, params.yaml, README.md\nnext, in the root of the repository:"
    )
    for line in cli_new.next_steps(folder):
        print_line(f"  {line}")


@main.command()
@click.argument("folder", default=".", shell_complete=completion.experiments)
@RATE
@JSON
@errors_in_one_line
def check(folder: str, rate: float | None, as_json: bool) -> None:
    """Check params.yaml and data of an experiment; print what will run, its gradient evaluations, time and disk.

    The command computes and decodes nothing: of images that are not decoded yet, it reads names and sizes. FOLDER is
    a folder, or a name under experiments/ (here, if none is given).

    \b
    Examples:
      crossfool check
      crossfool check sensitivity
      crossfool check experiments/momentum --rate 150
    """
    from crossfool.cli import check as cli_check
    from crossfool.cli import console
    from crossfool.experiment import preflight, project

    found = preflight.check(project.find_experiment(folder))
    if as_json:
        console.print_json(cli_check.content(found, rate))
    else:
        cli_check.show(found, console.make_console(), rate)


@main.command()
@click.argument("folder", default=".", shell_complete=completion.experiments)
@RATE
@errors_in_one_line
def repro(folder: str, rate: float | None) -> None:
    """Run an experiment by `dvc repro`, with its check before, the progress of all stages, and the answer at the end.

    The command repairs dvc.lock if DVC was killed while writing it, prints what `check` prints, and runs DVC. Below the
    name of each stage that runs, it prints how many stages are done, and the time left. At the end it prints which
    attack transfers best. It ends with the exit code of `dvc repro`. FOLDER is a folder, or a name under experiments/
    (here, if none is given).

    \b
    Examples:
      crossfool repro
      crossfool repro depth-mnist
    """
    from crossfool.cli import console
    from crossfool.cli import repro as cli_repro
    from crossfool.experiment import project

    if status := cli_repro.run(project.find_experiment(folder), console.make_console(), rate):
        sys.exit(status)


@main.command()
@click.argument("folder", default=".", shell_complete=completion.experiments)
@click.option("--try", "tries", multiple=True, metavar="KEY=NUMBER,...", help="Candidates of a key, again for more.")
@click.option("--row", "rows", multiple=True, help="Tune this attack alone; give it again for more.")
@click.option("--write", is_flag=True, help="Write the best values into params.yaml.")
@errors_in_one_line
def tune(folder: str, tries: tuple[str, ...], rows: tuple[str, ...], write: bool) -> None:
    """Try values of attacks on the tuning images of an experiment, and print every trial.

    The experiment has to set images apart (`subset: {tuning: 100}`): they are never among those that it scores.
    `reach` stands for the step size: steps * step_size / epsilon. If no --try is given, each row of two steps and more
    is tried with reach 1, 1.67, 2.5 and 5. Several keys are tried in all combinations. The trials are an experiment of
    their own in FOLDER/tuning, which DVC runs; a second `tune` runs only what is new.

    
    Examples:
      crossfool tune mine
      crossfool tune mine --write
      crossfool tune mine --row sg_igsm --try reach=1,2.5 --try sigma=2,4,8
    """
    from crossfool.cli import console
    from crossfool.cli import tune as cli_tune
    from crossfool.experiment import project

    cli_tune.tune(project.find_experiment(folder), console.make_console(), tries=tries, rows=rows, write=write)


@main.command()
@click.argument("folders", nargs=-1, shell_complete=completion.experiments)
@click.option("--table", "names", multiple=True, help="Print this table of the report instead; give it again for more.")
@JSON
@errors_in_one_line
def show(folders: tuple[str, ...], names: tuple[str, ...], as_json: bool) -> None:
    """Print the results of experiments (of the one here, if none is given): attacks by success, then each pair.

    --table prints any table of the report by its name, which is that of its file in report/tables/.

    \b
    Examples:
      crossfool show
      crossfool show . depth-mnist
      crossfool show experiments/depth-cifar10 --table ranking
    """
    from crossfool.cli import console
    from crossfool.cli import show as cli_show
    from crossfool.experiment import project

    found = [project.find_experiment(folder) for folder in folders or (".",)]
    if as_json:
        console.print_json([cli_show.content(folder, names) for folder in found])
        return
    for folder in found:
        cli_show.show(folder, console.make_console(), names)


@main.command()
@click.argument("folders", nargs=-1, shell_complete=completion.experiments)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default="report.html", show_default=True)
@errors_in_one_line
def report(folders: tuple[str, ...], out: Path) -> None:
    """Write one page, which needs no network, of several experiments that have run: tables, figures, gallery.

    Without FOLDERS, the page shows all experiments that have results.

    \b
    Examples:
      crossfool report
      crossfool report . depth-mnist
      crossfool report depth-mnist momentum --out momentum.html
    """
    from crossfool.experiment import project
    from crossfool.report import coverage_table
    from crossfool.report.html import page
    from crossfool.report.reported.coverage import read_coverage

    project.refuse_other_file(out)
    wanted = [project.find_experiment(folder) for folder in folders]
    if not folders:
        wanted, left_out = project.folders_with_results(project.experiment_folders(project.find_root(Path())).values())
        for line in left_out:
            print_line(f"left out: {line}", err=True)
    coverage = coverage_table.table_of(read_coverage(project.find_root(wanted[0])))
    names = [project.folder_name(folder) for folder in wanted]
    page.write_page(wanted, out, names, timed=True, coverage=coverage)
    print_line(f"{out} ({out.stat().st_size / 1e6:.1f} MB)")


@main.command()
@click.argument("first", metavar="A", shell_complete=completion.attacks)
@click.argument("second", metavar="B", shell_complete=completion.attacks)
@FOLDER
@click.option("--source", shell_complete=completion.sources, help="Only cells of this source model.")
@click.option("--target", shell_complete=completion.targets, help="Only predictions of this target model.")
@click.option(
    "--metric", type=click.Choice(["top1", "top5"]), default="top1", show_default=True, help="Criterion of success."
)
@JSON
@errors_in_one_line
def compare(first: str, second: str, folder: str, as_json: bool, **options: Any) -> None:
    """Compare two attacks of an experiment, or two revisions of it, on the same images.

    A and B are attacks of its params.yaml, or git revisions or DVC experiments, whose predictions are read from
    DVC's cache; `workspace` means the present files. The command prints A minus B in percent points, a 95% confidence
    interval (Newcombe's for paired proportions), the p-value of the exact McNemar test, and this p-value adjusted for
    the table by Holm's method. For all black-box cells together, it prints an interval clustered by image and the
    p-value of a permutation test.

    \b
    Examples:
      crossfool compare sg_igsm igsm
      crossfool compare sg_fgsm fgsm --folder depth-mnist --target fnn8
      crossfool compare workspace HEAD
      crossfool compare HEAD~1 main --source efficientnet_lite0
    """
    from crossfool.cli import compare as cli_compare
    from crossfool.cli import console
    from crossfool.experiment import project
    from crossfool.experiment.results import comparison

    compared = comparison.compare(first, second, project.find_experiment(folder), **options)
    cli_compare.show(compared, console.make_console(), options["metric"], as_json=as_json)


@main.command()
@click.argument("cell", shell_complete=completion.cells)
@FOLDER
@JSON
@errors_in_one_line
def explain(cell: str, folder: str, as_json: bool) -> None:
    """Print what was attacked in CELL, how, from which bytes, at what cost, and how to compute it again.

    CELL is source/attack, source-attack as DVC writes it, or the path of an adversarial file, whether it exists or not.

    \b
    Examples:
      crossfool explain efficientnet_lite0/sg_igsm
      crossfool explain fnn4/fgsm --folder depth-mnist
      crossfool explain experiments/depth-mnist/adversarial/fnn4/fgsm.safetensors
    """
    from crossfool.cli import console
    from crossfool.cli import explain as cli_explain
    from crossfool.experiment import project, provenance

    found = provenance.find_cell(cell, project.find_experiment(folder))
    cli_explain.show(found, console.make_console(), as_json=as_json)


@main.command()
@click.argument("cells", metavar="CELL...", nargs=-1, required=True, shell_complete=completion.cells)
@FOLDER
@click.option("--to", "out", required=True, type=click.Path(path_type=Path), help="The folder to make.")
@click.option("--npz", is_flag=True, help="Write the images as one file of numpy arrays, too.")
@errors_in_one_line
def export(cells: tuple[str, ...], folder: str, out: Path, npz: bool) -> None:
    """Write clean and adversarial images of CELLs as PNG files, with labels, hashes and a description, into a folder.

    CELL is as for `explain`. Nothing is lost: what was written is read back and compared. The folder also has a
    README.md, which says what the attacks are, and a description by Croissant 1.0.

    \b
    Examples:
      crossfool export efficientnet_lite0/sg_igsm --to ~/images
      crossfool export fnn4/fgsm fnn4/sg_fgsm --folder depth-mnist --to digits --npz
    """
    from crossfool.experiment import project
    from crossfool.experiment.export import write_folder

    count = write_folder.export_cells(cells, project.find_experiment(folder), out, arrays=npz)
    print_line(f"{out}: {count:,} images, each read back and equal to its cell's")


@main.command()
@click.argument("exported", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--model", "models", multiple=True, required=True, help="The target model; give it again for more.")
@FOLDER
@JSON
@errors_in_one_line
def score(exported: Path, models: tuple[str, ...], folder: str, as_json: bool) -> None:
    """Count how often the images in FOLDER, which `export` wrote, fool a model.

    Any model of `crossfool list models` will do whose classes are those of the images. Its weights are those in
    weights/ of the experiment that --folder names; where none are there, published ones are fetched. Success is
    counted over all images, as in metrics/, and over those that the model classifies correctly when they are clean.

    \b
    Examples:
      crossfool score ~/images --model resnet18
      crossfool score digits --model fnn0 --model fnn8 --folder depth-mnist --json
    """
    from crossfool.cli import console
    from crossfool.cli import score as cli_score
    from crossfool.experiment import project

    cli_score.show(exported, models, project.find_experiment(folder), console.make_console(), as_json=as_json)


@main.command()
@JSON
@errors_in_one_line
def coverage(as_json: bool) -> None:
    """Say of each table and figure of the paper what was run here, on what, and how near it came.

    Read are each experiment's params.yaml, metrics/ and dvc.lock: reported figures without a cell here count as not
    run, other networks or images than the paper's as substitutes.

    \b
    Examples:
      crossfool coverage
      crossfool coverage --json
    """
    from crossfool.cli import console
    from crossfool.cli import coverage as cli_coverage

    cli_coverage.show(Path(), console.make_console(), as_json=as_json)


@main.command()
@click.option("--folder", default=".crossfool/smoke", type=click.Path(path_type=Path), help="The folder to compute in.")
@errors_in_one_line
def smoke(folder: Path) -> None:
    """Run every experiment end to end on a small scale: few embedded images, small models in place of the paper's.

    \b
    Examples:
      crossfool smoke
      crossfool smoke --folder /tmp/smoke
    """
    from crossfool.cli import smoke as cli_smoke

    cli_smoke.run(Path(), folder)


@main.command("remove-leftovers")
@click.argument("name", metavar="FOLDER", default=".", shell_complete=completion.experiments)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@errors_in_one_line
def remove_leftovers(name: str, yes: bool) -> None:
    """Delete files of models, sources and attacks that the params.yaml in FOLDER no longer lists.

    FOLDER is a folder, or a name under experiments/ (here, if none is given). The command lists the
    files, and deletes them if you agree. It deletes only files that DVC's records name as outputs of the pipeline.

    \b
    Examples:
      crossfool remove-leftovers
      crossfool remove-leftovers sensitivity --yes
    """
    from crossfool.cli import remove_leftovers as cli_remove_leftovers
    from crossfool.experiment import project

    cli_remove_leftovers.remove(project.find_experiment(name), confirmed=yes)


@main.command("repair-locks")
@click.argument("folders", nargs=-1, shell_complete=completion.experiments)
@errors_in_one_line
def repair_locks(folders: tuple[str, ...]) -> None:
    """Repair dvc.lock and .dvc/tmp/rwlock after DVC was killed while writing them.

    FOLDERS are experiments (the one here, if none is given).

    Such a file makes `dvc repro` fail with "'dvc.lock' validation failed" or "Unable to read RWLock-file". The command
    replaces a broken dvc.lock by the last commit's; stages that have run since are in DVC's run cache, and do not run
    again. It removes a broken rwlock.

    \b
    Examples:
      crossfool repair-locks
      crossfool repair-locks . depth-mnist
    """
    from crossfool.cli import repair_locks as cli_repair_locks
    from crossfool.experiment import project

    for name in folders or (".",):
        folder = project.find_experiment(name)
        lock = folder / cli_repair_locks.LOCK_NAME
        state = "is whole" if lock.exists() else "is not there yet"
        print_line(cli_repair_locks.repair(folder) or f"{lock} {state}")


@main.command()
@click.argument("names", metavar="[FOLDER]...", nargs=-1, shell_complete=completion.experiments)
@errors_in_one_line
def upgrade(names: tuple[str, ...]) -> None:
    """Convert experiments of the first edition to this one (the one here, if no FOLDER is given).

    FOLDER is a folder, or a name under experiments/. The command replaces its dvc.yaml by today's, writes out the
    aliases in params.yaml, and updates the commands in its README.md. Then `dvc repro` runs everything once.

    \b
    Examples:
      crossfool upgrade experiments/mine
    """
    from crossfool.cli import upgrade as command
    from crossfool.experiment import project

    for name in names or (".",):
        folder = project.find_experiment(name)
        changes = 0
        for line in command.upgrade(folder):
            print_line(line)
            changes += 1
        again = os.path.join(name, "dvc.yaml") if (folder / "dvc.yaml").is_file() else name
        print_line(
            f"{folder} is of this edition" + (f"; `dvc repro {again}` runs everything once" if changes else " already")
        )
