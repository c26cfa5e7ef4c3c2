"""The content of the page for one experiment, gathered from the experiment's folder alone.

Read are metrics, params.yaml and predictions; the subset and adversarial images for the gallery; and the figures of
`report/`. Whatever is missing is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from crossfool.experiment.descriptions import attack_summary, attacked_images_summary, count_compared_images
from crossfool.report import figure_files
from crossfool.report.findings import Findings
from crossfool.report.html import gallery
from crossfool.report.html.data_uris import file_uri
from crossfool.report.html.gallery import Gallery
from crossfool.report.html.metadata import facts, shown_params, tuning_mark
from crossfool.report.html.short_names import short_names
from crossfool.report.html.summary import PICTURES, ROOT_NAME, Summary, experiment_name, summarise
from crossfool.report.sections import SECTIONS, section_note, section_title
from crossfool.report.table import Table

LARGEST_SVG = 400_000  # bytes of an SVG, a third on a page of several experiments; of a larger one the PNG is shown


@dataclass(frozen=True)
class Figure:
    """A figure of the report: its file's name, what it shows, and itself as a data URI."""

    name: str
    title: str
    uri: str


@dataclass(frozen=True)
class Group:
    """Tables under one heading.

    Attributes:
        name: For links.
        title, note: The heading, and a paragraph below it.
        tables: At least one, unless the note says why there is none.
        folded: Whether they are hidden until asked for.
    """

    name: str
    title: str
    note: str
    tables: Sequence[Table]
    folded: bool = False


@dataclass(frozen=True)
class View:
    """Everything that the page shows of one experiment.

    Attributes:
        name: The experiment's name; on a page of several, as the page calls it.
        dataset: The data set's name.
        images: How many were attacked.
        title: What the page is of, below the name.
        summary: The first screen.
        lead: Which images were attacked, and what the rates are.
        names: Model -> short name in the tables; empty where models have none.
        groups: The tables of results.
        figures: In the order that their files declare, without those of the first screen.
        pictures: The gallery, where the images are there.
        attacks: Their names, parameters in words, and gradient evaluations an image and model.
        method: The tables of what results rest on.
        command: The command that runs the experiment, in the root, or for a page of one in the experiment's folder.
        facts: What ran: names and values.
        params: The sections of params.yaml that the report depends on, as YAML.
    """

    name: str
    dataset: str
    images: int
    title: str
    summary: Summary
    lead: str
    names: Mapping[str, str]
    groups: Sequence[Group]
    figures: Sequence[Figure]
    pictures: Gallery | None
    attacks: Sequence[tuple[str, str, int]]
    method: Sequence[Group]
    command: str
    facts: Sequence[tuple[str, str]]
    params: str

    @property
    def count(self) -> int:
        """The number of tables."""
        return sum(len(group.tables) for group in (*self.groups, *self.method))


def gather_view(findings: Findings, name: str, room: int) -> View:
    """Gather the content of the page for an experiment.

    Args:
        findings: The experiment's.
        name: How the page calls it, "." for the root; "" for the only experiment of the page.
        room: For the gallery's pictures, in characters.

    Raises:
        UserError: params.yaml is wrong, or a file is missing, broken or left over.
    """
    folder, results, experiment = findings.folder, findings.results, findings.experiment
    return View(
        name=(ROOT_NAME if name == "." else name) or experiment_name(folder, experiment),
        dataset=experiment.dataset.name,
        images=results.n,
        title=f"Transferability on {experiment.dataset.name}{tuning_mark(findings)}",
        summary=summarise(findings),
        lead=f"{attacked_images_summary(results)}. All rates are percent of these images, with Wilson 95% intervals in "
        "brackets.",
        names=short_names(experiment.models, experiment.rows),
        groups=list(_groups(findings, method=False)),
        figures=list(_figures(folder / "report", alone=not name)),
        pictures=gallery.gather_gallery(folder, experiment, room),
        attacks=[
            (key, attack_summary(attack), attack.gradient_evaluations_per_seed)
            for key, attack in experiment.attacks.items()
        ],
        method=list(_groups(findings, method=True)),
        command=_command(name),
        facts=list(facts(findings)),
        params=shown_params(experiment),
    )


def _command(name: str) -> str:
    """The shell command that runs the experiment of that name."""
    return "dvc repro" if name in ("", ".") else f"dvc repro {quote(f'{name}/dvc.yaml')}"


def _groups(findings: Findings, *, method: bool) -> Iterator[Group]:
    """The sections, of results or the method, that have a table for people, or a note that says why there is none."""
    missing = not count_compared_images(findings.results)
    for section in SECTIONS:
        shown = [table for table in findings.tables[section.name] if table.readable]
        if section.method == method and (shown or (section.compared and missing)):
            title, note = (text(section, findings.results) for text in (section_title, section_note))
            yield Group(section.name, title, note, shown, section.folded)


def _figures(report: Path, *, alone: bool) -> Iterator[Figure]:
    """The figures of the folder `report` in the order of their declarations, but for those of the first screen.

    One that no file declares is not shown.

    Args:
        report: The folder.
        alone: Whether the page is of one experiment, and so has room for heat maps and larger SVG files.
    """
    paths = sorted(path for path in (report / "vector").glob("*.svg") if path.stem not in PICTURES)
    for declared in figure_files.figure_files().values():
        for path in paths if alone or not declared.alone else ():
            if figure_files.find_figure_file(path.stem) is declared:
                yield _figure(path, declared.title_of(path.stem), LARGEST_SVG if alone else LARGEST_SVG / 3)


def _figure(vector: Path, title: str, largest: float) -> Figure:
    """A figure as its SVG; as its PNG, where that is there and the SVG has more than so many bytes."""
    raster = vector.parents[1] / "figures" / f"{vector.stem}.png"
    if vector.stat().st_size > largest and raster.exists():
        return Figure(raster.name, title, file_uri("image/png", raster.read_bytes()))
    return Figure(vector.name, title, file_uri("image/svg+xml", vector.read_bytes()))
