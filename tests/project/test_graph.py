"""A stage depends on the library files that it uses, and on no other; heavy imports stay where they are needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from builders import ROOT

STAGES = {
    name: stage.get("do", stage) for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}

# Not dependencies, because a result cannot change with them: error texts, the command line, what a signal does, the
# device, who computes a chunk (tests/pipeline/test_workers.py); how params.yaml is read, which is as DVC reads it; what
# it may not name. A folder's name stands for all modules in it.
NO_RESULT = {"errors", "runtime", "signals", "text_encoding", "storage.recovery"}
NO_RESULT |= {"experiment.params_file", "experiment.protected_folders"}
NO_RESULT |= {"pipeline.stage", "pipeline.warm_start", "pipeline.workers"}
# These validate names in params.yaml everywhere. The registry says what a model is only where its weights are made, and
# the catalogue what an attack is only where it is made and its cost is told.
MATTERS = {
    "models.weights.registry": {"check", "train"},
    "attacks.torchattack.catalogue": {"check", "attack", "report"},
}
# Folders whose modules are imported by name, so that a stage depends on all of them.
FOLDERS = {"models.networks"}
# The tables that a module reads.
TABLES = {
    "datasets.class_names": {"datasets/imagenet_classes.csv"},
    "experiment.costs": {"experiment/operations.csv"},
    "report.reported.published_rates": {"report/reported/paper_attacks.csv", "report/reported/paper_rates.csv"},
    "models.weights.registry": {"models/weights/torchvision_models.csv"},
}
OTHERS_TABLES = {
    "models.weights.registry": {"models/weights/unusable.csv"}
}  # read before anything runs, and never by a stage
# The folder of templates, which make the report's page and nothing else.
TEMPLATES = {"report.html.page": {"report/html/templates"}}
PACKAGE = ROOT / "crossfool"


def exists(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports, anywhere in it: dotted names without the package's own."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "crossfool":
            base = node.module.split(".")[1:]
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                names.add(whole if exists(whole) else ".".join(base))
        elif isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("crossfool.")}
    return {folder(name) for name in names if name}


def folder(name: str) -> str:
    """The folder that a stage depends on in place of a module, where there is one; else the module."""
    return next((one for one in FOLDERS if name == one or name.startswith(f"{one}.")), name)


def changes_nothing(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in NO_RESULT)


def closure(start: Path) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            for name in imported(file) - found:
                found.add(name)
                module = PACKAGE.joinpath(*name.split("."))
                if not changes_nothing(name) and name not in MATTERS:
                    waiting.append(module if module.is_dir() else module.with_suffix(".py"))
    return found


def wanted(stage: str) -> list[str]:
    """Files of the package that a stage depends on, as dvc.yaml writes them."""
    script = stage.removesuffix("_a").removesuffix("_b")  # a grid's cells are computed as all others are
    used = {name for name in closure(ROOT / "stages" / f"{script}.py") if not changes_nothing(name)}
    used -= {name for name, stages in MATTERS.items() if script not in stages}
    tables = {table for name in used for table in TABLES.get(name, ())}
    templates = {folder for name in used for folder in TEMPLATES.get(name, ())}
    modules = {name.replace(".", "/") + ("" if name in FOLDERS else ".py") for name in used}
    return sorted(f"${{root}}/crossfool/{path}" for path in modules | tables | templates)


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_are_what_the_stage_imports(stage):
    script = stage.removesuffix("_a").removesuffix("_b")
    declared = [dep for dep in STAGES[stage]["deps"] if dep.startswith("${root}/crossfool/")]
    assert declared == wanted(stage)
    assert f"${{root}}/stages/{script}.py" in STAGES[stage]["deps"]
    assert STAGES[stage]["cmd"].startswith(f"python -P -m crossfool.pipeline.warm_start ${{root}}/stages/{script}.py")


def loads(code: str) -> set[str]:
    """The top-level packages that are loaded once some code has run, in a process of its own."""
    probe = f"{code}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", probe], check=True, text=True, capture_output=True).stdout.split())


def test_attack_loads_neither_torchvision_nor_plots_nor_tables():
    code = (
        "from crossfool.pipeline.crafting import cell_inputs, weights_record\n"
        "from crossfool.models.networks import build\n"
        "from crossfool.models.inference import pixel_model\n"
        "build.crossfool_network('efficientnet_lite0')"
    )
    assert loads(code) & {"torchvision", "matplotlib", "pandas", "scipy", "timm", "pyarrow", "PIL"} == set()


def test_params_and_sources_load_no_torch():
    assert "torch" not in loads(
        "from crossfool.pipeline.crafting import weights_record\n"
        "from crossfool.pipeline import stage\n"
        "from crossfool.experiment import config"
    )


def test_every_table_has_a_reader():
    readers = {name: TABLES.get(name, set()) | OTHERS_TABLES.get(name, set()) for name in TABLES.keys() | OTHERS_TABLES}
    assert {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.csv")} == set().union(*readers.values())
    for module, tables in readers.items():
        text = PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text()
        assert all(Path(table).stem in text for table in tables)
