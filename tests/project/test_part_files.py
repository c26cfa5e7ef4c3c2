"""A network, a transform, a claim, a figure is one new file: those of docs/contributing.md are added to a copy."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import DIGITS, ROOT
from made_experiments import FGSM, FOOLED, SG, complete, make

from crossfool.errors import UserError
from crossfool.part_files import declaration, part_names, record, summary
from crossfool.pipeline.evaluation import transform_levels
from crossfool.report import claim_files
from crossfool.report.html.data_uris import file_uri

PAGE = (ROOT / "docs/contributing.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```\n<!-- /file -->", PAGE, re.DOTALL))
NETWORK = "crossfool/models/networks/conv_mnist.py"
TRANSFORM = "crossfool/pipeline/transforms/contrast.py"
CLAIM = "crossfool/report/claims/one_step.py"
FIGURE = "crossfool/report/figures/by_target.py"
TESTS = {
    NETWORK: "tests/models/test_conv_mnist.py",
    TRANSFORM: "tests/pipeline/test_contrast.py",
    CLAIM: "tests/report/test_one_step.py",
    FIGURE: "tests/report/test_by_target.py",
}
KINDS = {".png", ".svg"}
VALUES: dict[str, Any] = {
    **DIGITS,
    "subset": {"images": 12},
    "compute": {"chunk": 5},
    "attacks": {
        "fgsm": {"epsilon": 40, "steps": 1, "step_size": 40},
        "igsm": {"epsilon": 40, "steps": 4, "step_size": 20},
    },
    "transforms": {"jpeg": [30]},
}
PLANS = """
import json, sys
from pathlib import Path
from crossfool.experiment import loading, plan_files
print(json.dumps(plan_files.plan_texts(loading.parse_experiment(sys.argv[1], Path("params.yaml")))))
assert "torch" not in sys.modules
"""
ERROR = """
import sys
from pathlib import Path
from crossfool.errors import UserError
from crossfool.experiment import loading
try:
    loading.parse_experiment(sys.argv[1], Path("params.yaml"))
except UserError as error:
    print(error)
"""
REPORT = """
from pathlib import Path
from crossfool.experiment import loading
from crossfool.experiment.results.metrics import load_metrics
from crossfool.report import findings, report_folder
from crossfool.report.html import page
experiment = loading.load_experiment(Path("params.yaml"))
found = findings.Findings(Path(), load_metrics(Path(), experiment))
report_folder.write_report(found, Path("report"))
page.write_page_of([found], Path("report/index.html"), [""])
"""


class Copy:
    """A copy of what a part needs: the package, tools and documentation, and tests."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for folder in ("crossfool", "tools", "docs", "tests"):
            shutil.copytree(ROOT / folder, path / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", path)

    def add(self, file: str) -> None:
        """Add one file of the page, which is not there yet."""
        assert not (self.path / file).exists()
        (self.path / file).write_text(FILES[file], encoding="utf-8")

    def python(self, *arguments: str, folder: Path | None = None) -> str:
        environment = os.environ | {"PYTHONPATH": str(self.path), "COLUMNS": "250"}
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=folder or self.path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def plans(self, **changes: Any) -> dict[str, str]:
        """The text of each plan file of an experiment, by its name."""
        plans: dict[str, str] = json.loads(self.python("-c", PLANS, yaml.safe_dump(VALUES | changes)))
        return plans

    def error(self, **changes: Any) -> str:
        return self.python("-c", ERROR, yaml.safe_dump(VALUES | changes))

    def passes(self, *tests: str) -> None:
        self.python("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)

    def parts_page(self) -> str:
        self.python("tools/parts_page.py")
        return (self.path / "docs/parts.md").read_text(encoding="utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def naming(plans: dict[str, str], module: str) -> set[str]:
    """Names of the plans that have a module among their code."""
    return {name for name, text in plans.items() if module in json.loads(text)["code"]}


def test_a_network_is_one_new_file(copy: Copy) -> None:
    before, module = copy.plans(), "models.networks.conv_mnist"
    copy.add(NETWORK)
    assert copy.plans() == before  # whoever does not name it reruns nothing
    assert "unknown model 'conv_16'; did you mean conv16" in copy.error(models=["fnn0", "conv_16"])
    assert "conv16 classifies mnist, and the data set cifar10" in copy.error(
        models=["conv16"], dataset={"name": "cifar10"}
    )
    both = copy.plans(models=["fnn0", "conv16"], sources=["fnn0", "fnn0+conv16"])
    assert naming(both, module) == {"train/conv16", "predict/conv16", "source/fnn0+conv16"}
    for name in ("train/fnn0", "predict/fnn0", "source/fnn0", "attack/fgsm"):
        assert both[name] == before[name]
    targets = json.loads(both["evaluate/fgsm"])["values"]["targets"]
    assert targets.keys() == {"fnn0", "conv16"}
    assert targets["fnn0"] == json.loads(before["evaluate/fgsm"])["values"]["targets"]["fnn0"]
    listed = copy.python("-m", "crossfool", "list", "models", "--filter", "conv16")
    assert re.search(r"conv16 +mnist, 28 px, 20,490 parameters +trained here; LeCun et al\. 1998", listed)
    assert "| `conv16` | `conv_mnist.py` | mnist, 28 px | 20,490 | trained here |" in copy.parts_page()
    copy.add(TESTS[NETWORK])
    copy.passes(TESTS[NETWORK], "tests/models/test_networks.py", "-k", "counted or declares or formula")


def test_a_transform_is_one_new_file(copy: Copy) -> None:
    before, module = copy.plans(), "pipeline.transforms.contrast"
    copy.add(TRANSFORM)
    assert copy.plans() == before
    assert "unknown transform 'contrst'; did you mean contrast" in copy.error(transforms={"contrst": [2]})
    assert "transforms: contrast: 11 is out of range 0 to 10 (factor)" in copy.error(transforms={"contrast": [11]})
    both = copy.plans(transforms={"jpeg": [30], "contrast": [2]})
    cells = {"evaluate/fgsm", "evaluate/igsm"}
    assert naming(both, module) == cells
    assert {name for name in both if both[name] != before[name]} == cells | {"report"}
    old, new = (json.loads(plans["evaluate/fgsm"])["values"] for plans in (before, both))
    assert new["targets"] == old["targets"]  # what was predicted serves
    assert new["transform_hashes"].keys() == {"jpeg", "contrast"}
    assert new["transform_hashes"]["jpeg"] == old["transform_hashes"]["jpeg"]
    listed = copy.python("-m", "crossfool", "list", "transforms")
    assert re.search(r"contrast +levels 0 to 10: factor of the distance from 128; Contrast about", listed)
    assert "| `contrast` | Contrast about the middle grey" in copy.parts_page()
    copy.add(TESTS[TRANSFORM])
    copy.passes(TESTS[TRANSFORM])


def test_a_claim_is_one_new_file(copy: Copy) -> None:
    before = copy.plans()
    copy.add(CLAIM)
    after = copy.plans()
    assert {name for name in after if after[name] != before[name]} == {"report"}
    assert naming(after, "report.claims.one_step") == {"report"}
    statement = "Attacks of one step transfer better than iterated ones of the same epsilon and gradient."
    assert statement in copy.python("-m", "crossfool", "list", "claims")
    assert f"| `one_step` | {statement} | arXiv 1611.01236, section 4.4 |" in copy.parts_page()
    experiment = copy.path / "made"
    fooled = {("fnn0", "fgsm", "fnn2"): 7, ("fnn0", "igsm", "fnn2"): 0}
    make(experiment, fooled, models=("fnn0", "fnn2"), sources=("fnn0",), attacks=VALUES["attacks"])
    copy.python("-c", REPORT, folder=experiment)
    agreement = json.loads((experiment / "agreement.json").read_text())
    found = agreement["claims"]["one_step"]
    assert (found["verdict"], found["effect"], found["p"], found["p_holm"]) == ("supported", 87.5, *[2 / 2**7] * 2)
    assert agreement["verdicts"] == {"supported": 1, "contradicted": 0, "undecided": 0}
    assert statement in (experiment / "report/tables.md").read_text(encoding="utf-8")
    copy.add(TESTS[CLAIM])
    copy.passes(TESTS[CLAIM], "tests/report/test_claims.py", "-k", "one_step or one_sentence")


def test_a_figure_is_one_new_file(copy: Copy) -> None:
    """It is in both folders of figures and on the page in its place, and the other figures' bytes stay."""
    before = copy.plans()
    experiment = copy.path / "made"
    fooled = {cell: count for cell, count in FOOLED.items() if cell[1] == "fgsm"}
    make(experiment, fooled, attacks={"fgsm": FGSM, "sg_fgsm": SG})
    complete(experiment)
    copy.python("-c", REPORT, folder=experiment)
    old = pictures(experiment)
    copy.add(FIGURE)
    after = copy.plans()
    assert {name for name in after if after[name] != before[name]} == {"report"}
    assert naming(after, "report.figures.by_target") == {"report"}
    copy.python("-c", REPORT, folder=experiment)
    new = pictures(experiment)
    assert new.keys() - old.keys() == {"figures/by_target.png", "vector/by_target.svg"} and old.items() <= new.items()
    page = (experiment / "report/index.html").read_text(encoding="utf-8")
    titles = re.findall(r"<figcaption>([^<]*?) <button [^>]*class=\"save\"", page)
    assert titles[:3] == ["Success rates of fgsm", "Success rates of sg_fgsm", "Success rates by target"]
    assert file_uri("image/svg+xml", new["vector/by_target.svg"]) in html.unescape(page)
    copy.add(TESTS[FIGURE])
    copy.passes(TESTS[FIGURE], "tests/report/test_figure_files.py", "-k", "not graph")  # dvc.yaml is no part


def pictures(folder: Path) -> dict[str, bytes]:
    """The files of the report's figures."""
    report = folder / "report"
    return {str(path.relative_to(report)): path.read_bytes() for path in report.glob("*/*") if path.suffix in KINDS}


def test_every_file_of_the_page_is_tried() -> None:
    """Those of attacks are by tests/attacks/test_new_parts.py."""
    assert {name for name in FILES if "/attacks/" not in name} == TESTS.keys() | set(TESTS.values())


def test_the_page_of_parts_is_what_the_files_declare(tmp_path: Path) -> None:
    """Run `python tools/parts_page.py` where this fails."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "docs").mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "tools/parts_page.py"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "docs/parts.md").read_text() == (ROOT / "docs/parts.md").read_text()


def test_every_transform_and_claim_says_what_it_is() -> None:
    for name, transform in transform_levels.transforms().items():
        assert transform.summary and transform.cite and transform.low < transform.high, name
    claims = claim_files.claims()
    assert len({claim.order for claim in claims.values()}) == len(claims)
    assert all(claim.section and claim.test and summary(claim_files.FOLDER / f"{claim.name}.py")
               for claim in claims.values())  # fmt: skip


def test_modules_with_an_underscore_and_folders_of_data_are_no_parts(tmp_path: Path) -> None:
    for file in ("b.py", "a.py", "_shared.py", "table.csv"):
        (tmp_path / file).write_text("")
    assert part_names(tmp_path) == ["a", "b"]


def test_a_declaration_is_read_without_running_the_file(tmp_path: Path) -> None:
    path = tmp_path / "part.py"
    path.write_text(
        '"""What it is.\n\nMore."""\nA: dict[str, int] = {"b": -1}\nC = ("long " "text")\nraise SystemExit\n'
    )
    assert (declaration(path, "A"), declaration(path, "C"), summary(path)) == ({"b": -1}, "long text", "What it is")
    with pytest.raises(UserError, match=r"part\.py declares no B; add it, or begin the file's name with _"):
        declaration(path, "B")


def test_a_part_without_a_docstring_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part.py").write_text("A = 1\n")
    with pytest.raises(UserError, match="begins with no docstring"):
        summary(tmp_path / "part.py")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"low": 0, "high": 1, "unit": "u", "cite": "c", "lou": 0}, "here: unknown key 'lou'; did you mean low"),
        ({"low": 0, "high": 1, "cite": "c"}, "here: unit: Field required"),
        ({"low": "least", "high": 1, "unit": "u", "cite": "c"}, "here: low: Input should be a valid number"),
    ],
)
def test_a_wrong_declaration_is_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        record(transform_levels.Transform, {"name": "mine", **values}, "here")
    assert "\n" not in str(caught.value)
