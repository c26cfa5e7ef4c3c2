"""`crossfool new`: names, templates, and paths that lead where they led."""

from pathlib import Path

import pytest
from builders import ROOT
from command_line import told
from made_experiments import make

from crossfool.cli import new
from crossfool.datasets.preparation import catalogue
from crossfool.errors import UserError
from crossfool.experiment import costs, fetches, loading, output_sizes


@pytest.mark.parametrize("name", ["../x", "a b", "", ".", "-x", "a/b", "ä", ".hidden", "x\n"])
def test_bad_names_are_refused(project: Path, name: str) -> None:
    with pytest.raises(UserError, match="is not a valid name for an experiment"):
        new.make_experiment(name, project)
    assert list((project / "experiments").iterdir()) == []


def test_a_new_experiment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    text = told("new", "mine")
    folder = project / "experiments/mine"
    assert (folder / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert not (folder / "dvc.yaml").is_symlink()
    experiment = loading.load_experiment(folder / "params.yaml")
    assert (folder / experiment.root).resolve() == project
    assert "dvc repro experiments/mine/dvc.yaml" in (folder / "README.md").read_text(encoding="utf-8")
    assert "dvc repro experiments/mine/dvc.yaml" in text and "crossfool check experiments/mine" in text
    assert "experiments/mine exists already; choose another name" in told("new", "mine", code=2)
    assert sorted(path.name for path in (project / "experiments").iterdir()) == ["mine"]


def test_a_new_experiment_from_another(project: Path, small: Path) -> None:
    text = (small / "params.yaml").read_text(encoding="utf-8") + "# the last line\n"
    (small / "params.yaml").write_text(text, encoding="utf-8")
    folder = new.make_experiment("mine", small, "small")
    assert (folder / "params.yaml").read_text(encoding="utf-8") == text.replace("root: .\n", "root: ../..\n")
    with pytest.raises(UserError, match="unknown experiment 'smal'; did you mean small"):
        new.make_experiment("other", project, "smal")
    (small / "params.yaml").write_text("root: 3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"params.yaml"):
        new.make_experiment("other", project, "small")
    assert not (project / "experiments/other").exists()


def test_relative_paths_lead_where_they_led(project: Path) -> None:
    make(project, {}, dataset={"name": "imagefolder", "path": "my photos", "classes": "mnist", "train_folder": "t"})
    folder = new.make_experiment("mine", project, ".")
    experiment = loading.load_experiment(folder / "params.yaml")
    assert (experiment.dataset.path, experiment.root) == ("../../my photos", "../..")


def test_networks_of_several_seeds(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are written out in either of YAML's styles, comments stay, and what is not trained has no seed."""
    monkeypatch.chdir(project)
    make(project, {}, sources=("fnn0", "fnn2+fnn0"))
    text = (project / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("targets: all", "targets: [fnn0, fnn4]  # two").replace("- fnn4\n", "- fnn4  # the last\n", 1)
    text = text.replace("learning_rate: 0.1", "learning_rate: 0.1\n  seed: 2")
    (project / "params.yaml").write_text(text, encoding="utf-8")
    told("new", "mine", "--from", ".", "--seeds", "3")
    written = (project / "experiments/mine/params.yaml").read_text(encoding="utf-8")
    experiment = loading.load_experiment(project / "experiments/mine/params.yaml")
    one, two = "_seed3", "_seed4"
    assert experiment.models == tuple(f"{model}{seed}" for model in ("fnn0", "fnn2", "fnn4") for seed in ("", one, two))
    assert experiment.targets == ("fnn0", f"fnn0{one}", f"fnn0{two}", "fnn4", f"fnn4{one}", f"fnn4{two}")
    ensembles = ("fnn2+fnn0", f"fnn2{one}+fnn0{one}", f"fnn2{two}+fnn0{two}")
    assert experiment.sources == ("fnn0", f"fnn0{one}", f"fnn0{two}", *ensembles)
    assert "# two" in written and "# the last" in written and len(written.splitlines()) > 20
    assert experiment.attacks == loading.load_experiment(project / "params.yaml").attacks
    assert "several seeds already (fnn0_seed3)" in told("new", "x", "--from", "mine", "--seeds", "2", code=2)
    assert "trains no model" in told("new", "x", "--seeds", "2", code=2)  # published weights
    assert not (project / "experiments/x").exists()
    told("new", "digits", "--dataset", "mnist", "--seeds", "5")
    assert len(loading.load_experiment(project / "experiments/digits/params.yaml").models) == 15


def test_new_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is not in a crossfool repository" in told("new", "mine", code=2)


def test_a_new_experiment_on_public_photographs(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The table on some 800 images: what `new` writes is valid as it is, and `check` says what it costs."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("CROSSFOOL_CACHE", str(tmp_path / "cache"))
    told("new", "mine", "--dataset", "imagenet-sample-images")
    folder = project / "experiments/mine"
    experiment = loading.load_experiment(folder / "params.yaml")
    assert experiment.dataset.name == "imagenet-sample-images" and experiment.subset.images == "all"
    assert experiment.sources == ("efficientnet_lite0",) and set(experiment.models) == costs.DEFAULT_MODELS
    assert {row.gradient_evaluations for row in experiment.attacks.values()} == {10}
    assert {row.epsilon for row in experiment.attacks.values()} == {6} and len(experiment.attacks) >= 3
    assert "epsilon is 6 of 255" in (folder / "params.yaml").read_text(encoding="utf-8")
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "1,000 photographs" in readme and "very probably training images" in readme
    assert experiment.dataset.LICENCE in readme and "dvc repro experiments/mine/dvc.yaml" in readme
    text = told("check", "mine")
    assert "images    imagenet-sample-images from GitHub's archive: 1,000 images\n" in text
    assert "attacked  how many images all models classify correctly is not known yet: 837 at most\n" in text
    gradients = 837 * 10 * len(experiment.attacks)
    assert f"gradients {costs.count_text(gradients)}, and " in text
    assert (
        "download  images from GitHub's archive (111 MB); weights of efficientnet_lite0, efficientnet_lite1, " in text
    )
    images = 837 * 150_528
    assert f"adversarial/ {costs.bytes_text(images * len(experiment.attacks))}, " in text
    assert f"subset/ {costs.bytes_text(images)}, " in text


@pytest.mark.parametrize("name", catalogue.names())
def test_a_new_experiment_on_every_data_set(project: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """params.yaml is valid, attacks have one cost, and a relative path leads where it led; or a line says why not."""
    monkeypatch.chdir(project)
    keys = catalogue.find(name).model_fields
    needed = {key for key, field in keys.items() if field.is_required()} - {"name"}
    if needed - {"path"}:
        assert "too; make the experiment on another data set" in told(
            "new", "mine", "--dataset", name, "--path", "photos", code=2
        )
        return
    if needed:
        assert ": give --path" in told("new", "mine", "--dataset", name, code=2)
    elif "path" not in keys:
        assert "leave --path out" in told("new", "mine", "--dataset", name, "--path", "photos", code=2)
    told("new", "mine", "--dataset", name, *(["--path", "photos"] if needed else []))
    experiment = loading.load_experiment(project / "experiments/mine/params.yaml")
    assert experiment.dataset.name == name
    assert experiment.dataset.given_path == ("../../photos" if needed else None)
    assert {row.gradient_evaluations for row in experiment.attacks.values()} == {10}
    images = experiment.dataset.IMAGES
    if not needed:
        monkeypatch.setenv("CROSSFOOL_CACHE", str(project / "cache"))
        text, (size, _) = told("check", "mine"), fetches.download(type(experiment.dataset))
        assert f": {images:,} images\n" in text and f" ({costs.bytes_text(size)})" in text
        shape = experiment.dataset.shape
        lpips = output_sizes.LPIPS_BYTES if experiment.lpips else 0
        trained = output_sizes.TRAINING_IMAGE_COUNTS.get(experiment.dataset.family, 0) if experiment.training else 0
        stored = (images + trained) * (shape.channels * shape.side**2 + 8) + lpips
        assert f"data/ {costs.bytes_text(stored)}" in text
    assert experiment.subset.images == ("all" if images is None or images <= 1000 else 1000)


def test_wrong_data_sets_are_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert "unknown data set 'imagnet'; did you mean imagenet" in told("new", "mine", "--dataset", "imagnet", code=2)
    for arguments in (["--dataset", "mnist", "--from", "."], ["--path", "photos"], ["--path", "x", "--from", "."]):
        assert "give --from, or --dataset (and --path with it" in told("new", "mine", *arguments, code=2)
    told("new", "mine", "--dataset", "imagenet", "--path", "$IMAGENET/val")
    assert loading.load_experiment(project / "experiments/mine/params.yaml").dataset.given_path == "$IMAGENET/val"
    assert [path.name for path in (project / "experiments").iterdir()] == ["mine"]
