"""Measure time and memory of an experiment at a paper's scale: 50,000 JPEG files, 5,000 of them attacked and scored.

A folder in the layout of ImageNet's validation set is made of hard links to photographs, and an experiment of two
EfficientNet-Lite models runs on it in a clone of this repository: `python benchmarks/scale.py`.
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
import yaml

from crossfool.datasets import imagenet_sample
from crossfool.datasets.preparation.class_names import class_folders
from crossfool.storage import wheels

REPOSITORY = Path(__file__).resolve().parents[1]
IMAGES, CLASSES = 50_000, 1000
PARAMS = {
    "models": ["efficientnet_lite0", "efficientnet_lite1"],
    "sources": ["efficientnet_lite0"],
    "attacks": {"fgsm": {"epsilon": 4, "steps": 1, "step_size": 4}},
    "lpips": False,
    "transforms": {},
    "compute": {"precision": "float32", "chunk": 100},
}


@dataclass
class Stage:
    """A stage that ran: seconds, and peak memory of its processes in MB, where pages that they share count once."""

    name: str
    seconds: float
    peak: float


def photographs(folder: Path | None, scratch: Path) -> list[Path]:
    """JPEG files to link to: those of a folder, or the default benchmark's 20 photographs."""
    if folder is not None:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        if not found:
            raise click.ClickException(f"{folder} holds no JPEG file; name a folder of photographs, or leave it out")
        return found
    scratch.mkdir()
    wheel = wheels.fetch_wheel(*imagenet_sample.FOOLBOX_WHEEL)
    for name in wheels.member_names(wheel):
        if "/imagenet_" in name and name.endswith(".jpg"):
            (scratch / Path(name).name).write_bytes(wheels.read_member(wheel, name))
    return sorted(scratch.iterdir())


def link_images(files: list[Path], folder: Path) -> None:
    """Make ImageNet's 1,000 class folders of 50 images each; an image's file is a hard link to one of `files`."""
    for place, name in enumerate(class_folders("imagenet")):
        (folder / name).mkdir(parents=True)
        for image in range(IMAGES // CLASSES):
            number = place * (IMAGES // CLASSES) + image
            os.link(files[number % len(files)], folder / name / f"ILSVRC2012_val_{number + 1:08d}.JPEG")


def make_experiment(clone: Path, images: Path, attacked: int) -> Path:
    """Make the experiment `scale` in a clone of this repository."""
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
    folder = clone / "experiments" / "scale"
    folder.mkdir()
    (folder / "dvc.yaml").write_bytes((clone / "dvc.yaml").read_bytes())
    params = yaml.safe_load((clone / "params.yaml").read_text(encoding="utf-8")) | PARAMS
    params |= {"root": "../..", "dataset": {"name": "imagenet", "path": str(images)}}
    params["subset"] = {"images": attacked, "of": "all", "seed": 0, "targets": "random"}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return folder


def run(folder: Path) -> Iterator[Stage]:
    """Run `dvc repro` in an experiment's folder.

    Raises:
        click.ClickException: it failed; the last lines of its output are shown.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        peak = Peak(process.pid)
        name, begun, lines = "", time.perf_counter(), []
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if match := re.match(r"Running stage '(.+)':", line):
                if name:
                    yield Stage(name, time.perf_counter() - begun, peak.taken())
                name, begun = match[1], time.perf_counter()
        yield Stage(name, time.perf_counter() - begun, peak.taken())
    if process.returncode:
        raise click.ClickException("dvc repro failed:\n" + "".join(lines[-15:]))


class Peak:
    """The greatest memory of a process and its children, looked at four times a second."""

    def __init__(self, process: int) -> None:
        self.process, self.greatest = psutil.Process(process), 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while self.process.is_running():
            total = 0.0
            try:
                for process in (self.process, *self.process.children(recursive=True)):
                    total += process.memory_full_info().pss / 1e6
            except psutil.Error:  # one of them has just ended
                continue
            self.greatest = max(self.greatest, total)
            time.sleep(0.25)

    def taken(self) -> float:
        """The peak since it was last taken, in MB."""
        peak, self.greatest = self.greatest, 0.0
        return peak


@click.command()
@click.option("--photographs", "folder", type=click.Path(path_type=Path, exists=True), help="A folder of JPEG files.")
@click.option("--attacked", default=5000, show_default=True)
@click.option("--scratch", type=click.Path(path_type=Path), help="Work in this folder; it must be on a roomy disk.")
@click.option("--markdown", type=click.Path(path_type=Path))
def main(folder: Path | None, attacked: int, scratch: Path | None, markdown: Path | None) -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory(dir=scratch) as temporary:
        work = Path(temporary)
        link_images(photographs(folder, work / "photographs"), work / "imagenet")
        stages = list(run(make_experiment(work / "clone", work / "imagenet", attacked)))
        size = sum(path.stat().st_size for path in (work / "clone" / "experiments" / "scale" / "data").iterdir())
    lines = ["| stage | s | peak memory, MB |", "|---|---:|---:|"]
    lines += [f"| {stage.name} | {stage.seconds:.1f} | {stage.peak:.0f} |" for stage in stages]
    lines.append(f"| all | {sum(s.seconds for s in stages):.1f} | {max(s.peak for s in stages):.0f} |")
    click.echo("\n".join(lines))
    click.echo(f"\ndecoded images: {size / 1e9:.2f} GB")
    if markdown:
        markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
