"""A stage depends on the library files that it uses, and on no other; heavy imports stay where they are needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = {
    name: stage.get("do", stage) for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}

# Not dependencies, because a result cannot change with them: error texts, the command line, what a signal does, the
# device, who computes a chunk (tests/test_engines.py); how params.yaml is read, which is as DVC reads it; what it may
# not name.
NO_RESULT = {"__init__", "advice", "ending", "errors", "plain", "stage", "runtime", "warm", "engines"}
NO_RESULT |= {"reading", "places"}
# These validate names in params.py everywhere. The zoo says what a model is only where its weights are made, and
# methods what an attack is only where it is made and its cost is told.
MATTERS = {"zoo": {"check", "train"}, "methods": {"check", "attack", "report"}}
# The tables in crossfool/data that a module reads.
TABLES = {
    "classes": {"imagenet_classes"},
    "costs": {"operations"},
    "preflight": {"unusable"},
    "results": {"paper_tables", "reported"},
    "zoo": {"torchvision_models"},
}
# The folder of templates, which make the report's page and nothing else.
TEMPLATES = {"pages": {"templates"}}


def imported(path: Path) -> set[str]:
    """Names of the package's modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "crossfool":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("crossfool."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("crossfool.")}
    return {name for name in names if name != "__version__"}


def closure(start: Path) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            for name in imported(file) - found:
                found.add(name)
                module = ROOT / "crossfool" / name
                if name not in NO_RESULT and name not in MATTERS:
                    waiting.append(module if module.is_dir() else module.with_suffix(".py"))
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_are_what_the_stage_imports(stage):
    script = stage.removesuffix("_a").removesuffix("_b")  # a grid's cells are computed as all others are
    used = closure(ROOT / "stages" / f"{script}.py") - NO_RESULT
    used -= {name for name, stages in MATTERS.items() if script not in stages}
    prefix = "${root}/crossfool/"
    tables = {f"data/{table}.csv" for name in used for table in TABLES.get(name, ())}
    declared = {dep.removeprefix(prefix).removesuffix(".py") for dep in STAGES[stage]["deps"] if dep.startswith(prefix)}
    templates = {folder for name in used for folder in TEMPLATES.get(name, ())}
    assert declared == used | tables | templates
    assert f"${{root}}/stages/{script}.py" in STAGES[stage]["deps"]
    assert STAGES[stage]["cmd"].startswith(f"python -P -m crossfool.warm ${{root}}/stages/{script}.py")


def loads(code: str) -> set[str]:
    """The top-level packages that are loaded once some code has run, in a process of its own."""
    probe = f"{code}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", probe], check=True, text=True, capture_output=True).stdout.split())


def test_attack_loads_neither_torchvision_nor_plots_nor_tables():
    code = "from crossfool import cells, models, networks, sources; networks.own('efficientnet_lite0')"
    assert loads(code) & {"torchvision", "matplotlib", "pandas", "scipy", "timm", "pyarrow", "PIL"} == set()


def test_params_and_sources_load_no_torch():
    assert "torch" not in loads("from crossfool import params, sources, stage")


def test_every_table_has_a_reader():
    tables = {path.stem for path in (ROOT / "crossfool/data").glob("*.csv")}
    assert tables == set().union(*TABLES.values())
    for module, names in TABLES.items():
        text = (ROOT / "crossfool" / f"{module}.py").read_text()
        assert all(name in text for name in names)
