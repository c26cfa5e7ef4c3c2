"""The locks: every dependency stands in them, in a version that is allowed, and what is pinned fits together."""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from builders import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MADE_ON = {  # what the locks are of, whatever runs the tests
    "implementation_name": "cpython", "platform_python_implementation": "CPython", "os_name": "posix",
    "platform_machine": "x86_64", "platform_system": "Linux", "sys_platform": "linux",
    "python_version": "3.11", "python_full_version": "3.11.7",
}  # fmt: skip


def pinned(name: str) -> dict[str, str]:
    """Package -> version, of a file of pins."""
    lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pairs = [line.split("==") for line in lines]
    assert len({canonicalize_name(package) for package, _ in pairs}) == len(pairs), f"{name}: a package stands twice"
    return {canonicalize_name(package): version for package, version in pairs}


RUNTIME, EXTRAS = pinned("requirements.lock"), pinned("requirements-extras.lock")


def asked(requirements: list[str], extras: set[str]) -> list[Requirement]:
    """The requirements that apply with these extras, where the locks were made."""
    found = [Requirement(text) for text in requirements]
    sets = [{**MADE_ON, "extra": extra} for extra in ("", *extras)]
    return [one for one in found if one.marker is None or any(one.marker.evaluate(some) for some in sets)]


def wanting(requirements: list[str], lock: dict[str, str]) -> list[str]:
    """What a lock lacks, or has in a version that somebody refuses.

    What a package requires is read off the installed one, where that has the lock's version; else it is not known.
    """
    wrong, seen, left = [], set(), [("pyproject.toml", one) for one in asked(requirements, set())]
    while left:
        who, one = left.pop()
        name = canonicalize_name(one.name)
        if name not in lock or lock[name] not in one.specifier:
            wrong.append(f"{who} needs {one}, and the lock has {lock.get(name)}")
        if name not in lock or (name, *sorted(one.extras)) in seen:
            continue
        seen.add((name, *sorted(one.extras)))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        if installed.version == lock[name]:
            left += [(name, found) for found in asked(installed.requires or [], one.extras)]
    return wrong


def test_the_runtimes_lock_fits_together():
    assert wanting(PROJECT["dependencies"], RUNTIME) == []


def test_the_lock_of_the_extras_fits_to_it():
    extras = [one for extra in PROJECT["optional-dependencies"].values() for one in extra]
    assert wanting([*PROJECT["dependencies"], *extras], RUNTIME | EXTRAS) == []
    assert not RUNTIME.keys() & EXTRAS.keys()


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        ({}, "pyproject.toml needs click>=8.1, and the lock has None"),
        ({"click": "8.0"}, "pyproject.toml needs click>=8.1, and the lock has 8.0"),
    ],
)
def test_what_a_lock_lacks_is_found(lock, said):
    assert wanting(["click>=8.1", "tqdm; python_version < '3'"], lock) == [said]


def test_what_an_installed_package_needs_is_asked_for_in_its_turn():
    found = wanting(["moto[server]"], {"moto": distribution("moto").version})
    assert any(line.startswith("moto needs boto3") for line in found)
    assert any(line.startswith("moto needs flask") for line in found)  # of the extra


def test_the_pins_of_the_peers_contradict_no_lock():
    for name, version in pinned("tests/requirements-peers.txt").items():
        assert (RUNTIME | EXTRAS).get(name, version) == version
