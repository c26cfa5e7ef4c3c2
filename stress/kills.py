"""Processes killed at seeded moments, a disk that fills up, two runs at once: what is left goes on to the same bytes.

All in small git repositories with the project's graph and a made data set (tests/repositories.py).
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
GONE = 30.0  # seconds in which what was killed has to be gone


class Undisturbed(NamedTuple):
    """A repository in which nothing has run, and a copy in which `dvc repro` has: its seconds, and its `results`."""

    start: Repository
    done: Repository
    seconds: float
    results: dict[str, str]


@functools.cache
def undisturbed() -> Undisturbed:
    """Of a graph that takes some seconds: two models, one source, two attacks. Gone when this process ends.

    Campaigns copy them, and leave them as they are.
    """
    folder = Path(tempfile.mkdtemp(prefix="stress "))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "start").mkdir()
    start = made(folder / "start", made_digits(folder / "digits", train=12, contrast=150))

    def change(values: dict) -> None:
        values.update(sources=["fnn0"])
        values["compute"]["chunk"] = 1
        values["training"]["epochs"] = 40
        values["attacks"]["sg_igsm"] |= {"steps": 8, "step_size": 15, "samples": 60}

    start.edit(change)
    start.commit("small")
    done = _copy(start, "done")
    begun = time.monotonic()
    done.repro()
    return Undisturbed(start, done, time.monotonic() - begun, results(done))


@contextlib.contextmanager
def copied(repository: Repository, name: str) -> Iterator[Repository]:
    """A copy of a repository beside it, as long as the block lasts."""
    found = _copy(repository, name)
    try:
        yield found
    finally:
        shutil.rmtree(found.path)


def _copy(repository: Repository, name: str) -> Repository:
    path = repository.path.parent / name
    shutil.copytree(repository.path, path, symlinks=True)
    found = Repository(path, Path(repository.environment["MADE_DIGITS"]))
    found.environment = repository.environment
    return found


def results(repository: Repository) -> dict[str, str]:
    """Hashes of all that the graph makes, as they lie in the folder."""
    lock = yaml.safe_load((repository.path / "dvc.lock").read_text())
    outs = [out["path"] for stage in lock["stages"].values() for out in stage.get("outs", [])]
    files = [file for out in outs for file in _files(repository.path / out)]
    return {str(f.relative_to(repository.path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)}


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def leftovers(repository: Repository) -> list[str]:
    """Half-written files outside scratch folders."""
    return [str(path) for path in repository.path.rglob("*.tmp") if ".dvc" not in path.parts and path.is_file()]


def inside(folder: Path) -> list[int]:
    """Processes that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if Path(os.readlink(entry / "cwd")).is_relative_to(folder):
                    found.append(int(entry.name))
    return found


def end_all(folder: Path) -> None:
    """Kill whatever works in a folder, as a power failure does."""
    for pid in inside(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def gone(folder: Path) -> bool:
    """Whether nothing works in a folder any more, within some seconds."""
    end = time.monotonic() + GONE
    while inside(folder):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def started(repository: Repository, *command: str) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        cwd=repository.path,
        env=repository.environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _until(outcome: Outcome, count: int) -> Iterator[None]:
    """Turns until so many are counted: one whose process was over before its moment is not, and another is drawn."""
    for _ in range(10 * count):
        if outcome.tried < count:
            yield
    if outcome.tried < count:
        raise SystemExit(
            f"error: {outcome.fault}: of {10 * count} only {outcome.tried} were not over before their moment"
        )


def repro_kills(count: int, seed: int) -> Outcome:
    """`dvc repro` killed at a seeded moment, in one of four ways, then run again: same bytes as undisturbed."""
    outcome = Outcome("`dvc repro` killed (power: SIGKILL to all; SIGKILL to DVC; SIGTERM; Ctrl-C), then run again")
    draw = random.Random(seed)
    calm = undisturbed()
    for _ in _until(outcome, count):
        number = outcome.tried
        how, moment = ("power", "SIGKILL", "SIGTERM", "Ctrl-C")[number % 4], draw.uniform(0.02, 0.95) * calm.seconds
        with copied(calm.start, f"run{number}") as one:
            process = started(one, sys.executable, "-m", "dvc", "repro")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment)
            over = process.poll() is not None
            if how == "power" or over:
                end_all(one.path)
            else:
                os.killpg(process.pid, {"SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}.get(how, signal.SIGKILL))
            said, _ = process.communicate()
            if over:
                continue
            cut = _mended(one) if gone(one.path) else ""
            problem = "a process lived on" if inside(one.path) else _after(one, calm.results)
            if not problem and "Traceback" in said and "crossfool" in said.split("Traceback")[1]:
                problem = f"a traceback of ours: {said[-500:]}"
            if problem:
                outcome.fail(f"{how} after {moment:.2f} s: {problem}")
            else:
                outcome.add(f"{how}, {cut}then the same bytes")
    return outcome


def _mended(one: Repository) -> str:
    """What was cut off is put back by hand, where nobody was left to do it: a power failure, DVC before any stage."""
    said = one.run(sys.executable, "-m", "crossfool", "repair-locks")
    return "" if said.endswith("is whole\n") else "`crossfool repair-locks`, "


def _after(one: Repository, right: dict[str, str]) -> str:
    """What is wrong once `dvc repro` has run again; nothing if nothing is."""
    try:
        one.repro()
        again = one.repro()
    except AssertionError as error:
        return str(error)[-600:]
    if results(one) != right:
        return f"other bytes: {sorted(k for k, v in results(one).items() if right.get(k) != v)}"
    if again:
        return f"a second run ran {sorted(again)}"
    return f"left over: {leftovers(one)}" if leftovers(one) else ""


def logged(repository: Repository, log: Path, script: str, *arguments: str) -> subprocess.Popen:
    """A stage, with every chunk or epoch that it begins and finishes written to a log."""
    return started(repository, sys.executable, str(HERE / "logged.py"), str(log), script, *arguments)


def _stage_kills(outcome: Outcome, count: int, seed: int, stage: Sequence[str], out: str, pieces: int) -> Outcome:
    """A stage killed by SIGKILL or SIGTERM once or twice, then left alone: each piece is finished exactly once."""
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
                said, _ = process.communicate()
                if (start.path / out).exists():  # killed on its way out, if at all
                    kills, over = turn, True
                    break
            else:
                process = logged(start, log, *stage)
                said, _ = process.communicate()
            events = [line.split() for line in log.read_text().splitlines()]
            finished = [piece for kind, piece in events if kind == "finished"]
            begun = [piece for kind, piece in events if kind == "begun"]
            if (process.returncode and not over) or (start.path / out).read_bytes() != right:
                outcome.fail(f"run {number}: exit {process.returncode}, {said[-300:]}")
            elif len(finished) != len(set(finished)) or len(begun) > pieces + kills or leftovers(start):
                outcome.fail(f"run {number}: begun {begun}, finished {finished}, left {leftovers(start)}")
            elif kills:
                outcome.add(f"{kills} kill{'s' * (kills > 1)}, none finished twice, same bytes")
    return outcome


def _wait_for(log: Path, process: subprocess.Popen, lines: int = 0) -> None:
    while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) <= lines):
        time.sleep(0.005)


def cell_kills(count: int, seed: int) -> Outcome:
    outcome = Outcome("a cell of 12 chunks killed (SIGKILL, SIGTERM), then run again")
    stage = ("stages/attack.py", "--source", "fnn0", "--attack", "sg_igsm")
    return _stage_kills(outcome, count, seed, stage, CELL, 12)


def train_kills(count: int, seed: int) -> Outcome:
    outcome = Outcome("a training of 40 epochs killed (SIGKILL, SIGTERM), then run again")
    return _stage_kills(outcome, count, seed, ("stages/train.py", "--model", "fnn2"), MODEL, 40)


def two_repros(count: int, seed: int) -> Outcome:
    """A second `dvc repro` started at a seeded moment of the first: one is refused or waits, nothing is damaged."""
    outcome = Outcome("two `dvc repro` at once in one folder")
    draw = random.Random(seed)
    calm = undisturbed()
    for _ in _until(outcome, count):
        with copied(calm.start, f"run{outcome.tried}") as one:
            first = started(one, sys.executable, "-m", "dvc", "repro")
            time.sleep(draw.uniform(0, calm.seconds))
            if first.poll() is not None:
                first.communicate()
                continue
            second = started(one, sys.executable, "-m", "dvc", "repro")
            later, earlier = second.communicate()[0], first.communicate()[0]
            codes = (first.returncode, second.returncode)
            waits = _told_to_wait(later, first.pid) if second.returncode else _told_to_wait(earlier, second.pid)
            problem = _after(one, calm.results)
            if problem or "Traceback" in later + earlier or (any(codes) and (all(codes) or not waits)):
                outcome.fail(f"run {outcome.tried}: {codes}, {problem or f'{earlier[-500:]} {later[-500:]}'}")
            else:
                outcome.add("one was told to wait its turn" if any(codes) else "both went well")
    return outcome


def _told_to_wait(said: str, pid: int) -> bool:
    """Whether DVC refused in one error: that a file is in use, and by which process, or that its own lock is."""
    errors = re.findall(r"^ERROR: .*", said, re.MULTILINE)
    busy = errors[:1] and errors[0].endswith("is busy, it is being blocked by:") and f"(PID {pid}): " in said
    return len(errors) == 1 and bool(busy or "Unable to acquire lock" in errors[0])


def full_disks(count: int, seed: int) -> Outcome:
    """A disk that fills up after so many bytes, then has room again: one line, and no chunk or epoch twice."""
    outcome = Outcome("a disk that fills up in the middle of a cell, a training, images (a small tmpfs), then has room")
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        raise SystemExit("error: full disks need `unshare -rm` (user namespaces), which this machine does not allow")
    with copied(undisturbed().done, "full") as start, tempfile.TemporaryDirectory() as name:
        job = {"count": count, "seed": seed, "path": str(start.path), "mount": name, "cell": CELL, "model": MODEL}
        command = ["unshare", "-rm", sys.executable, str(HERE / "disk.py"), json.dumps(job)]
        # Python writes its bytecode unchecked: what a full disk cut off, the next start trips over
        environment = start.environment | {"PYTHONDONTWRITEBYTECODE": "1"}
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
