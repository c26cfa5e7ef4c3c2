"""Measure what a process costs: a stage's imports, a stage under DVC, and a `dvc repro` in which nothing runs."""

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


MODULES = {  # stage -> the module that computes it
    "attack": "crossfool.pipeline.crafting.craft_cell",
    "evaluate": "crossfool.pipeline.evaluation.evaluate_cell",
    "train": "crossfool.models.weights.train_model",
    "report": "crossfool.report.report_folder",
}


def imports(module: str) -> tuple[float, list[str]]:
    """Measure the seconds of a stage's imports before its work, and list the heavy libraries among them."""
    code = f"import crossfool.experiment.plan_files, {module}"
    command = [sys.executable, "-X", "importtime", "-P", "-c", code]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    rows = re.findall(r"import time:\s*(\d+) \|\s*\d+ \|\s*(\S+)", report)
    imported = {name.split(".")[0] for _, name in rows}
    return sum(int(microseconds) for microseconds, _ in rows) / 1e6, [name for name in HEAVY if name in imported]


def stages_under_dvc(module: str, count: int, rounds: int, folder: Path) -> float:
    """Measure seconds a stage of a `dvc repro` of stages that only import: the median of some rounds.

    DVC's own time is included: loading, comparing, writing its lock file.
    """
    command = f"python -P -c 'import crossfool.experiment.plan_files, {module}'"
    stages = {f"import{place}": {"cmd": command, "deps": ["changes"]} for place in range(count)}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (folder / "changes").write_text("0")
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(["dvc", "repro", "--force", "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds.append((time.perf_counter() - start) / count)
    return statistics.median(seconds)


def unchanged(cells: int, folder: Path) -> tuple[float, float]:
    """Measure seconds of `dvc repro` and `dvc status` where so many cells of a matrix, two stages each, are up to date.

    The stages have the dependencies, parameters and outputs of our cells, and a command that does nothing: what is
    measured is DVC.
    """
    attacks = {f"attack{place}": {"epsilon": 15, "steps": place} for place in range(cells // 4)}
    sources = [f"source{place}" for place in range(4)]
    compute, models = {"precision": "float32", "chunk": 100}, [f"model{place}" for place in range(20)]
    params = {"sources": sources, "attacks": attacks, "compute": compute, "models": models, "targets": "all"}
    params |= {"lpips": False, "transforms": {"jpeg": [75, 50]}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "work.py").write_text(
        "import pathlib, sys\nfor p in map(pathlib.Path, sys.argv[1:]):\n"
        " p.parent.mkdir(parents=True, exist_ok=True); p.write_text('{}')\n"
    )
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    graph = {}
    for name in ("attack", "evaluate"):
        outs = [*stages[name]["outs"], *(path for metric in stages[name].get("metrics", ()) for path in metric)]
        graph[name] = {**stages[name], "cmd": f"python work.py {' '.join(outs)}"}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": graph}))
    named = {text for stage in graph.values() for text in (*stage["deps"], *stage["cmd"].split()[2:])}
    files = {
        text.replace("${item.source}", source).replace("${item.attack}", attack)
        for text in named - {"weights"}
        for source in sources
        for attack in attacks
    } | {f"weights/{model}.safetensors" for model in models}

    def timed(*command: str) -> float:
        start = time.perf_counter()
        subprocess.run(["dvc", *command], cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - start

    timed("init", "--no-scm")
    # as the commands would have made them; DVC then only has to record them
    subprocess.run([sys.executable, "work.py", *sorted(files)], cwd=folder, check=True)
    timed("commit", "--force")
    return statistics.median(timed("repro") for _ in range(3)), statistics.median(timed("status") for _ in range(3))


@click.command()
@click.option("--cells", default=200, show_default=True, help="A multiple of 4.")
@click.option("--markdown", type=click.Path(path_type=Path))
def main(cells: int, markdown: Path | None) -> None:
    """Measure, and print tables."""
    lines = ["| stage | imports, s | heavy libraries | s a stage under `dvc repro` |", "|---|---:|---|---:|"]
    for stage, module in MODULES.items():
        turns = [imports(module) for _ in range(3)]
        seconds = statistics.median(seconds for seconds, _ in turns)
        with tempfile.TemporaryDirectory() as folder:
            under_dvc = stages_under_dvc(module, 20, 3, Path(folder))
        lines.append(f"| {stage} | {seconds:.2f} | {', '.join(turns[0][1])} | {under_dvc:.2f} |")
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
