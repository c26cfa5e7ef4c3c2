"""Print what every experiment costs, as a Markdown table, from its params.yaml alone: see `crossfool/experiment/costs.py`.

GPU hours of our own networks, which are small, are said as "minutes".
"""

from pathlib import Path

from crossfool.experiment import costs, loading
from crossfool.experiment.config import Experiment

ROOT = Path(__file__).parents[1]


def row(name: str, experiment: Experiment) -> str:
    found = costs.cost(experiment)
    seconds = found.seconds()
    hours = "minutes" if costs.small(experiment) else "unknown" if seconds is None else f"{seconds / 3600:,.1f}"
    disk = f"{costs.size(found.own)} + {costs.size(found.shared)}"
    return f"| {name} | {found.cells} | {costs.thousands(found.gradients)} | {hours} | {disk} |"


if __name__ == "__main__":
    print("| experiment | cells | gradient evaluations | GPU hours, estimated | disk: own + data set |")
    print("|---|---:|---:|---:|---:|")
    print(row("`.`", loading.load(ROOT / "params.yaml")))
    for path in sorted(ROOT.glob("experiments/*/params.yaml")):
        print(row(f"`{path.parent.name}`", loading.load(path)))
