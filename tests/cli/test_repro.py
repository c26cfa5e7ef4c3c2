"""`crossfool repro`: lines of progress as DVC runs, skips and restores stages, its exit code, and the answer."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_experiments import FOOLED, SG, make
from repositories import finished

from crossfool.cli import dvc_repro, repro, stand_ins
from crossfool.cli.main import main
from crossfool.experiment.progress import Progress
from crossfool.experiment.results.metrics import load_metrics
from crossfool.report.findings import Findings

IN_THIS_PROCESS = pytest.mark.filterwarnings("ignore")  # what DVC uses of others is not ours to mend
GRAPH = """
stages:
  first:
    cmd: cp given one
    deps: [given]
    outs: [one]
  second:
    cmd: test -s one && cp one two
    deps: [one]
    outs: [two]
"""


@IN_THIS_PROCESS
def test_lines_of_stages_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(stand_ins.DVC_CONFIG)
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    given = tmp_path / "given"

    def lines(text: str, status: int = 0) -> list[str]:
        given.write_text(text)
        capsys.readouterr()
        handler = repro.ProgressLines(Progress(["first", "second"], None))
        assert dvc_repro.run_here(tmp_path, handler) == status
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("stage ")]

    here = Path.cwd()
    assert lines("a") == ["stage 1 of 2", "stage 2 of 2"]
    assert lines("a") == []
    assert lines("b") == ["stage 1 of 2", "stage 2 of 2"]
    assert lines("a") == [] and (tmp_path / "two").read_text() == "a"  # from the run cache
    (tmp_path / "two").unlink()
    assert lines("b") == []
    assert lines("", status=255) == ["stage 1 of 2", "stage 2 of 2"]  # the second fails
    assert lines("c") == ["stage 1 of 2", "stage 2 of 2"]
    assert Path.cwd() == here


def answer(folder: Path) -> dict[str, str]:
    experiment = make(folder, FOOLED, transforms={})
    return dict(repro.answer(Findings(folder, load_metrics(folder, experiment))))


def test_the_answer_by_hand(tmp_path: Path) -> None:
    """fgsm fools 5, 0 and 4 of 8 images of three black-box cells, sg_fgsm 2 of each."""
    found = answer(tmp_path)
    assert list(found) == ["best", "success", "against", "verdict", "report"]
    assert found["best"].startswith("fgsm transfers best: untargeted, ")
    assert found["success"] == (
        "37.5% [14.5, 68.0] mean top-1 success over 3 black-box cells, at 1 gradient evaluation an image and model"
    )
    # tests/experiment/test_comparison.py counts the signs: 18 of 32
    assert found["against"].startswith("+12.5 points [")
    assert (
        "] over sg_fgsm, the next best within 10 gradient evaluations (it has 5); paired p = 0.56" in found["against"]
    )
    assert found["verdict"] == "undecided"
    assert found["report"].startswith(str(tmp_path / "report/index.html"))


def test_the_next_best_stands_first_in_params(tmp_path: Path) -> None:
    """The difference is that of the best attack less the other, whichever comes first."""
    every = {(source, "b", target): 8 for source in ("fnn0", "fnn2+fnn0") for target in ("fnn2", "fnn4")}
    experiment = make(tmp_path, every, attacks={"a": SG, "b": SG, "dear": {**SG, "samples": 60}}, transforms={})
    against = dict(repro.answer(Findings(tmp_path, load_metrics(tmp_path, experiment))))["against"]
    assert against.startswith("+75.0 points [") and "] over a, the next best within 10 gradient evaluations" in against


@IN_THIS_PROCESS
@pytest.mark.slow
def test_a_run_from_its_check_to_its_answer(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edited attack runs four of fourteen stages; a value that params.yaml may not have runs none."""
    repository = finished(tmp_path / "made", tmp_path_factory)
    for name, value in repository.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dvc_repro, "_path", lambda: repository.environment["PATH"])
    repository.edit(lambda values: values["attacks"]["sg_igsm"].update(sigma=80))
    done = CliRunner().invoke(main, ["repro", str(repository.path)])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert "to run    plan, attack 1 of 2, evaluate 1 of 2, report" in lines
    assert any(line.startswith("4 of 14 stages will run, in an estimated ") for line in lines)
    places = [line.partition(",")[0] for line in lines if line.startswith("stage ")]
    assert len(places) == 4 and places[0] == "stage 1 of 14" and places[-1] == "stage 14 of 14"
    assert next(line for line in lines if line.startswith("best")).endswith("ε = 100")
    assert lines[-1].startswith("report    ") and (repository.path / "report/index.html").is_file()
    repository.edit(lambda values: values["attacks"]["sg_igsm"].update(sigmaa=80))
    done = CliRunner().invoke(main, ["repro", str(repository.path)])
    assert done.exit_code == 2 and done.output.startswith("error: ") and "did you mean sigma" in done.output
