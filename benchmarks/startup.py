"""Measure what a process costs.

Measured are the imports of each stage's script, stages with and without the server that they are forked from, and a
`dvc repro` of 200 cells in which nothing runs.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import yaml

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "scipy", "pandas", "matplotlib", "pyarrow", "timm", "PIL")


def imports(script: Path) -> tuple[float, list[str]]:
    """Measure the seconds of a stage's imports before its work, and list the heavy libraries among them."""
    command = [sys.executable, "-X", "importtime", "-P", str(script), "--help"]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    rows = re.findall(r"import time:\s*(\d+) \|\s*\d+ \|\s*(\S+)", report)
    imported = {name.split(".")[0] for _, name in rows}
    return sum(int(microseconds) for microseconds, _ in rows) / 1e6, [name for name in HEAVY if name in imported]


def stages_under_dvc(script: Path, count: int, rounds: int, folder: Path) -> dict[str, float]:
    """Measure seconds a stage of a `dvc repro` of stages that only import, not forked (0) and forked (1): medians.

    DVC's own time is included: loading, comparing, writing its lock file.
    """
    command = f"python -P -m crossfool.pipeline.warm_start {script} --help"
    stages = {f"import{place}": {"cmd": command, "deps": ["changes"]} for place in range(count)}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (folder / "changes").write_text("0")
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True)
    took: dict[str, list[float]] = {"0": [], "1": []}
    for _ in range(rounds):
        for warm, seconds in took.items():
            start = time.perf_counter()
            environment = {**os.environ, "CROSSFOOL_WARM": warm}
            command_line = ["dvc", "repro", "--force", "--quiet"]
            subprocess.run(command_line, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            seconds.append((time.perf_counter() - start) / count)
    return {warm: statistics.median(seconds) for warm, seconds in took.items()}


def unchanged(cells: int, folder: Path) -> tuple[float, float]:
    """Measure seconds of `dvc repro` and `dvc status` where so many cells of a matrix, two stages each, are up to date.

    The stages have our cells' shape (a script, parameters of their own, an output, a metric) and a command
    that does nothing: what is measured is DVC.
    """
    attacks = {f"attack{place}": {"epsilon": 15, "steps": place} for place in range(cells // 4)}
    sources = [f"source{place}" for place in range(4)]
    (folder / "params.yaml").write_text(yaml.safe_dump({"sources": sources, "attacks": attacks}))
    (folder / "work.py").write_text(
        "import pathlib, sys\nfor p in map(pathlib.Path, sys.argv[1:]):\n"
        " p.parent.mkdir(parents=True, exist_ok=True); p.write_text('{}')\n"
    )
    cell = "${item.source}/${item.attack}"
    matrix = {"source": "${sources}", "attack": "${attacks}"}
    attack = {
        "matrix": matrix,
        "cmd": f"python work.py adversarial/{cell}.bin",
        "deps": ["work.py"],
        "params": ["attacks.${item.attack}"],
        "outs": [f"adversarial/{cell}.bin"],
    }
    evaluate = {
        "matrix": matrix,
        "cmd": f"python work.py metrics/{cell}.json",
        "deps": ["work.py", f"adversarial/{cell}.bin"],
        "metrics": [{f"metrics/{cell}.json": {"cache": False}}],
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"attack": attack, "evaluate": evaluate}}))

    def timed(*command: str) -> float:
        start = time.perf_counter()
        subprocess.run(["dvc", *command], cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - start

    timed("init", "--no-scm")
    files = [f"adversarial/{source}/{attack}.bin" for source in sources for attack in attacks]
    files += [f"metrics/{source}/{attack}.json" for source in sources for attack in attacks]
    # as the commands would have made them; DVC then only has to record them
    subprocess.run([sys.executable, "work.py", *files], cwd=folder, check=True)
    timed("commit", "--force")
    return statistics.median(timed("repro") for _ in range(3)), statistics.median(timed("status") for _ in range(3))


@click.command()
@click.option("--cells", default=200, show_default=True, help="A multiple of 4.")
@click.option("--markdown", type=click.Path(path_type=Path))
def main(cells: int, markdown: Path | None) -> None:
    """Measure, and print tables."""
    lines = ["| stage | imports, s | heavy libraries |", "|---|---:|---|"]
    for script in sorted((ROOT / "stages").glob("*.py")):
        turns = [imports(script) for _ in range(3)]
        seconds = statistics.median(seconds for seconds, _ in turns)
        lines.append(f"| {script.stem} | {seconds:.2f} | {', '.join(turns[0][1])} |")
    lines += [
        "",
        "| 20 stages under `dvc repro` | s a stage, processes of their own | forked | ratio |",
        "|---|---:|---:|---:|",
    ]
    for name in ("attack", "evaluate"):
        with tempfile.TemporaryDirectory() as folder:
            unforked, forked = stages_under_dvc(ROOT / "stages" / f"{name}.py", 20, 3, Path(folder)).values()
        lines.append(f"| imports of {name} | {unforked:.2f} | {forked:.2f} | {unforked / forked:.1f} |")
    with tempfile.TemporaryDirectory() as folder:
        repro, status = unchanged(cells, Path(folder))
    lines += ["", "| nothing to do | s | a stage, ms |", "|---|---:|---:|"]
    for name, seconds in (("dvc repro", repro), ("dvc status", status)):
        lines.append(
            f"| {name}, {cells} cells ({2 * cells} stages) | {seconds:.1f} | {1000 * seconds / 2 / cells:.0f} |"
        )
    click.echo("\n".join(lines))
    if markdown:
        markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
