"""A new part is one new module: docs/contributing.md's files are added to a copy of the package, nothing else is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import ROOT
from package_copy import Copy

PAGE = (ROOT / "docs/contributing.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+\.py) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
LOOP = {"epsilon": 16, "steps": 3, "step_size": 4}
SMOOTHED = {**LOOP, "gradient": "smoothed", "samples": 2}
OLD = {
    "igsm": LOOP,
    "sg": {**SMOOTHED, "sigma": 15},
    "all": {**SMOOTHED, "sigma": 15, "scales": 2, "diversity": 0.5, "update": "momentum", "decay": 1.0},
}
# name -> row, its part's module, gradient evaluations an image, title, and a formula of `explain`
NEW: dict[str, tuple[dict[str, Any], str, int, str, tuple[str, str]]] = {
    "mirrored": (
        {**LOOP, "gradient": "mirrored"},
        "gradients.mirrored",
        6,
        "untargeted, mirrored gradient, T = 3 steps of α = 4, ε = 16",
        ("gradient", "Gₜ = (∇J(xₜ) + R ∇J(R xₜ)) / 2, R mirrors an image from left to right"),
    ),
    "laplace": (
        {**SMOOTHED, "noise": "laplace", "spread": 9.5, "seed": 3},
        "noise.laplace",
        6,
        "untargeted, smoothed gradient of m = 2 Laplace samples of spread 9.5, T = 3 steps of α = 4, ε = 16",
        ("gradient", "Gₜ = 1/2 · Σᵢ ∇J(xₜ + ξᵢ), 2 ξᵢ ~ Laplace(0, 9.5) afresh each step"),
    ),
    "shifts": (
        {**LOOP, "shifts": 3},
        "inputs.shifts",
        9,
        "untargeted, plain gradient, 3 shifts, T = 3 steps of α = 4, ε = 16",
        ("shifts", "∇J(x) is the mean over i < 3 of those of J(x shifted by i pixels) by x"),
    ),
    "resting": (
        {**LOOP, "update": "resting"},
        "updates.resting",
        3,
        "untargeted, plain gradient, resting where the gradient turns round, T = 3 steps of α = 4, ε = 16",
        ("resting", "rₜ = ∇J(xₜ) where its sign is that of a step before, else 0; at t = 0 all of it"),
    ),
    "margin": (
        {**LOOP, "loss": "margin"},
        "losses.margin",
        3,
        "untargeted, plain gradient, margin loss, T = 3 steps of α = 4, ε = 16",
        ("loss", "J(x) = −(f(x)[true label] − max f(x)[other labels]); f the source's log-probabilities"),
    ),
}
MISSPELT = [  # a row, and the end of the error's line
    ({**LOOP, "gradient": "mirored"}, "unknown gradient 'mirored'; did you mean mirrored?"),
    ({**SMOOTHED, "noise": "laplac"}, "unknown noise 'laplac'; did you mean laplace?"),
    ({**LOOP, "shift": 3}, "unknown key of attacks.row 'shift'; did you mean shifts?"),
    ({**LOOP, "update": "restin"}, "unknown update 'restin'; did you mean resting or sign?"),
    ({**LOOP, "loss": "margn"}, "unknown loss 'margn'; did you mean margin?"),
    ({**SMOOTHED, "noise": "laplace", "sprad": 3}, "unknown key of attacks.row 'sprad'; did you mean spread?"),
    ({**SMOOTHED, "noise": "laplace"}, "attacks: row: spread is missing; noise: laplace needs it"),
    ({**SMOOTHED, "noise": "laplace", "spread": 0.1}, "row: spread is 0.1: pixels are 0..255, and less than one pixel"),
    (
        {**SMOOTHED, "sigma": 15, "spread": 3},
        "spread is used only with noise: laplace, and here noise is gaussian; remove spread or set noise: laplace",
    ),
    ({**LOOP, "shifts": 1}, "attacks: row: shifts is 1: input should be greater than or equal to 2"),
    ({**LOOP, "gradient": "mirrored", "shifts": 2}, "shifts is not used by gradient: mirrored; remove it"),
    (
        {**LOOP, "gradient": "mirrored", "seed": 2},
        "row: seed is used only with gradient: relevant, smoothed or",
    ),
]

ASK = """
import hashlib, json, sys
from pathlib import Path
from crossfool.cli import list as listing, stand_ins
from crossfool.errors import UserError
from crossfool.experiment import descriptions, formulas, loading, params_file, plan_files
experiment = loading.load_experiment(Path("params.yaml"))
texts = plan_files.plan_texts(experiment)
rows = experiment.attacks
assert "torch" not in sys.modules
answer = {
    "plans": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()},
    "code": {name: list(json.loads(texts[f"attack/{name}"])["code"]) for name in rows},
    "costs": {name: row.gradient_evaluations_per_seed for name, row in rows.items()},
    "titles": {name: descriptions.attack_summary(row) for name, row in rows.items()},
    "facts": {name: list(formulas.update_facts(row, 1)) for name, row in rows.items()},
    "whole": {name: row.whole for name, row in rows.items()},
    "random": {name: row.draws_at_random for name, row in rows.items()},
    "factors": {name: formulas.evaluations_formula(row) for name, row in rows.items()},
    "later": {name: row.has_later_parts for name, row in rows.items()},
    "listed": [[one.name, one.what, one.source] for one in listing.attacks(Path())],
    "small": stand_ins.shrink_params(params_file.parse_lenient(Path("params.yaml").read_text()), stand_ins.DIGITS),
    "errors": [],
}
for text in json.loads(sys.argv[1]):
    try:
        loading.parse_experiment(text, Path("params.yaml"))
        answer["errors"].append("")
    except UserError as error:
        answer["errors"].append(str(error))
print(json.dumps(answer))
"""
CRAFT = """
import hashlib, json, sys
from pathlib import Path
import torch
from crossfool.attacks.chunk import Chunk
from crossfool.experiment import loading
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import craft
torch.manual_seed(0)
weights = torch.randn(3 * 8 * 8, 5)
model = lambda x: (x / 255).flatten(1).sub(0.5).tanh() @ weights
x = torch.randint(0, 256, (3, 3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
labels, targets, ids = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 3]), [4, 9, 2]
answer = {}
for name, row in loading.load_experiment(Path("params.yaml")).attacks.items():
    count = []
    def made(part, batch):
        chunk = Chunk(x[part], labels[part], targets[part], ids[part])
        return craft.craft_in_batches([model], row, chunk, Fit(batch, torch.device("cpu")), count.append)[0]["images"]
    whole = made(slice(None), 3)
    evaluated = sum(count)
    alone = made(slice(1, 2), 1)
    answer[name] = {
        "images": hashlib.sha256(whole.numpy().tobytes()).hexdigest(),
        "evaluated": evaluated,
        "moved": int((whole.int() - x.int()).abs().max()),
        "alone": bool((alone == whole[1:2]).float().mean() > 0.97),  # sums in another order may turn a sign
    }
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Copy, dict[str, Any], dict[str, Any]]]:
    """The copy with the page's parts, what it says of all rows, and what it said of the old ones without the parts."""
    made = Copy(tmp_path_factory.mktemp("copy"), OLD)
    before = made.ask(ASK, "[]") | {"crafted": made.ask(CRAFT)}
    for path, text in FILES.items():
        (made.folder / path).parent.mkdir(parents=True, exist_ok=True)
        assert not (made.folder / path).exists()
        (made.folder / path).write_text(text, encoding="utf-8")
    made.write({**OLD, **{name: row for name, (row, *_) in NEW.items()}})
    wrong = [made.params({"row": row}) for row, _ in MISSPELT]
    yield made, made.ask(ASK, json.dumps(wrong)) | {"crafted": made.ask(CRAFT)}, before


def test_the_page_has_a_file_for_each_kind():
    folders = {Path(path).parent.name for path in FILES if path.startswith("crossfool/attacks/")}
    assert folders == {"gradients", "noise", "inputs", "updates", "losses"}


def test_other_attacks_keep_their_plans_and_images(copy):
    _, after, before = copy
    for name in OLD:
        for plan in (f"attack/{name}", f"evaluate/{name}"):
            assert after["plans"][plan] == before["plans"][plan]
        assert after["crafted"][name] == before["crafted"][name]
        assert (after["titles"][name], after["facts"][name]) == (before["titles"][name], before["facts"][name])
    for plan, digest in before["plans"].items():
        assert after["plans"][plan] == digest or plan == "report", plan  # the report shows the new attacks


@pytest.mark.parametrize("name", NEW)
def test_the_plan_of_the_rows_that_use_a_part_names_it_and_no_other_does(copy, name):
    _, after, _ = copy
    module = f"attacks.{NEW[name][1]}"
    assert [row for row, code in after["code"].items() if module in code] == [name]


@pytest.mark.parametrize("name", NEW)
def test_a_part_is_counted_listed_and_put_into_its_words(copy, name):
    after = copy[1]
    _, module, cost, title, fact = NEW[name]
    assert after["costs"][name] == cost and after["titles"][name] == title
    assert list(fact) in after["facts"][name]
    assert after["later"][name]  # so that no figure of the paper stands beside it
    assert after["random"][name] == (name == "laplace") and after["whole"][name]
    kind = {"gradients": "gradient: ", "noise": "noise: ", "updates": "update: ", "losses": "loss: "}
    folder, _, own = module.partition(".")
    (listed,) = [entry for entry in after["listed"] if entry[0] == f"{kind.get(folder, '')}{own}"]
    assert listed[1].startswith("part: ") and listed[2]
    assert ("spread: a number, above 0, at most 255" in listed[1]) == (name == "laplace")


def test_factors_of_the_cost_are_the_parts_symbols(copy):
    _, after, _ = copy
    assert {name: after["factors"][name] for name in NEW} == {
        "mirrored": "T · 2",
        "laplace": "T · m",
        "shifts": "T · k",
        "resting": "T",
        "margin": "T",
    }


def test_a_smoke_run_is_as_small_as_a_part_says(copy):
    small = copy[1]["small"]["attacks"]
    assert (small["shifts"]["shifts"], small["sg"]["samples"], small["laplace"]["spread"]) == (2, 2, 9.5)


@pytest.mark.parametrize("name", NEW)
def test_running_a_part_changes_images_as_often_as_it_says(copy, name):
    _, after, _ = copy
    crafted, others = after["crafted"][name], {row: one for row, one in after["crafted"].items() if row != name}
    assert crafted["evaluated"] == 3 * NEW[name][2] and crafted["alone"]
    assert 4 <= crafted["moved"] <= 12  # three steps of 4
    assert crafted["images"] not in {one["images"] for one in others.values()}


@pytest.mark.parametrize("place", range(len(MISSPELT)), ids=[end[:40] for _, end in MISSPELT])
def test_a_mistake_is_one_line_with_the_nearest_name(copy, place):
    _, after, _ = copy
    error = after["errors"][place]
    assert MISSPELT[place][1] in error and "\n" not in error


def test_the_pages_test_passes(copy):
    made, _, _ = copy
    printed = made.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/attacks")
    assert "1 passed" in printed
