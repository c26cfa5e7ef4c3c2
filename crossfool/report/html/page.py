"""The HTML report: one page that holds all it shows and asks nothing of a network.

Equal results give equal bytes. What the page says comes from an experiment's folder alone: metrics and params.yaml,
the subset, cells and answers for the gallery, and of `report/` the figures and claims. What is not there is left out.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from crossfool import first_edition
from crossfool.experiment import loading
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import chosen, compared, denominator, uncounted, words
from crossfool.experiment.results.metrics import Results, load_metrics
from crossfool.report.html import comparison_tables, gallery, rate_tables
from crossfool.report.html import images as html_images
from crossfool.report.html.gallery import GAIN, Gallery
from crossfool.report.reported import agreement
from crossfool.report.table import Table
from crossfool.storage.atomic import replacing
from crossfool.storage.tensors import TensorFile

DEFAULT = "default benchmark"  # the root's folder has no name of its own
ROOM = 7_000_000  # characters a page for the gallery's pictures, of all experiments together
LARGEST = 400_000  # bytes of an SVG, a third on a page of several experiments; of a larger one the PNG is shown
RANKED = (
    "On the same images; an image's success is its mean over the black-box cells. Top-1 success, and top-5 of targeted "
    "attacks."
)
SECTIONS = (
    *("dataset", "subset", "models", "targets", "sources", "attacks", "grids", "transforms"),
    *("similarity", "boundary", "saliency", "scatter"),
)
FIGURES = {  # the start of a figure's name -> what it shows
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
# matplotlib's cividis at 0, 10, ..., 100
CIVIDIS = ["00224e", "083370", "35456c", "4f576c", "666970", "7d7c78", "948e77", "aea371", "c8b866", "e5cf52", "fee838"]


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
        title, note: What they are.
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
    """What the page shows of one experiment.

    Attributes:
        name: Of its folder, where there are several; "" for the one that the page is of.
        dataset: The data set's name.
        images: How many were attacked.
        title: What it is about.
        summary: One sentence.
        facts: What ran: names and values.
        attacks: Their names, parameters in words, and gradient evaluations an image and model.
        models: Their clean accuracy.
        groups: All other tables.
        figures: In the order of their names.
        pictures: The gallery, where the images are there.
        params: The sections of params.yaml that the report depends on, as YAML.
        command: What runs it, in the root, or for a page of one in the experiment's folder.
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
        """How many tables it has."""
        return 1 + sum(len(group.tables) for group in self.groups)

    @property
    def verdicts(self) -> str:
        """How many of the paper's claims hold."""
        rows = [
            row for group in self.groups if group.name == "claims" for table in group.tables for row in table.records
        ]
        return f"{sum(row['holds'] == 'true' for row in rows)} of {len(rows)} hold" if rows else ""


def write(folders: Sequence[Path], out: Path, names: Sequence[str] | None = None, *, timed: bool = False) -> None:
    """Write a page of the experiments in `folders` to the file `out`.

    Args:
        folders: Where they lie.
        out: The page.
        names: What they are called where there are several, "." for the root's; their folders, if not given.
        timed: Whether it has the seconds that cells took here, which differ from run to run.

    Raises:
        UserError: a params.yaml is wrong, or a file is missing, broken or left over.
    """
    folders = list(folders)
    room = ROOM // max(len(folders), 1)
    called = [""] if len(folders) == 1 else names or [folder.as_posix() for folder in folders]
    text = render([view(folder, name, room, timed=timed) for folder, name in zip(folders, called, strict=True)])
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render(views: Sequence[View]) -> str:
    """The page of some experiments."""
    # not by suffix: everything is escaped but what the templates themselves say
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["broken"] = broken
    environment.filters["csv_uri"] = lambda text: html_images.file_uri("text/csv", text.encode())
    environment.filters["latex_uri"] = lambda text: html_images.file_uri("text/x-tex", text.encode())
    return environment.get_template("page.html").render(views=views, shades=shades(), gain=GAIN) + "\n"


def broken(name: str) -> Markup:
    """A name, escaped, that may be broken over lines after each _ and +."""
    return Markup(re.sub(r"([_+])", r"\1<wbr>", str(escape(name))))


# --- one experiment ---------------------------------------------------------------------------------


def view(folder: Path, name: str, room: int, *, timed: bool = False) -> View:
    """What the page shows of an experiment.

    Args:
        folder: Where it lies.
        name: Its folder as it is to be called, "." for the root; "" for the only one of the page.
        room: For the gallery's pictures, in characters.
        timed: As `write`.
    """
    experiment = loading.load(folder / "params.yaml")
    results = load_metrics(folder, experiment)
    headers = _headers(folder, experiment)
    values = experiment.model_dump(mode="json", include=set(SECTIONS), exclude_none=True)
    sections = {section: values[section] for section in SECTIONS}
    return View(
        name=DEFAULT if name == "." else name,
        dataset=experiment.dataset.name,
        images=results.n,
        title=f"Transferability on {experiment.dataset.name}",
        summary=f"{chosen(results)}. All rates are percent of these images, with Wilson 95% intervals in brackets.",
        facts=list(_facts(results, headers)),
        attacks=[(key, words(attack), attack.gradients) for key, attack in experiment.attacks.items()],
        models=rate_tables.clean(results, _hashes(headers)),
        groups=list(_groups(folder, results, timed)),
        figures=list(_figures(folder / "report", whole=not name)),
        pictures=gallery.gather(folder, experiment, room),
        params=yaml.safe_dump(sections, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None),
        command=_command(name),
    )


def _command(name: str) -> str:
    return "dvc repro" if name in ("", ".") else f"dvc repro {quote(f'{name}/dvc.yaml')}"


def _headers(folder: Path, experiment: Experiment) -> list[dict[str, str]]:
    """What the cells that are there say of themselves."""
    places = (folder / "adversarial" / s / f"{a}.safetensors" for s in experiment.sources for a in experiment.rows)
    files = [TensorFile(place) for place in places if place.exists()]
    for file in files:
        for name in {"weights", "compute"} & file.metadata.keys():
            file.said_json(name)  # which is read below
    return [file.metadata for file in files]


def _hashes(headers: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Model -> the sha256 of the weights that the cells were made with."""
    return {model: digest for one in headers for model, digest in json.loads(one.get("weights", "{}")).items()}


def _facts(results: Results, headers: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
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
        said = sorted({one[key] for one in headers if key in one})
        if said:
            yield key, "; ".join(map(_settings, said) if key == "compute" else said)
    for digest in sorted({one["subset"] for one in headers if "subset" in one}):
        yield "subset's sha256", digest


def _settings(text: str) -> str:
    values = json.loads(text).items()
    return ", ".join(f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in values)


def _groups(folder: Path, results: Results, timed: bool) -> Iterator[Group]:
    rates = (
        f"Rows are sources, columns are targets; {denominator(results.experiment)}. * in a frame: white-box, the "
        "source has the target in it. A dotted line: the paper has the same cell with the same parameters; its figure, "
        "and ours minus it, stand in the cell when it is pointed at."
    )
    destroyed = (
        "Of the adversarial images that fool a target, the share that it gets right again after the transform "
        "(Kurakin et al. 2017). Black-box pairs pooled; they share images, so that the 95% intervals are of "
        "as many pairs as tell as much. report/destruction.csv has each pair."
    )
    against = [
        *(comparison_tables.costed(folder, results) if timed else ()),
        *comparison_tables.ranked(folder / "report"),
    ]
    missing = "" if compared(results) else uncounted(results.experiment)
    groups = (
        Group("rates", "Success rates", rates, list(rate_tables.success(results))),
        Group("ranking", "Attacks compared", missing or RANKED, against),
        Group(
            "cells",
            "Attacks compared, cell by cell",
            "",
            list(comparison_tables.each_cell(folder / "report")),
            folded=True,
        ),
        Group("claims", "The paper's claims", missing, list(comparison_tables.claimed(folder / "report"))),
        Group("paper", "Agreement with the paper", "", list(comparison_tables.compared(agreement.rows(results)))),
        Group("destruction", "Destruction rates", destroyed, list(rate_tables.destruction(folder / "report", results))),
        Group("data", "Data of the figures", "", list(comparison_tables.drawn(folder / "report")), folded=True),
    )
    return (group for group in groups if group.tables or (missing and group.note == missing))


# --- figures ----------------------------------------------------------------------------------------


def _figures(report: Path, *, whole: bool) -> Iterator[Figure]:
    """The report's figures; but the panel, whose images the gallery has, and heat maps only where `whole`."""
    for place in sorted((report / "vector").glob("*.svg")):
        if place.stem.startswith("heatmap_") and not whole:
            continue
        raster = report / "figures" / f"{place.stem}.png"
        if place.stat().st_size > (LARGEST if whole else LARGEST / 3) and raster.exists():
            yield Figure(raster.name, _shown(place.stem), html_images.file_uri("image/png", raster.read_bytes()))
        else:
            yield Figure(place.name, _shown(place.stem), html_images.file_uri("image/svg+xml", place.read_bytes()))


def _shown(name: str) -> str:
    kind, _, rest = name.partition("_")
    return f"{FIGURES.get(kind, kind)} {rest}".strip()


def shades() -> list[tuple[int, str, str]]:
    """The heat maps' colours: percent, background, and black or white, whichever is easier to read on it."""
    return [(percent, *_shade(percent)) for percent in range(101)]


def _shade(percent: int) -> tuple[str, str]:
    place, part = min(percent // 10, 9), percent / 10 - min(percent // 10, 9)
    low, high = (bytes.fromhex(CIVIDIS[at]) for at in (place, place + 1))
    mixed = [round((1 - part) * a + part * b) for a, b in zip(low, high, strict=True)]
    red, green, blue = ((c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in mixed)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # of WCAG 2
    ink = "#000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#fff"
    return f"#{bytes(mixed).hex()}", ink
