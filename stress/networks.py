"""Try every classifier of torchvision and one of each of timm's families as a source, by `tests/library_networks.py`.

Each network has a process of its own, with a limit of memory and of time. Its row is written to `stress/networks.json`
before the next begins, so that a stopped run goes on. `tools/networks_table.py` makes docs/networks.md from the rows.
"""

import contextlib
import json
import multiprocessing
import resource
import sys
import warnings
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import library_networks
from outcome import Outcome

from crossfool.storage.atomic import replacing

ROWS = Path(__file__).with_name("networks.json")
MEMORY = 16 << 30  # bytes
LONGEST = 1800  # seconds


def rows() -> dict[str, dict[str, Any]]:
    """Read the rows of the networks that were tried, by name."""
    return json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else {}


def keep(row: dict[str, Any]) -> None:
    """Write a network's row beside the others."""
    all_rows = rows() | {row["name"]: row}
    with replacing(ROWS) as temporary:
        text = ",\n".join(f"{json.dumps(name)}: {json.dumps(all_rows[name])}" for name in sorted(all_rows))
        temporary.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


def tried(name: str) -> dict[str, Any]:
    """Compute a network's row in a process of its own."""
    context = multiprocessing.get_context("fork")  # torch and timm are loaded already
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_limited, args=(name, theirs))
    process.start()
    theirs.close()
    row: dict[str, Any] = {
        "name": name,
        "verdict": library_networks.DIFFERENT,
        "why": "it ended without a word: out of memory?",
    }
    with contextlib.suppress(EOFError):
        row = ours.recv() if ours.poll(LONGEST) else row | {"why": f"it took more than {LONGEST} s"}
    process.kill()
    process.join()
    versions = {library: version(library) for library in ("torch", "torchvision", "timm")}
    family = library_networks.names().get(name)
    return row | ({"family": family} if family else {}) | {"date": date.today().isoformat(), **versions}


def _limited(name: str, answer: Any) -> None:
    """Compute a network's row within limits of memory and threads, and send it."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    try:
        answer.send(library_networks.compared(name))
    except (MemoryError, RuntimeError, TypeError, AttributeError, IndexError, KeyError, ValueError) as error:
        answer.send({"name": name, "verdict": library_networks.DIFFERENT, "why": library_networks.told(error)})


def every_network(count: int, seed: int) -> Outcome:
    """Try the first so many networks anew, as a campaign of `stress/run.py`; each network has a seed of its own."""
    outcome = Outcome("networks as sources: input gradients against the library's own, in float32")
    for name in list(library_networks.names())[:count]:
        row = tried(name)
        keep(row)
        if row["verdict"] == library_networks.DIFFERENT:
            outcome.fail(f"{name}: {row.get('why', row)}")
        else:
            outcome.add(row["verdict"])
    return outcome


CAMPAIGNS = {"networks": (every_network, 1000)}


@click.command()
@click.argument("names", nargs=-1)
@click.option("--anew", is_flag=True, help="Try what has a row already, too.")
def main(names: tuple[str, ...], anew: bool) -> None:
    """Try some networks, or all that have no row yet."""
    known = rows()
    for name in names or library_networks.names():
        if name in known and not anew:
            continue
        row = tried(name)
        keep(row)
        click.echo(json.dumps(row))


if __name__ == "__main__":
    main()
