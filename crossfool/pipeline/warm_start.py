"""Run a stage's script with its libraries loaded: `python -m crossfool.pipeline.warm_start stages/attack.py ...`.

DVC starts a process for every stage, and importing torch takes longer than many a cell's work. So the first
stage of a `dvc repro` starts a server beside it. Once a stage is over, the server imports the libraries that
the stage had imported, and each later stage is forked from it: it is a fresh process with the arguments, folder
and standard streams of the one that DVC started, which waits for it, hands signals on and ends as it ends.

No result of a stage depends on the server. The server

- imports libraries and nothing of this package: every stage reads the code as it is on disk;
- belongs to one DVC process, one Python and one set of environment variables, and refuses requests of others;
- ends with its DVC process, or when it has had nothing to do for a minute. A stage ends with the process that waits for
  it;
- repairs, at its end, a dvc.lock or rwlock that the DVC process was killed while writing.

Without DVC, without Linux, or with `CROSSFOOL_WARM=0`, the script simply runs.

This is one module, over 300 lines long: the process that waits and the server are the two ends of one protocol, and
the server imports nothing else of this package.
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

# Libraries to import ahead, where a stage has used them. Importing one starts no GPU, and no thread that a fork would
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
_SHELLS = {"sh", "ash", "bash", "dash", "fish", "ksh", "zsh"}
# Variables that may differ between a stage and its server.
_STAGE_VARIABLES = {"DVC_ROOT", "DVC_STAGE", "GLIBC_TUNABLES", "PWD", "OLDPWD", "SHLVL", "_"}
# glibc cuts every aligned block from a larger one; a thread's cache would keep the scrap behind it, and so the hole
# that the block leaves from being one with the free memory after it: 90 MB of vgg16_bn's. Read when a process starts.
TUNABLES = "glibc.malloc.tcache_count=0"
_CREDENTIALS = array.array("i", [0, 0, 0])  # pid, uid and gid, as SO_PEERCRED gives them
_SET_DEATH_SIGNAL = 1  # argument of prctl


def main() -> None:
    """Run the script that the command line names, here or in a process forked from the server."""
    os.environ.pop(
        "MPLBACKEND", None
    )  # set by a notebook; a matplotlib without the notebook's library refuses it, and none is needed
    if sys.argv[1:2] == ["--serve"]:
        listener, owner = map(int, sys.argv[2:])
        server_identity = identity(os.environ)
        # No import may wake CUDA, which a forked process could then not use: torch is to look for GPUs in another way.
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
        request = serve(socket.socket(fileno=listener), owner, server_identity)
        if request is None:
            return
        take_over(request)
    else:
        code = run_warm(sys.argv[1:])
        if code is not None:
            end_as(code)
        del sys.argv[0]
    runpy.run_path(os.path.abspath(sys.argv[0]), run_name="__main__")


# Functions of the process that DVC starts.


def run_warm(argv: Sequence[str]) -> int | None:
    """Have the server run a script; return its exit code, negative for a signal, or None where it has to run here."""
    enabled = "DVC_STAGE" in os.environ and os.environ.get("CROSSFOOL_WARM") != "0"
    if not enabled or sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return None
    try:
        connection = connect_to_server(*dvc_process())
    except (OSError, ValueError):
        return None
    with connection, connection.makefile("rb") as replies:
        stage = _request(connection, replies, argv)
        if stage is None:
            return None
        _hand_on_signals(stage)
        code = _next_reply(replies).get("code")
    if code is None:
        print("error: the process that runs stages was killed; run `dvc repro` again", file=sys.stderr)
    return 2 if code is None else int(code)


def _request(connection: socket.socket, replies: BinaryIO, argv: Sequence[str]) -> int | None:
    """Request a process for a script; return its id, or None where the server has forked none and will not."""
    request = {**identity(os.environ), "argv": argv, "folder": os.getcwd(), "environment": dict(os.environ)}
    text = json.dumps(request).encode()
    try:
        socket.send_fds(connection, [len(text).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(text)
    except OSError:
        return None
    return _next_reply(replies).get("pid")


def _next_reply(replies: BinaryIO) -> dict[str, int]:
    """Read the server's next reply; empty where the server is gone."""
    try:
        line = replies.readline()
    except OSError:
        return {}
    return dict(json.loads(line)) if line.endswith(b"\n") else {}


def _hand_on_signals(stage: int) -> None:
    """Pass signals to this process on to the stage, and stop and continue together with it."""

    def stop(*_: object) -> None:
        _signal(stage, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: _signal(stage, number))
    signal.signal(signal.SIGTSTP, stop)


def dvc_process() -> tuple[int, int]:
    """Id of the DVC process that started this stage, and when it started, since ids are reused."""
    name, parent, _ = process_status(os.getppid())
    pid = parent if name in _SHELLS else os.getppid()
    return pid, process_status(pid)[2]


def process_status(pid: int) -> tuple[str, int, int]:
    """Name, parent and start (clock ticks after boot) of a process; OSError where there is none."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        head, _, tail = file.read().rpartition(")")
    fields = tail.split()
    return head.partition("(")[2], int(fields[1]), int(fields[19])


def identity(environment: Mapping[str, str]) -> dict[str, Any]:
    """Python, import path and environment variables, which a stage and its server have to have in common."""
    variables = {name: value for name, value in environment.items() if name not in _STAGE_VARIABLES}
    return {"python": sys.executable, "path": sys.path, "variables": variables}


def connect_to_server(pid: int, started: int) -> socket.socket:
    """Connect to the server of a DVC process, and start the server if there is none.

    Raises:
        OSError: the server belongs to another user, or cannot be started or reached.
    """
    address = f"\0crossfool-{os.getuid()}-{pid}-{started}"  # an abstract address, no file: it ends with the server
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
    except ConnectionRefusedError:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen()
            owner_end = os.pidfd_open(pid)
            descriptors = (listener.fileno(), owner_end)
            command = [sys.executable, "-P", "-m", "crossfool.pipeline.warm_start", "--serve", *map(str, descriptors)]
            null = subprocess.DEVNULL
            subprocess.Popen(
                command,
                pass_fds=descriptors,
                start_new_session=True,
                env=with_malloc_tunables(os.environ),
                stdin=null,
                stdout=null,
                stderr=null,
            )
            os.close(owner_end)
            connection.connect(address)
    if not _same_user(connection):
        connection.close()
        raise ConnectionRefusedError(f"somebody else's server at {address!r}")
    return connection


def with_malloc_tunables(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables with `TUNABLES` added to GLIBC_TUNABLES, after the user's."""
    tunables = environment.get("GLIBC_TUNABLES")
    return {**environment, "GLIBC_TUNABLES": f"{tunables}:{TUNABLES}" if tunables else TUNABLES}


def end_as(code: int) -> None:
    """End this process as the stage ended: with its exit code, or by its signal where `code` is negative."""
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL is always the default
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


# Functions of the server.


@dataclass
class Job:
    """A running stage.

    Attributes:
        pid: Id of the forked process.
        ends: Descriptor that is readable once the process has ended.
        connection: Connection to the process that waits for the stage.
        imported: Pipe on which the stage lists, at its end, the libraries that it has imported.
    """

    pid: int
    ends: int
    connection: socket.socket
    imported: int

    def close(self) -> None:
        """Close the job's descriptors."""
        self.connection.close()
        os.close(self.ends)
        os.close(self.imported)


def serve(listener: socket.socket, owner: int, server_identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Fork a process for every request, until the DVC process ends or no request comes for `IDLE` seconds.

    Args:
        listener: Socket on which requests arrive.
        owner: Descriptor that is readable once the DVC process has ended.
        server_identity: The server's `identity`.

    Returns:
        In each forked process its request; None in the server, at its end.
    """
    jobs: list[Job] = []
    folders: set[str] = set()
    accepting = True
    while accepting or jobs:
        watched: list[int | socket.socket] = [listener, owner] if accepting else []
        watched += [source for job in jobs for source in (job.ends, job.connection)]
        ready = _readable(watched, None if jobs else IDLE)
        if not ready:
            return None
        if owner in ready:
            accepting = False
            for job in jobs:
                _signal(job.pid, signal.SIGTERM)
        for job in list(jobs):
            if job.ends in ready:
                jobs.remove(job)
                _finish(job)
            elif job.connection in ready:  # the process that waited is gone: it never sends anything
                _signal(job.pid, signal.SIGKILL)
        if accepting and listener in ready:
            connection, _ = listener.accept()
            request = _received(connection, server_identity)
            if request is None:
                connection.close()
                continue
            new_job = _forked(connection)
            if new_job is None:  # this is the forked process
                for job in jobs:
                    job.close()
                listener.close()
                connection.close()
                os.close(owner)
                return request
            for descriptor in request["streams"]:
                os.close(descriptor)
            jobs.append(new_job)
            folders.add(request["folder"])
    for folder in folders:
        _repair_locks(folder)
    return None


def _repair_locks(folder: str) -> None:
    """Repair a dvc.lock or rwlock that DVC was killed while writing, known by its missing end, a newline or a brace."""
    files = (os.path.join(folder, "dvc.lock"), b"\n"), (os.path.join(_dvc_folder(folder), "tmp", "rwlock"), b"}")
    for path, end in files:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if not file.read().endswith(end):
                command = [sys.executable, "-P", "-m", "crossfool", "repair-locks"]
                subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, check=False)
                return


def _dvc_folder(folder: str) -> str:
    """Folder `.dvc` of the repository that a folder is in; a missing one where the folder is in no repository."""
    while not os.path.isdir(path := os.path.join(folder, ".dvc")) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return path


def _readable(watched: Sequence[int | socket.socket], seconds: float | None) -> set[Any]:
    """Wait until a watched descriptor or socket is readable; return the readable ones, none after so many seconds."""
    with selectors.DefaultSelector() as selector:
        for source in watched:
            selector.register(source, selectors.EVENT_READ)
        return {key.fileobj for key, _ in selector.select(seconds)}


def _received(connection: socket.socket, server_identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Receive a request, its standard streams under `streams`; None where this server must not serve it."""
    connection.settimeout(10)
    streams: list[int] = []
    try:
        if not _same_user(connection):
            return None
        head, streams, _, _ = socket.recv_fds(connection, 8, 3)
        with connection.makefile("rb") as file:
            request = json.loads(file.read(int.from_bytes(head, "big")))
        if len(streams) == 3 and all(request[key] == value for key, value in server_identity.items()):
            connection.settimeout(None)
            return {**request, "streams": streams}
    except (OSError, ValueError):
        pass
    for descriptor in streams:
        os.close(descriptor)
    return None


def _forked(connection: socket.socket) -> Job | None:
    """Fork a process for a request; return its job in the server, None in the new process."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)  # a stage that was killed writes nothing
    pid = os.fork()
    if pid == 0:
        import ctypes

        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)  # no stage outlives the server
        os.close(read_end)
        atexit.register(_write_imported, write_end)
        return None
    os.close(write_end)
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")
    return Job(pid, os.pidfd_open(pid), connection, read_end)


def _write_imported(pipe: int) -> None:
    """Write the names of the libraries that this process has imported to a pipe."""
    os.write(pipe, json.dumps([name for name in LIBRARIES if name in sys.modules]).encode())


def _finish(job: Job) -> None:
    """Pass a job's exit code on, and import the libraries that it had imported."""
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


def _opened(descriptor: int, old: Any, line_by_line: bool) -> TextIO:
    """Open a replaced descriptor as a stream with the old one's encoding; the old one may assume that it can seek."""
    buffering = 1 if line_by_line else -1
    return open(descriptor, "w", buffering, encoding=old.encoding, errors=old.errors, closefd=False)


def take_over(request: Mapping[str, Any]) -> None:
    """Give a forked process the streams, folder, environment variables and arguments of a request."""
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
    """Whether the other end of a connection is a process of this user."""
    credentials = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.itemsize * len(_CREDENTIALS)
    )
    return array.array("i", credentials)[1] == os.getuid()


def _signal(pid: int, number: int) -> None:
    """Send a signal to a process, unless it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    main()
