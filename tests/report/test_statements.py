"""Statements of README.md, docs/ and experiments: comparisons have cost, n and p, and nothing lacks data."""

import json
import re
import runpy

import pytest
import torch
from builders import ROOT
from PIL import Image

from crossfool.attacks.noise._draws import generators
from crossfool.experiment import loading
from crossfool.experiment.results.mean_rates import recorded_mean_rates
from crossfool.experiment.results.metrics import load_metrics
from crossfool.storage.json_files import read_json

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs/results.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("experiments/**/README.md"))]
# statements of what nobody can look up
WITHOUT_DATA = r"tried by hand|measured before|and\s+not\s+in\s+`?metrics"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_statement_rests_on_data_that_nobody_has(page) -> None:
    found = re.findall(WITHOUT_DATA, page.read_text(encoding="utf-8"))
    assert not found, found


def compared_pairs(text: str) -> list[tuple[str, ...]]:
    """Rows of a page's table of pairs: names, gradients, rates, images, difference and two p-values, as printed."""
    number, signed = r"([\d.]+)", r"([+−]?[\d.]+)"
    names = r"`(\w+)` − `(\w+)`(?: \(top-5\))?"
    cells = (names, r"(\d+) and (\d+)", f"{number} and {number}", r"(\d+)", signed, number, number)
    return re.findall(r"^\| " + r" \| ".join(cells) + r" \|$", text, re.MULTILINE)


def test_the_compared_rates_and_costs_are_the_committed_ones() -> None:
    """Rates over black-box pairs, gradients, images, and two p-values beside them."""
    results = load_metrics(ROOT, loading.load_experiment(ROOT / "params.yaml"))
    rows = compared_pairs(RESULTS)
    assert len(rows) == 5
    for *names_and_costs, first_rate, second_rate, n, difference, p, p_holm in rows:
        compared, costs = names_and_costs[:2], names_and_costs[2:]
        rows_of = [results.experiment.attacks[name] for name in compared]
        assert [f"{row.gradient_evaluations_per_seed}" for row in rows_of] == costs
        means = []
        for name, row in zip(compared, rows_of, strict=True):
            metric = "top5" if row.targeted else "top1"
            black_box = [
                rates[metric]
                for (_, attack), targets in results.success.items()
                for rates in targets.values()
                if attack == name and not rates["whitebox"]
            ]
            assert len(black_box) == 4
            means.append(sum(black_box) / len(black_box))
        assert [f"{mean:.1f}" for mean in means] == [first_rate, second_rate] and int(n) == results.n
        signed = f"{means[0] - means[1]:+.1f}" if means[0] != means[1] else "0.0"
        assert signed == difference.replace("−", "-")
        assert 0 < float(p) <= float(p_holm) <= 1


def test_the_headline_is_of_those_pairs_and_of_the_recorded_claim() -> None:
    rows, claim = compared_pairs(README), read_json(ROOT / "agreement.json")["claims"]["smoothing_equal_cost"]
    assert len(rows) >= 3 and set(rows) <= set(compared_pairs(RESULTS))
    equal_cost = rows[0]
    assert equal_cost[2] == equal_cost[3] and f"{claim['effect']:+.1f}" == equal_cost[7]
    assert f"{claim['p']:.2g}" == equal_cost[8]
    means = recorded_mean_rates(ROOT)
    rate = max(means.values(), key=lambda mean: mean.percent)
    assert {name for name, mean in means.items() if mean.percent == rate.percent} == {"sg_igsm", "migsm"}
    text = " ".join(README.split())
    interval = f"{rate.percent:.1f}% each (95% interval {rate.low:.1f} to {rate.high:.1f})"
    assert text.count("`sg_igsm` and `migsm`, which is `igsm` with momentum, have the highest mean success") == 1
    assert f"have the highest mean success on models that they have not seen: {interval}" in text
    assert f"At equal cost `sg_igsm` is {claim['effect']:.1f} points above" in text
    assert f"p = {equal_cost[8]}, and {equal_cost[9]} after correction" in text
    assert (
        f"(`smoothing_equal_cost`: {claim['verdict']}, p = {claim['p']:.2g}, adjusted {claim['p_holm']:.2g})"
        in " ".join(RESULTS.split())
    )


def test_the_table_of_rates_says_what_each_attack_costs() -> None:
    experiment = loading.load_experiment(ROOT / "params.yaml")
    rows = re.findall(r"^\| [\w+ ]* ?\| (\w*igsm) \| (\d+) \|", RESULTS, re.MULTILINE)
    assert len(rows) == 6
    for name, gradients in rows:
        assert int(gradients) == experiment.attacks[name].gradient_evaluations_per_seed


def test_the_picture_shows_the_committed_rates() -> None:
    """Run `python tools/cost_picture.py` where this fails."""
    tool = runpy.run_path(str(ROOT / "tools/cost_picture.py"))
    drawn = json.loads(Image.open(tool["PICTURE"]).text[tool["DRAWN"]])
    committed = tool["costs"](tool["committed_results"]())
    assert drawn == committed and len(drawn["untargeted"]) == 6 and len(drawn["targeted"]) == 2
    assert all(f"({folder}success_by_cost.png)" in text for folder, text in (("docs/", README), ("", RESULTS)))


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_noise_is_drawn_on_the_device_that_computes() -> None:
    """So docs/exactness.md and docs/parameters.md say that a GPU draws other numbers from the same seed."""
    assert [generator.device.type for generator in generators(0, [1, 2], 0, torch.device("cpu"))] == ["cpu", "cpu"]
    for page in ("docs/exactness.md", "docs/parameters.md"):
        text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
        assert "drawn on the device that computes" in text and "other numbers than a CPU" in text
    if torch.cuda.is_available():
        draws = [
            torch.empty(8, device=device).normal_(generator=generators(0, [1], 0, torch.device(device))[0]).cpu()
            for device in ("cpu", "cuda")
        ]
        assert not torch.equal(*draws)


def test_figure_6_is_drawn_with_both_readings_of_its_sigma() -> None:
    """The caption's 0.10 as a tenth of the range of pixels, and the 15 of the rest of the paper; all else is alike."""
    saliency = loading.load_experiment(ROOT / "experiments/smoothness/params.yaml").saliency
    assert {name: row.sigma for name, row in saliency.items()} == {"densenet121": 15, "densenet121_tenth": 25.5}
    assert len({row.model_copy(update={"sigma": 0}).model_dump_json() for row in saliency.values()}) == 1
    text = (ROOT / "experiments/smoothness/README.md").read_text(encoding="utf-8")
    assert "a tenth of the range, 25.5 pixel values" in text
