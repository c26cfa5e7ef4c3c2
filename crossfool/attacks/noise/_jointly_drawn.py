"""Gaussian noise whose samples of a step depend on one another: what `antithetic` and `latin` share."""

from typing import Any

from crossfool.attacks.part import NoisePart
from crossfool.config import NoiseDeviation


class JointlyDrawn(NoisePart):
    """Gaussian noise of which a single sample would be as the `gaussian` noise's; a row of one sample is refused."""

    sigma: NoiseDeviation

    def misuse(self, row: Any) -> str:
        alone = row.value("samples") == 1
        return f"noise: {self.part_name()} needs samples of at least 2, and here there is 1" if alone else ""
