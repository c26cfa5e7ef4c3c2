"""The environment of a stage: its code, its threads, and glibc's allocator, which keeps freed memory in few pieces."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT

from crossfool import runtime

FAULTS = """
import platform, resource, sys
import torch
from crossfool import runtime

if platform.libc_ver()[0] != "glibc":
    sys.exit(77)

class Cycle:
    def __init__(self):
        self.own, self.block = self, torch.ones(10 << 20)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

Cycle()
runtime.keep_freed_memory()
before = faults()
for _ in range(100):
    torch.ones(10 << 20)
print(faults() - before)
"""
PAGES = (40 << 20) // os.sysconf("SC_PAGE_SIZE")  # of one block


def faults(environment: dict[str, str]) -> int:
    environment = {key: value for key, value in environment.items() if not key.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, env=environment)
    if done.returncode == 77:
        pytest.skip("this C library is not glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_freed_memory_is_kept_in_one_piece():
    assert faults({**os.environ, "GLIBC_TUNABLES": runtime.MALLOC_TUNABLES}) < 3 * PAGES  # glibc by itself: 100 times


def test_without_the_launcher_it_is_kept_in_a_few_pieces():
    # As many as the heap happened to be laid out in: 4 to 10 were seen, of 20 blocks as of 100.
    assert faults({key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}) < 30 * PAGES


RUN = ROOT / "stages" / "run"


def started_with(folder: Path, **variables: str) -> dict[str, str]:
    """The environment variables of a stage that `stages/run` starts, from a copy of it in a folder."""
    (folder / "stages").mkdir(exist_ok=True)
    shutil.copy(RUN, folder / "stages")
    (folder / "stages/show.py").write_text("import json, os, sys\nprint(json.dumps([sys.argv, dict(os.environ)]))\n")
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **variables}
    command = ["sh", str(folder / "stages/run"), "show", "--source", "a b"]
    done = subprocess.run(command, env=environment, cwd="/", text=True, capture_output=True, check=True)
    arguments, found = json.loads(done.stdout)
    assert arguments == [str(folder / "stages/show.py"), "--source", "a b"]
    return found


def test_a_stage_starts_with_its_copys_code_and_variables(tmp_path):
    found = started_with(tmp_path)
    assert found["PYTHONPATH"] == str(tmp_path)
    assert found["GLIBC_TUNABLES"] == runtime.MALLOC_TUNABLES and found["GOMP_SPINCOUNT"] == "1000"


def test_the_users_own_variables_stay(tmp_path):
    own = "glibc.malloc.arena_max=1"
    found = started_with(tmp_path, PYTHONPATH="/mine", GLIBC_TUNABLES=own, GOMP_SPINCOUNT="7")
    assert found["PYTHONPATH"] == f"{tmp_path}:/mine"
    assert found["GLIBC_TUNABLES"] == f"{own}:{runtime.MALLOC_TUNABLES}" and found["GOMP_SPINCOUNT"] == "7"
    assert "GOMP_SPINCOUNT" not in started_with(tmp_path, OMP_WAIT_POLICY="passive")


def test_a_notebooks_backend_does_not_reach_matplotlib(tmp_path):
    assert "MPLBACKEND" not in started_with(tmp_path, MPLBACKEND="module://matplotlib_inline.backend_inline")
