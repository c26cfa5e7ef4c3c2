"""Lines of progress, with times left counted by hand: 2.3 s a start, and computing at the pace so far."""

from collections.abc import Callable

from crossfool.experiment.progress import Progress

STAGES = ["plan", "a", "b", "c", "report"]
SECONDS = {"plan": 0.0, "a": 60.0, "b": 120.0, "c": 60.0, "report": 0.0}


def progress(seconds: dict[str, float] | None = SECONDS) -> tuple[Progress, Callable[[float], None]]:
    """Progress by a clock of its own, and what lets so many seconds go by."""
    now = [100.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    return Progress(STAGES, seconds, clock=lambda: now[0]), wait


def test_stages_that_take_twice_their_estimate() -> None:
    found, wait = progress()
    assert found.visit("plan", runs=True) == "stage 1 of 5, about 4 minutes left"  # 5 * 2.3 + 240
    wait(50)  # computes nothing: the pace stays
    assert found.visit("a", runs=True) == "stage 2 of 5, about 4 minutes left"  # 4 * 2.3 + 240
    wait(2.3 + 120)
    # a twentieth of 240 s counts as computed at pace 1: (12 + 120) / (12 + 60), so that 3 * 2.3 + 180 * 1.83 are left
    assert found.visit("b", runs=True) == "stage 3 of 5, about 6 minutes left"
    wait(2.3 + 240)
    assert found.visit("c", runs=True) == "stage 4 of 5, about 2 minutes left"  # 2 * 2.3 + 60 * 372 / 192
    wait(2.3 + 120)
    assert found.visit("report", runs=True) == "stage 5 of 5, less than a minute left"


def test_what_is_skipped_is_counted_and_takes_no_time() -> None:
    found, wait = progress()
    assert found.visit("plan", runs=True) is not None
    assert found.visit("a", runs=False) is None
    wait(1000)  # of outputs that come from the run cache; no stage computes
    assert found.visit("b", runs=False) is None
    assert found.visit("c", runs=True) == "stage 4 of 5, about 1 minute left"  # 2 * 2.3 + 60


def test_a_stage_that_was_not_expected_to_run() -> None:
    found, wait = progress({"b": 120.0})
    assert found.visit("a", runs=True) == "stage 1 of 5, about 2 minutes left"
    wait(3600)  # nothing tells how long it should have taken
    assert found.visit("b", runs=True) == "stage 2 of 5, about 2 minutes left"


def test_without_estimates_there_is_no_time() -> None:
    found, _ = progress(None)
    assert found.visit("a", runs=True) == "stage 1 of 5"
    assert found.visit("b", runs=True) == "stage 2 of 5"


def test_stages_of_others_and_second_visits_are_not_counted() -> None:
    found, _ = progress()
    assert found.visit("a", runs=True) is not None
    assert found.visit("a", runs=True) is None and found.visit("x", runs=True) is None
    assert found.visit("b", runs=True) is not None
    assert str(found.visit("c", runs=True)).startswith("stage 3 of 5")


def test_long_times_are_hours() -> None:
    found, _ = progress({"a": 3 * 3600.0})
    assert found.visit("a", runs=True) == "stage 1 of 5, about 3.0 hours left"
