"""Fixtures that tests of several rooms share, and the order in which files of tests begin."""

import gc
import os
import shutil
from pathlib import Path

import pytest
import torch
from builders import ROOT, make_subset
from command_line import git
from made_experiments import FOOLED, lock, make

# Processes that tests start: as many test processes as cores, whose threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Files that take half a minute and more, the longest first: begun before the others, so that no process of pytest-xdist
# has one left when others are done.
LONG = (
    "project/test_stress.py",
    "pipeline/test_workers.py",
    "project/test_reruns.py",
    "project/test_sharing.py",
    "project/test_everywhere.py",
    "pipeline/test_evaluate_cell.py",
    "project/test_pipeline.py",
    "project/test_new_parts_of_every_kind.py",
    "project/test_own_models_in_experiments.py",
    "project/test_defended_in_experiments.py",
    "project/test_stand_ins.py",
    "pipeline/test_stages.py",
    "project/test_site.py",
    "project/test_tutorials.py",
    "models/test_fusion.py",
    "cli/test_check.py",
    "project/test_cluster.py",
    "report/test_html.py",
    "experiment/test_output_sizes.py",
    "project/test_benchmarks.py",
    "models/test_models.py",
    "models/test_named_models.py",
    "project/test_sources_of_libraries.py",
    "report/test_report.py",
    "report/test_figures.py",
    "attacks/test_adapter.py",
    "pipeline/test_target_predictions.py",
    "cli/test_commands.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {ROOT / "tests" / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


def pytest_collection_finish() -> None:
    """What all tests have imported is no garbage, which loading a model looks for: stages have smaller heaps."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # tiny networks: threads only get in each other's way


@pytest.fixture
def subset(tmp_path: Path) -> Path:
    """Eleven made images of 1x28x28 with labels, target labels and ids that are not their places."""
    return make_subset(tmp_path)


@pytest.fixture
def fnn_weights(tmp_path: Path) -> Path:
    """A folder with weights files of fnn0 and fnn2, random but seeded."""
    from made_cells import make_weights

    return make_weights(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git and DVC repository with the project's graph and no experiment."""
    return make_project(tmp_path / "project")


def make_project(project: Path) -> Path:
    """Write such a repository into a folder that is not there yet."""
    for folder in (".dvc", "stages", "experiments"):
        (project / folder).mkdir(parents=True)
    (project / "stages/plan.py").touch()
    (project / ".dvc/config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    (project / ".gitignore").write_text(
        "predictions/\nadversarial/\nsubset/\n.dvc/cache/\n.dvc/tmp/\n", encoding="utf-8"
    )
    shutil.copy(ROOT / "dvc.yaml", project)
    git(project, "init", "--quiet")
    return project


@pytest.fixture(scope="session")
def project_with_small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a repository with the made experiment `small`, locked and committed; tests get copies of it."""
    project = make_project(tmp_path_factory.mktemp("with_small") / "project")
    folder = project / "experiments/small"
    make(folder, FOOLED)
    shutil.copy(ROOT / "dvc.yaml", folder)
    lock(project, folder)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "first")
    return project


@pytest.fixture
def small(project: Path, project_with_small: Path) -> Path:
    """The made experiment `small` in the project, locked and committed."""
    shutil.rmtree(project)
    shutil.copytree(project_with_small, project, symlinks=True)
    return project / "experiments/small"
