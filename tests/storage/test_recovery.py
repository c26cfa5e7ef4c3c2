"""How to get what is not here: commands that exist, and a pull only where there is a remote."""

import shlex
from pathlib import Path

import pytest
import yaml

from crossfool.storage import csv_files, json_files, parquet, recovery, tensors

REMOTE = "[core]\n    remote = team\n['remote \"team\"']\n    url = /nowhere\n"
LOCKED = {
    "evaluate@fnn0-fgsm": ["predictions/fnn0/fgsm.parquet", "metrics/fnn0/fgsm.json"],
    "attack@fnn0-fgsm": ["adversarial/fnn0/fgsm.safetensors"],
    "report": ["report"],
}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone with an experiment that was run elsewhere; the working folder is its root."""
    for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
        (tmp_path / name).mkdir()
    clone = tmp_path / "a clone"
    for folder in (".dvc", "stages", "experiments/mine"):
        (clone / folder).mkdir(parents=True)
    (clone / ".dvc/config").write_text("[core]\n    analytics = false\n")
    stages = {
        name: {"cmd": "x", "outs": [{"path": path, "hash": "md5", "md5": "a" * 32, "size": 1} for path in paths]}
        for name, paths in LOCKED.items()
    }
    for folder in (clone, clone / "experiments/mine"):
        (folder / "dvc.yaml").write_text("stages: {}\n")
        (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    monkeypatch.chdir(clone)
    return clone


@pytest.mark.parametrize(
    ("path", "alone"),
    [
        ("adversarial/fnn0/fgsm.safetensors", "attack@fnn0-fgsm"),
        ("report/tables/results.csv", "report"),
        ("subset/images.safetensors", None),  # no lock knows of it: it was never run
    ],
)
def test_the_command_is_of_the_folders_graph(clone: Path, monkeypatch: pytest.MonkeyPatch, path, alone) -> None:
    def getting(repro: str) -> str:
        target = shlex.quote(f"{repro}:{alone}" if repro else str(alone))
        whole = f"dvc repro {repro}" if repro else "dvc repro"
        return f"run `{whole}` to make it" + (f" (it alone: `dvc repro {target}`)" if alone else "")

    assert recovery.how_to_get(path) == getting("")
    there = f"experiments/mine/{path}"
    assert recovery.how_to_get(there) == getting("experiments/mine/dvc.yaml")
    monkeypatch.chdir("experiments/mine")
    assert recovery.how_to_get(path) == getting("")
    assert recovery.how_to_get(f"../../{path}") == getting("../../dvc.yaml")


@pytest.mark.parametrize("file", ["metrics/fnn0/fgsm.json", "predictions/fnn0/fgsm.parquet"])
def test_metrics_and_predictions_are_in_git(clone: Path, file: str) -> None:
    (clone / ".dvc/config").write_text(REMOTE)
    said = recovery.how_to_get(f"experiments/mine/{file}")
    assert said.endswith(f"or `git checkout -- experiments/mine/{file}` if it was committed")
    assert "dvc pull" not in said and "experiments/mine/dvc.yaml:evaluate@fnn0-fgsm" in said


@pytest.mark.parametrize(
    "place", [".dvc/config", ".dvc/config.local", "../DVC_GLOBAL_CONFIG_DIR/config", "../DVC_SYSTEM_CONFIG_DIR/config"]
)
def test_a_pull_is_advised_where_there_is_a_remote(clone: Path, place: str) -> None:
    path = Path("adversarial/fnn0/fgsm.safetensors")
    assert recovery.pull_command(clone) is None and "pull" not in recovery.how_to_get(path)
    (clone / place).write_text(REMOTE)
    assert recovery.pull_command(clone / "experiments/mine") == "dvc pull"
    assert f"run `dvc repro` or `dvc pull {path}` to make or fetch it" in recovery.how_to_get(path)
    assert recovery.how_to_restore(path) == "`dvc pull` or `dvc repro`"
    (clone / place).write_text("['remote \"their own\"']\n    url = /nowhere\n")  # and none that is the default
    assert f"`dvc pull -r 'their own' {path}`" in recovery.how_to_get(path)


@pytest.mark.parametrize("text", ["[core\n", "[core]\n    remote =\n", "\xff"])
def test_a_broken_configuration_is_no_remote(clone: Path, text: str) -> None:
    (clone / ".dvc/config").write_text(text, encoding="latin-1")
    assert recovery.pull_command(clone) is None


READERS = {
    "safetensors": tensors.TensorFile,
    "json": json_files.read_json,
    "parquet": parquet.read_table,
    "csv": lambda path: csv_files.read_csv(path, {"a": int}),
}


@pytest.mark.parametrize("kind", READERS)
def test_every_reader_says_how_to_get_what_is_missing(clone: Path, kind: str) -> None:
    path = f"experiments/mine/analysis/a.{kind}"
    with pytest.raises(recovery.UserError) as caught:
        READERS[kind](path)
    assert str(caught.value) == f"{path} is missing; run `dvc repro experiments/mine/dvc.yaml` to make it"


def test_outside_a_repository(tmp_path: Path) -> None:
    assert recovery.how_to_get(tmp_path / "a.json") == "run `dvc repro` to make it"
    assert recovery.pull_command(tmp_path) is None
