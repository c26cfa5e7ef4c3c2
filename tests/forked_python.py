"""Python commands in forks of one process that has imported the libraries: torch alone takes two seconds to import.

What is imported beforehand is other projects' code alone, and none of this project's: a repository's copy of the
package is imported afresh by every fork. A fork ends as a process of its own does, by exit code, through `atexit`.
What looks at how a process starts or is killed (signals, engines, variables that Python reads when it starts) is
tested with processes of its own.
"""

import array
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Mapping, Sequence
from pathlib import Path

LIBRARIES = [
    "click", "concurrent.futures.process", "dvc.cachemgr", "dvc.cli", "dvc.commands.repro", "dvc.fs", "dvc.repo",
    "dvc.repo.index", "dvc.repo.reproduce", "dvc.scm", "dvc.stage.cache", "dvc.stage.run", "dvc_data.index", "jinja2",
    "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.figure", "multiprocessing.pool",
    "numpy", "pandas", "pandas.plotting", "PIL.Image", "PIL.PngImagePlugin", "pyarrow.parquet", "pydantic",
    "pytorch_msssim", "rich.console", "rich.table", "ruamel.yaml", "safetensors.numpy", "safetensors.torch",
    "scipy.special", "scipy.stats", "torch", "torch._dynamo", "torch.export", "torchvision",
    "torchvision.transforms.v2", "tqdm", "yaml",
]  # fmt: skip


class Server:
    """The process that forks, which ends with this one, and a folder with a `python` that asks it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="forks"))
        self.address, self.bin = str(self._folder / "socket"), self._folder / "bin"
        self.bin.mkdir()
        words = [sys.executable, "-IS", str(self._folder / "ask.py"), self.address, sys.executable]
        (self._folder / "ask.py").write_text(ASK)
        (self.bin / "python").write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (self.bin / "python").chmod(0o755)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONPATH", None)
        command = [sys.executable, "-P", __file__, self.address]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, cwd="/", text=True)
        atexit.register(self.end)
        assert self._process.stdout is not None
        self.is_ready = self._process.stdout.readline() == "ready\n"  # else tests start processes of their own

    def end(self) -> None:
        """End the process that forks; what it has forked goes on."""
        self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
        """Run `python ARGUMENTS`, and return its exit code and what it writes, to standard error too."""
        written, output = os.pipe()
        reader = os.fdopen(written, encoding="utf-8", errors="backslashreplace")
        with open(os.devnull, "rb") as nothing, reader, socket.socket(socket.AF_UNIX) as asked:
            asked.connect(self.address)
            order = json.dumps([list(arguments), str(folder), dict(environment)]).encode() + b"\n"
            descriptors = array.array("i", [nothing.fileno(), output, output])
            asked.sendmsg([order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            os.close(output)
            text = reader.read()
            return int(asked.recv(16)), text


@functools.cache
def server() -> Server:
    """Start the process that forks, once."""
    return Server()


def run_python(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run `python ARGUMENTS` in a fork, or in a process where none can be served; return as `Server.run` does."""
    if sys.platform == "linux" and server().is_ready:
        return server().run(arguments, folder, environment)
    command, pipe = [sys.executable, *arguments], subprocess.PIPE
    done = subprocess.run(command, cwd=folder, env=environment, text=True, stdout=pipe, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


# The `python` that stages are started with: it passes on what it is asked and its files, and waits for the exit code.
ASK = """
import os, sys
address, python, *arguments = sys.argv[1:]
if arguments[:1] != ["-P"]:
    os.execv(python, [python, *arguments])
import array, json, _socket
asked = _socket.socket(_socket.AF_UNIX)
asked.connect(address)
order = json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode() + b"\\n"
asked.sendmsg([order[:1000]], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
asked.sendall(order[1000:])
os._exit(int(asked.recv(16) or 1))
"""


def serve(address: str) -> None:
    """Import the libraries, and fork for everyone who asks, until standard input ends."""
    for name in LIBRARIES:
        importlib.import_module(name)
    threads = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
    # pyarrow's allocator has one, and prepares itself for forks
    assert len(set(threads) - {"jemalloc_bg_thd"}) == 1 == threading.active_count(), (
        f"a fork would lack one of {threads}"
    )
    gc.collect()
    gc.freeze()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    asking: dict[int, socket.socket] = {}  # those who wait for the exit code of a fork, by its file descriptor
    print("ready", flush=True)
    while sys.stdin not in (ready := select.select([listening, sys.stdin, *asking], [], [])[0]):
        for ended in asking.keys() & set(ready):
            with asking.pop(ended) as connection, contextlib.suppress(BrokenPipeError):
                status = os.waitid(os.P_PIDFD, ended, os.WEXITED)
                killed = status.si_code != os.CLD_EXITED
                connection.send(str(128 + status.si_status if killed else status.si_status).encode())
            os.close(ended)
        if listening in ready:
            connection, _ = listening.accept()
            order, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
            while not order.endswith(b"\n"):
                order += connection.recv(1 << 20)
            pid = os.fork()
            if pid == 0:
                for place, file in enumerate(files):
                    os.dup2(file, place)
                for file in (*files, *asking, listening, connection, *asking.values()):
                    os.close(file) if isinstance(file, int) else file.close()
                run_and_end(*json.loads(order))
            asking[os.pidfd_open(pid)] = connection
            for file in files:
                os.close(file)


def run_and_end(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Run a command in this fork, and end it as Python ends, but for the libraries' objects, which it does not free."""
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    code = 0
    try:
        run(arguments, folder, environment)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        code = 1
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code & 0xFF)


def run(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Run what stands behind `python`: [-P] and a script, -m and a module, or -c and code."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    safe = arguments[0] == "-P"
    arguments = arguments[safe:]
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    if arguments[0] == "-m":
        sys.path[:0] = ([] if safe else [folder]) + paths
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.path[:0] = ([] if safe else [""]) + paths
        sys.argv = ["-c", *arguments[2:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(arguments[1], main.__dict__)
    else:
        sys.path[:0] = ([] if safe else [os.path.dirname(arguments[0])]) + paths
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1])
