"""The metadata of an experiment's results: its extent, versions, hashes, and params.yaml."""

import json
from collections.abc import Iterator

import yaml

from crossfool import first_edition
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import TUNING_NOTICE
from crossfool.report.findings import Findings
from crossfool.report.reported.protocol_rates import protocol_of

PARAMS = (  # sections of params.yaml, that the report depends on
    *("dataset", "subset", "models", "targets", "sources", "attacks", "grids", "transforms"),
    *("similarity", "boundary", "saliency", "scatter", "varies"),
)


def tuning_mark(findings: Findings) -> str:
    """The notice that an experiment's images are tuning images, in parentheses behind a blank; "" for scored ones."""
    return f" ({TUNING_NOTICE})" if findings.experiment.subset.uses_tuning else ""


def facts(findings: Findings) -> Iterator[tuple[str, str]]:
    """Names and values of what ran: the experiment's extent, and what its cells were made with."""
    results, experiment, headers = findings.results, findings.experiment, findings.headers
    protocol = protocol_of(experiment)
    if protocol is not None:
        yield "protocol", f"{protocol.key}: {protocol.source}"
    yield "data set", experiment.dataset.name
    yield "attacked images", f"{results.n:,}{tuning_mark(findings)}"
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
