"""Device, memory and processes of a stage, and a hash of this package's code. Nothing here enters DVC's hashes."""

import ctypes
import gc
import hashlib
import multiprocessing
import os
import selectors
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from crossfool.errors import UserError
from crossfool.part_files import own_files

if TYPE_CHECKING:
    import torch


# glibc cuts every aligned block from a larger one; a thread's cache would keep the scrap behind it, and so the hole
# that the block leaves from being one with the free memory after it: 90 MB of vgg16_bn's. Read when a process starts.
MALLOC_TUNABLES = "glibc.malloc.tcache_count=0"

_SHELLS = {"sh", "ash", "bash", "dash", "fish", "ksh", "zsh"}

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # parameters of glibc's mallopt


def keep_freed_memory() -> None:
    """Have glibc keep freed memory instead of giving it back and faulting it in again at every layer.

    Memory that is free by now is given back first, and objects that only reference cycles hold (a network as it was
    before it was folded, 110 MB of vgg16_bn). Same results, about 1.5 times the speed on the CPU. Nothing happens on
    other C libraries. `MALLOC_TUNABLES`, which `stages/run` sets, goes with it.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    mallopt, trim = (getattr(library, name, None) for name in ("mallopt", "malloc_trim"))
    if mallopt is not None and trim is not None:
        gc.collect()
        trim(0)
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 64 << 20)


def code_digest() -> str:
    """The sha256 of this package's code and the user's own parts, so that only the same code resumes a killed run."""
    digest = hashlib.sha256()
    for path in (*sorted(Path(__file__).parent.rglob("*.py")), *own_files()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def end_with_parent() -> None:
    """End this worker process when its parent is killed; else it would hold its memory, or GPU, for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None, "a worker of multiprocessing has a parent"
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_with_dvc() -> None:
    """End this stage, as by SIGTERM, when the DVC process that started it is killed; else it would go on by itself.

    Nothing happens where DVC did not start this process, and off Linux.
    """
    if "DVC_STAGE" not in os.environ or not hasattr(os, "pidfd_open"):
        return
    try:
        name, parent = _name_and_parent(os.getppid())
        dvc = os.pidfd_open(parent if name in _SHELLS else os.getppid())
    except (OSError, ValueError):  # it has ended by now, or this system does not tell
        return

    def watch() -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(dvc, selectors.EVENT_READ)
            selector.select()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _name_and_parent(pid: int) -> tuple[str, int]:
    """Name of a process, and its parent's id; OSError where there is none."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        head, _, tail = file.read().rpartition(")")
    return head.partition("(")[2], int(tail.split()[1])


def missing_semaphores_reason() -> str | None:
    """The reason why processes cannot have the semaphores by which they share work; None where they can."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except (OSError, ImportError, NotImplementedError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        return f"processes that share work need semaphores, which lie in /dev/shm: {reason}"
    return None


def choose_device() -> "torch.device":
    """The device to compute on: `CROSSFOOL_DEVICE`, or the first GPU, or the CPU.

    Raises:
        UserError: the device that `CROSSFOOL_DEVICE` names cannot be used.
    """
    import torch

    name = os.environ.get("CROSSFOOL_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"CROSSFOOL_DEVICE is {name!r}, which cannot be used here: {reason}") from None
    return chosen
