"""Fill disks, inside `unshare -rm`: a repository on a small tmpfs, filled but for a little, which is then emptied.

A cell, a training and the preparing of images in turn, each with room for a seeded part of what it writes.
"""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

job = json.loads(sys.argv[1])
mount, start = Path(job["mount"]), Path(job["path"])
logged = [sys.executable, str(Path(__file__).parent / "logged.py")]
draw = random.Random(job["seed"])
NEEDS = ("stages", "crossfool", "params.yaml", "plan", "subset", "weights", "sources", "data")
STAGES = {  # what is written -> the stage, and files that it makes
    "a cell": (["stages/attack.py", "--source", "fnn0", "--attack", "sg_igsm"], [job["cell"]]),
    "a training": (["stages/train.py", "--model", "fnn2"], [job["model"]]),
    "images": (["stages/prepare.py"], ["data/images.safetensors", "data/images.csv", "data/train.safetensors"]),
}
# Times what a stage makes, at most: there are chunks or epochs, their folders, and the whole under another name.
ROOM = {"a cell": 8, "a training": 6, "images": 1}


def run(log: Path, stage: list[str]) -> subprocess.CompletedProcess:
    """Run a stage that logs its chunks or epochs."""
    return subprocess.run([*logged, str(log), *stage], cwd=mount, capture_output=True, text=True)


def tried(number: int, kind: str) -> str:
    """Run a stage on a full disk; return what happened, "fine: ..." where all went well, "" where there was room."""
    stage, outs = STAGES[kind]
    for out in outs:
        (mount / out).unlink(missing_ok=True)
    shutil.rmtree(mount / ".crossfool", ignore_errors=True)
    filler, log = mount / "filler", Path(f"{mount}.log{number}")
    room = draw.randrange(0, ROOM[kind] * sum((start / out).stat().st_size for out in outs), 4096)
    filler.write_bytes(bytes(max(0, shutil.disk_usage(mount).free - room)))
    full = run(log, stage)
    filler.unlink()
    lines = [line for line in full.stderr.splitlines() if "error" in line or "Traceback" in line]
    half = [str(path) for path in mount.rglob("*.tmp")]
    again = full if full.returncode == 0 else run(log, stage)
    events = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    finished = [piece for kind, piece in events if kind == "finished"]
    situation = f"{kind} with {room} bytes: "
    if again.returncode or any((mount / out).read_bytes() != (start / out).read_bytes() for out in outs):
        return f"{situation}afterwards {again.returncode}, {again.stderr[-300:]}"
    if len(finished) != len(set(finished)) or half:
        return f"{situation}finished {finished}, half-written {half}"
    if full.returncode == 0:
        return ""
    if full.returncode == 2 and len(lines) == 1 and "No space left on device" in lines[0]:
        return f"fine: {kind}: one line, what was finished is kept, then the same bytes"
    return f"{situation}{full.returncode}, {full.stderr[-300:]}"


outcomes: list[str] = []
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(mount)], check=True)
for name in NEEDS:
    source = start / name
    if source.is_dir():
        shutil.copytree(source, mount / name, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, mount / name)
for number in range(10 * job["count"]):
    if len(outcomes) < job["count"]:
        outcome = tried(number, list(STAGES)[len(outcomes) % len(STAGES)])
        outcomes += [outcome] if outcome else []
if len(outcomes) < job["count"]:
    sys.exit(f"error: of {10 * job['count']} disks only {len(outcomes)} were too small")
print(json.dumps(outcomes))
