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
begun, count = time.perf_counter(), 0
while time.perf_counter() - begun < float(sys.argv[2]):
    backward.plain(loss, images)
    count += len(images)
print(count / (time.perf_counter() - begun))
"""
UNSET = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")


def rate(variables: dict[str, str], seconds: float) -> float:
    """Gradients a second of an attack's process with environment variables."""
    environment = {name: value for name, value in os.environ.items() if name not in UNSET} | variables
    command = [sys.executable, "-c", ATTACK, str(Path(__file__).parent), str(seconds)]
    return float(subprocess.run(command, env=environment, check=True, text=True, capture_output=True).stdout)


def rates(seconds: float, rounds: int) -> dict[str, tuple[float, float]]:
    """Gradients a second alone, and beside a process that keeps a core busy: medians; settings take turns."""
    alone: dict[str, list[float]] = {name: [] for name in SETTINGS}
    beside: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(rounds):
        for name, variables in SETTINGS.items():
            alone[name].append(rate(variables, seconds))
            busy = subprocess.Popen([sys.executable, "-c", BUSY])
            try:
                beside[name].append(rate(variables, seconds))
            finally:
                busy.kill()
                busy.wait()
    return {name: (statistics.median(alone[name]), statistics.median(beside[name])) for name in SETTINGS}


@click.command()
@click.option("--seconds", default=8.0, show_default=True)
@click.option("--rounds", default=3, show_default=True)
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
        lines.append(f"| {name} | {alone:.1f} | {alone / first:.2f} | {beside:.1f} | {beside / alone:.2f} |")
    click.echo("\n".join(lines))
    if markdown:
        markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
