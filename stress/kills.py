"""Kill processes at seeded moments, fill a disk, start two runs at once: the rest goes on to the same bytes.

All campaigns run in small git repositories with the project's graph and a made data set (tests/repositories.py).

This is one module, over 300 lines long: the campaigns share how a run is started, killed and compared.
"""

import atexit
import contextlib
import functools
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from made_datasets import made_digits
from outcome import Outcome
from repositories import Repository, made

HERE = Path(__file__).parent
CELL, MODEL = "adversarial/fnn0/sg_igsm.safetensors", "weights/fnn2.safetensors"
GONE = 30.0  # seconds in which killed processes have to be gone


class Undisturbed(NamedTuple):
    """A repository in which nothing has run, and a copy in which `dvc repro` has, with its seconds and `results`."""

    start: Repository
    done: Repository
    seconds: float
    results: dict[str, str]


@functools.cache
def undisturbed() -> Undisturbed:
    """Make the repositories of a graph that takes some seconds: two models, one source, two attacks.

    What is killed or timed is a process of its own; runs that only look at what is left are forks (forked_python.py).
    Campaigns copy the repositories, and do not change them. They are deleted when this process ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="stress "))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "start").mkdir()
    start = made(folder / "start", made_digits(folder / "digits", train=12, contrast=150), forked=True)

    def change(values: dict) -> None:
        values.update(sources=["fnn0"])
        values["compute"]["chunk"] = 1
        values["training"]["epochs"] = 40
        values["attacks"]["sg_igsm"] |= {"steps": 8, "step_size": 15, "samples": 60}

    start.edit(change)
    start.commit("small")
    done = _copy(start, "done")
    begun = time.monotonic()
    process = started(done, sys.executable, "-m", "dvc", "repro")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return Undisturbed(start, done, time.monotonic() - begun, results(done))


@contextlib.contextmanager
def copied(repository: Repository, name: str) -> Iterator[Repository]:
    """Copy a repository to a folder beside it, for the time of the block."""
    copy = _copy(repository, name)
    try:
        yield copy
    finally:
        shutil.rmtree(copy.path)


def _copy(repository: Repository, name: str) -> Repository:
    path = repository.path.parent / name
    shutil.copytree(repository.path, path, symlinks=True)
    copy = Repository(path, Path(repository.environment["MADE_DIGITS"]), forked=repository.forked)
    copy.environment = repository.environment
    return copy


def results(repository: Repository) -> dict[str, str]:
    """Sha256 of every output of the graph in the folder, by path."""
    lock = yaml.safe_load((repository.path / "dvc.lock").read_text())
    outs = [out["path"] for stage in lock["stages"].values() for out in stage.get("outs", [])]
    files = [file for out in outs for file in _files(repository.path / out)]
    return {str(f.relative_to(repository.path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)}


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def leftovers(repository: Repository) -> list[str]:
    """Paths of half-written files outside DVC's folders."""
    return [str(path) for path in repository.path.rglob("*.tmp") if ".dvc" not in path.parts and path.is_file()]


def inside(folder: Path) -> list[int]:
    """Ids of the processes that work in a folder."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if Path(os.readlink(entry / "cwd")).is_relative_to(folder):
                    pids.append(int(entry.name))
    return pids


def end_all(folder: Path) -> None:
    """Kill all processes that work in a folder, as a power failure does."""
    for pid in inside(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def gone(folder: Path) -> bool:
    """Wait until no process works in a folder; False after `GONE` seconds."""
    end = time.monotonic() + GONE
    while inside(folder):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def started(repository: Repository, *command: str) -> subprocess.Popen:
    """Start a command in a repository, in a session of its own."""
    return subprocess.Popen(
        command,
        cwd=repository.path,
        env=repository.unforked,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _until(outcome: Outcome, count: int) -> Iterator[None]:
    """Yield turns until `count` are counted; a turn whose process ended before its moment does not count."""
    for _ in range(10 * count):
        if outcome.tried < count:
            yield
    if outcome.tried < count:
        raise SystemExit(
            f"error: {outcome.fault}: of {10 * count} only {outcome.tried} were not over before their moment"
        )


def repro_kills(count: int, seed: int) -> Outcome:
    """Kill `dvc repro` at a seeded moment, in one of four ways, then run it again: same bytes as undisturbed."""
    outcome = Outcome("`dvc repro` killed (power: SIGKILL to all; SIGKILL to DVC; SIGTERM; Ctrl-C), then run again")
    draw = random.Random(seed)
    calm = undisturbed()
    for _ in _until(outcome, count):
        number = outcome.tried
        how, moment = ("power", "SIGKILL", "SIGTERM", "Ctrl-C")[number % 4], draw.uniform(0.02, 0.95) * calm.seconds
        with copied(calm.start, f"run{number}") as repository:
            process = started(repository, sys.executable, "-m", "dvc", "repro")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment)
            over = process.poll() is not None
            if how == "power" or over:
                end_all(repository.path)
            else:
                os.killpg(process.pid, {"SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}.get(how, signal.SIGKILL))
            output, _ = process.communicate()
            if over:
                continue
            repaired = _repaired(repository) if gone(repository.path) else ""
            problem = "a process lived on" if inside(repository.path) else _after(repository, calm.results)
            if not problem and "Traceback" in output and "crossfool" in output.split("Traceback")[1]:
                problem = f"a traceback of ours: {output[-500:]}"
            if problem:
                outcome.fail(f"{how} after {moment:.2f} s: {problem}")
            else:
                outcome.add(f"{how}, {repaired}then the same bytes")
    return outcome


def _repaired(repository: Repository) -> str:
    """Repair lock files by hand, where no server was left to: after a power failure, or before any stage."""
    output = repository.run(sys.executable, "-m", "crossfool", "repair-locks")
    return "" if output.endswith("is whole\n") else "`crossfool repair-locks`, "


def _after(repository: Repository, right: dict[str, str]) -> str:
    """Run `dvc repro` again; return what is wrong then, "" where nothing is."""
    try:
        repository.repro()
        again = repository.repro()
    except AssertionError as error:
        return str(error)[-600:]
    if results(repository) != right:
        return f"other bytes: {sorted(k for k, v in results(repository).items() if right.get(k) != v)}"
    if again:
        return f"a second run ran {sorted(again)}"
    return f"left over: {leftovers(repository)}" if leftovers(repository) else ""


def logged(repository: Repository, log: Path, script: str, *arguments: str) -> subprocess.Popen:
    """Start a stage that logs every chunk or epoch it begins and finishes."""
    return started(repository, sys.executable, str(HERE / "logged.py"), str(log), script, *arguments)


def _stage_kills(outcome: Outcome, count: int, seed: int, stage: Sequence[str], out: str, pieces: int) -> Outcome:
    """Kill a stage by SIGKILL or SIGTERM once or twice, then let it run: each piece is finished exactly once."""
    draw = random.Random(seed)
    with copied(undisturbed().done, "killed") as start:
        right = (start.path / out).read_bytes()
        log = start.path.parent / "log"
        (start.path / out).unlink()
        first = logged(start, log, *stage)
        _wait_for(log, first)
        loaded = time.monotonic()
        first.communicate()
        took = time.monotonic() - loaded
        assert (start.path / out).read_bytes() == right, "the log changes the result"
        for _ in _until(outcome, count):
            number = outcome.tried
            (start.path / out).unlink()
            log.unlink()
            kills, over = 1 + number % 2, False
            for turn in range(kills):
                lines = len(log.read_text().splitlines()) if log.exists() else 0
                process = logged(start, log, *stage)
                # at any moment of any piece that is left for this turn
                _wait_for(log, process, lines + draw.randrange(2 * pieces // kills))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(draw.uniform(0, took / pieces))
                process.send_signal((signal.SIGKILL, signal.SIGTERM)[(number + turn) % 2])
                output, _ = process.communicate()
                if (start.path / out).exists():  # killed on its way out, if at all
                    kills, over = turn, True
                    break
            else:
                process = logged(start, log, *stage)
                output, _ = process.communicate()
            events = [line.split() for line in log.read_text().splitlines()]
            finished = [piece for kind, piece in events if kind == "finished"]
            begun = [piece for kind, piece in events if kind == "begun"]
            if (process.returncode and not over) or (start.path / out).read_bytes() != right:
                outcome.fail(f"run {number}: exit {process.returncode}, {output[-300:]}")
            elif len(finished) != len(set(finished)) or len(begun) > pieces + kills or leftovers(start):
                outcome.fail(f"run {number}: begun {begun}, finished {finished}, left {leftovers(start)}")
            elif kills:
                outcome.add(f"{kills} kill{'s' * (kills > 1)}, none finished twice, same bytes")
    return outcome


def _wait_for(log: Path, process: subprocess.Popen, lines: int = 0) -> None:
    """Wait until a log has more than so many lines, or its process has ended."""
    while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) <= lines):
        time.sleep(0.005)


def cell_kills(count: int, seed: int) -> Outcome:
    """Kill the crafting of a cell."""
    outcome = Outcome("a cell of 12 chunks killed (SIGKILL, SIGTERM), then run again")
    stage = ("stages/attack.py", "--source", "fnn0", "--attack", "sg_igsm")
    return _stage_kills(outcome, count, seed, stage, CELL, 12)


def train_kills(count: int, seed: int) -> Outcome:
    """Kill a training."""
    outcome = Outcome("a training of 40 epochs killed (SIGKILL, SIGTERM), then run again")
    return _stage_kills(outcome, count, seed, ("stages/train.py", "--model", "fnn2"), MODEL, 40)


def two_repros(count: int, seed: int) -> Outcome:
    """Start a second `dvc repro` at a seeded moment of the first: one is refused or waits, nothing is damaged."""
    outcome = Outcome("two `dvc repro` at once in one folder")
    draw = random.Random(seed)
    calm = undisturbed()
    for _ in _until(outcome, count):
        with copied(calm.start, f"run{outcome.tried}") as repository:
            first = started(repository, sys.executable, "-m", "dvc", "repro")
            time.sleep(draw.uniform(0, calm.seconds))
            if first.poll() is not None:
                first.communicate()
                continue
            second = started(repository, sys.executable, "-m", "dvc", "repro")
            later, earlier = second.communicate()[0], first.communicate()[0]
            codes = (first.returncode, second.returncode)
            waits = _told_to_wait(later, first.pid) if second.returncode else _told_to_wait(earlier, second.pid)
            problem = _after(repository, calm.results)
            if problem or "Traceback" in later + earlier or (any(codes) and (all(codes) or not waits)):
                outcome.fail(f"run {outcome.tried}: {codes}, {problem or f'{earlier[-500:]} {later[-500:]}'}")
            else:
                outcome.add("one was told to wait its turn" if any(codes) else "both went well")
    return outcome


def _told_to_wait(output: str, pid: int) -> bool:
    """Whether DVC refused in one error: a file is in use by the process `pid`, or DVC's own lock is in use."""
    errors = re.findall(r"^ERROR: .*", output, re.MULTILINE)
    busy = errors[:1] and errors[0].endswith("is busy, it is being blocked by:") and f"(PID {pid}): " in output
    return len(errors) == 1 and bool(busy or "Unable to acquire lock" in errors[0])


def full_disks(count: int, seed: int) -> Outcome:
    """Fill a disk after so many bytes, then make room again: one line, and no chunk or epoch twice."""
    outcome = Outcome("a disk that fills up in the middle of a cell, a training, images (a small tmpfs), then has room")
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        raise SystemExit("error: full disks need `unshare -rm` (user namespaces), which this machine does not allow")
    with copied(undisturbed().done, "full") as start, tempfile.TemporaryDirectory() as name:
        job = {"count": count, "seed": seed, "path": str(start.path), "mount": name, "cell": CELL, "model": MODEL}
        command = ["unshare", "-rm", sys.executable, str(HERE / "disk.py"), json.dumps(job)]
        # Python writes its bytecode unchecked: a file that a full disk cut off breaks the next start
        environment = start.unforked | {"PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        for problem in json.loads(done.stdout):
            if problem.startswith("fine: "):
                outcome.add(problem.removeprefix("fine: "))
            else:
                outcome.fail(problem)
    return outcome


CAMPAIGNS: dict[str, tuple[Callable[[int, int], Outcome], int]] = {
    "repro": (repro_kills, 50),
    "cell": (cell_kills, 50),
    "train": (train_kills, 50),
    "two": (two_repros, 10),
    "disk": (full_disks, 20),
}
