"""The params.yaml of a new experiment that follows a published protocol. Imports no torch."""

import textwrap
from typing import Any

from crossfool.cli.new_params import UNUSED_SECTIONS
from crossfool.datasets.preparation.dataset import Dataset
from crossfool.experiment import params_file
from crossfool.experiment.protocol_files import Protocol
from crossfool.models.weights import registry

TEMPLATE = """\
{head}
root: ../..
protocol: {protocol}

dataset: {dataset}

models:
{models}
targets: all
{pins}weights: {{}}
training: null

subset: {subset}
lpips: true
compute: {{precision: float32, chunk: {chunk}}}

sources: [{sources}]
attacks:
{attacks}
{unused}"""


def params_by(protocol: Protocol, dataset: Dataset) -> str:
    """The text of a params.yaml that follows a protocol, on a data set that may be another than the protocol's."""
    unpinned = ", ".join(unpinned_models(protocol))
    needed = f"No hash of these is known here: set weights: {{sha256: {{NAME: ..., ...}}}} for {unpinned}."
    row = {"name": dataset.name} | ({} if dataset.given_path is None else {"path": dataset.given_path})
    return TEMPLATE.format(
        head=_head(protocol),
        protocol=protocol.key,
        dataset=_flow(row),
        models="\n".join(f"  - {model}" for model in protocol.models),
        pins=_comment(needed) + "\n" if unpinned else "",
        subset=_flow(_subset(protocol, dataset)),
        chunk=protocol.chunk,
        sources=", ".join(protocol.sources),
        attacks="\n".join(f"  {name}: {_flow(row)}" for name, row in protocol.rows.items()),
        unused=UNUSED_SECTIONS,
    )


def unpinned_models(protocol: Protocol) -> list[str]:
    """Models whose published weights have no pinned hash, so that params.yaml has to pin it."""
    specs = (registry.spec(model) for model in protocol.models)
    return [spec.name for spec in specs if spec.published and not spec.sha256]


def protocol_sentences(protocol: Protocol) -> str:
    """Describe a protocol for an experiment's README: what it measures, its source, and what it leaves open."""
    points = "".join(f"\n- {point}" for point in protocol.open)
    return (
        f"Protocol `{protocol.key}`: {protocol.summary} ({protocol.source}).\n\n"
        f"What it leaves open, and in what an experiment here departs from it:\n{points}"
    )


def _head(protocol: Protocol) -> str:
    """The comment that begins the file."""
    points = [_comment(point, "# - ") for point in protocol.open]
    keys = "All keys: docs/parameters.md; names: `crossfool list`. Pixels are 0..255, epsilon and step_size, too."
    departs = "What the protocol leaves open, and in what this file departs from it:"
    texts = (f"{protocol.summary}.", f"From {protocol.source}.", keys, departs)
    return "\n".join([*map(_comment, texts), *points])


def _comment(text: str, start: str = "# ") -> str:
    later = "# ".ljust(len(start))
    return textwrap.fill(text, 118, initial_indent=start, subsequent_indent=later, break_long_words=False)


def _subset(protocol: Protocol, dataset: Dataset) -> dict[str, Any]:
    """The section `subset`: all images where the data set has too few, and none to tune on where it has hardly any."""
    wanted, tuning, most = protocol.subset["images"], protocol.subset.get("tuning", 0), dataset.IMAGES
    if wanted == "all" or most is None or most >= wanted + tuning:
        return dict(protocol.subset)
    kept = {key: value for key, value in protocol.subset.items() if key != "tuning" or most >= 2 * tuning}
    return kept | {"images": "all"}


def _flow(values: Any) -> str:
    return params_file.to_yaml(values, flow=True).strip()
