"""Run a stage's script with its libraries loaded: `python -m crossfool.pipeline.warm_start stages/attack.py ...`.

DVC starts a process for every stage, and importing torch takes longer than many a cell's work. So the first
stage of a `dvc repro` starts a server beside it. Once a stage is over, the server imports the libraries that
the stage had imported, and each later stage is forked from it: it is a fresh process with the arguments, folder
and standard streams of the one that DVC started, which waits for it, hands signals on and ends as it ends.

What a stage computes does not depend on any of it. The server

- imports libraries and nothing of this package: every stage reads the code as it is on disk;
- belongs to one DVC process, one Python and one set of environment variables, and asks whose a request is;
- ends with its DVC process, or when it has had nothing to do for a minute. A stage ends with whoever waits for it;
- mends, at its end, a dvc.lock or rwlock that the DVC process was killed while writing.

Where there is no DVC, no Linux, or `CROSSFOOL_WARM=0`, the script simply runs.
"""

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO

# What is worth importing ahead, where a stage has used it. Importing one starts no GPU, and no thread that a fork would
# hurt: those of numpy's and scipy's OpenBLAS end before a fork by themselves.
LIBRARIES = (
    "click",
    "matplotlib.figure",
    "numpy",
    "pandas",
    "PIL.Image",
    "pyarrow.parquet",
    "pydantic",
    "ruamel.yaml",
    "safetensors",
    "scipy.stats",
    "timm",
    "torch",
    "torch.fx.experimental.optimization",
    "torchvision",
    "tqdm",
    "yaml",
)
IDLE = 60.0  # seconds without a stage after which a server ends
SHELLS = {"sh", "ash", "bash", "dash", "fish", "ksh", "zsh"}
OWN_OF_A_STAGE = {"DVC_ROOT", "DVC_STAGE", "GLIBC_TUNABLES", "PWD", "OLDPWD", "SHLVL", "_"}  # that may differ
# glibc cuts every aligned block from a larger one; a thread's cache would keep the scrap behind it, and so the hole
# that the block leaves from being one with the free memory after it: 90 MB of vgg16_bn's. Read when a process starts.
TUNABLES = "glibc.malloc.tcache_count=0"
PEER = array.array("i", [0, 0, 0])  # pid, uid and gid, as SO_PEERCRED gives them
SET_DEATH_SIGNAL = 1  # of prctl


def main() -> None:
    """Run the script that the command line names, here or in a process forked from the server."""
    os.environ.pop("MPLBACKEND", None)  # a notebook's, which a matplotlib without its library refuses; none is needed
    if sys.argv[1:2] == ["--serve"]:
        listener, owner = map(int, sys.argv[2:])
        mine = identity(os.environ)
        # No import may wake CUDA, which a forked process could then not use: torch is to look for GPUs in another way.
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
        request = serve(socket.socket(fileno=listener), owner, mine)
        if request is None:
            return
        become(request)
    else:
        code = run_warm(sys.argv[1:])
        if code is not None:
            leave(code)
        del sys.argv[0]
    runpy.run_path(os.path.abspath(sys.argv[0]), run_name="__main__")


# The process that DVC starts.


def run_warm(argv: Sequence[str]) -> int | None:
    """Have the server run a script; its exit code, negative for a signal. None where it has to run here."""
    wanted = "DVC_STAGE" in os.environ and os.environ.get("CROSSFOOL_WARM") != "0"
    if not wanted or sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return None
    try:
        connection = connected(*owner())
    except (OSError, ValueError):
        return None
    with connection, connection.makefile("rb") as answers:
        stage = _asked(connection, answers, argv)
        if stage is None:
            return None
        _hand_on_signals(stage)
        code = _answer(answers).get("code")
    if code is None:
        print("error: the process that runs stages was killed; run `dvc repro` again", file=sys.stderr)
    return 2 if code is None else int(code)


def _asked(connection: socket.socket, answers: BinaryIO, argv: Sequence[str]) -> int | None:
    """The process that the server has forked for a script; None where nothing has run, nor will."""
    request = {**identity(os.environ), "argv": argv, "folder": os.getcwd(), "environment": dict(os.environ)}
    text = json.dumps(request).encode()
    try:
        socket.send_fds(connection, [len(text).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(text)
    except OSError:
        return None
    return _answer(answers).get("pid")


def _answer(answers: BinaryIO) -> dict[str, int]:
    """The server's next answer; nothing in it where the server is gone."""
    try:
        line = answers.readline()
    except OSError:
        return {}
    return dict(json.loads(line)) if line.endswith(b"\n") else {}


def _hand_on_signals(stage: int) -> None:
    """Have the stage get the signals that this process gets, and stop and go on with it."""

    def stop(*_: object) -> None:
        _signal(stage, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: _signal(stage, number))
    signal.signal(signal.SIGTSTP, stop)


def owner() -> tuple[int, int]:
    """The DVC process whose stage this is: its id, and when it started (an id alone is used again)."""
    name, parent, _ = process(os.getppid())
    pid = parent if name in SHELLS else os.getppid()
    return pid, process(pid)[2]


def process(pid: int) -> tuple[str, int, int]:
    """Name, parent and start (clock ticks after boot) of a process; OSError where there is none."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        head, _, tail = file.read().rpartition(")")
    fields = tail.split()
    return head.partition("(")[2], int(fields[1]), int(fields[19])


def identity(environment: Mapping[str, str]) -> dict[str, Any]:
    """What a stage and its server have to have in common."""
    variables = {name: value for name, value in environment.items() if name not in OWN_OF_A_STAGE}
    return {"python": sys.executable, "path": sys.path, "variables": variables}


def connected(pid: int, started: int) -> socket.socket:
    """A connection to the server of a DVC process, which is started if there is none."""
    address = f"\0crossfool-{os.getuid()}-{pid}-{started}"  # of no file: it goes with the server
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
    except ConnectionRefusedError:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen()
            ends = os.pidfd_open(pid)
            descriptors = (listener.fileno(), ends)
            command = [sys.executable, "-P", "-m", "crossfool.pipeline.warm_start", "--serve", *map(str, descriptors)]
            null = subprocess.DEVNULL
            subprocess.Popen(
                command,
                pass_fds=descriptors,
                start_new_session=True,
                env=tuned(os.environ),
                stdin=null,
                stdout=null,
                stderr=null,
            )
            os.close(ends)
            connection.connect(address)
    if not _same_user(connection):
        connection.close()
        raise ConnectionRefusedError(f"somebody else's server at {address!r}")
    return connection


def tuned(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables with `TUNABLES` among them, the user's own first."""
    own = environment.get("GLIBC_TUNABLES")
    return {**environment, "GLIBC_TUNABLES": f"{own}:{TUNABLES}" if own else TUNABLES}


def leave(code: int) -> None:
    """End as the stage ended, by its signal if it was one."""
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL is always the default
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


# The server.


@dataclass
class Job:
    """A stage that runs.

    Attributes:
        pid: Of the forked process.
        ends: Descriptor that is readable once it has ended.
        connection: To the process that waits for it.
        imported: Where it says, at its end, which libraries it has imported.
    """

    pid: int
    ends: int
    connection: socket.socket
    imported: int

    def close(self) -> None:
        self.connection.close()
        os.close(self.ends)
        os.close(self.imported)


def serve(listener: socket.socket, owner: int, mine: Mapping[str, Any]) -> dict[str, Any] | None:
    """Fork a process for every request, until the owner ends or nothing is asked for a while.

    Args:
        listener: Where requests arrive.
        owner: Descriptor that is readable once the DVC process has ended.
        mine: The server's `identity`.

    Returns:
        In each forked process its request; None in the server, at its end.
    """
    jobs: list[Job] = []
    folders: set[str] = set()
    open_to_all = True
    while open_to_all or jobs:
        watched: list[int | socket.socket] = [listener, owner] if open_to_all else []
        watched += [end for job in jobs for end in (job.ends, job.connection)]
        ready = _readable(watched, None if jobs else IDLE)
        if not ready:
            return None
        if owner in ready:
            open_to_all = False
            for job in jobs:
                _signal(job.pid, signal.SIGTERM)
        for job in list(jobs):
            if job.ends in ready:
                jobs.remove(job)
                _finish(job)
            elif job.connection in ready:  # whoever waited is gone: it never sends anything
                _signal(job.pid, signal.SIGKILL)
        if open_to_all and listener in ready:
            connection, _ = listener.accept()
            request = _received(connection, mine)
            if request is None:
                connection.close()
                continue
            job_or_none = _forked(connection)
            if job_or_none is None:
                for job in jobs:
                    job.close()
                listener.close()
                connection.close()
                os.close(owner)
                return request
            for descriptor in request["streams"]:
                os.close(descriptor)
            jobs.append(job_or_none)
            folders.add(request["folder"])
    for folder in folders:
        _mend(folder)
    return None


def _mend(folder: str) -> None:
    """Mend what DVC was killed while writing: it ends each dvc.lock with the end of a line, and rwlock with a brace."""
    files = (os.path.join(folder, "dvc.lock"), b"\n"), (os.path.join(_dvc(folder), "tmp", "rwlock"), b"}")
    for path, end in files:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if not file.read().endswith(end):
                command = [sys.executable, "-P", "-m", "crossfool", "repair-locks"]
                subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, check=False)
                return


def _dvc(folder: str) -> str:
    """DVC's own folder of the repository that a folder is in; one that is not there, if it is in none."""
    while not os.path.isdir(found := os.path.join(folder, ".dvc")) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return found


def _readable(watched: Sequence[int | socket.socket], seconds: float | None) -> set[Any]:
    """Those of some descriptors and sockets that are readable, as soon as any is; none after so many seconds."""
    with selectors.DefaultSelector() as selector:
        for one in watched:
            selector.register(one, selectors.EVENT_READ)
        return {key.fileobj for key, _ in selector.select(seconds)}


def _received(connection: socket.socket, mine: Mapping[str, Any]) -> dict[str, Any] | None:
    """A request, with its standard streams under `streams`; None where it is not to be served from here."""
    connection.settimeout(10)
    streams: list[int] = []
    try:
        if not _same_user(connection):
            return None
        head, streams, _, _ = socket.recv_fds(connection, 8, 3)
        with connection.makefile("rb") as file:
            request = json.loads(file.read(int.from_bytes(head, "big")))
        if len(streams) == 3 and all(request[key] == value for key, value in mine.items()):
            connection.settimeout(None)
            return {**request, "streams": streams}
    except (OSError, ValueError):
        pass
    for descriptor in streams:
        os.close(descriptor)
    return None


def _forked(connection: socket.socket) -> Job | None:
    """A job in the server, None in its new process."""
    heard, said = os.pipe()
    os.set_blocking(heard, False)  # a stage that was killed says nothing
    pid = os.fork()
    if pid == 0:
        import ctypes

        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGKILL)  # no stage outlives the server
        os.close(heard)
        atexit.register(_tell, said)
        return None
    os.close(said)
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")
    return Job(pid, os.pidfd_open(pid), connection, heard)


def _tell(said: int) -> None:
    """Say which libraries this process has imported."""
    os.write(said, json.dumps([name for name in LIBRARIES if name in sys.modules]).encode())


def _finish(job: Job) -> None:
    """Pass a job's exit code on, and import what it had imported."""
    _, status = os.waitpid(job.pid, 0)
    with contextlib.suppress(OSError):
        job.connection.sendall(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode() + b"\n")
    try:
        imported = json.loads(os.read(job.imported, 1 << 16) or b"[]")
    except (BlockingIOError, ValueError):
        imported = []
    job.close()
    for name in imported:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # so that collecting garbage in a stage does not touch, and so copy, these pages


def _opened(descriptor: int, like: Any, line_by_line: bool) -> TextIO:
    """A stream of a descriptor that is no longer what the server began with: it may seek no more."""
    buffering = 1 if line_by_line else -1
    return open(descriptor, "w", buffering, encoding=like.encoding, errors=like.errors, closefd=False)


def become(request: Mapping[str, Any]) -> None:
    """Make a forked process the one that was asked for: streams, folder, variables, arguments."""
    for target, descriptor in enumerate(request["streams"]):
        os.dup2(descriptor, target)
        os.close(descriptor)
    sys.stdout, sys.stderr = _opened(1, sys.stdout, os.isatty(1)), _opened(2, sys.stderr, True)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[:] = request["argv"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "crossfool"]:
        del sys.modules[name]


def _same_user(connection: socket.socket) -> bool:
    """Whether the other end is a process of this user."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.itemsize * len(PEER))
    return array.array("i", found)[1] == os.getuid()


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    main()
