"""A new part of any kind is one new module: the files of docs/examples are added to a copy, and nothing else is edited.

The copy has a tiny pipeline that DVC runs three times: before, with the new files there, and with the values of a smoke
run of an experiment that names all of them.
"""

import csv
import html
import io
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import EMPTY, ROOT
from made_datasets import made_digits
from parsed_page import Parsed
from repositories import Repository
from repositories import made as made_repository

from crossfool.report.html.data_uris import file_uri
from crossfool.storage.tensors import TensorFile

pytestmark = pytest.mark.slow

IMAGES = "data/images.safetensors"
EXAMPLES = ROOT / "docs/examples"
FILES = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py"))
PARTS = {path.removeprefix("crossfool/").removesuffix(".py").replace("/", ".") for path in FILES if path[0] == "c"}
LOOP = {"epsilon": 16, "steps": 3, "step_size": 4}
SMOOTHED = {**LOOP, "gradient": "smoothed", "samples": 2}
FAR = {"epsilon": 60, "steps": 2, "step_size": 30}
OLD = {"fgsm": {"epsilon": 60, "steps": 1, "step_size": 60}, "igsm": FAR}
BASE: dict[str, Any] = {
    "root": ".",
    "dataset": {"name": "imagefolder", "path": "$MADE_DIGITS", "classes": "mnist", "folder": "test",
                "train_folder": "train"},
    "models": ["fnn0", "fnn2"],
    "weights": {},
    "training": {"epochs": 3, "batch_size": 10, "learning_rate": 0.05},
    "subset": {"images": 12, "seed": 0},
    "compute": {"precision": "float32", "chunk": 12},
    "sources": ["fnn0"],
    "attacks": OLD,
    "transforms": {},
    **EMPTY,
    "scatter": {"attacks": [], "same_family": True},
}  # fmt: skip
# Rows that together name all new parts of attacks; a smoke run takes 2 of the 20 samples and 5 shifts.
RUN = {
    "turned": {**FAR, "steps": 3, "gradient": "mirrored", "update": "resting", "loss": "quadratic"},
    "drawn": {**FAR, "gradient": "smoothed", "samples": 20, "noise": "laplace", "spread": 9.5, "shifts": 5},
}
# name -> row, its part's module, gradient evaluations an image, title, and a formula of `explain`
ALONE: dict[str, tuple[dict[str, Any], str, int, str, tuple[str, str]]] = {
    "mirrored": (
        {**LOOP, "gradient": "mirrored"},
        "attacks.gradients.mirrored",
        6,
        "untargeted, mirrored gradient, T = 3 steps of α = 4, ε = 16",
        ("gradient", "Gₜ = (∇J(xₜ) + R ∇J(R xₜ)) / 2, R mirrors an image from left to right"),
    ),
    "laplace": (
        {**SMOOTHED, "noise": "laplace", "spread": 9.5, "seed": 3},
        "attacks.noise.laplace",
        6,
        "untargeted, smoothed gradient of m = 2 Laplace samples of spread 9.5, T = 3 steps of α = 4, ε = 16",
        ("gradient", "Gₜ = 1/2 · Σᵢ ∇J(xₜ + ξᵢ), 2 ξᵢ ~ Laplace(0, 9.5) afresh each step"),
    ),
    "shifts": (
        {**LOOP, "shifts": 3},
        "attacks.inputs.shifts",
        9,
        "untargeted, plain gradient, 3 shifts, T = 3 steps of α = 4, ε = 16",
        ("shifts", "∇J(x) is the mean over i < 3 of those of J(x shifted by i pixels) by x"),
    ),
    "resting": (
        {**LOOP, "update": "resting"},
        "attacks.updates.resting",
        3,
        "untargeted, plain gradient, resting where the gradient turns round, T = 3 steps of α = 4, ε = 16",
        ("resting", "rₜ = ∇J(xₜ) where its sign is that of a step before, else 0; at t = 0 all of it"),
    ),
    "quadratic": (
        {**LOOP, "loss": "quadratic"},
        "attacks.losses.quadratic",
        3,
        "untargeted, plain gradient, quadratic loss, T = 3 steps of α = 4, ε = 16",
        ("loss", "J(x) = −(2 exp f(x)[true label] − Σ exp 2 f(x)); f the source's log-probabilities"),
    ),
}
MISTAKES: list[tuple[dict[str, Any], str]] = [  # changed sections of params.yaml, and the end of the error's line
    *(
        ({"attacks": {"row": row}}, message)
        for row, message in (
            ({**LOOP, "gradient": "mirored"}, "unknown gradient 'mirored'; did you mean mirrored?"),
            ({**SMOOTHED, "noise": "laplac"}, "unknown noise 'laplac'; did you mean laplace?"),
            ({**LOOP, "shift": 3}, "unknown key of attacks.row 'shift'; did you mean shifts?"),
            ({**LOOP, "update": "restin"}, "unknown update 'restin'; did you mean resting or sign?"),
            ({**LOOP, "loss": "quadrtic"}, "unknown loss 'quadrtic'; did you mean quadratic?"),
            ({**SMOOTHED, "noise": "laplace", "sprad": 3}, "unknown key of attacks.row 'sprad'; did you mean spread?"),
            ({**SMOOTHED, "noise": "laplace"}, "attacks: row: spread is missing; noise: laplace needs it"),
            ({**SMOOTHED, "noise": "laplace", "spread": 0.1}, "row: spread is 0.1: pixels are 0..255, and less than"),
            (
                {**SMOOTHED, "sigma": 15, "spread": 3},
                "spread is used only with noise: laplace, and here noise is gaussian; remove spread or set noise",
            ),
            ({**LOOP, "shifts": 1}, "attacks: row: shifts is 1: input should be greater than or equal to 2"),
            ({**LOOP, "gradient": "mirrored", "shifts": 2}, "shifts is not used by gradient: mirrored; remove it"),
            ({**LOOP, "gradient": "mirrored", "seed": 2}, "seed is used only with gradient: "),
        )
    ),
    ({"models": ["fnn0", "conv_16"]}, "unknown model 'conv_16'; did you mean conv16"),
    ({"models": ["conv16"], "dataset": {"name": "cifar10"}}, "conv16 classifies mnist, and the data set cifar10"),
    ({"dataset": {"name": "named_digit", "path": "x"}}, "unknown name 'named_digit'; did you mean named-digits"),
    ({"dataset": {"name": "named-digits", "pth": "x"}}, "dataset: unknown key 'pth'; did you mean path?"),
    ({"dataset": {"name": "named-digits"}}, "path is missing; named-digits needs"),
    ({"transforms": {"contrst": [2]}}, "unknown transform 'contrst'; did you mean contrast"),
    ({"transforms": {"contrast": [11]}}, "transforms: contrast: 11 is out of range 0 to 10 (factor)"),
]

SHRINK = """
import json, sys
from crossfool.cli import stand_ins
values = json.loads(sys.argv[1])
pool = stand_ins.StandIns(values["dataset"], tuple(values["models"]), values["training"], 12, 30, 3)
print(json.dumps(stand_ins.shrink_params(values, pool)))
"""
ASK = """
import json, runpy, sys
from pathlib import Path
from crossfool.cli import list as listing
from crossfool.errors import UserError
from crossfool.experiment import descriptions, formulas, loading, stage_plans
alone, wrong = map(json.loads, sys.argv[1:])
rows = loading.parse_experiment(alone, Path("params.yaml")).attacks
errors = []
for text in wrong:
    try:
        loading.parse_experiment(text, Path("params.yaml"))
        errors.append("")
    except UserError as error:
        errors.append(str(error))
experiment = loading.load_experiment(Path("params.yaml"))
answer = {
    "costs": {name: row.gradient_evaluations_per_seed for name, row in rows.items()},
    "titles": {name: descriptions.attack_summary(row) for name, row in rows.items()},
    "facts": {name: list(formulas.update_facts(row, 1)) for name, row in rows.items()},
    "whole": {name: row.whole for name, row in rows.items()},
    "random": {name: row.draws_at_random for name, row in rows.items()},
    "factors": {name: formulas.evaluations_formula(row) for name, row in rows.items()},
    "later": {name: row.has_later_parts for name, row in rows.items()},
    "listed": {kind: {one.name: f"{one.what} | {one.source}" for one in read(Path())}
               for kind, read in listing.KINDS.items() if kind != "experiments"},
    "errors": errors,
}
assert "torch" not in sys.modules
for tool in ("parts_page", "parts_table", "datasets_table"):
    runpy.run_path(f"tools/{tool}.py", run_name="__main__")
print(json.dumps(answer))
"""
CRAFT = """
import hashlib, json, sys
from pathlib import Path
import torch
from crossfool.attacks.chunk import Chunk
from crossfool.attacks.config import Attack
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import craft
torch.manual_seed(0)
weights = torch.randn(3 * 8 * 8, 5)
model = lambda x: (x / 255).flatten(1).sub(0.5).tanh() @ weights
x = torch.randint(0, 256, (3, 3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
labels, targets, ids = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 3]), [4, 9, 2]
answer = {}
for name, row in json.loads(sys.argv[1]).items():
    row, count = Attack.model_validate(row), []
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


@dataclass(frozen=True)
class Grown:
    """The copy and what its runs left.

    Attributes:
        repository: The copy.
        before, between, after: Files of plans, cells and report, by path: of the first run, with the new files there,
            and with params.yaml naming what is in them.
        with_files, with_rows, with_data: Stages that ran once the new files were there, once params.yaml named what is
            in them, and once it named the new data set.
        small: The values of params.yaml of the second of these: the smoke run's.
        printed: What commands printed, by the command.
        answers: What the copy's modules say of the new parts, see `ASK`.
    """

    repository: Repository
    before: dict[str, bytes]
    between: dict[str, bytes]
    after: dict[str, bytes]
    with_files: set[str]
    with_rows: set[str]
    with_data: set[str]
    small: dict[str, Any]
    printed: dict[str, str]
    answers: dict[str, Any]

    def text(self, path: str) -> str:
        return self.after[path].decode()


def files(folder: Path) -> dict[str, bytes]:
    """Files of plans, cells and report, by path."""
    paths = (path for kind in ("plan", "adversarial", "report") for path in (folder / kind).rglob("*"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    digits = made_digits(tmp_path_factory.mktemp("digits"), train=12, contrast=150)
    for path in digits.glob("t*/*/*.png"):  # for the new data set: the same images by other names, beside the folders
        named = digits / "named" / path.parts[-3] / f"{path.parent.name}-{path.name}"
        named.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, named)
    copy = made_repository(tmp_path_factory.mktemp("copy"), digits, forked=True)
    copy.environment |= {"COLUMNS": "250", "PYTHONPATH": f"{copy.path}{os.pathsep}{ROOT / 'tests'}"}
    for folder in ("tools", "docs"):
        shutil.copytree(ROOT / folder, copy.path / folder)
    copy.edit(lambda values: (values.clear(), values.update(BASE)))
    copy.repro()
    before = files(copy.path)

    assert not [path for path in FILES if (copy.path / path).exists()]
    shutil.copytree(EXAMPLES / "crossfool", copy.path / "crossfool", dirs_exist_ok=True)
    with_files = copy.repro()
    between = files(copy.path)

    whole = {**BASE, "models": ["fnn0", "fnn2", "conv8"], "attacks": OLD | RUN, "transforms": {"contrast": [0.5, 1, 2]}}
    small = ask(copy, SHRINK, whole)
    copy.edit(lambda values: values.update(small))
    printed = {"check": crossfool(copy, "check")}
    with_rows = copy.repro()
    after = files(copy.path)
    for command in ("explain fnn0/turned", "show --table by_source"):
        printed[command] = crossfool(copy, *command.split())
    alone = yaml.safe_dump(BASE | {"attacks": {name: row for name, (row, *_) in ALONE.items()}})
    unforked = Repository(copy.path, digits)  # a process of its own: torch is not to be loaded
    unforked.environment |= {"PYTHONPATH": copy.environment["PYTHONPATH"]}
    answers = ask(unforked, ASK, alone, [yaml.safe_dump(BASE | change) for change, _ in MISTAKES])

    copy.edit(lambda values: values.update(dataset={"name": "named-digits", "path": "$MADE_DIGITS/named"}))
    shutil.copy(copy.path / IMAGES, copy.path / "old.safetensors")
    with_data = copy.repro("prepare")
    return Grown(copy, before, between, after, with_files, with_rows, with_data, small, printed, answers)


def crossfool(copy: Repository, *arguments: str) -> str:
    return copy.run(sys.executable, "-m", "crossfool", *arguments)


def ask(copy: Repository, script: str, *arguments: Any) -> dict[str, Any]:
    """Run a script in the copy, and read the JSON that it prints last."""
    printed = copy.run(sys.executable, "-c", script, *map(json.dumps, arguments))
    answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return answer


def test_there_is_an_example_of_each_kind() -> None:
    """Each kind of part has one in docs/examples, and docs/contributing.md leads to each file there."""
    kinds = {"attacks.gradients", "attacks.noise", "attacks.inputs", "attacks.updates", "attacks.losses", "datasets",
             "models.networks", "pipeline.transforms", "report.claims", "report.tables", "report.figures"}  # fmt: skip
    assert {part.rpartition(".")[0] for part in PARTS} == kinds
    page = (ROOT / "docs/contributing.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(examples/(\S+\.py)\)", page)) == set(FILES)


def test_new_files_rerun_the_report_alone(grown: Grown) -> None:
    """The report has a claim, a table and a figure more; what it had is the same, and so are all plans but its own."""
    assert grown.with_files == {"plan", "report"}
    assert grown.between.keys() - grown.before.keys() - {"report/tables/claims.tex"} == {
        *("report/tables/by_source.csv", "report/tables/by_source.tex"),
        *("report/figures/by_target.png", "report/vector/by_target.svg"),
    }
    changed = {path for path, old in grown.before.items() if grown.between[path] != old}
    assert changed - {"report/tables/claims.tex"} == {
        *("plan/report.json", "report/index.html", "report/tables.md", "report/tables/claims.csv"),
    }


def test_naming_new_parts_runs_what_computes_with_them(grown: Grown) -> None:
    new = {f"{stage}@fnn0-{attack}" for stage in ("attack", "evaluate") for attack in RUN}
    assert grown.with_rows == {
        *("plan", "train@conv8", "predict@conv8", "report"),
        *("select", "source@fnn0"),  # the subset is drawn and weights are hashed again: nothing else than before
        *new,
        *(f"evaluate@fnn0-{attack}" for attack in OLD),  # the new target's predictions, and the transform
    }
    for path, old in grown.before.items():
        if path.startswith(("adversarial/", "plan/attack/", "plan/train/", "plan/predict/", "plan/source/")):
            assert grown.after[path] == old, path


def test_each_part_is_in_the_plans_of_what_names_it_and_in_no_other(grown: Grown) -> None:
    plans = {path.removeprefix("plan/").removesuffix(".json"): json.loads(text)
             for path, text in grown.after.items() if path.startswith("plan/")}  # fmt: skip
    code = {name: plan.get("code", {}) for name, plan in plans.items()}
    naming = {part: {plan for plan, modules in code.items() if part in modules} for part in PARTS}
    turned, drawn, report = ({"attack/turned"}, {"attack/drawn"}, {"report"})
    cells = {f"evaluate/{attack}" for attack in grown.small["attacks"]}
    assert {part: plans - cells for part, plans in naming.items()} == {
        "attacks.gradients.mirrored": turned,
        "attacks.updates.resting": turned,
        "attacks.losses.quadratic": turned,
        "attacks.noise.laplace": drawn,
        "attacks.inputs.shifts": drawn,
        "models.networks.conv_mnist": {"train/conv8", "predict/conv8"},
        "datasets.named_digits": set(),  # see below
        "pipeline.transforms.contrast": set(),
        **dict.fromkeys(("report.claims.one_step", "report.tables.by_source", "report.figures.by_target"), report),
    }
    assert naming["pipeline.transforms.contrast"] == cells
    targets = plans["evaluate/fgsm"]["values"]["targets"]
    before = json.loads(grown.before["plan/evaluate/fgsm.json"])["values"]["targets"]
    assert targets.keys() == {"fnn0", "fnn2", "conv8"} and before.items() <= targets.items()  # kept predictions serve


def test_a_smoke_run_is_as_small_as_parts_say(grown: Grown) -> None:
    drawn = grown.small["attacks"]["drawn"]
    assert (drawn["samples"], drawn["shifts"], drawn["spread"]) == (2, 2, 9.5)
    assert grown.small["transforms"] == {"contrast": [0.5, 2]}


def test_check_counts_each_part(grown: Grown) -> None:
    assert "3 models, 1 source × 4 attacks" in grown.printed["check"]
    assert "train 1 of 3, predict 1 of 3" in grown.printed["check"] and "attack 2 of 4" in grown.printed["check"]
    assert "an image and model: fgsm 1, igsm 2, turned 4, drawn 8" in grown.printed["check"]


def test_explain_has_the_formulas_of_new_parts(grown: Grown) -> None:
    explained = grown.printed["explain fnn0/turned"]
    assert "mirrored gradient, resting where the gradient turns round, quadratic loss" in explained
    assert "Gₜ = (∇J(xₜ) + R ∇J(R xₜ)) / 2" in explained and "rₜ = Gₜ where its sign is that of a step" in explained


@pytest.mark.parametrize("name", ALONE)
def test_a_part_of_an_attack_is_counted_titled_and_explained(grown: Grown, name: str) -> None:
    answers = grown.answers
    _, module, cost, title, fact = ALONE[name]
    assert answers["costs"][name] == cost and answers["titles"][name] == title
    assert list(fact) in answers["facts"][name]
    assert answers["later"][name]  # so that no figure of the paper stands beside it
    assert answers["random"][name] == (name == "laplace") and answers["whole"][name]
    kind = {"gradients": "gradient: ", "noise": "noise: ", "updates": "update: ", "losses": "loss: "}
    folder, part = module.split(".")[1:]
    listed = answers["listed"]["attacks"][f"{kind.get(folder, '')}{part}"]
    assert listed.startswith("part: ") and not listed.endswith("| ")
    assert ("spread: a number, above 0, at most 255" in listed) == (name == "laplace")


def test_factors_of_the_cost_are_the_parts_symbols(grown: Grown) -> None:
    factors = {"mirrored": "T · 2", "laplace": "T · m", "shifts": "T · k", "resting": "T", "quadratic": "T"}
    assert grown.answers["factors"] == factors


def test_running_a_part_changes_images_as_often_as_it_says(grown: Grown) -> None:
    rows = {"igsm": LOOP} | {name: row for name, (row, *_) in ALONE.items()}
    crafted = ask(grown.repository, CRAFT, rows)
    assert len({one["images"] for one in crafted.values()}) == len(rows)
    for name, (_, _, cost, *_) in ALONE.items():
        assert crafted[name]["evaluated"] == 3 * cost and crafted[name]["alone"]
        assert 4 <= crafted[name]["moved"] <= 12  # three steps of 4


@pytest.mark.parametrize("place", range(len(MISTAKES)), ids=[end[:40] for _, end in MISTAKES])
def test_a_mistake_is_one_line_with_the_nearest_name(grown: Grown, place: int) -> None:
    error = grown.answers["errors"][place]
    assert MISTAKES[place][1] in error and "\n" not in error


def test_everything_is_listed(grown: Grown) -> None:
    listed = grown.answers["listed"]
    assert listed["models"]["conv16"] == (
        "mnist, 28 px, 20,490 parameters | trained here; LeCun et al. 1998, Proc. IEEE 86(11), without its hidden "
        "linear layers"
    )
    row = "{epsilon: 6, steps: 5, step_size: 2, gradient: mirrored}"
    assert listed["attacks"]["mirrored"].startswith(f"gradients of an image and its mirror image: {row} | docs/")
    assert listed["datasets"]["named-digits"].startswith("Digits, 28 px, in image files whose names begin with")
    assert listed["transforms"]["contrast"].startswith("levels 0 to 10: factor of the distance from 128; Contrast")
    assert listed["claims"]["one_step"].startswith("Attacks of one step transfer better than iterated ones")


def test_documentation_written_from_parts_has_them(grown: Grown) -> None:
    page, keys = ((grown.repository.path / f"docs/{name}.md").read_text() for name in ("parts", "parameters"))
    assert "| `conv16` | `conv_mnist.py` | mnist, 28 px | 20,490 | trained here |" in page
    assert "| `contrast` | Contrast about the middle grey" in page
    assert "| `one_step` | Attacks of one step transfer better than iterated ones" in page
    for row in ("gradient: mirrored", "noise: laplace", "shifts", "update: resting", "loss: quadratic", "named-digits"):
        assert f"| `{row}` |" in keys
    assert "| `named-digits` | `path` (required) | The folder or tar file" in keys


def test_the_report_has_the_claim(grown: Grown) -> None:
    rows = list(csv.DictReader(io.StringIO(grown.text("report/tables/claims.csv"))))
    (claim,) = [row for row in rows if row["name"] == "one_step"]
    assert claim["p"] and "fgsm against igsm" in claim["detail"]
    assert "Attacks of one step transfer better than iterated ones" in grown.text("report/tables.md")


def test_the_report_has_the_table(grown: Grown) -> None:
    """It is in the folder, in tables.md, on the page and in the terminal."""
    line = grown.text("report/tables/by_source.csv").splitlines()
    assert line[0] == "source,cells,mean" and line[1].startswith("fnn0,8,") and len(line) == 2
    text = grown.text("report/tables.md")
    assert "### Success rates by source\n\nMean over the black-box cells of all attacks.\n" in text
    page = Parsed(grown.text("report/index.html"))
    head, row = page.table("Success rates by source")
    assert head == ["source", "black-box cells", "mean success rate, %"] and row[:2] == ["fnn0", "8"]
    assert page.file("by_source.tex") == grown.text("report/tables/by_source.tex")
    assert page.file("by_source.csv") == grown.text("report/tables/by_source.csv")
    shown = grown.printed["show --table by_source"]
    assert [line.split() for line in shown.splitlines() if "fnn0" in line] == [row]


def test_the_report_has_the_figure(grown: Grown) -> None:
    """It is in both folders of figures, and on the page in its place."""
    page = grown.text("report/index.html")
    titles = re.findall(r"<figcaption>([^<]*?) <button [^>]*class=\"save\"", page)
    assert titles.index("Success rates by target") == 1 + len(grown.small["attacks"])  # cost, then heat maps
    assert file_uri("image/svg+xml", grown.after["report/vector/by_target.svg"]) in html.unescape(page)


def test_the_new_data_set_is_prepared(grown: Grown) -> None:
    """Its images are those of the folders by class; its module is in the plan of `prepare` alone."""
    assert grown.with_data == {"plan", "prepare"}
    old, new = (TensorFile(grown.repository.path / name) for name in ("old.safetensors", IMAGES))
    assert all((old[name] == new[name]).all() for name in ("images", "labels"))
    assert new.metadata["dataset"] == "named-digits"
    plans = (grown.repository.path / "plan").rglob("*.json")
    naming = [path.stem for path in plans if "datasets.named_digits" in json.loads(path.read_text()).get("code", {})]
    assert naming == ["prepare"]


@pytest.mark.exhaustive  # the other tests here run what the examples make
def test_the_tests_of_the_examples_pass(grown: Grown) -> None:
    """And the project's own tests of what parts declare, with the new ones among them."""
    tests = [path for path in FILES if path.startswith("tests/")]
    own = ("tests/models/test_networks.py", "tests/report/test_claims.py", "tests/report/test_figure_files.py",
           "tests/datasets/test_catalogue.py")  # fmt: skip
    copy = grown.repository.path
    shutil.copytree(EXAMPLES / "tests", copy / "tests")
    for path in (*own, "tests/conftest.py"):
        shutil.copy(ROOT / path, copy / path)
    chosen = " or ".join([*(Path(path).stem for path in tests), "counted", "declares", "one_sentence", "registry"])
    printed = grown.repository.run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests, *own, "-k", chosen
    )
    assert re.search(r"^\d+ passed, \d+ deselected", printed, re.MULTILINE), printed
