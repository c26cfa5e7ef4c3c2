"""Measure how fast an attack is alone and beside a busy process, by what its threads do while they wait."""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import click

SETTINGS: dict[str, dict[str, str]] = {
    "as OpenMP has it": {},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "GOMP_SPINCOUNT=3000": {"GOMP_SPINCOUNT": "3000"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}
BUSY = "while True: pass"
ATTACK = """
import sys, time
sys.path.insert(0, sys.argv[1])
import torch
from contestants import about
from crossfool.attacks.losses import cross_entropy
from crossfool.attacks import fusion
from crossfool.attacks import backward
from crossfool.models.inference import pixel_model

network, described = about("efficientnet_lite0")
model = pixel_model.wrap(network, described, device=torch.device("cpu"))
images = torch.randint(0, 256, (16, 3, 224, 224), generator=torch.Generator().manual_seed(0)).float()
loss = cross_entropy.untargeted(fusion.source_log_probabilities([model], "probabilities"), torch.arange(16))
backward.plain(loss, images)
print("ready", flush=True)
for line in sys.stdin:
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < float(line):
        backward.plain(loss, images)
        count += len(images)
    print(count / (time.perf_counter() - begun), flush=True)
"""
UNSET = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")


class Attacker:
    """A process that attacks with environment variables, for a while each time it is asked; it sleeps between."""

    def __init__(self, variables: dict[str, str]) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in UNSET} | variables
        command = [sys.executable, "-c", ATTACK, str(Path(__file__).parent)]
        self.process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._line() == "ready", "the process ended before it had attacked once"

    def rate(self, seconds: float) -> float:
        """Gradients a second over some seconds."""
        assert self.process.stdin
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


def rates(seconds: float, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """Gradients a second alone, and beside a process that keeps a core busy, of each round.

    The settings take turns within a round, so that what else the machine does meets all of them.
    """
    attackers = {name: Attacker(variables) for name, variables in SETTINGS.items()}
    measured: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in SETTINGS}
    for _ in range(rounds):
        for name, attacker in attackers.items():
            measured[name][0].append(attacker.rate(seconds))
        busy = subprocess.Popen([sys.executable, "-c", BUSY])
        try:
            for name, attacker in attackers.items():
                measured[name][1].append(attacker.rate(seconds))
        finally:
            busy.kill()
            busy.wait()
    for attacker in attackers.values():
        attacker.process.kill()
        attacker.process.wait()
    return measured


def ratio(rates: list[float], others: list[float]) -> str:
    """The median over rounds of the ratio of two settings' rates, with its quartiles."""
    low, median, high = statistics.quantiles([a / b for a, b in zip(rates, others, strict=True)], n=4)
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"


@click.command()
@click.option("--seconds", default=1.5, show_default=True)
@click.option("--rounds", default=12, show_default=True)
@click.option("--markdown", type=click.Path(path_type=Path))
def main(seconds: float, rounds: int, markdown: Path | None) -> None:
    """Measure, and print a table."""
    measured = rates(seconds, rounds)
    first = measured["as OpenMP has it"][0]
    lines = [
        "| threads | alone, gradients/s | of the first | beside a busy process | kept |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, (alone, beside) in measured.items():
        speeds = f"{statistics.median(alone):.1f} | {ratio(alone, first)} | {statistics.median(beside):.1f}"
        lines.append(f"| {name} | {speeds} | {ratio(beside, alone)} |")
    click.echo("\n".join(lines))
    if markdown:
        markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
