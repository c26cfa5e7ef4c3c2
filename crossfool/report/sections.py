"""The sections of the report, in the order in which its page, tables.md and the terminal have them."""

from dataclasses import dataclass

from crossfool.experiment.descriptions import count_compared_images, denominator_note, no_compared_images_note
from crossfool.experiment.results.metrics import Results
from crossfool.report.reported.protocol_rates import reporter


@dataclass(frozen=True)
class Section:
    """A heading under which tables stand.

    Attributes:
        name: What a table's module calls it; unlike any other's.
        heading, note: The heading, and a paragraph below it; {rates} is what the rates count, {reporter} is the paper,
            or the protocol that an experiment follows.
        folded: Whether the page hides its tables until asked for, and tables.md only names them.
        compared: Whether its tables rest on the images that all models get right.
        method: Whether it is no result but what results rest on, which the page has behind the gallery.
    """

    name: str
    heading: str
    note: str = ""
    folded: bool = False
    compared: bool = False
    method: bool = False


SECTIONS = (
    Section(
        "ranking",
        "Attacks compared",
        "On the same images; an image's success is its mean over the black-box cells. Top-1 success, and top-5 of "
        "targeted attacks.",
        compared=True,
    ),
    Section("cells", "Attacks compared, cell by cell", folded=True),
    Section(
        "rates",
        "Success rates",
        "Rows are sources, columns are targets; {rates}. * marks white-box cells, whose source has the target in it. "
        "Where {reporter} has the same cell with the same parameters, its figure stands beside ours.",
    ),
    Section("claims", "The paper's claims", compared=True),
    Section("paper", "Agreement with {reporter}"),
    Section(
        "destruction",
        "Destruction rates",
        "Of the adversarial images that fool a target, the share that it gets right again after the transform "
        "(Kurakin et al. 2017). All black-box pairs together; they share images, so the 95% intervals are clustered by "
        "image. destruction.csv has each pair.",
    ),
    Section("models", "Models", method=True),
    Section("data", "Data of the figures", folded=True, method=True),
    Section("files", "Further files", folded=True, method=True),
)


def section_title(section: Section, results: Results) -> str:
    """The heading of a section."""
    return section.heading.format(reporter=reporter(results.experiment))


def section_note(section: Section, results: Results) -> str:
    """The paragraph below a section's heading; where it has nothing to compare, why."""
    if section.compared and not count_compared_images(results):
        return no_compared_images_note(results.experiment)
    experiment = results.experiment
    return section.note.format(rates=denominator_note(experiment), reporter=reporter(experiment))
