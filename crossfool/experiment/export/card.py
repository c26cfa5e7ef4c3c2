"""The card of an exported folder, README.md: the attacks in words, hashes, and the terms of the images."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crossfool.experiment.descriptions import TUNING_NOTICE, attack_summary
from crossfool.experiment.formulas import Fact
from crossfool.experiment.provenance import provenance_sections
from crossfool.experiment.recorded_cell import RecordedCell
from crossfool.storage import exported_images

SECTIONS = ("What", "Update", "Parameters")  # of `explain`, which name no file


def card(cells: Sequence[RecordedCell], record: Mapping[str, Any], arrays: str = "") -> str:
    """Text of a card.

    Args:
        cells: The exported cells.
        record: Content of cells.json.
        arrays: Name of the file of numpy arrays; "" where there is none.
    """
    return "\n".join([*_head(cells, record, arrays), *(line for cell in cells for line in _cell(cell, record))])


def _head(cells: Sequence[RecordedCell], record: Mapping[str, Any], arrays: str) -> Iterator[str]:
    dataset = cells[0].experiment.dataset
    size = " x ".join(map(str, record["shape"]))
    yield f"# Adversarial images of {record['dataset']}\n"
    yield (
        f"{record['images']:,} clean images ({size}, uint8), and adversarial images made of them by crossfool "
        f"{record['crossfool']}. PNG files hold the pixels exactly as they were scored.\n"
    )
    if cells[0].experiment.subset.uses_tuning:
        yield f"These are {TUNING_NOTICE}.\n"
    yield "| source | attack | what |\n|---|---|---|"
    for cell in cells:
        yield f"| `{cell.source}` | `{cell.name}` | {attack_summary(cell.attack)} |"
    yield "\n## Terms of the images\n"
    yield f"{record['dataset']}, {dataset.SOURCE}. Licence: {dataset.LICENCE}.\n"
    yield "## Files\n"
    yield "| file | what |\n|---|---|"
    yield "| `clean/<index>.png` | clean images; `<index>` is the image's id in the data set |"
    yield "| `adversarial/<source>/<attack>/<index>.png` | the attack on the image of the same index |"
    yield (
        f"| `{exported_images.LABELS}` | a row an adversarial image: {', '.join(exported_images.COLUMNS)}; "
        "`target_label` is empty where the attack is untargeted |"
    )
    yield f"| `{exported_images.RECORD}` | parameters, hashes and weights records of the cells |"
    yield "| `croissant.json` | the description of the folder by Croissant 1.0 |"
    if arrays:
        yield f"| `{arrays}` | numpy arrays: clean, labels, target_labels, index, and <source>/<attack> of each cell |"
    yield f"| `{exported_images.SUMS}` | hashes of all files: `sha256sum --check {exported_images.SUMS}` |"
    yield "\nAn attack succeeds where the prediction is not `label`; a targeted one, where it is `target_label`.\n"


def _cell(cell: RecordedCell, record: Mapping[str, Any]) -> Iterator[str]:
    """Sections of one cell: what `explain` prints, the row, hashes and rates."""
    own = next(one for one in record["cells"] if (one["source"], one["attack"]) == (cell.source, cell.name))
    sections = provenance_sections(cell)
    yield f"## {cell.source}/{cell.name}\n"
    yield f"Row of params.yaml: `{cell.name}: {json.dumps(own['params'])}`\n"
    for name in SECTIONS:
        facts = [fact for fact in sections[name] if fact[0] != "params.yaml"]
        yield from _block(name, facts)
    hashes = [
        ("adversarial file, sha256", own["sha256"]),
        ("its tensor of images, sha256", own["images_sha256"]),
        ("file of clean images, sha256", record["subset"]["sha256"]),
        ("its tensor of images, sha256", record["subset"]["images_sha256"]),
        *((f"weights of {name}", _weights(of)) for name, of in own["weights"].items()),
    ]
    yield from _block("Hashes", hashes)
    yield from _block("Rates", [fact for fact in sections["Rates"] if fact[0].startswith("top-1 on ")])


def _weights(record: Mapping[str, Any] | str) -> str:
    """Hash and origin of a model's weights; the hash alone where no weights record is there."""
    if isinstance(record, str):
        return f"sha256 {record}"
    if "recipe" in record:
        origin = f"trained here, {record['recipe']['epochs']} epochs, seed {record['recipe']['seed']}"
    else:
        origin = f"published as {record['file']}, sha256 {record['file_sha256']}" if "file" in record else ""
    return f"sha256 {record['sha256']}" + (f"; {origin}" if origin else "")


def _block(name: str, facts: Sequence[Fact]) -> Iterator[str]:
    """Facts as a block of aligned lines under a heading; nothing where there are none."""
    if facts:
        width = max(len(label) for label, _ in facts)
        yield f"### {name}\n\n```"
        yield from (f"{label.ljust(width)}  {text}".rstrip() for label, text in facts)
        yield "```\n"
