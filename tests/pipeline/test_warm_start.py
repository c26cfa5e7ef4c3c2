"""Stages forked from a server are processes like those that DVC starts: what goes in, what comes out, how they end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from crossfool.pipeline import warm_start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stages are forked on Linux alone")

# In place of DVC: runs what it is told to, one command a line, and says how it ended.
OWNER = """
import json, os, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would stages
for line in sys.stdin:
    told = json.loads(line)
    done = subprocess.run(told["command"], cwd=told["folder"], env={**os.environ, **told["environment"]},
                          input=told["input"], text=True, capture_output=True)
    print(json.dumps([done.returncode, done.stdout, done.stderr]), flush=True)
"""
SCRIPT = """
import json, os, sys
print(json.dumps({
    "pid": os.getpid(), "parent": os.getppid(), "argv": sys.argv, "folder": os.getcwd(), "read": sys.stdin.read(),
    "loaded": [name for name in sys.modules if name.split(".")[0] in ("numpy", "yaml", "crossfool")],
    "name": __name__, "file": __file__, "variable": os.environ["DVC_STAGE"],
}), flush=True)
import yaml
print("said on the way", file=sys.stderr)
exec(sys.argv[1])
"""


class Owner:
    """What starts stages, as a process of its own, so that every test has its own server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "stage.py").write_text(SCRIPT)
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("DVC", "CROSSFOOL"))}
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER], env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def tell(self, code: str, *, through: tuple[str, ...] = (), **environment: str) -> None:
        command = [*through, sys.executable, "-P", "-m", "crossfool.pipeline.warm_start", "stage.py", code, "größe"]
        told = {"command": command, "folder": str(self.folder), "input": "in", "environment": environment}
        assert self.process.stdin
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()

    def heard(self) -> tuple[int, str, str]:
        assert self.process.stdout
        return tuple(json.loads(self.process.stdout.readline()))

    def run(self, code: str, *, stage: str = "some@stage", **environment: str) -> tuple[int, dict, str]:
        """Exit code, what the script said of itself, and the standard error."""
        self.tell(code, DVC_STAGE=stage, **environment)
        ended, out, errors = self.heard()
        return ended, json.loads(out.splitlines()[0]), errors

    def clients(self) -> list[int]:
        """Processes that the owner has started and that still run."""
        return [pid for pid in processes() if parent(pid) == self.process.pid]


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def parent(pid: int) -> int | None:
    try:
        return warm_start.process_status(pid)[1]
    except OSError:
        return None


def state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def running(pid: int) -> bool:
    try:
        return state(pid) != "Z"
    except OSError:
        return False


def eventually(condition) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "it did not come about in 20 seconds"
        time.sleep(0.02)


@pytest.fixture
def owner(tmp_path) -> Iterator[Owner]:
    folder = tmp_path / "ein Ordner, größer"
    folder.mkdir()
    made = Owner(folder)
    yield made
    made.process.kill()
    made.process.communicate()


WAITING = """
import pathlib, time
try:
    pathlib.Path("pid").write_text(str(os.getpid()))
    os.rename("pid", "up")
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(5)
"""


UNWOUND = """
import pathlib, time
from crossfool.pipeline.stage import stage

@stage
def main():
    try:
        pathlib.Path("pid").write_text(str(os.getpid()))
        os.rename("pid", "up")
        time.sleep(60)
    finally:
        print("tidied", file=sys.stderr)

main([])
"""


def wait_for_stage(owner: Owner, code: str = WAITING) -> tuple[int, int]:
    """Start a stage that does not end by itself; its process and the one that waits for it."""
    owner.tell(code, DVC_STAGE="long")
    up = owner.folder / "up"
    eventually(up.exists)
    (client,) = owner.clients()
    return int(up.read_text()), client


def test_a_stage_is_what_dvc_started(owner):
    code, said, errors = owner.run("pass", stage="attack@fnn0-fgsm")
    assert code == 0 and errors == "said on the way\n"
    script = str(owner.folder / "stage.py")
    assert said["argv"] == [script, "pass", "größe"] and said["folder"] == str(owner.folder)
    assert (said["name"], said["file"], said["read"]) == ("__main__", script, "in")
    assert said["variable"] == "attack@fnn0-fgsm"
    assert said["parent"] != owner.process.pid  # but the server


def test_later_stages_find_libraries_imported_and_no_code_of_ours(owner):
    _, first, _ = owner.run("pass", stage="first")
    assert first["loaded"] == []
    _, second, _ = owner.run("import numpy", stage="second")
    assert "yaml" in second["loaded"] and "numpy" not in second["loaded"]
    _, third, _ = owner.run("import crossfool.experiment.loading", stage="third")
    assert {"yaml", "numpy"} <= set(third["loaded"])
    _, fourth, _ = owner.run("pass", stage="fourth")
    assert first["parent"] == second["parent"] == fourth["parent"]
    assert len({said["pid"] for said in (first, second, third, fourth)}) == 4
    assert not [name for name in fourth["loaded"] if name.startswith("crossfool")]
    assert fourth["variable"] == "fourth"


@pytest.mark.parametrize(
    ("code", "ended"),
    [("sys.exit(7)", 7), ("sys.exit('so')", 1), ("1 / 0", 1), ("os.kill(os.getpid(), 9)", -9), ("os._exit(3)", 3)],
)
def test_it_ends_as_the_script_ends(owner, code, ended):
    here = owner.run(code, CROSSFOOL_WARM="0")
    forked = owner.run(code)
    assert forked[0] == here[0] == ended
    assert forked[2].splitlines()[-1] == here[2].splitlines()[-1]  # of a traceback, what went wrong
    assert owner.run("pass")[0] == 0  # the server lives on


@pytest.mark.parametrize(("number", "ended"), [(signal.SIGTERM, -15), (signal.SIGINT, 5), (signal.SIGKILL, -9)])
def test_signals_reach_the_stage(owner, number, ended):
    stage, client = wait_for_stage(owner)
    os.kill(client, number)
    assert owner.heard()[0] == ended
    eventually(lambda: not running(stage))


@pytest.mark.parametrize(
    ("number", "ended", "said"),
    [(signal.SIGTERM, 143, ""), (signal.SIGHUP, 129, ""), (signal.SIGINT, 1, "\nAborted!\n")],
)
def test_a_stage_that_a_signal_ends_unwinds(owner, number, ended, said):
    stage, client = wait_for_stage(owner, UNWOUND)
    os.kill(client, number)
    code, _, errors = owner.heard()
    assert (code, errors) == (ended, f"said on the way\ntidied\n{said}")
    eventually(lambda: not running(stage))
    assert "yaml" in owner.run("pass")[1]["loaded"]  # it has told the server what it had imported


def test_a_stage_stops_and_goes_on_with_who_waits_for_it(owner):
    stage, client = wait_for_stage(owner)
    os.kill(client, signal.SIGTSTP)
    eventually(lambda: state(stage) == state(client) == "T")
    os.kill(client, signal.SIGCONT)
    eventually(lambda: state(stage) == state(client) == "S")
    os.kill(client, signal.SIGTERM)
    assert owner.heard()[0] == -15


def test_a_stage_and_its_server_end_with_dvc(owner):
    stage, client = wait_for_stage(owner)
    server = parent(stage)
    assert server is not None and running(server)
    owner.process.kill()
    eventually(lambda: not (running(stage) or running(client) or running(server)))


def test_a_server_that_was_killed(owner):
    stage, _ = wait_for_stage(owner)
    server = parent(stage)
    assert server
    os.kill(server, signal.SIGKILL)
    code, _, errors = owner.heard()
    assert code == 2
    assert errors.splitlines()[-1] == "error: the process that runs stages was killed; run `dvc repro` again"
    eventually(lambda: not running(stage))
    assert owner.run("pass")[0] == 0  # by a new one


def test_by_wish_the_script_simply_runs(owner):
    code, said, _ = owner.run("pass", CROSSFOOL_WARM="0")
    assert code == 0 and said["parent"] == owner.process.pid


def test_a_python_that_cannot_watch_processes_runs_the_script(monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "some")
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert warm_start.run_warm(["stage.py"]) is None


def test_a_stage_starts_processes_from_its_own_folder(owner):
    """The server was started in another one, and multiprocessing remembers that."""
    owner.run("import torch")
    other = owner.folder / "deeper"
    other.mkdir()
    (other / "stage.py").write_text(
        "import os\nfrom concurrent.futures import ProcessPoolExecutor\nfrom multiprocessing import get_context\n"
        "def twice(x):\n    return 2 * x\n"
        "if __name__ == '__main__':\n    with ProcessPoolExecutor(1, get_context('spawn')) as pool:\n"
        "        print(list(pool.map(twice, [3])), os.getppid())\n"
    )
    _, said, _ = owner.run("pass")
    owner.folder = other
    owner.tell("", DVC_STAGE="some")
    code, out, errors = owner.heard()
    assert (code, out) == (0, f"[6] {said['parent']}\n"), errors


def test_under_dvc_itself_stages_are_forked(tmp_path):
    """DVC runs what the graph says; both stages' parent is one server, and the second finds torch imported."""
    said = "print(os.getppid(), 'torch' in sys.modules, file=open(sys.argv[1], 'w'))"
    (tmp_path / "stage.py").write_text(f"import os, sys\n{said}\nimport torch\n")
    command = "python -P -m crossfool.pipeline.warm_start stage.py {}.txt"
    stages = {name: {"cmd": command.format(name), "outs": [f"{name}.txt"]} for name in ("first", "second")}
    stages["second"]["deps"] = ["first.txt"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for arguments in (["init", "--no-scm"], ["repro"]):
        dvc = [sys.executable, "-m", "dvc", *arguments, "--quiet"]
        subprocess.run(dvc, cwd=tmp_path, env=environment, check=True)
    (first, cold), (second, hot) = ((tmp_path / f"{name}.txt").read_text().split() for name in stages)
    assert first == second
    assert (cold, hot) == ("False", "True")


def test_without_dvc_the_script_simply_runs(owner):
    owner.tell("print(os.getppid())", through=("sh", "-c", 'unset DVC_STAGE; exec "$@"', "sh"), DVC_STAGE="some")
    code, _, errors = owner.heard()
    assert code == 1 and errors.splitlines()[-1] == "KeyError: 'DVC_STAGE'"  # the script reads it; no server was asked
    code, said, _ = owner.run("pass")
    assert code == 0 and said["loaded"] == []  # this one is the first of a server


def test_other_variables_are_not_served(owner):
    """A library may have read them when the server imported it (OMP_NUM_THREADS)."""
    _, served, _ = owner.run("pass")
    assert served["parent"] != owner.process.pid
    code, alone, _ = owner.run("pass", OMP_NUM_THREADS="3")
    assert code == 0 and alone["parent"] == owner.process.pid


@pytest.mark.parametrize("served", [True, False])
def test_a_notebooks_backend_does_not_reach_matplotlib(owner, served):
    """`!dvc repro` in a notebook exports one that an environment without the notebook's libraries has not."""
    _, first, _ = owner.run("import matplotlib.figure")
    variables = {"MPLBACKEND": "of-a-notebook"} | ({} if served else {"CROSSFOOL_WARM": "0"})
    code, said, errors = owner.run("import matplotlib; matplotlib.get_backend()", **variables)
    assert code == 0, errors
    assert (said["parent"] == first["parent"]) == served


def test_through_a_shell_dvc_is_still_the_owner(owner):
    _, first, _ = owner.run("pass")
    owner.tell("pass", through=("sh", "-c", '"$@"; exit $?', "sh"), DVC_STAGE="some")
    code, out, _ = owner.heard()
    assert code == 0 and json.loads(out.splitlines()[0])["parent"] == first["parent"]


def test_a_server_with_nothing_to_do_ends(monkeypatch):
    monkeypatch.setattr(warm_start, "IDLE", 0.05)
    ours, _theirs = socket.socketpair()
    with ours, _theirs, socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0crossfool-test-idle")
        listener.listen()
        assert warm_start.serve(listener, ours.fileno(), {}) is None


def test_somebody_elses_server_is_not_asked(monkeypatch):
    pid, started = os.getpid(), warm_start.process_status(os.getpid())[2]
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.setattr(os, "getuid", lambda: 12345)  # so that this very process is somebody else
        listener.bind(f"\0crossfool-12345-{pid}-{started}")
        listener.listen()
        with pytest.raises(ConnectionRefusedError, match="somebody else's server"):
            warm_start.connect_to_server(pid, started)
