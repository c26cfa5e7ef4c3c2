"""The progress of `dvc repro`: stages visited of all, and the time left.

DVC visits every stage once: it runs it, or skips it, or takes its outputs from the run cache. The time left is that of
the starts of the stages to come, and their estimated time of computing multiplied by the pace so far. The pace is the
time that stages computed for, divided by its estimate; both begin at a share of the whole estimate, so that the first
stages do not decide it.
"""

import time
from collections.abc import Callable, Iterable, Mapping

from crossfool.experiment.costs import STAGE_SECONDS, duration_text

PRIOR_SHARE = 0.05  # of the whole estimate, counted as if it had been computed at the estimated pace


class Progress:
    """Counts the stages that DVC visits.

    Args:
        stages: Names of all stages.
        seconds: Stage expected to run -> estimated seconds of computing, without its start; None where unknown.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        stages: Iterable[str],
        seconds: Mapping[str, float] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._to_come = set(stages)
        self._total = len(self._to_come)
        self._seconds = seconds
        self._clock = clock
        # seconds of computing, measured and estimated, of the stages that have run
        self._taken = self._estimated = PRIOR_SHARE * sum((seconds or {}).values())
        self._running: tuple[float, float] | None = None  # its start and its estimate, of a stage that computes

    def visit(self, name: str, *, runs: bool) -> str | None:
        """Count a stage that DVC visits.

        Args:
            name: The stage's name.
            runs: Whether DVC runs its command.

        Returns:
            The line to print where it runs; None where it does not, or is not of this experiment.
        """
        now = self._clock()
        if self._running is not None:
            start, estimate = self._running
            self._taken += max(now - start - STAGE_SECONDS, 0)
            self._estimated += estimate
            self._running = None
        if name not in self._to_come:
            return None
        line = f"stage {self._total - len(self._to_come) + 1} of {self._total}{self._left()}"
        self._to_come.remove(name)
        computing = (self._seconds or {}).get(name, 0.0)
        if runs and computing:
            self._running = now, computing
        return line if runs else None

    def _left(self) -> str:
        """The time that the stages to come will take, as the end of a line; empty where it is unknown."""
        if self._seconds is None:
            return ""
        to_come = [self._seconds[name] for name in self._to_come & self._seconds.keys()]
        pace = self._taken / self._estimated if self._estimated else 1
        return f", {_about(STAGE_SECONDS * len(to_come) + pace * sum(to_come))} left"


def _about(seconds: float) -> str:
    """A time to whole minutes, where it is not hours."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 90:
        return "about 1 minute" if minutes == 1 else f"about {minutes} minutes"
    return f"about {duration_text(seconds)}"
