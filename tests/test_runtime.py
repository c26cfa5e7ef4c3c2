"""What glibc's allocator is told: freed memory stays, in as few pieces as can be."""

import os
import subprocess
import sys

import pytest

from crossfool.pipeline import warm_start

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
    assert faults(warm_start.with_malloc_tunables(os.environ)) < 3 * PAGES  # glibc by itself: 100 times


def test_without_the_launcher_it_is_kept_in_a_few_pieces():
    # As many as the heap happened to be laid out in: 4 to 10 were seen, of 20 blocks as of 100.
    assert faults({key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}) < 30 * PAGES


def test_the_users_own_tunables_stay():
    assert warm_start.with_malloc_tunables({"A": "b"}) == {"A": "b", "GLIBC_TUNABLES": warm_start.TUNABLES}
    own = "glibc.malloc.arena_max=1"
    assert warm_start.with_malloc_tunables({"GLIBC_TUNABLES": own})["GLIBC_TUNABLES"] == f"{own}:{warm_start.TUNABLES}"
