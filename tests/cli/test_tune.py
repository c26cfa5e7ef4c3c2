"""`crossfool tune`: trials of rows on tuning images, the best of them, and the text of params.yaml that gets it."""

import json
import subprocess

import pytest
import yaml
from builders import EMPTY
from click.testing import CliRunner
from command_line import told
from repositories import finished

from crossfool.cli.main import main
from crossfool.errors import UserError
from crossfool.experiment import loading, tuning

TEXT = f"""\
# a remark
root: .
dataset: {{name: imagenet-sample}}
models: [efficientnet_lite0, efficientnet_lite1]
weights: {{}}
training: null
subset: {{images: 4, tuning: 3, seed: 0, targets: random}}
compute: {{precision: float32, chunk: 20}}
sources: [efficientnet_lite0]
attacks:
  fgsm: {{epsilon: 4, steps: 1, step_size: 4}}
  igsm: {{epsilon: 4, steps: 10, step_size: 0.4}}   # the usual step
  sg:
    epsilon: 4
    steps: 5
    step_size: 1
    gradient: smoothed
    samples: 2
    sigma: 4   # as epsilon
    seeds: [3, 4]
    record_steps: [1]
{yaml.safe_dump(EMPTY | {"transforms": {}})}"""
REACH = {"reach": (1.0, 2.5)}


def trials(candidates, *rows):
    experiment = loading.parse_experiment(TEXT, "params.yaml")
    return tuning.make_trials(experiment, yaml.safe_load(TEXT)["attacks"], candidates, rows)


def test_candidates_are_read_from_the_command_line():
    assert tuning.parse_candidates(["sigma=2,4", "reach=1.5"]) == {"sigma": (2.0, 4.0), "reach": (1.5,)}


@pytest.mark.parametrize("text", ["sigma", "sigma=", "=3", "sigma=two", "sigma=1,,2"])
def test_other_texts_are_refused(text):
    with pytest.raises(UserError, match=r"expected KEY=NUMBER,NUMBER such as sigma=2,4,8"):
        tuning.parse_candidates([text])


def test_a_key_given_twice_is_refused():
    with pytest.raises(UserError, match="--try sigma is given twice"):
        tuning.parse_candidates(["sigma=1", "sigma=2"])


def test_reach_is_a_step_size_of_rows_of_two_steps_and_more():
    found = {trial.name: dict(trial.values) for trial in trials(REACH)}
    assert found == {
        "igsm__1": {"step_size": 0.4},
        "igsm__2": {"step_size": 1},
        "sg__1": {"step_size": 0.8},
        "sg__2": {"step_size": 2},
    }


def test_combinations_of_the_keys_that_a_row_has():
    found = [dict(trial.values) for trial in trials({**REACH, "sigma": (2.0, 8.0)}, "sg")]
    expected = [(0.8, 2), (0.8, 8), (2, 2), (2, 8)]
    assert found == [{"step_size": step, "sigma": sigma} for step, sigma in expected]
    assert [dict(trial.values) for trial in trials({**REACH, "sigma": (2.0,)}, "igsm", "sg")][:2] == [
        {"step_size": 0.4},
        {"step_size": 1},
    ]


def test_a_trial_has_one_seed_and_records_nothing():
    first = trials(REACH, "sg")[0]
    assert first.keys["seed"] == 3 and not {"seeds", "record_steps"} & first.keys.keys()
    assert first.attack.gradient_evaluations == 10


@pytest.mark.parametrize(
    ("candidates", "rows", "message"),
    [
        (REACH, ["ifgsm"], "unknown attack 'ifgsm'; did you mean igsm"),
        ({"radius": (1.0,)}, [], "--try radius: no row has a number of that name"),
        ({"reach": (1.0,)}, ["fgsm"], "--try reach: no row has a number of that name"),
        ({"reach": (0.0,)}, ["igsm"], r"attacks\.igsm takes no step_size: 0"),
    ],
)
def test_what_cannot_be_tried_is_refused(candidates, rows, message):
    with pytest.raises(UserError, match=message):
        trials(candidates, *rows)


def test_the_best_has_the_greatest_success_and_of_equals_the_smallest_values():
    some = trials({"reach": (5.0, 1.0, 2.5)})
    rates = {"igsm__1": 50.0, "igsm__2": 50.0, "igsm__3": 49.0, "sg__1": 10.0, "sg__2": 20.0, "sg__3": 20.1}
    best = tuning.best_trials(some, rates)
    assert {row: trial.name for row, trial in best.items()} == {"igsm": "igsm__2", "sg": "sg__3"}


def test_written_values_leave_all_else_as_it_is():
    some = trials({**REACH, "sigma": (2.0,)})
    changed = tuning.write_values(TEXT, {"igsm": some[1], "sg": some[3]})
    expected = TEXT.replace("step_size: 0.4", "step_size: 1").replace("step_size: 1\n", "step_size: 2\n")
    assert changed == expected.replace("sigma: 4 ", "sigma: 2 ")


def test_a_key_that_a_row_lacks_is_added():
    text = TEXT.replace("    step_size: 1\n", "").replace(", step_size: 0.4}", "}")
    some = trials(REACH)
    changed = tuning.write_values(text, {"igsm": some[0], "sg": some[2]})
    rows = yaml.safe_load(changed)["attacks"]
    assert rows["igsm"]["step_size"] == 0.4 and rows["sg"]["step_size"] == 0.8 and "# as epsilon" in changed


def test_an_experiment_without_tuning_images_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text(TEXT.replace("tuning: 3, ", ""))
    said = told("tune", str(tmp_path), code=2)
    assert "sets no images apart for tuning; give subset a number of them, such as tuning: 100" in said


def test_an_experiment_without_black_box_cells_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "params.yaml").write_text(
        TEXT.replace("[efficientnet_lite0, efficientnet_lite1]", "[efficientnet_lite0]")
    )
    assert "no target is another model than the source" in told("tune", str(tmp_path), code=2)
    assert not (tmp_path / "tuning").exists()


def test_a_folder_written_by_hand_is_left_alone(tmp_path, monkeypatch):
    for name in ("dvc.yaml", "stages"):
        (tmp_path / name).touch() if "." in name else (tmp_path / name).mkdir()
    (tmp_path / "params.yaml").write_text(TEXT)
    (tmp_path / "tuning").mkdir()
    (tmp_path / "tuning/params.yaml").write_text("root: ..\n")
    assert "was not written by `crossfool tune`" in told("tune", str(tmp_path), code=2)
    assert (tmp_path / "tuning/params.yaml").read_text() == "root: ..\n"


def test_the_trials_are_an_experiment_on_the_tuning_images(tmp_path, monkeypatch):
    """And when a stage fails, the command says where."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "dvc.yaml").write_text("the graph")
    text = TEXT.replace("{name: imagenet-sample}", "{name: nips2017, path: images}")
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "images").mkdir()

    def run(command, **options):
        assert command[1:] == ["-m", "dvc", "repro"] and options["cwd"] == tmp_path / "tuning"
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    said = CliRunner().invoke(main, ["tune", str(tmp_path), "--try", "reach=1,2.5"])
    assert said.exit_code == 2 and "error: `dvc repro` failed in " in said.output
    assert "4 trials of 2 rows on 3 tuning images, " in said.output
    tried = loading.load_experiment(tmp_path / "tuning/params.yaml")
    assert (tmp_path / "tuning/dvc.yaml").read_text() == "the graph"
    assert tried.root == ".." and tried.dataset.given_path == "../images" and tried.subset.uses_tuning
    scored = loading.load_experiment(tmp_path / "params.yaml")
    assert (tried.models, tried.subset.seed, tried.subset.tuning) == (scored.models, scored.subset.seed, 3)
    assert {name: row.step_size for name, row in tried.attacks.items()} == {
        "igsm__1": 0.4,
        "igsm__2": 1,
        "sg__1": 0.8,
        "sg__2": 2,
    }


@pytest.mark.exhaustive  # the parts have tests of their own
@pytest.mark.slow
def test_trials_run_on_tuning_images_and_the_best_is_written(tmp_path, tmp_path_factory):
    one = finished(tmp_path / "made", tmp_path_factory)
    one.edit(lambda values: (values["subset"].update(tuning=5), values.update(transforms={})))
    command = ("tune", ".", "--row", "sg_igsm", "--try", "reach=1,2", "--write")
    printed = one.run("crossfool", *command)
    assert "2 trials of 1 rows on 5 tuning images" in printed and "best" in printed
    tried = loading.load_experiment(one.path / "tuning/params.yaml")
    assert tried.subset.uses_tuning and list(tried.attacks) == ["sg_igsm__1", "sg_igsm__2"]
    rates = {}
    for name in tried.attacks:
        found = json.loads((one.path / f"tuning/metrics/fnn0/{name}.json").read_text())
        assert found["fnn2"]["n"] == 5
        rates[name] = found["fnn2"]["top1"]
    steps = {"sg_igsm__1": 50, "sg_igsm__2": 100}
    best = min(rates, key=lambda name: (-rates[name], steps[name]))
    assert yaml.safe_load((one.path / "params.yaml").read_text())["attacks"]["sg_igsm"]["step_size"] == steps[best]
