"""Measure the peak memory of a chunk of an attack beyond its models, on the CPU: does it depend on T and m?

Weights are random, since memory does not depend on them. Each measurement has a process: `python benchmarks/memory.py`.
"""

import contextlib
import resource
import subprocess
import sys
from pathlib import Path

import click

SOURCES = {  # source -> its chunk in experiments/
    "resnet152": 10,
    "densenet161": 10,
    "vgg19_bn": 10,
    "vgg11_bn+densenet161": 10,
    "vgg11_bn+vgg13_bn+resnet18+resnet34+densenet121": 10,
}
ATTACKS = ((1, 1), (2, 2))  # steps, samples


def resident() -> float:
    """Peak resident memory of this process so far, MB."""
    with contextlib.suppress(OSError):  # Linux: ru_maxrss would count what its parent had when it was started
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(source: str, chunk: int, steps: int, samples: int) -> tuple[float, float]:
    """Measure memory with the models loaded, and the memory that the attack adds at its peak; MB."""
    import torch

    from crossfool import runtime
    from crossfool.attacks.chunk import Chunk
    from crossfool.attacks.config import Attack
    from crossfool.models import build
    from crossfool.models.inference import pixel_model
    from crossfool.models.weights import model_description, registry
    from crossfool.pipeline.crafting import craft

    members = []
    for name in source.split("+"):
        spec = registry.spec(name)
        network = build.build(name, spec.library)
        members.append(pixel_model.wrap(network, model_description.describe(spec, network), device=torch.device("cpu")))
    runtime.keep_freed_memory()
    smoothed = {"gradient": "smoothed", "samples": samples, "sigma": 15.0}
    row = Attack.model_validate({"epsilon": 15.0, "steps": steps, "step_size": 5.0, **smoothed})
    images = torch.randint(0, 256, (chunk, 3, 224, 224), dtype=torch.uint8)
    labels = torch.zeros(chunk, dtype=torch.int64)
    before = resident()
    craft.craft(members, row, Chunk(images, labels, labels + 1, range(chunk)))
    return before, resident() - before


@click.command()
@click.option("--one", nargs=4, default=None, hidden=True, help="Source, chunk, T, m: measure in this process.")
def main(one: tuple[str, str, str, str] | None) -> None:
    """Print a table of peak memory."""
    if one:
        click.echo("{:.0f} {:.0f}".format(*measure(one[0], *map(int, one[1:]))))
        return
    click.echo("| source | chunk | T | m | models loaded, MB | beyond, MB |\n|---|---:|---:|---:|---:|---:|")
    for source, chunk in SOURCES.items():
        for steps, samples in ATTACKS:
            command = [sys.executable, __file__, "--one", source, *map(str, (chunk, steps, samples))]
            loaded, beyond = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            click.echo(f"| {source} | {chunk} | {steps} | {samples} | {loaded} | {beyond} |")


if __name__ == "__main__":
    main()
