"""Print the costs of every experiment as a Markdown table, from params.yaml alone: see `crossfool/experiment/costs.py`.

For our own networks, which are small, the GPU hours read "minutes".
"""

from pathlib import Path

from crossfool.experiment import costs, loading
from crossfool.experiment.config import Experiment

ROOT = Path(__file__).parents[1]


def row(name: str, experiment: Experiment) -> str:
    """Row of the table for an experiment."""
    cost = costs.cost(experiment)
    seconds = cost.seconds()
    hours = "minutes" if costs.is_small(experiment) else "unknown" if seconds is None else f"{seconds / 3600:,.1f}"
    disk = f"{costs.bytes_text(cost.own)} + {costs.bytes_text(cost.shared)}"
    return f"| {name} | {cost.cells} | {costs.count_text(cost.gradients)} | {hours} | {disk} |"


if __name__ == "__main__":
    print("| experiment | cells | gradient evaluations | GPU hours, estimated | disk: own + data set |")
    print("|---|---:|---:|---:|---:|")
    print(row("`.`", loading.load_experiment(ROOT / "params.yaml")))
    for path in sorted(ROOT.glob("experiments/*/params.yaml")):
        print(row(f"`{path.parent.name}`", loading.load_experiment(path)))
