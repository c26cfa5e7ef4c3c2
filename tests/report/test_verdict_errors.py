"""How often verdicts err where nothing is true, coarsely (`benchmarks/verdicts.py`: finely), and their document."""

import importlib
import re

import numpy as np
import pytest
from builders import ROOT

from crossfool.report import claim_files

CASES = [
    ("smoothing_equal_cost", 60, 0.9),
    pytest.param("large_steps", 60, 0.3, marks=pytest.mark.exhaustive),
    pytest.param("smoothing_every_cell", 60, 0.4, marks=pytest.mark.exhaustive),
    ("depth", 16, 0.5),
    pytest.param("accuracy", 16, 0.4, marks=pytest.mark.exhaustive),
]


@pytest.mark.parametrize(("claim", "n", "power"), CASES)
def test_verdicts_seldom_err(claim: str, n: int, power: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts err in at most 9 of 80 draws, which a rate of 5% exceeds once in a hundred, and have power."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    simulation = importlib.import_module("verdicts")
    (case,) = [case for case in simulation.cases() if case.claim == claim]
    values, random = simulation.experiment(case, case.null(np.random.default_rng(0))), np.random.default_rng(n)
    null, real = (
        [simulation.verdict_of(case, values, rates(random), n, random, real) for _ in range(80)]
        for real, rates in ((False, case.null), (True, case.paper))
    )
    assert null.count("supported") <= 6 and null.count("supported") + null.count("contradicted") <= 9
    assert real.count("supported") >= power * 80 and "contradicted" not in real


def test_every_claim_stands_in_the_document_with_its_unit_and_test() -> None:
    text = (ROOT / "docs/statistics.md").read_text(encoding="utf-8")
    table = text.partition("## Claims")[2].partition("## How often")[0]
    named = set(re.findall(r"`(\w+)`", table))
    assert [name for name in claim_files.claims() if name not in named] == []


def test_every_claim_is_simulated_and_its_errors_stand_in_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    cases = importlib.import_module("verdict_cases").cases()
    text = (ROOT / "docs/statistics.md").read_text(encoding="utf-8").partition("## How often")[2]
    text, _, left = text.partition("Not drawn yet: ")
    rows = re.findall(r"^\| `(\w+)` \| .* \| ([\d,]+) \|.*%", text, re.MULTILINE)
    rows += [(name, n) for name, some in re.findall(r"`(\w+)` \(([\d, ]+) images\)", left) for n in some.split(", ")]
    simulated = {case.claim for case in cases}
    assert sorted(rows) == sorted((case.claim, f"{n:,}") for case in cases for n in case.images)
    assert set(claim_files.claims()) <= {name.removesuffix("_targeted") for name in simulated} | simulated
