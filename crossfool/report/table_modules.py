"""The tables of the report: each module in `tables/` gives some, and the folder is the list.

A module has `SECTION`, the name of a section of `sections.SECTIONS`; `ORDER`, its place in it; and `tables(findings)`.
`crossfool show` prints the tables of modules with `BRIEF = True`, which need metrics alone.
"""

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, cast

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.outcomes import OutcomesMissing
from crossfool.part_files import part_names
from crossfool.report.departures import departures, mark_departures
from crossfool.report.sections import SECTIONS
from crossfool.report.table import Table
from crossfool.report.tuning_mark import mark_tuning

FOLDER = Path(__file__).parent / "tables"


class Reported(Protocol):
    """Source of the tables: a `findings.Findings`, which has all tables as its attribute `tables`."""

    @property
    def experiment(self) -> Experiment:
        """The experiment's params.yaml."""


class TableModule(Protocol):
    """A module in `tables/`."""

    SECTION: str
    ORDER: int

    def tables(self, findings: Reported) -> Iterable[Table]:
        """The module's tables of an experiment; those without rows are written as CSV heads and shown nowhere else."""


def table_modules() -> list[TableModule]:
    """The modules of the folder, in the order of sections, then by `ORDER` and name; a name with `_` is none."""
    names = part_names(FOLDER)
    modules = [cast(TableModule, importlib.import_module(f"crossfool.report.tables.{name}")) for name in names]
    places = {section.name: place for place, section in enumerate(SECTIONS)}
    for name, module in zip(names, modules, strict=True):
        assert module.SECTION in places, f"tables/{name}.py: SECTION is {module.SECTION!r}, expected one of {[*places]}"
    return sorted(modules, key=lambda module: (places[module.SECTION], module.ORDER))


def build_tables(findings: Reported, *, brief: bool = False) -> dict[str, list[Table]]:
    """Section -> its tables; tables that rest on missing predictions are left out, those of tuning images are marked.

    Args:
        findings: The experiment's, a `findings.Findings`.
        brief: Whether only the modules are asked whose tables `crossfool show` prints.

    Raises:
        UserError: a file is damaged; or missing, where the findings may not be partial.
    """
    departs = departures(findings.experiment)
    tables: dict[str, list[Table]] = {section.name: [] for section in SECTIONS}
    for module in table_modules():
        if not brief or getattr(module, "BRIEF", False):
            tables[module.SECTION] += (mark_departures(table, departs) for table in _available(module, findings))
    names = [table.name for section in tables.values() for table in section]
    assert len(names) == len(set(names)), f"two tables have one name among {sorted(names)}"
    if findings.experiment.subset.uses_tuning:
        return {section: [mark_tuning(table) for table in section_tables] for section, section_tables in tables.items()}
    return tables


def _available(module: TableModule, findings: Reported) -> Iterator[Table]:
    try:
        yield from list(module.tables(findings))
    except OutcomesMissing:
        return
