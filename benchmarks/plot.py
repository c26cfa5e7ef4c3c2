"""Draw the JSON of benchmarks/throughput.py: gradients a second of each implementation, a panel a model and attack."""

import json
from pathlib import Path

import click

COLOURS = {"crossfool": "#0b6e4f"}
OTHERS, FROZEN = "#9aa5b1", "#d5dbe1"


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def main(source: Path, target: Path) -> None:
    """Draw the JSON file SOURCE as the picture TARGET."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    results = json.loads(source.read_text(encoding="utf-8"))
    attacks = list(dict.fromkeys(attack for by_attack in results.values() for attack in by_attack))
    names = list(
        dict.fromkeys(name for by_attack in results.values() for by_name in by_attack.values() for name in by_name)
    )
    size = (3.6 * len(attacks) + 1.4, 2.5 * len(results))
    figure, axes = plt.subplots(len(results), len(attacks), figsize=size, squeeze=False, layout="constrained")
    for row, (model, by_attack) in zip(axes, results.items(), strict=True):
        for axis, attack in zip(row, attacks, strict=True):
            shown = [name for name in names if name in by_attack.get(attack, {})]
            for place, name in enumerate(reversed(shown)):
                rates = by_attack[attack][name]
                rate, high = rates["gradients_per_second"], rates["gradients_per_second_high"]
                error = [[rate - rates["gradients_per_second_low"]], [high - rate]]
                colour = COLOURS.get(name, FROZEN if name.endswith(" frozen") else OTHERS)
                axis.barh(place, rate, color=colour, xerr=error, error_kw={"elinewidth": 0.8, "capsize": 2})
                axis.annotate(f" {rate:.1f}", (high, place), va="center", fontsize=8)
            axis.set_yticks(range(len(shown)), reversed(shown), fontsize=8)
            axis.set_title(f"{model}, {attack}", fontsize=9)
            axis.margins(x=0.18)
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(axis="x", labelsize=8)
    figure.supxlabel("gradient evaluations a second (median and range of rounds)", fontsize=9)
    figure.savefig(target, dpi=130)


if __name__ == "__main__":
    main()
