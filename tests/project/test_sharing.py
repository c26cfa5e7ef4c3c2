"""A team's day with DVC remotes: who pulls computes nothing, and from a damaged file nothing is computed.

Remotes: a folder; the same folder by HTTP, read-only, as a publisher would offer it; a folder behind a real sshd;
an S3-compatible server.
"""

import contextlib
import json
import runpy
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import servers
import yaml
from builders import ROOT, a_few
from click.testing import CliRunner
from repositories import Repository, finished

pytestmark = pytest.mark.slow
CELL = "adversarial/fnn0/fgsm.safetensors"
OTHER = "adversarial/fnn0/sg_igsm.safetensors"
TABLE = "predictions/fnn0/sg_igsm.parquet"


@pytest.fixture(scope="module")
def author(tmp_path_factory) -> Repository:
    """Who ran everything, committed it, and pushed it, the run cache too, to the folder `remote` beside it."""
    folder = tmp_path_factory.mktemp("sharing")
    found = finished(folder / "author", tmp_path_factory)
    found.commit("results")
    found.dvc("remote", "add", "--local", "--default", "team", str(folder / "remote"))
    found.dvc("push", "--quiet", "--run-cache")
    return found


def digits_of(repository: Repository) -> Path:
    """The folder of the data set."""
    return Path(repository.environment["MADE_DIGITS"])


@pytest.fixture
def clone(author, tmp_path):
    """Makes a colleague's clone, which has no image of the data set, with a remote."""

    def cloned(remote: Path | servers.Remote, *, verify: bool = False, digits: Path | None = None) -> Repository:
        author.run("git", "clone", "--quiet", str(author.path), str(tmp_path / "clone"))
        settings = remote if isinstance(remote, Mapping) else {"url": str(remote)}
        configure(tmp_path / "clone", {**settings, "verify": str(verify).lower()})
        return Repository(tmp_path / "clone", digits or tmp_path / "not here", forked=True)

    return cloned


def configure(repository: Path, remote: servers.Remote) -> None:
    """What `dvc remote add --local --default team` and `dvc remote modify --local team ...` write."""
    lines = [f"    {name} = {value}\n" for name, value in remote.items()]
    (repository / ".dvc/config.local").write_text("".join(["[core]\n    remote = team\n['remote \"team\"']\n", *lines]))


@pytest.fixture
def remote(author) -> Path:
    return author.path.parent / "remote"


@pytest.fixture
def damaged(author, remote, tmp_path):
    """Makes a copy of the remote in which the objects of some files are damaged, read-only as DVC leaves them."""

    def copied(faults: dict[str, str]) -> Path:
        shutil.copytree(remote, tmp_path / "damaged")
        for name, fault in faults.items():
            damage(tmp_path / "damaged" / place(author, name), fault)
        return tmp_path / "damaged"

    return copied


def place(repository: Repository, name: str) -> Path:
    """Where a remote or cache keeps an output."""
    lock = yaml.safe_load((repository.path / "dvc.lock").read_text())
    outs = [out for stage in lock["stages"].values() for out in stage.get("outs", []) if out["path"] == name]
    return Path("files/md5") / outs[0]["md5"][:2] / outs[0]["md5"][2:]


def damage(file: Path, fault: str) -> None:
    content = bytearray(file.read_bytes())
    file.chmod(0o644)
    file.unlink()  # a workspace may be hard-linked to it
    if fault == "missing":
        return
    if fault == "flipped":
        content[len(content) // (20 if content.startswith(b"PAR1") else 5)] ^= 1  # a value's, not what is said of it
    file.write_bytes(content if fault == "flipped" else content[:-100])
    file.chmod(0o444)  # DVC hashes an object again where it can be written to


@pytest.mark.parametrize("kind", a_few(["folder", "http", "ssh", "s3"], "folder"))
def test_who_pulls_computes_nothing(author, clone, remote, tmp_path, kind):
    with contextlib.ExitStack() as stack:
        if kind == "ssh":
            there = stack.enter_context(servers.secure_shell(tmp_path / "behind ssh"))
        elif kind == "s3":
            there = stack.enter_context(servers.object_store())
        else:
            there = stack.enter_context(servers.web(remote)) if kind == "http" else {"url": str(remote)}
        if kind in ("ssh", "s3"):
            own = (author.path / ".dvc/config.local").read_text()
            configure(author.path, there)
            pushed = author.dvc("push", "--run-cache")
            (author.path / ".dvc/config.local").write_text(own)
            assert "pushed" in pushed
        colleague = clone(there, verify=True)
        colleague.dvc("pull", "--quiet")
        assert colleague.repro() == set()
    assert (colleague.path / CELL).read_bytes() == (author.path / CELL).read_bytes()
    assert colleague.run("git", "status", "--porcelain") == ""


def test_repro_pull_fetches_what_it_needs_and_nothing_here_is_needed(clone, remote):
    colleague = clone(remote)
    assert colleague.repro("--pull", "--allow-missing") == set()
    assert not (colleague.path / "adversarial").exists()
    # metrics are in git: no pull at all
    assert colleague.metrics("fnn0/fgsm.json")["fnn2"]["n"] == 12
    assert "fnn0/fgsm.json" in colleague.dvc("metrics", "show")


def test_one_cell_alone_is_pulled(author, clone, remote):
    colleague = clone(remote)
    colleague.dvc("pull", "--quiet", CELL)
    assert fetched(colleague) == {CELL}
    assert (colleague.path / CELL).read_bytes() == (author.path / CELL).read_bytes()
    assert colleague.run("git", "status", "--porcelain") == ""


def fetched(repository: Repository) -> set[str]:
    """The outputs that lie in a clone: files that git leaves out, and that are not DVC's own."""
    ignored = repository.run("git", "ls-files", "--others", "--ignored", "--exclude-standard").splitlines()
    return {name for name in ignored if not name.startswith((".dvc/", ".crossfool/")) and "__pycache__" not in name}


@pytest.mark.exhaustive  # DVC's own promise
def test_one_experiment_of_two_alone_is_pulled(author, tmp_path):
    """Its metrics are in git, and nothing is fetched for them; its outputs by its dvc.yaml.

    The second is the first again, noted as if it had been run: what is in the files does not matter here.
    """
    shutil.copytree(author.path, tmp_path / "both")
    both = Repository(tmp_path / "both", digits_of(author), forked=True)
    second = both.path / "experiments/second"
    leave = shutil.ignore_patterns("[.]*", "stages", "crossfool", "dvc.lock", "experiments")
    shutil.copytree(author.path, second, ignore=leave)
    values = yaml.safe_load((second / "params.yaml").read_text())
    (second / "params.yaml").write_text(yaml.safe_dump(values | {"root": "../.."}))
    both.dvc("commit", "--quiet", "--force", "experiments/second/dvc.yaml")
    both.commit("a second experiment")
    configure(both.path, {"url": str(tmp_path / "remote")})
    both.dvc("push", "--quiet")

    both.run("git", "clone", "--quiet", str(both.path), str(tmp_path / "clone"))
    colleague = Repository(tmp_path / "clone", tmp_path / "not here", forked=True)
    configure(colleague.path, {"url": str(tmp_path / "remote")})
    shown = json.loads(colleague.dvc("metrics", "show", "--json", "-R", "experiments/second/metrics"))[""]["data"]
    assert set(shown) == {str(path.relative_to(both.path)) for path in second.glob("metrics/*/*.json")}
    rates = json.loads((second / "metrics/fnn0/fgsm.json").read_text())
    assert shown["experiments/second/metrics/fnn0/fgsm.json"]["data"] == rates
    assert not (colleague.path / ".dvc/cache/files").exists()
    colleague.dvc("pull", "--quiet", "experiments/second/dvc.yaml")
    assert fetched(colleague) == {f"experiments/second/{name}" for name in fetched(author)}
    assert colleague.repro("experiments/second/dvc.yaml") == set()
    assert not (colleague.path / "weights").exists()


def test_a_new_target_costs_its_training_and_evaluations_alone(author, clone, remote):
    colleague = clone(remote, digits=digits_of(author))
    colleague.edit(lambda values: values["models"].append("fnn4"))
    ran = colleague.repro("--pull")
    own = {"train@fnn4", "predict@fnn4"}
    again = {f"evaluate@fnn0-{attack}" for attack in ("fgsm", "sg_igsm")}
    assert ran == {"plan", *own, "select", "source@fnn0", *again, "report"}
    for cell in (CELL, OTHER):  # what was attacked stays as it was pulled
        assert (colleague.path / cell).read_bytes() == (author.path / cell).read_bytes()
    assert set(colleague.metrics("fnn0/fgsm.json")) == {"fnn0", "fnn2", "fnn4"}


def test_damage_in_the_remote_is_found_by_the_pull_and_computed_again(author, clone, damaged):
    faults = {CELL: "flipped", OTHER: "truncated"}
    colleague = clone(damaged(faults), verify=True, digits=digits_of(author))
    printed = colleague.dvc("pull", code=1)
    named = printed.split("Checkout failed for following targets:\n")[1].split("\nIs your cache")[0]
    assert set(named.splitlines()) == set(faults)
    assert not [name for name in faults if (colleague.path / name).exists()]
    assert colleague.repro() == {"attack@fnn0-fgsm", "attack@fnn0-sg_igsm"}
    for name in faults:
        assert (colleague.path / name).read_bytes() == (author.path / name).read_bytes()


@pytest.mark.parametrize(
    ("file", "fault", "reader", "said"),
    [
        (CELL, "flipped", "evaluate@fnn0-fgsm", "has changed since it was written"),
    ],
)
def test_damage_that_a_pull_did_not_look_for_stops_the_stage_that_reads_it(clone, damaged, file, fault, reader, said):
    colleague = clone(damaged({file: fault}))
    colleague.dvc("pull", "--quiet")
    refused = colleague.dvc("repro", "--force", "--single-item", reader, code=255)
    assert f"error: {file} {said}" in refused and "Traceback" not in refused


# What is damaged -> a stage that reads it.
READERS = {
    "data/images.safetensors": ("predict", "--model", "fnn0"),
    "weights/fnn0.safetensors": ("predict", "--model", "fnn0"),
    "subset/images.safetensors": ("evaluate", "--source", "fnn0", "--attack", "fgsm"),
    CELL: ("evaluate", "--source", "fnn0", "--attack", "fgsm"),
}


def stage(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, *options: str) -> str:
    """What a stage says that refuses its input; it has written nothing."""
    monkeypatch.chdir(folder)
    before = listing(folder)
    done = CliRunner().invoke(runpy.run_path(str(ROOT / f"stages/{name}.py"))["main"], options)
    assert done.exit_code == 2, done.output
    assert listing(folder) == before
    return done.output.splitlines()[-1]  # behind progress bars


def listing(folder: Path) -> dict[str, bytes]:
    """Every file that a stage may write, and what is in it."""
    places = ("data", "weights", "predictions", "subset", "sources", "adversarial", "transformed", "metrics", "report")
    files = [path for place in places for path in (folder / place).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("fault", a_few(["flipped", "truncated", "missing"], "flipped", "missing"))
def test_damage_in_the_local_cache_is_found_before_anything_is_computed_from_it(
    author, clone, remote, monkeypatch, fault
):
    colleague = clone(remote, verify=True)
    colleague.dvc("pull", "--quiet")
    for name in READERS:
        (colleague.path / name).unlink()
        damage(colleague.path / ".dvc/cache" / place(author, name), fault)
    printed = colleague.dvc("checkout", code=255 if fault == "missing" else 0)
    if fault == "missing":
        named = printed.split("Checkout failed for following targets:\n")[1].split("\nIs your cache")[0]
        assert set(named.splitlines()) == set(READERS)
    brought = {name: (colleague.path / name).read_bytes() for name in READERS if (colleague.path / name).exists()}
    assert set(brought) == (set() if fault == "missing" else set(READERS))
    for name in READERS:
        shutil.copy(author.path / name, put(colleague.path / name))
    for name, reader in READERS.items():
        file = put(colleague.path / name)
        if name in brought:
            file.write_bytes(brought[name])
        assert stage(colleague.path, monkeypatch, *reader).startswith(f"error: {name} ")
        shutil.copy(author.path / name, put(file))


def put(file: Path) -> Path:
    """Where a file is to be put: what lies there, hard-linked to a cache, is taken away first."""
    file.unlink(missing_ok=True)
    return file


def test_damage_in_the_local_cache_stops_the_stage_that_reads_it_until_it_is_deleted(author, clone, remote):
    colleague = clone(remote, verify=True)
    colleague.dvc("pull", "--quiet")
    (colleague.path / CELL).unlink()
    cached = colleague.path / ".dvc/cache" / place(author, CELL)
    damage(cached, "flipped")
    colleague.dvc("checkout", "--quiet")
    refused = colleague.dvc("repro", "--force", "--single-item", "evaluate@fnn0-fgsm", code=255)
    assert f"error: {CELL} has changed since it was written" in refused
    assert "delete it, and its copy in .dvc/cache, and run `dvc pull` or `dvc repro`" in refused
    (colleague.path / CELL).unlink()  # as it was told
    cached.unlink()
    colleague.run(
        "git", "checkout", "--quiet", "metrics", "predictions", "transformed"
    )  # --force deleted it; DVC keeps no copy of what is in git
    colleague.dvc("pull", "--quiet")
    assert colleague.repro() == set()
    assert (colleague.path / CELL).read_bytes() == (author.path / CELL).read_bytes()
