"""Full disks, inside `unshare -rm`: a repository on a small tmpfs, whose size is then raised."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

job = json.loads(sys.argv[1])
mount, start, out = Path(job["mount"]), Path(job["path"]), job["out"]
stage = [sys.executable, str(Path(__file__).parent / "logged.py")]
draw = random.Random(job["seed"])
NEEDS = ("stages", "transferbench", "params.yaml", "subset", "weights", "sources")


def size(name: str) -> int:
    path = start / name
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size


def run(log: Path) -> subprocess.CompletedProcess:
    command = [*stage, str(log), "stages/attack.py", "--source", "fnn0", "--attack", "sg_igsm"]
    return subprocess.run(command, cwd=mount, capture_output=True, text=True)


found = []
right = (start / out).read_bytes()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(mount)], check=True)
for name in NEEDS:
    source = start / name
    if source.is_dir():
        shutil.copytree(source, mount / name, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, mount / name)
for number in range(job["count"]):
    shutil.rmtree(mount / "adversarial", ignore_errors=True)
    shutil.rmtree(mount / ".transferbench", ignore_errors=True)
    filler = mount / "filler"
    subprocess.run(["mount", "-o", "remount,size=64m", str(mount)], check=True)
    used = shutil.disk_usage(mount).used
    room = draw.randrange(0, 80_000, 4096)  # twelve chunks of 4 kB, folders, a file of 12 kB
    filler.write_bytes(bytes(max(0, (64 << 20) - used - room)))
    log = Path(f"{mount}.log{number}")
    full = run(log)
    filler.unlink()
    lines = [line for line in full.stderr.splitlines() if "error" in line or "Traceback" in line]
    half = [str(path) for path in mount.rglob("*.tmp")]
    again = full if full.returncode == 0 else run(log)
    events = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    finished = [piece for kind, piece in events if kind == "finished"]
    if again.returncode or (mount / out).read_bytes() != right:
        found.append(f"with {room} bytes: afterwards {again.returncode}, {again.stderr[-300:]}")
    elif len(finished) != len(set(finished)) or half:
        found.append(f"with {room} bytes: finished {finished}, half-written {half}")
    elif full.returncode == 0:
        found.append("fine: room enough after all")
    elif full.returncode == 2 and len(lines) == 1 and "No space left on device" in lines[0]:
        found.append("fine: one line, finished chunks kept, then the same bytes")
    else:
        found.append(f"with {room} bytes: {full.returncode}, {full.stderr[-300:]}")
    log.unlink(missing_ok=True)
print(json.dumps(found))
