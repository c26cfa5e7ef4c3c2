"""All that tables, figures and claims are made from: an experiment's metrics, its outcomes, and what rests on them.

Each is computed when it is first asked for, and once: the report's folder and its page show the same objects.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from crossfool.experiment import loading
from crossfool.experiment.config import Experiment
from crossfool.experiment.results import mean_rates, outcomes, pooled_destruction, ranking
from crossfool.experiment.results.mean_rates import MeanRates
from crossfool.experiment.results.metrics import Results, load_metrics
from crossfool.report import paper_claims, table_modules
from crossfool.report.reported import paper_agreement
from crossfool.report.table import Table
from crossfool.storage.tensors import TensorFile


@dataclass(frozen=True)
class Findings:
    """Results of an experiment that has run, and all that is computed from them once. Rates are percent.

    Attributes:
        folder: The experiment's.
        results: Its metrics.
        timed: Whether seconds that cells took on this machine are shown; they differ from run to run.
        partial: Whether missing predictions leave out what rests on them; else they are an error.
    """

    folder: Path
    results: Results
    timed: bool = False
    partial: bool = False

    @property
    def experiment(self) -> Experiment:
        """The experiment's params.yaml."""
        return self.results.experiment

    @cached_property
    def evidence(self) -> outcomes.Evidence:
        """The outcomes, image by image.

        Raises:
            OutcomesMissing: a file is missing from a folder that may be partial.
            UserError: a file is missing, damaged or of other images.
        """
        if self.partial and not all(path.exists() for path in outcomes.files(self.folder, self.experiment)):
            raise outcomes.OutcomesMissing
        return outcomes.read_evidence(self.folder, self.results)

    @cached_property
    def mean_rates(self) -> MeanRates:
        """Each attack's mean rate with its interval: from outcomes, or, in a folder that may be partial, as the report
        recorded it in agreement.json, so that `show` reads no predictions."""
        recorded = mean_rates.recorded_mean_rates(self.folder) if self.partial else {}
        try:
            return recorded or mean_rates.mean_rates(self.evidence)
        except outcomes.OutcomesMissing:
            return {}

    @cached_property
    def pairs(self) -> list[dict[str, Any]]:
        """Every two attacks compared; see `ranking.pairwise_rows`."""
        return ranking.pairwise_rows(self.evidence)

    @cached_property
    def tables(self) -> dict[str, list[Table]]:
        """Section -> its tables; see `table_modules.build_tables`."""
        return table_modules.build_tables(self)

    @cached_property
    def agreement(self) -> list[dict[str, Any]]:
        """Our rates beside the paper's; see `paper_agreement.comparison_rows`."""
        return paper_agreement.comparison_rows(self.results)

    @cached_property
    def claims(self) -> list[paper_claims.Claim]:
        """The paper's claims that the experiment has cells for, checked; none on tuning images."""
        return [] if self.experiment.subset.uses_tuning else paper_claims.check_claims(self.evidence)

    @cached_property
    def headers(self) -> list[dict[str, str]]:
        """The metadata of the adversarial images that are there, a dictionary a cell.

        Raises:
            UserError: metadata is damaged.
        """
        cells = ((source, attack) for source in self.experiment.sources for attack in self.experiment.rows)
        paths = (self.folder / "adversarial" / source / f"{attack}.safetensors" for source, attack in cells)
        files = [TensorFile(path) for path in paths if path.exists()]
        for file in files:
            for name in {"weights", "compute"} & file.metadata.keys():
                file.metadata_object(name)  # refuses what could not be read as JSON below and on the page
        return [file.metadata for file in files]

    @cached_property
    def weights(self) -> dict[str, str]:
        """Model -> the sha256 of the weights that the cells in the folder were made with, of members of a source."""
        return {
            model: digest
            for header in self.headers
            for model, digest in json.loads(header.get("weights", "{}")).items()
        }

    @cached_property
    def destruction(self) -> Mapping[str, Mapping[str, pooled_destruction.DestructionRates]]:
        """Transform with levels -> attack -> its destruction rates over all black-box pairs."""
        levels_of = self.experiment.transforms
        named = [transform for transform, levels in levels_of.items() if levels]
        return {name: pooled_destruction.pooled_destruction_rates(self.evidence, name) for name in named}


def read_findings(folder: Path, *, timed: bool = False) -> Findings:
    """The findings of the experiment in `folder`, as far as its files are there.

    Raises:
        UserError: params.yaml is wrong, or metrics are missing or left over.
    """
    results = load_metrics(folder, loading.load_experiment(folder / "params.yaml"))
    return Findings(folder, results, timed=timed, partial=True)
