"""A process that a signal tells to end: what is tidied up, how it ends, whatever it is at in that moment."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from crossfool import signals
from crossfool.pipeline.workers import ray_cluster

CODES = [(signal.SIGTERM, 143, ""), (signal.SIGHUP, 129, ""), (signal.SIGINT, 1, "\nAborted!\n")]
SIGNALS = pytest.mark.parametrize(("number", "code", "said"), CODES, ids=lambda value: getattr(value, "name", ""))
KINDS = pytest.mark.parametrize("kind", ["stage", "command"])

# Each case in a process forked from one that has imported torch: it goes to the end of the script, as any process does.
FORKED = """
import json, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor

import click, torch

from crossfool.pipeline.stage import errors_in_one_line, stage

def command(main):
    return click.command(errors_in_one_line(main))

def drawing(seconds=20):
    sample, end = torch.empty(28 * 28), time.monotonic() + seconds
    while time.monotonic() < end:
        sample.normal_()

def signalled():
    threading.Timer(0.1, os.kill, (os.getpid(), number)).start()

def beside():
    threading.Thread(target=drawing, daemon=True).start()
    signalled()
    time.sleep(9)

def joined():  # the exception has Python take the pool's thread for one that is over
    with ThreadPoolExecutor(1) as pool:
        pool.submit(drawing)
        signalled()

def dropped():  # the same, where Python drops the exception
    def drawn():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(drawing)
            yield 1
    generator = drawn()
    next(generator)
    signalled()
    del generator
    time.sleep(9)

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)
found = []
for kind, case, number in json.loads(sys.argv.pop()):
    pid = os.fork()
    if pid == 0:
        output = os.open("output", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        main = globals()[case]
        break
    begun = time.monotonic()
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    found.append([ended, open("output").read(), time.monotonic() - begun])
else:
    def main(): pass
    kind = "command"
    print(json.dumps(found))
globals()[kind](main)()
"""
CASES = [
    (kind, case, number)
    for kind in ("stage", "command")
    for case in ("beside", "joined", "dropped")
    for number, _, _ in CODES
]


def run(folder: Path, script: str, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Standard output and error of a script that has to end with an exit code."""
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def forked(tmp_path_factory) -> dict[tuple, list]:
    """Exit code, output and seconds of each case."""
    out, _ = run(tmp_path_factory.mktemp("forked"), FORKED, json.dumps(CASES))
    return dict(zip(CASES, json.loads(out), strict=True))


@KINDS
@SIGNALS
@pytest.mark.parametrize("case", ["beside", "joined", "dropped"])
def test_a_thread_in_torchs_code_does_not_abort_the_process(forked, kind, case, number, code, said):
    ended, output, seconds = forked[kind, case, number]
    assert (ended, output) == (code, said) and seconds < 15


DROPPED = """
import gc, os, signal, sys, time, weakref
from crossfool.pipeline.stage import stage

def told(*_):
    os.kill(os.getpid(), {number})
    time.sleep(0)

class Closed:
    def __del__(self):
        told()

class Kept:
    pass

def generator():
    try:
        yield
    finally:
        told()

@stage
def main():
    try:
        if "{where}" == "generator":
            held = generator()
            next(held)
            del held
        elif "{where}" == "finaliser":
            Closed()
        elif "{where}" == "weak reference":
            kept = Kept()
            reference = weakref.ref(kept, told)
            del kept
        else:
            gc.callbacks.append(told)
            gc.collect()
        time.sleep(9)
        print("went on")
    finally:
        print("tidied")

main()
"""


@SIGNALS
@pytest.mark.parametrize("where", ["generator", "finaliser", "weak reference", "collection"])
def test_a_signal_where_python_drops_exceptions(tmp_path, where, number, code, said):
    found = run(tmp_path, DROPPED.format(where=where, number=int(number)), code=code)
    assert found == ("tidied\n", said)


def test_a_signal_where_python_drops_exceptions_at_the_very_end(tmp_path):
    script = (
        "import atexit, os, signal, time\nfrom crossfool.pipeline.stage import stage\n"
        "class Closed:\n    def __del__(self):\n        os.kill(os.getpid(), signal.SIGTERM)\n        time.sleep(0)\n"
        "atexit.register(print, 'over')\natexit.register(time.sleep, 0.1)\n"
        "@stage\ndef main():\n    Closed()\nmain()\n"
    )
    assert run(tmp_path, script, code=143) == ("over\n", "")


def test_other_exceptions_that_python_drops_are_shown(tmp_path):
    script = "from crossfool.pipeline.stage import stage\nclass Closed:\n    def __del__(self):\n        1 / 0\n"
    _, errors = run(tmp_path, script + "@stage\ndef main():\n    Closed()\nmain()\n")
    assert errors.startswith("Exception ignored in: <function Closed.__del__") and "ZeroDivisionError" in errors


@SIGNALS
def test_further_signals_let_it_tidy_up(tmp_path, number, code, said):
    script = (
        "import os, signal, time\nfrom crossfool.pipeline.stage import stage\n@stage\ndef main():\n    try:\n"
        f"        os.kill(os.getpid(), {int(number)})\n        time.sleep(9)\n    finally:\n"
        "        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):\n"
        "            os.kill(os.getpid(), number)\n        print('tidied')\nmain()\n"
    )
    assert run(tmp_path, script, code=code) == ("tidied\n", said)


def test_libraries_tidy_up_too(tmp_path):
    script = (
        "import atexit, os, signal, tempfile, time\nfrom crossfool.pipeline.stage import stage\n"
        "kept = tempfile.TemporaryDirectory(dir='.', prefix='kept')\natexit.register(print, 'over')\n"
        "@stage\ndef main():\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(9)\nmain()\n"
    )
    assert run(tmp_path, script, code=143) == ("over\n", "")
    assert not list(tmp_path.glob("kept*"))


def test_what_is_ignored_stays_ignored(tmp_path):
    """As under nohup, and of a shell's background jobs."""
    script = (
        "import os, signal\nfrom crossfool.pipeline.stage import stage\n"
        "for number in (signal.SIGHUP, signal.SIGINT):\n    signal.signal(number, signal.SIG_IGN)\n"
        "@stage\ndef main():\n    for number in (signal.SIGHUP, signal.SIGINT):\n        os.kill(os.getpid(), number)\n"
        "    print('went on')\nmain()\n"
    )
    assert run(tmp_path, script) == ("went on\n", "")


def test_a_command_leaves_signals_as_they_were():
    before = [signal.getsignal(number) for number in signals.EXIT_CODES], sys.unraisablehook
    seen = []
    signals.run_unwinding(lambda: seen.append(signal.getsignal(signal.SIGTERM)))
    with pytest.raises(ZeroDivisionError):
        signals.run_unwinding(lambda: 1 / 0)
    assert seen == [signals._on_signal]
    assert ([signal.getsignal(number) for number in signals.EXIT_CODES], sys.unraisablehook) == before


def test_in_another_thread_a_command_just_runs():
    seen = []
    thread = threading.Thread(
        target=signals.run_unwinding, args=(lambda: seen.append(signal.getsignal(signal.SIGTERM)),)
    )
    thread.start()
    thread.join()
    assert len(seen) == 1 and seen != [signals._on_signal]


# A process a moment: each is told to end before another of the instructions that write a file.
MOMENTS = """
import os, signal, sys
from crossfool.storage import atomic
from crossfool.pipeline.stage import stage

os.fsync = lambda descriptor: None  # no disk fails here

def each(frame, event, argument):
    global left
    frame.f_trace_opcodes = True
    if event == "opcode":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
    return each

def watched(frame, event, argument):
    if frame.f_code.co_filename.endswith(("contextlib.py", "artefacts.py")):
        return each(frame, event, argument)

def written():
    with atomic.replacing("out/file") as temporary:
        temporary.write_text("whole")

@stage
def main():
    sys.settrace(watched)
    try:
        written()
    finally:
        sys.settrace(None)

os.mkdir("out")
moments, ended = 0, 143
while ended == 143:
    moments += 1
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open("null", os.O_RDWR | os.O_CREAT), 2)
        left = moments
        main()
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert not [name for name in os.listdir("out") if name.endswith(".tmp")], (os.listdir("out"), moments)
assert ended == 0, (ended, moments)
print(moments)
"""


def test_no_moment_leaves_a_half_written_file(tmp_path):
    out, _ = run(tmp_path, MOMENTS)
    assert int(out) > 100


WORKERS = """
import os, signal, sys, threading, time
from pathlib import Path
from crossfool.pipeline.workers import local
from crossfool.pipeline.workers.task import Task
from crossfool.pipeline.stage import stage

def asleep(order, files, arrays):
    Path(f"{os.getpid()}.pid").touch()
    time.sleep(60)

def watched():
    while not list(Path().glob("*.pid")):
        time.sleep(0.02)
    os.killpg(0, int(sys.argv.pop()))  # as a terminal does

@stage
def main():
    local.compute = asleep
    threading.Thread(target=watched, daemon=True).start()
    list(local.Processes(1, 0).run([Task(None, (), dict, name) for name in "ab"], "none"))

if __name__ == "__main__":
    main([])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the worker in /proc")
@pytest.mark.parametrize(("number", "code", "said"), [CODES[0], CODES[2]])
def test_workers_do_not_finish_what_they_are_at(tmp_path, number, code, said):
    begun = time.monotonic()
    assert run(tmp_path, WORKERS, str(int(number)), code=code) == ("", said)
    assert time.monotonic() - begun < 50
    (worker,) = tmp_path.glob("*.pid")
    while (Path("/proc") / worker.stem).exists():
        assert time.monotonic() - begun < 50, "it lives on"
        time.sleep(0.05)


def test_ray_does_not_keep_the_signals(monkeypatch):
    """It takes SIGTERM where it starts a cluster: the stage would end by Ray's exit code. By a stand-in for it."""
    stub = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda address, **options: signal.signal(signal.SIGTERM, lambda *_: None),
        cluster_resources=lambda: {"CPU": 1.0},
    )
    monkeypatch.setitem(sys.modules, "ray", stub)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    before, seen = signal.getsignal(signal.SIGTERM), []

    def main():
        ray_cluster.Ray()
        seen.append(signal.getsignal(signal.SIGTERM))

    signals.run_unwinding(main)
    assert seen == [signals._on_signal] and signal.getsignal(signal.SIGTERM) is before
