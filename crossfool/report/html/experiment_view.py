"""The content of the page for one experiment, gathered from the experiment's folder alone.

Read are metrics and params.yaml; the subset, adversarial images and predictions for the gallery; and the figures and
CSV files of `report/`. Whatever is missing is left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import yaml

from crossfool import first_edition
from crossfool.experiment import loading
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import (
    attack_summary,
    attacked_images_summary,
    count_compared_images,
    denominator_note,
    no_compared_images_note,
)
from crossfool.experiment.results.metrics import Results, load_metrics
from crossfool.report.html import attack_tables, figure_data, gallery, paper_tables, rate_tables
from crossfool.report.html.data_uris import file_uri
from crossfool.report.html.gallery import Gallery
from crossfool.report.reported import paper_agreement
from crossfool.report.table import Table
from crossfool.storage.tensors import TensorFile

ROOT_NAME = "default benchmark"  # the root's folder has no name of its own
LARGEST_SVG = 400_000  # bytes of an SVG, a third on a page of several experiments; of a larger one the PNG is shown
RATES_NOTE = (
    "Rows are sources, columns are targets; {}. * in a frame: white-box, the source has the target in it. A dotted "
    "line: the paper has the same cell with the same parameters; its figure, and ours minus it, stand in the cell when "
    "it is pointed at."
)
RANKING_NOTE = (
    "On the same images; an image's success is its mean over the black-box cells. Top-1 success, and top-5 of targeted "
    "attacks."
)
DESTRUCTION_NOTE = (
    "Of the adversarial images that fool a target, the share that it gets right again after the transform "
    "(Kurakin et al. 2017). Black-box pairs pooled; they share images, so that the 95% intervals are of "
    "as many pairs as tell as much. report/destruction.csv has each pair."
)
SECTIONS = (  # of params.yaml, that the report depends on
    *("dataset", "subset", "models", "targets", "sources", "attacks", "grids", "transforms"),
    *("similarity", "boundary", "saliency", "scatter"),
)
FIGURE_TITLES = {  # the start of a figure's name -> what it shows
    "agreement": "Our success rates against the paper's",
    "boundary": "Decision boundaries",
    "cost": "Success against gradient evaluations",
    "destruction": "Destruction rates by transform and level",
    "grid": "Success rates over a sweep",
    "heatmap": "Success rates of",
    "saliency": "Gradients as pictures",
    "scatter": "Success rates over the source's error and size",
    "similarity": "Similarity of gradients",
}


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
        models: Their clean accuracy.
        groups: All other tables.
        figures: In the order of their names.
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
    models: Table
    groups: Sequence[Group]
    figures: Sequence[Figure]
    pictures: Gallery | None
    params: str
    command: str

    @property
    def count(self) -> int:
        """The number of tables."""
        return 1 + sum(len(group.tables) for group in self.groups)

    @property
    def verdicts(self) -> str:
        """How many of the paper's claims hold, as "3 of 5 hold"; "" where none was tested."""
        rows = [
            row for group in self.groups if group.name == "claims" for table in group.tables for row in table.records
        ]
        return f"{sum(row['holds'] == 'true' for row in rows)} of {len(rows)} hold" if rows else ""


def gather_view(folder: Path, name: str, room: int, *, timed: bool = False) -> View:
    """Gather the content of the page for the experiment in `folder`.

    Args:
        folder: The experiment's.
        name: How the page calls it, "." for the root; "" for the only experiment of the page.
        room: For the gallery's pictures, in characters.
        timed: Whether the page has the seconds that cells took here.

    Raises:
        UserError: params.yaml is wrong, or a file is missing, broken or left over.
    """
    experiment = loading.load_experiment(folder / "params.yaml")
    results = load_metrics(folder, experiment)
    headers = _headers(folder, experiment)
    values = experiment.model_dump(mode="json", include=set(SECTIONS), exclude_none=True)
    sections = {section: values[section] for section in SECTIONS}
    return View(
        name=ROOT_NAME if name == "." else name,
        dataset=experiment.dataset.name,
        images=results.n,
        title=f"Transferability on {experiment.dataset.name}",
        summary=f"{attacked_images_summary(results)}. All rates are percent of these images, with Wilson 95% intervals "
        "in brackets.",
        facts=list(_facts(results, headers)),
        attacks=[
            (key, attack_summary(attack), attack.gradient_evaluations_per_seed)
            for key, attack in experiment.attacks.items()
        ],
        models=rate_tables.clean_table(results, _weights_digests(headers)),
        groups=list(_groups(folder, results, timed)),
        figures=list(_figures(folder / "report", alone=not name)),
        pictures=gallery.gather_gallery(folder, experiment, room),
        params=yaml.safe_dump(sections, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None),
        command=_command(name),
    )


def _command(name: str) -> str:
    """The shell command that runs the experiment of that name."""
    return "dvc repro" if name in ("", ".") else f"dvc repro {quote(f'{name}/dvc.yaml')}"


def _headers(folder: Path, experiment: Experiment) -> list[dict[str, str]]:
    """The metadata of the cells that are there."""
    paths = (
        folder / "adversarial" / source / f"{attack}.safetensors"
        for source in experiment.sources
        for attack in experiment.rows
    )
    files = [TensorFile(path) for path in paths if path.exists()]
    for file in files:
        for name in {"weights", "compute"} & file.metadata.keys():
            file.metadata_object(name)  # refuses what `_weights_digests` and `_settings` could not read
    return [file.metadata for file in files]


def _weights_digests(headers: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Model -> the sha256 of the weights that the cells were made with."""
    return {model: digest for header in headers for model, digest in json.loads(header.get("weights", "{}")).items()}


def _facts(results: Results, headers: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Names and values of what ran: the experiment's extent, and what its cells were made with."""
    experiment = results.experiment
    yield "data set", experiment.dataset.name
    yield "attacked images", f"{results.n:,}"
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


def _groups(folder: Path, results: Results, timed: bool) -> Iterator[Group]:
    """The groups that have a table, or whose note says why there is none."""
    report = folder / "report"
    comparisons = [
        *(attack_tables.cost_tables(folder, results) if timed else ()),
        *attack_tables.ranking_tables(report),
    ]
    missing = "" if count_compared_images(results) else no_compared_images_note(results.experiment)
    rates_note = RATES_NOTE.format(denominator_note(results.experiment))
    groups = (
        Group("rates", "Success rates", rates_note, list(rate_tables.success_tables(results))),
        Group("ranking", "Attacks compared", missing or RANKING_NOTE, comparisons),
        Group(
            "cells", "Attacks compared, cell by cell", "", list(attack_tables.cell_by_cell_tables(report)), folded=True
        ),
        Group("claims", "The paper's claims", missing, list(paper_tables.claim_tables(report))),
        Group(
            "paper",
            "Agreement with the paper",
            "",
            list(paper_tables.comparison_tables(paper_agreement.comparison_rows(results))),
        ),
        Group(
            "destruction", "Destruction rates", DESTRUCTION_NOTE, list(rate_tables.destruction_tables(report, results))
        ),
        Group("data", "Data of the figures", "", list(figure_data.figure_data_tables(report)), folded=True),
    )
    return (group for group in groups if group.tables or (missing and group.note == missing))


def _figures(report: Path, *, alone: bool) -> Iterator[Figure]:
    """The figures of the folder `report`, but for the image panel, whose images the gallery has.

    Args:
        report: The folder.
        alone: Whether the page is of one experiment, and so has room for heat maps and larger SVG files.
    """
    for path in sorted((report / "vector").glob("*.svg")):
        if path.stem.startswith("heatmap_") and not alone:
            continue
        raster = report / "figures" / f"{path.stem}.png"
        if path.stat().st_size > (LARGEST_SVG if alone else LARGEST_SVG / 3) and raster.exists():
            yield Figure(raster.name, _title(path.stem), file_uri("image/png", raster.read_bytes()))
        else:
            yield Figure(path.name, _title(path.stem), file_uri("image/svg+xml", path.read_bytes()))


def _title(name: str) -> str:
    """A figure's title, by its file's name without suffix."""
    kind, _, rest = name.partition("_")
    return f"{FIGURE_TITLES.get(kind, kind)} {rest}".strip()
