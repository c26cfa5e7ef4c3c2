"""The graph: each stage depends on its plan and its data; heavy imports stay where they are needed."""

import subprocess
import sys

import pytest
import yaml
from builders import ROOT

STAGES = {
    name: stage.get("do", stage) for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}
PLANNED = [name for name in STAGES if name != "plan"]


def test_plan_depends_on_all_code_and_on_params_whole():
    plan = STAGES["plan"]
    assert plan["deps"] == ["${root}/crossfool", "${root}/own", "${root}/stages"]
    assert plan["params"] == [{"params.yaml": None}]
    assert "plan" in plan["outs"]


@pytest.mark.parametrize("name", PLANNED)
def test_a_stage_depends_on_its_plan_and_on_no_code(name: str) -> None:
    stage, kind = STAGES[name], name.removesuffix("_a").removesuffix("_b")
    assert stage["cmd"].startswith(f"sh ${{root}}/stages/run {kind}")
    assert (ROOT / "stages" / f"{kind}.py").is_file()
    plans = [dep for dep in stage["deps"] if dep.startswith("plan/")]
    assert any(plan.startswith((f"plan/{kind}.json", f"plan/{kind}/")) for plan in plans)
    assert not any("${root}" in dep for dep in stage["deps"])


def test_the_graph_is_read_in_one_look():
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) < 300


def loads(code: str) -> set[str]:
    """The top-level packages that are loaded once some code has run, in a process of its own."""
    probe = f"{code}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", probe], check=True, text=True, capture_output=True).stdout.split())


def test_attack_loads_neither_torchvision_nor_plots_nor_tables():
    code = (
        "import importlib\n"
        "from crossfool.experiment import fingerprint\n"
        "names = fingerprint.fingerprint(['crossfool.pipeline.crafting.craft_cell'])\n"
        "for name in names: importlib.import_module(f'crossfool.{name}')\n"
        "from crossfool.models import build\n"
        "build.crossfool_network('efficientnet_lite0')"
    )
    assert loads(code) & {"torchvision", "matplotlib", "pandas", "scipy", "timm", "pyarrow", "PIL"} == set()


def test_plans_and_sources_load_no_torch():
    assert "torch" not in loads(
        "from crossfool.pipeline.crafting import weights_record\n"
        "from crossfool.pipeline import stage\n"
        "from crossfool.experiment import plan_files, stage_plans"
    )
