"""How often the 95% interval of a mean success rate has the true rate in it, simulated.

Run `python benchmarks/interval_coverage.py`.

Images differ in how easily they are fooled: an image's probability is drawn from a beta distribution whose mean is the
true rate and whose intraclass correlation is `likeness` (0: all images alike; 1: each always or never fooled), and
outcomes of the cells are drawn from it. Seeded; a line for each number of images and cells. Where there is one cell, or
images are wholly alike over cells (likeness 1), the interval is Wilson's for n images, whose coverage swings about 95%
with the mean since outcomes are whole numbers: these points have a column of their own.
"""

import datetime
import itertools
from collections.abc import Sequence

import click
import numpy as np

from crossfool.stats.mean_rate import mean_rate_ends
from crossfool.stats.rates import Z

IMAGES, CELLS = (16, 50, 112, 400, 1000, 5000), (1, 2, 3, 6, 12, 20)
MEANS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)
LIKENESSES = (0.0, 0.1, 0.3, 0.6, 0.9, 1.0)


def draw_shares(
    random: np.random.Generator, draws: int, n: int, cells: int, mean: float, likeness: float
) -> np.ndarray:
    """Shares of its cells that each image succeeds in, (draws, n)."""
    if likeness == 1:
        return (random.random((draws, n)) < mean).astype(float)
    concentration = 1 / likeness - 1 if likeness else 0.0
    chances = random.beta(mean * concentration, (1 - mean) * concentration, (draws, n)) if likeness else mean
    shares: np.ndarray = random.binomial(cells, chances, (draws, n)) / cells
    return shares


def simulate(
    n: int, cells: int, mean: float, likeness: float, draws: int, random: np.random.Generator
) -> tuple[float, float]:
    """Coverage, and mean width relative to Wilson's interval for n images."""
    shares = draw_shares(random, draws, n, cells, mean, likeness)
    low, high = mean_rate_ends(shares, cells)
    rate = shares.mean(1)
    widest = 2 * Z / (n + Z**2) * np.sqrt(n * rate * (1 - rate) + Z**2 / 4)
    return float(np.mean((low <= mean) & (mean <= high))), float(np.mean((high - low) / widest))


@click.command()
@click.option("--draws", default=4000, help="Simulated experiments a point of the grid.")
@click.option("--images", multiple=True, type=int, default=IMAGES)
def main(draws: int, images: Sequence[int]) -> None:
    """Simulate the fine grid and print a Markdown table."""
    random = np.random.default_rng(0)
    points = len(MEANS) * len(LIKENESSES)
    print(
        f"{datetime.date.today()}: {draws:,} draws (500 at least) of each of {points} points a line (mean, likeness)."
    )
    print("Below 94%: how many points of likeness < 1 are by more than three standard errors.\n")
    print(
        "| images | cells | mean coverage | least, likeness < 1 | least, Wilson's own | below 94% | width / Wilson's |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for n, cells in itertools.product(images, CELLS):
        found, drawn = {}, max(500, min(draws, draws * 400 // n))
        error = (0.94 * 0.06 / drawn) ** 0.5
        for point in itertools.product(MEANS, LIKENESSES):
            found[point] = simulate(n, cells, *point, drawn, random)
        coverage, width = np.mean(list(found.values()), 0)
        clustered = [share for (_, likeness), (share, _) in found.items() if cells > 1 and likeness < 1]
        wilson = [share for (_, likeness), (share, _) in found.items() if cells == 1 or likeness == 1]
        below = sum(share < 0.94 - 3 * error for share in clustered)
        least = f"{min(clustered):.1%} | {min(wilson):.1%} | {below}" if clustered else f"– | {min(wilson):.1%} | –"
        print(f"| {n:,} | {cells} | {coverage:.1%} | {least} | {width:.2f} |", flush=True)


if __name__ == "__main__":
    main()
