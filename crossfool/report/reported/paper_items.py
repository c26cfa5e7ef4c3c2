"""The tables and figures of the paper, and which results of an experiment are theirs. Imports no torch.

What a params.yaml says decides, not where it lies: attacks by their parameters, analyses and sweeps by what they draw.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crossfool.attacks.sweeps import Grid
from crossfool.experiment.config import Experiment
from crossfool.report.reported.published_panels import panels
from crossfool.report.reported.published_rates import attack_parameters, attacks_of, csv_rows

ACCURACY = {"lenet": 76.9, "resnet20": 92.4, "resnet44": 93.7, "resnet56": 93.8, "densenet": 94.2}  # section 4, top-1


@dataclass(frozen=True)
class Piece:
    """A file of results that an experiment computes for a table or figure of the paper.

    Attributes:
        part: The attack, by its name in paper_attacks.csv; "" where a figure is not divided by attacks.
        models: The models that it takes, source and targets.
        output: Its path in the experiment's folder.
    """

    part: str
    models: frozenset[str]
    output: str


@dataclass(frozen=True)
class Item:
    """A table or figure of the paper.

    Attributes:
        name: "table2a", "figure5", ...
        what: What it shows.
        dataset: The data set's family.
        reported: The number of success rates that the paper prints in it; 0 where it is drawn only.
        pieces: An experiment -> its results of this kind, whatever the models; None where there is nothing to run.
        models: Sets of models: all that a table has; of a figure, those that one of its drawings needs.
    """

    name: str
    what: str
    dataset: str
    reported: int
    pieces: Callable[[Experiment], Iterator[Piece]] | None
    models: tuple[frozenset[str], ...] = (frozenset(),)

    @property
    def parts(self) -> tuple[str, ...]:
        """The attacks that it is of, by their names in paper_attacks.csv; none of a figure that has one kind."""
        return tuple(attack_parameters(self.name))

    def has_models(self, piece: Piece) -> bool:
        """Whether a piece is of models that the paper's table or figure has."""
        if self.name.startswith("table"):
            return any(piece.models <= models for models in self.models)
        return any(models <= piece.models for models in self.models)


def items() -> list[Item]:
    """The tables of the paper, then its figures, each in the paper's order."""
    return [*_tables(), *_figures()]


TABLES = {
    "table1": "FGSM and IGSM between six networks of three architectures",
    "table2a": "FGSM between fully connected networks by depth",
    "table2b": "FGSM between CIFAR-10's networks by depth",
    "table3": "IGSM and sg-IGSM at 100 gradients",
    "table4": "targeted, from ensembles, top-5",
    "table5": "momentum, smoothing, and both",
    "table6": "untargeted, from ensembles",
    "table7": "targeted, from ensembles, top-1",
}


def _tables() -> Iterator[Item]:
    rows = csv_rows("paper_rates.csv")
    for name, what in TABLES.items():
        rates = [row for row in rows if row["experiment"] == name]
        models = frozenset(model for row in rates for model in (*row["source"].split("+"), row["target"]))
        joined = all("+" in row["source"] for row in rates)
        yield Item(name, what, rates[0]["dataset"], len(rates), _cells_of(name, joined), (models,))


def _figures() -> Iterator[Item]:
    def sets(*names: str) -> tuple[frozenset[str], ...]:
        return tuple(frozenset(one.split()) for one in names)

    def annotated(name: str) -> int:
        return sum(len(panel.rates) for panel in panels() if panel.figure == name)

    def figure(name: str, what: str, pieces: Callable[[Experiment], Iterator[Piece]] | None, *models: str) -> Item:
        return Item(f"figure{name}", what, "imagenet", annotated(f"figure{name}"), pieces, sets(*models) or sets(""))

    size = "success over the source's error and size, onto"
    yield figure("1", f"{size} vgg19_bn", _scatter("figure1"), "vgg19_bn")
    yield figure("2", "drawing of level sets", None)
    yield figure("3a", "cosine of gradients over m", _similarity, "vgg13_bn vgg16_bn", "densenet121 vgg13_bn")
    yield figure("3b", "labels in the plane of Ĝ and ĥ", _boundary(sign=False), "resnet34 densenet121")
    yield figure("4a", "sg-FGSM over ε, by m", _sweep("epsilon", "samples"))
    yield figure("4b", "sg-FGSM over σ", _sweep("sigma", None))
    yield figure("5", "destruction rates under four transforms", _destruction, "densenet121 resnet34")
    yield figure("6", "gradients as pictures", _saliency, "densenet121")
    yield figure("7", "targeted IGSM over α, by T", _sweep("step_size", "steps"), "resnet152 vgg16_bn")
    yield figure("8", f"{size} resnet152", _scatter("figure8"), "resnet152")
    yield figure("9", "labels in the plane of the signs of G and h", _boundary(sign=True), "resnet34")
    yield figure("10", "the photograph of 3b and 9", None)


def _cells_of(name: str, joined: bool) -> Callable[[Experiment], Iterator[Piece]]:
    """The cells of an item's attacks, from ensembles where `joined`, else from single models."""

    def pieces(experiment: Experiment) -> Iterator[Piece]:
        if experiment.subset.of == "all":  # rates of other images than the paper's
            return
        for part, attack in attacks_of(name, experiment):
            for source in experiment.sources:
                members = frozenset(source.split("+"))
                for target in experiment.answering if ("+" in source) == joined else ():
                    if target not in members:
                        yield Piece(part, members | {target}, f"metrics/{source}/{attack}.json")

    return pieces


def _scatter(name: str) -> Callable[[Experiment], Iterator[Piece]]:
    """The cells of an item's attacks that are drawn over the sources' error and size."""

    def pieces(experiment: Experiment) -> Iterator[Piece]:
        drawn = {f"{attack}.json" for attack in experiment.scatter.attacks}
        yield from (piece for piece in _cells_of(name, False)(experiment) if Path(piece.output).name in drawn)

    return pieces


def _destruction(experiment: Experiment) -> Iterator[Piece]:
    if any(experiment.transforms.values()):
        for piece in _cells_of("figure5", False)(experiment):
            yield Piece(piece.part, piece.models, piece.output.replace(".json", ".transform.json"))


def _sweep(x: str, lines: str | None) -> Callable[[Experiment], Iterator[Piece]]:
    """The cells of a grid that is drawn over an axis, with a line for each value of another."""

    def pieces(experiment: Experiment) -> Iterator[Piece]:
        for name in ("a", "b"):
            grid: Grid = getattr(experiment.grids, name)
            if grid.figure is not None and (grid.figure.x, grid.figure.lines) == (x, lines):
                for attack in grid.cells(name):
                    for source in experiment.sources:
                        models = frozenset((*source.split("+"), *experiment.answering))
                        yield Piece("", models, f"metrics/{source}/{attack}.json")

    return pieces


def _similarity(experiment: Experiment) -> Iterator[Piece]:
    for name, analysis in experiment.similarity.items():
        yield Piece("", frozenset((analysis.source, analysis.target)), f"analysis/similarity/{name}.csv")


def _boundary(sign: bool) -> Callable[[Experiment], Iterator[Piece]]:
    def pieces(experiment: Experiment) -> Iterator[Piece]:
        for name, analysis in experiment.boundary.items():
            if analysis.sign == sign:
                models = frozenset((analysis.source, *analysis.targets))
                yield Piece("", models, f"analysis/boundary/{name}.safetensors")

    return pieces


def _saliency(experiment: Experiment) -> Iterator[Piece]:
    for name, analysis in experiment.saliency.items():
        yield Piece("", frozenset((analysis.model,)), f"analysis/saliency/{name}.safetensors")
