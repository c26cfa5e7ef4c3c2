"""The content of the page for one experiment, gathered from the experiment's folder alone.

Read are metrics, params.yaml and predictions; the subset and adversarial images for the gallery; and the figures of
`report/`. Whatever is missing is left out.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import yaml

from crossfool import first_edition
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import (
    TUNING_NOTICE,
    attack_summary,
    attacked_images_summary,
    count_compared_images,
)
from crossfool.report import figure_files
from crossfool.report.findings import Findings
from crossfool.report.html import gallery
from crossfool.report.html.data_uris import file_uri
from crossfool.report.html.gallery import Gallery
from crossfool.report.reported.protocol_rates import protocol_of
from crossfool.report.sections import SECTIONS, section_note, section_title
from crossfool.report.table import Table

ROOT_NAME = "default benchmark"  # the root's folder has no name of its own
LARGEST_SVG = 400_000  # bytes of an SVG, a third on a page of several experiments; of a larger one the PNG is shown
PARAMS = (  # sections of params.yaml, that the report depends on
    *("dataset", "subset", "models", "targets", "sources", "attacks", "grids", "transforms"),
    *("similarity", "boundary", "saliency", "scatter", "varies"),
)


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
        name: The experiment's folder, on a page of several; "" for the only experiment of a page.
        dataset: The data set's name.
        images: How many were attacked.
        title: The heading.
        summary: One sentence.
        facts: What ran: names and values.
        attacks: Their names, parameters in words, and gradient evaluations an image and model.
        groups: All tables.
        verdicts: As "3 supported, 0 contradicted, 2 undecided", of the paper's claims; "" where there are none.
        figures: In the order that their files declare.
        pictures: The gallery, where the images are there.
        params: The sections of params.yaml that the report depends on, as YAML.
        command: The command that runs the experiment, in the root, or for a page of one in the experiment's folder.
    """

    name: str
    dataset: str
    images: int
    title: str
    summary: str
    facts: Sequence[tuple[str, str]]
    attacks: Sequence[tuple[str, str, int]]
    groups: Sequence[Group]
    verdicts: str
    figures: Sequence[Figure]
    pictures: Gallery | None
    params: str
    command: str

    @property
    def count(self) -> int:
        """The number of tables."""
        return sum(len(group.tables) for group in self.groups)


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
    tables = findings.tables
    return View(
        name=ROOT_NAME if name == "." else name,
        dataset=experiment.dataset.name,
        images=results.n,
        title=f"Transferability on {experiment.dataset.name}{_mark(findings)}",
        summary=f"{attacked_images_summary(results)}. All rates are percent of these images, with Wilson 95% intervals "
        "in brackets.",
        facts=list(_facts(findings)),
        attacks=[
            (key, attack_summary(attack), attack.gradient_evaluations_per_seed)
            for key, attack in experiment.attacks.items()
        ],
        groups=list(_groups(findings, tables)),
        verdicts=_verdicts(tables["claims"]),
        figures=list(_figures(folder / "report", alone=not name)),
        pictures=gallery.gather_gallery(folder, experiment, room),
        params=shown_params(experiment),
        command=_command(name),
    )


def _mark(findings: Findings) -> str:
    """The notice that an experiment's images are tuning images, in parentheses behind a blank; "" for scored ones."""
    return f" ({TUNING_NOTICE})" if findings.experiment.subset.uses_tuning else ""


def _verdicts(tables: Sequence[Table]) -> str:
    """How many of the claims in tables are supported, contradicted and undecided; "" for none."""
    verdicts = Counter(row["verdict"] for table in tables for row in table.rows)
    tested = ("supported", "contradicted", "undecided")
    return ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in tested) if verdicts else ""


def _command(name: str) -> str:
    """The shell command that runs the experiment of that name."""
    return "dvc repro" if name in ("", ".") else f"dvc repro {quote(f'{name}/dvc.yaml')}"


def _facts(findings: Findings) -> Iterator[tuple[str, str]]:
    """Names and values of what ran: the experiment's extent, and what its cells were made with."""
    results, experiment, headers = findings.results, findings.experiment, findings.headers
    protocol = protocol_of(experiment)
    if protocol is not None:
        yield "protocol", f"{protocol.key}: {protocol.source}"
    yield "data set", experiment.dataset.name
    yield "attacked images", f"{results.n:,}{_mark(findings)}"
    yield "models", f"{len(experiment.models)}"
    yield "sources", f"{len(experiment.sources)}: {', '.join(experiment.sources)}"
    yield "targets", f"{len(experiment.answering)}: {', '.join(experiment.answering)}"
    yield "cells", f"{len(results.success) + len(results.swept)} (a source and an attack each)"
    transforms = [f"{key} ({', '.join(f'{at:g}' for at in levels)})" for key, levels in experiment.transforms.items()]
    if any(experiment.transforms.values()):
        yield "transforms", ", ".join(transforms)
    for key in ("crossfool", first_edition.NAME, "torch", "compute"):
        values = sorted({header[key] for header in headers if key in header})
        if values:
            yield key, "; ".join(map(_settings, values) if key == "compute" else values)
    for digest in sorted({header["subset"] for header in headers if "subset" in header}):
        yield "subset's sha256", digest


def _settings(text: str) -> str:
    """A JSON object as "key value, key value"."""
    values = json.loads(text).items()
    return ", ".join(f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in values)


def shown_params(experiment: Experiment) -> str:
    """The sections of params.yaml that the report depends on, as YAML; `varies` only where it is given."""
    values = experiment.model_dump(mode="json", include=set(PARAMS), exclude_none=True)
    sections = {section: values[section] for section in PARAMS if section in values}
    text: str = yaml.safe_dump(sections, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    return text


def _groups(findings: Findings, tables: Mapping[str, Sequence[Table]]) -> Iterator[Group]:
    """The sections that have a table for people, or whose note says why there is none."""
    missing = not count_compared_images(findings.results)
    for section in SECTIONS:
        shown = [table for table in tables[section.name] if table.readable]
        if shown or (section.compared and missing):
            title, note = (text(section, findings.results) for text in (section_title, section_note))
            yield Group(section.name, title, note, shown, section.folded)


def _figures(report: Path, *, alone: bool) -> Iterator[Figure]:
    """The figures of the folder `report` in the order of their declarations; one that none declares is not shown.

    Args:
        report: The folder.
        alone: Whether the page is of one experiment, and so has room for heat maps and larger SVG files.
    """
    paths = sorted((report / "vector").glob("*.svg"))
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
