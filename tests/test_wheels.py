"""Wheels: fetched from an index, verified, cached. The index here is a folder, by pip's own settings."""

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from transferbench import wheels
from transferbench.errors import UserError

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
    monkeypatch.setenv("TRANSFERBENCH_CACHE", str(tmp_path / "my cache ü"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def test_a_wheel_is_fetched_once_and_kept(index: Path, tmp_path: Path) -> None:
    digest = make_wheel(index / FILE)
    wheel = wheels.fetch(REQUIREMENT, digest)
    assert wheel == tmp_path / "my cache ü" / "wheels" / FILE
    assert wheel.read_bytes() == (index / FILE).read_bytes()
    (index / FILE).unlink()  # from here on pip would fail
    assert wheels.fetch(REQUIREMENT, digest) == wheel
    assert os.listdir(wheel.parent) == [FILE]


def test_a_damaged_cached_wheel_is_fetched_again(index: Path) -> None:
    digest = make_wheel(index / FILE)
    wheel = wheels.fetch(REQUIREMENT, digest)
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"!")
    assert hashlib.sha256(wheels.fetch(REQUIREMENT, digest).read_bytes()).hexdigest() == digest


def test_a_wheel_of_another_hash_is_refused_and_not_kept(index: Path) -> None:
    digest = make_wheel(index / FILE)
    with pytest.raises(UserError) as caught:
        wheels.fetch(REQUIREMENT, "ab" * 32)
    assert digest in str(caught.value) and "ab" * 32 in str(caught.value)
    assert not list(wheels.cache_folder().rglob("*.whl"))


def test_without_an_index_the_error_says_what_was_tried(index: Path) -> None:
    with pytest.raises(UserError) as caught:
        wheels.fetch(REQUIREMENT, "ab" * 32)
    message = str(caught.value)
    assert "network" in message and "\n" not in message
    assert "-m pip download --no-deps --only-binary=:all: -q -d " in message and message.endswith(REQUIREMENT)


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRANSFERBENCH_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert wheels.cache_folder() == Path("/home/someone/.cache/transferbench")


def test_members_are_read(tmp_path: Path) -> None:
    make_wheel(tmp_path / FILE)
    assert wheels.member(tmp_path / FILE, "made_images/data.bin") == b"\x00\x01\xff"
    assert wheels.members(tmp_path / FILE)[-1] == "made_images/data.bin"
    with pytest.raises(UserError, match="holds no file made_images/other"):
        wheels.member(tmp_path / FILE, "made_images/other")
    (tmp_path / FILE).write_bytes(b"no zip")
    with pytest.raises(UserError, match="no readable wheel"):
        wheels.member(tmp_path / FILE, "made_images/data.bin")
