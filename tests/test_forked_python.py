"""Forks of `forked_python.py` tell, end and find modules as processes of their own do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forked_python import server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file descriptors of processes")

SEEN = """
import atexit, json, os, sys
atexit.register(print, "at its end")
print(json.dumps([sys.argv, sys.path, os.getcwd(), dict(os.environ), __name__]))
print("an error", file=sys.stderr)
print([name for name in sys.modules if name.partition(".")[0] == "crossfool"])
"""
ENDS = {
    "well": "pass",
    "by a number": "sys.exit(3)",
    "by words": "sys.exit('why')",
    "by an exception": "1 / 0",
    "by another exit": "os._exit(7)",
}


def alone(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    command, pipe = [sys.executable, *arguments], subprocess.PIPE
    done = subprocess.run(command, cwd=folder, env=environment, text=True, stdout=pipe, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@pytest.mark.parametrize("safe", [[], ["-P"]], ids=["", "-P"])
@pytest.mark.parametrize("kind", ["script", "module", "code"])
def test_a_fork_sees_what_a_process_sees(tmp_path: Path, safe: list[str], kind: str) -> None:
    (tmp_path / "more").mkdir()
    for folder in (tmp_path, tmp_path / "more"):
        (folder / "seen.py").write_text(SEEN)
    asked = {"script": [str(tmp_path / "seen.py")], "module": ["-m", "seen"], "code": ["-c", SEEN]}[kind]
    arguments = [*safe, *asked, "a b", "ü"]
    environment = {"PYTHONPATH": str(tmp_path / "more"), "ONE": "ü", "LC_CTYPE": "C.UTF-8"}
    code, text = server().run(arguments, tmp_path, environment)
    expected, lines = alone(arguments, tmp_path, environment)
    assert code == expected == 0
    assert sorted(text.splitlines()) == sorted(lines.splitlines())  # errors are not buffered, the rest is
    assert "[]" in lines.splitlines()


@pytest.mark.parametrize("end", ENDS)
def test_a_fork_ends_as_a_process_ends(tmp_path: Path, end: str) -> None:
    arguments = ["-c", f"import os, sys\nprint('begun', flush=True)\n{ENDS[end]}"]
    (code, text), (expected, lines) = (run(arguments, tmp_path, {}) for run in (server().run, alone))
    assert code == expected
    assert text.splitlines()[0] == "begun" and text.splitlines()[-1:] == lines.splitlines()[-1:]


def test_a_fork_that_is_killed_has_the_code_that_a_shell_tells(tmp_path: Path) -> None:
    code, text = server().run(["-c", "import os; print(1, flush=True); os.kill(os.getpid(), 9)"], tmp_path, {})
    assert (code, text) == (128 + signal.SIGKILL, "1\n")


def test_its_python_passes_on_streams_and_exit_codes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import sys\nprint(sys.argv[1], sys.stdin.read())\nprint('w', file=sys.stderr)\nsys.exit(5)"
    )
    large = {"LARGE": "x" * 100_000}  # more than a socket takes at once
    done = subprocess.run(
        ["python", "-P", "script.py", "a b"],
        cwd=tmp_path,
        env={**os.environ, **large, "PATH": f"{server().bin}{os.pathsep}{os.environ['PATH']}"},
        input="given",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (5, "a b given\n", "w\n")
