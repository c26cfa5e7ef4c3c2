"""Stages that rerun for an edit, by DVC on a tiny pipeline; no stage computes from a plan that is out of date."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from builders import ROOT, a_few
from repositories import Repository, finished

from crossfool.attacks.config import Attack

pytestmark = pytest.mark.slow

CELLS = {"fgsm", "sg_igsm"}
ATTACKS = {f"attack@fnn0-{attack}" for attack in CELLS}
EVALUATIONS = {f"evaluate@fnn0-{attack}" for attack in CELLS}
ANALYSES = {
    "similarity": {"near": {"source": "fnn0", "target": "fnn2", "images": 2, "samples": [1, 2], "sigma": 15}},
    "boundary": {
        "plane": {
            "source": "fnn0",
            "targets": ["fnn2"],
            "image": 0,
            "samples": 2,
            "sigma": 15,
            "sign": True,
            "extent": 20,
            "points": 3,
        }
    },
    "saliency": {"look": {"model": "fnn0", "images": [0], "samples": [1, 2], "sigma": 15}},
}
NONE: dict[str, dict[str, object]] = {kind: {} for kind in ANALYSES}
LOOKED_AT = {"similarity@near", "boundary@plane", "saliency@look"}
LOOP = "crossfool/attacks/loop.py"
SMOOTHED = "crossfool/attacks/gradients/smoothed.py"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    pipeline = finished(tmp_path_factory.mktemp("pipeline") / "made", tmp_path_factory)
    pipeline.edit(lambda values: values.update(ANALYSES))
    pipeline.repro()
    pipeline.commit("first run")
    return pipeline


@pytest.fixture(autouse=True)
def _taken_back(repository: Repository) -> Iterator[None]:
    """Take every edit back; the results of the first run are then up to date again."""
    yield
    if repository.run("git", "status", "--porcelain"):
        repository.run("git", "checkout", "--quiet", ".")
        repository.run("git", "clean", "--quiet", "--force", "-d")
        repository.repro()


def append(repository: Repository, file: str, text: str) -> None:
    path = repository.path / file
    path.write_text(path.read_text() + text)


def test_edits_that_change_no_result_rerun_plan_alone(repository: Repository) -> None:
    """Comments, docstrings and formatting; config modules, the command line and workers; parts that no row names."""
    loop = repository.path / LOOP
    text = loop.read_text().replace('"""', '"""Otherwise: ', 1).replace("budget.steps + 1", "budget . steps+1", 1)
    assert text != loop.read_text() and text.count("budget . steps") == 1
    loop.write_text(text + "\n# a remark\n")
    for file in (
        "crossfool/attacks/config.py",
        "crossfool/cli/main.py",
        "crossfool/pipeline/workers/local.py",
        "crossfool/attacks/gradients/varied.py",
        "crossfool/datasets/cifar10.py",
    ):
        append(repository, file, "\nUNUSED = 1\n")
    append(repository, "crossfool/pipeline/transforms/rotation.py", "\nUNUSED = 1\n")
    assert repository.repro() == {"plan"}


def test_a_comment_in_params_reruns_nothing(repository: Repository) -> None:
    append(repository, "params.yaml", "# a remark\n")
    assert repository.repro() == set()


RERUNS = {
    SMOOTHED: {"attack@fnn0-sg_igsm"},
    LOOP: ATTACKS,
    "crossfool/attacks/types.py": ATTACKS | LOOKED_AT | {"report"},  # which asks parts for their words
    "crossfool/attacks/noise/gaussian.py": {"attack@fnn0-sg_igsm"} | LOOKED_AT,
    "crossfool/models/inference/cpu/fusion.py": {"predict@fnn0", "predict@fnn2"} | ATTACKS | EVALUATIONS | LOOKED_AT,
    "crossfool/pipeline/evaluation/image_transforms.py": EVALUATIONS,
    "crossfool/pipeline/transforms/jpeg.py": EVALUATIONS,
    "crossfool/report/figures/_style.py": {"report"},
    "crossfool/report/figures/heatmap.py": {"report"},
    "crossfool/datasets/imagefolder.py": {"prepare"},
}


# Left out: modules that rerun what another of these does, or two others together.
FEW_RERUNS = (SMOOTHED, "crossfool/report/figures/heatmap.py")


@pytest.mark.parametrize("file", a_few(RERUNS, *FEW_RERUNS))
def test_code_reruns_the_stages_that_compute_with_it(repository: Repository, file: str) -> None:
    append(repository, file, "\nUNUSED = 1\n")
    assert repository.repro() == {"plan"} | RERUNS[file]


def test_an_attacks_number_reruns_its_cells(repository: Repository) -> None:
    repository.edit(lambda values: values["attacks"]["sg_igsm"].update(sigma=16))
    assert "attacks.sg_igsm.sigma" in repository.dvc("params", "diff")
    assert repository.repro() == {"plan", "attack@fnn0-sg_igsm", "evaluate@fnn0-sg_igsm", "report"}


@pytest.mark.exhaustive  # test_sharing.py has it after a pull
def test_a_new_target_is_asked_alone(repository: Repository) -> None:
    kept = repository.path / ".crossfool/predictions"
    before = {path: path.stat().st_ino for path in kept.rglob("*.safetensors")}
    repository.edit(lambda values: values["models"].append("fnn4"))
    ran = repository.repro()
    assert not ran & (ATTACKS | {"train@fnn0", "train@fnn2", "predict@fnn0", "predict@fnn2"})
    assert ran >= {"train@fnn4", "predict@fnn4", "report"} | EVALUATIONS
    after = {path: path.stat().st_ino for path in kept.rglob("*.safetensors")}
    assert len(after) == len(before) + len(CELLS) and before.items() <= after.items()
    assert set(repository.metrics("fnn0/fgsm.json")) == {"fnn0", "fnn2", "fnn4"}
    repository.run("git", "checkout", "--quiet", ".")
    repository.run(sys.executable, "-m", "crossfool", "remove-leftovers", "--yes")
    repository.repro()


@pytest.mark.exhaustive  # DVC's own promise
def test_an_experiment_of_the_same_values_comes_from_the_run_cache(repository: Repository) -> None:
    repository.edit(lambda values: values.update(models=["fnn0"], attacks={"fgsm": values["attacks"]["fgsm"]}, **NONE))
    for name in ("first", "second"):
        folder = repository.path / "experiments" / name
        folder.mkdir(parents=True)
        for file in ("dvc.yaml", "params.yaml"):
            shutil.copy(repository.path / file, folder)
        text = (folder / "params.yaml").read_text()
        (folder / "params.yaml").write_text(text.replace("root: .\n", "root: ../..\n"))
    ran = repository.repro("experiments/first/dvc.yaml")
    assert {name.partition(":")[2] for name in ran} >= {"plan", "attack@fnn0-fgsm", "report"}
    assert repository.repro("experiments/second/dvc.yaml") == set()


def refused(repository: Repository, stage: str, *options: str) -> str:
    """The one line with which a stage that is run by itself ends."""
    printed = repository.dvc("repro", "--single-item", *options, stage, code=255)
    lines = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in printed, printed
    return lines[0]


def test_a_cell_is_refused_when_code_was_edited_after_plan(repository: Repository) -> None:
    """Else the cell would hold the edited code's images, and be called up to date once the edit is taken back."""
    cell = repository.path / "adversarial/fnn0/fgsm.safetensors"
    images, text = cell.read_bytes(), (repository.path / LOOP).read_text()
    (repository.path / LOOP).write_text(text.replace("budget.step_size *", "0.5 * budget.step_size *"))
    repository.dvc("repro", "--single-item", "attack@fnn0-fgsm")  # nothing that DVC sees has changed
    assert cell.read_bytes() == images
    line = refused(repository, "attack@fnn0-fgsm", "--force")
    assert line.startswith("error: code changed (attacks.loop) since plan/attack/fgsm.json was written")
    assert not cell.exists()
    (repository.path / LOOP).write_text(text)
    repository.repro()
    assert cell.read_bytes() == images


@pytest.mark.exhaustive  # the test above refuses one whose code was edited
def test_a_cell_is_refused_when_its_values_were_edited_after_plan(repository: Repository) -> None:
    repository.edit(lambda values: values["attacks"]["fgsm"].update(epsilon=90, step_size=90))
    line = refused(repository, "attack@fnn0-fgsm")
    assert "params.yaml changed (attack.epsilon: 100.0 -> 90.0)" in line and line.endswith("run `dvc repro`")
    assert repository.repro() == {"plan", "attack@fnn0-fgsm", "evaluate@fnn0-fgsm", "report"}


@pytest.mark.exhaustive  # the cell with code edited after plan is below
def test_an_edit_while_a_cell_runs_concerns_it_no_more(repository: Repository) -> None:
    """The cell is computed with the code that it has loaded, and what was edited reruns it."""
    repository.edit(lambda values: values["attacks"]["sg_igsm"].update(steps=400, step_size=1))
    stage, cell = "attack@fnn0-sg_igsm", repository.path / "adversarial/fnn0/sg_igsm.safetensors"
    repository.repro("plan")
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "--single-item", stage],
        cwd=repository.path,
        env=repository.environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    chunks = repository.path / ".crossfool/chunks"
    while not list(chunks.glob("fnn0-sg_igsm-*/*.safetensors")) and process.poll() is None:
        time.sleep(0.01)
    text = (repository.path / LOOP).read_text()
    (repository.path / LOOP).write_text(text.replace("budget.step_size *", "0.5 * budget.step_size *"))
    assert process.poll() is None, "the cell was over before the edit"
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    images = cell.read_bytes()
    assert stage in repository.repro(stage) and cell.read_bytes() != images  # with the edited code
    (repository.path / LOOP).write_text(text)
    repository.repro(stage)  # from the run cache
    assert cell.read_bytes() == images
    repository.dvc("repro", "--force", "--single-item", stage)
    assert cell.read_bytes() == images


def test_a_missing_plan_is_refused(repository: Repository) -> None:
    repository.run("rm", "-r", "plan")
    done = repository.run("sh", "stages/run", "attack", "--source", "fnn0", "--attack", "fgsm", code=2)
    assert done.startswith("error: plan/source/fnn0.json is missing; run `dvc ") and done.count("\n") == 1
    repository.repro("plan")


def test_a_plan_that_fails_leaves_nothing_half_done(repository: Repository) -> None:
    repository.edit(lambda values: values["attacks"]["fgsm"].update(stepz=2))
    printed = repository.dvc("repro", code=255)
    assert "unknown key of attacks.fgsm 'stepz'" in printed and "Traceback" not in printed
    repository.run("git", "checkout", "--quiet", "params.yaml")
    assert repository.repro() == set()


def test_a_queued_experiment_runs_the_code_that_was_queued(repository: Repository) -> None:
    repository.dvc("exp", "run", "--queue", "--name", "queued", "--set-param", "attacks.fgsm.epsilon=80")
    append(repository, LOOP, "\nraise RuntimeError('the code of the checkout, edited since')\n")
    repository.dvc("queue", "start")
    repository.dvc("queue", "logs", "--follow", "queued")
    printed = repository.dvc("queue", "status")
    assert re.search(r"queued\s.*Success", printed), printed + repository.dvc("queue", "logs", "queued")
    repository.dvc("exp", "remove", "queued")


PROBE = """
import json, os, runpy, sys
root, script, *arguments = sys.argv[1:]
opened = set()
def hook(event, details):
    if event == "open" and isinstance(details[0], (str, bytes, os.PathLike)):
        opened.add(os.path.realpath(os.fsdecode(details[0])))
sys.addaudithook(hook)
sys.argv = [script, *arguments]
sys.path.insert(0, root)
try:
    runpy.run_path(os.path.join(root, "stages", script + ".py"), run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
from crossfool.experiment import fingerprint
package = str(fingerprint._PACKAGE)
print("PROBE" + json.dumps({
    "modules": sorted(n.partition(".")[2] for n in sys.modules if n.startswith("crossfool.")),
    "opened": sorted(path for path in opened if path.startswith(root + os.sep)),
}))
"""
KINDS = {
    "prepare": ((), "prepare"),
    "lpips": ((), "lpips"),
    "train": (("--model", "fnn0"), "train/fnn0"),
    "predict": (("--model", "fnn0"), "predict/fnn0"),
    "select": ((), "select"),
    "source": (("--source", "fnn0"), "source/fnn0"),
    "attack": (("--source", "fnn0", "--attack", "sg_igsm"), "attack/sg_igsm"),
    "evaluate": (("--source", "fnn0", "--attack", "sg_igsm"), "evaluate/sg_igsm"),
    "similarity": (("--analysis", "near"), "similarity/near"),
    "boundary": (("--analysis", "plane"), "boundary/plane"),
    "saliency": (("--analysis", "look"), "saliency/look"),
    "report": ((), "report"),
}
VERIFYING = {"first_edition", "storage.atomic", "storage.dvc_lock", "storage.json_files"}
# The data set's declaration, by which every stage validates params.yaml; `prepare` alone computes with it.
VERIFYING |= {"datasets.imagefolder", "datasets.preparation.dataset"}
CHECKS = {"select": {"experiment.leftover_files", "experiment.dvc_records", "experiment.git", "storage.hashing"}}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_stage_loads_is_in_its_plan(repository: Repository, kind: str) -> None:
    """Modules in the fingerprint or in NO_RESULT; files dependencies of the stage, in the fingerprint, or scratch."""
    from crossfool.experiment.fingerprint import has_no_result

    arguments, plan = KINDS[kind]
    root = repository.path.resolve()
    printed = repository.run(sys.executable, "-P", "-c", PROBE, str(root), kind, *arguments)
    probed = json.loads(printed.rpartition("PROBE")[2])
    code = json.loads((repository.path / f"plan/{plan}.json").read_text())["code"]
    if kind == "attack":
        code |= json.loads((repository.path / "plan/source/fnn0.json").read_text())["code"]
    packages = {str(path.parent.relative_to(root / "crossfool")).replace("/", ".")
                for path in (root / "crossfool").rglob("__init__.py")}  # fmt: skip
    alien = {name for name in probed["modules"] if name not in code and not has_no_result(name)} - packages
    declarations = _declarations(repository)  # of all rows' parts, which validating params.yaml reads
    assert kind != "attack" or {"attacks.gradients.smoothed", "attacks.noise.gaussian"} <= code.keys()
    alien -= declarations
    # what verifying needs, and checks that refuse to run; no result depends on them
    assert alien <= VERIFYING | CHECKS.get(kind, set())
    stage = declared(repository, kind)
    for path in map(Path, probed["opened"]):
        if not path.exists():  # temporary; or a name that is no file, as an editable installation has in sys.path
            continue
        name = path.relative_to(root).as_posix()
        if name.startswith(("crossfool/", "stages/", ".crossfool/", ".dvc/", ".git/")) or name in (
            "params.yaml",
            "dvc.lock",
        ):
            kept = path.suffix in (".py", ".csv") or "__pycache__" in path.parts
            known = not name.startswith("crossfool/") or kept or name.removeprefix("crossfool/") in code
        else:
            known = any(name == place or name.startswith((f"{place}/", f"{place}.")) for place in stage)
        assert known, f"{kind} opens {name}"


def _declarations(repository: Repository) -> set[str]:
    """Modules that the parts of the experiment's rows are declared in, and what those import to declare themselves."""
    rows = yaml.safe_load((repository.path / "params.yaml").read_text())["attacks"].values()
    named = {name.partition(".")[2] for row in rows for name in Attack(**row).parts.modules}
    return named | {"attacks.part", "attacks.types"}


def declared(repository: Repository, kind: str) -> set[str]:
    """Dependencies and outputs of a stage as dvc.lock has them."""
    stages = yaml.safe_load((repository.path / "dvc.lock").read_text())["stages"]
    suffix = {"train": "@fnn0", "predict": "@fnn0", "source": "@fnn0"}.get(kind, "")
    suffix = "@fnn0-sg_igsm" if kind in ("attack", "evaluate") else suffix
    suffix = f"@{next(iter(ANALYSES[kind]))}" if kind in ANALYSES else suffix
    stage = stages[kind + suffix]
    weights = {"weights"} if kind == "attack" else set()  # verified by the weights record, which is a dependency
    return {entry["path"] for key in ("deps", "outs") for entry in stage.get(key, ())} | weights


def test_fingerprints_of_the_copy_are_those_of_the_project(repository: Repository) -> None:
    assert (repository.path / LOOP).read_bytes() == (ROOT / LOOP).read_bytes()
