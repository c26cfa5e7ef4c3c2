"""Stage scripts as processes: exit codes, one line for a user's mistake, nothing half-written."""

import errno
import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from builders import ROOT, write_plans
from forked_python import run_python
from repositories import PARAMS

from crossfool import errors as crossfool_errors
from crossfool.models import build, weights_file
from crossfool.models.weights import model_description, registry
from crossfool.models.weights.config import Weights
from crossfool.pipeline.crafting import weights_record
from crossfool.pipeline.evaluation import lpips, lpips_weights
from crossfool.pipeline.stage import errors_in_one_line
from crossfool.storage import atomic
from crossfool.storage.json_files import read_json, write_json
from crossfool.storage.tensors import TensorFile, write_tensors

STAGES = ROOT / "stages"
ROW = {"epsilon": 15, "steps": 300, "step_size": 1, "gradient": "smoothed", "samples": 4, "sigma": 5}


def start(stage: str, *arguments: str, folder: Path, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-P", str(STAGES / f"{stage}.py"), *arguments]
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.Popen(
        command, cwd=folder, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(stage: str, *arguments: str, folder: Path, **environment: str) -> tuple[int, str]:
    """Run a stage to its end, as a fork (`forked_python.py`); return its exit code and what it writes."""
    script = str(STAGES / f"{stage}.py")
    return run_python(["-P", script, *arguments], folder, os.environ | {"OMP_NUM_THREADS": "1"} | environment)


@pytest.fixture
def folder(tmp_path, subset, fnn_weights) -> Path:
    """An experiment's folder, ready for the attack stage on fnn2."""
    values = PARAMS | {"compute": {"precision": "float32", "chunk": 2}, "sources": ["fnn2"], "attacks": {"long": ROW}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    write_json(tmp_path / "sources/fnn2.json", weights_record.make_record("fnn2", fnn_weights))
    write_plans(tmp_path)
    return tmp_path


ATTACK = ("attack", "--source", "fnn2", "--attack", "long")


@pytest.mark.parametrize("stage", [("plan",), ("prepare",), ATTACK, ("select",)], ids=lambda stage: stage[0])
def test_a_mistake_is_one_line_and_exit_code_two(folder, stage):
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("samples:", "sampels:"))
    before = sorted(folder.rglob("*"))
    code, errors = run(*stage, folder=folder)
    assert code == 2
    assert errors == "error: params.yaml: unknown key of attacks.long 'sampels'; did you mean samples or scales?\n"
    assert sorted(folder.rglob("*")) == before


def test_a_device_that_is_not_there(folder):
    code, errors = run(*ATTACK, folder=folder, CROSSFOOL_DEVICE="cuda:77")
    assert code == 2 and errors.startswith("error: CROSSFOOL_DEVICE is 'cuda:77', which cannot be used here")
    assert errors.count("\n") == 1


def test_a_missing_input_names_the_file(folder):
    (folder / "subset/images.safetensors").unlink()
    code, errors = run(*ATTACK, folder=folder)
    assert code == 2 and errors.splitlines()[-1].startswith(
        "error: subset/images.safetensors is missing; run `dvc repro`"
    )


def test_a_write_that_the_system_refuses_is_one_line(folder):
    """As on a full disk: a limit of ten bytes a file."""
    (folder / "sources/fnn2.json").unlink()
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); import runpy, sys; "
    code += (
        f"sys.argv = ['source', '--source', 'fnn2']; runpy.run_path({str(STAGES / 'source.py')!r}, run_name='__main__')"
    )
    limited = subprocess.run([sys.executable, "-c", code], cwd=folder, text=True, capture_output=True)
    assert limited.returncode == 2
    assert limited.stderr == "error: File too large: sources/fnn2.json\n"
    assert list((folder / "sources").iterdir()) == []


def test_a_temporary_file_that_the_system_refuses_names_the_variable_that_moves_it(tmp_path):
    (tmp_path / "script.py").write_text(
        "import gzip, resource\nfrom pathlib import Path\n"
        "from crossfool.datasets.reading import image_files\nfrom crossfool.pipeline.stage import stage\n"
        "Path('a.tar.gz').write_bytes(gzip.compress(bytes(100_000)))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "@stage\ndef main():\n    with image_files.open_images(Path('a.tar.gz')):\n        pass\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    said = r"error: File too large: /.*/crossfool-\w+/images.tar; TMPDIR moves temporary files elsewhere\n"
    assert re.fullmatch(said, done.stderr)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
            "No usable temporary directory found in ['/tmp']; set TMPDIR to a folder that can be written to",
        ),
        (
            RuntimeError("Could not determine home directory."),
            "Could not determine home directory; set HOME to a folder that can be written to",
        ),
        (OSError(errno.EROFS, "Read-only file system", b"/a/b"), "Read-only file system: /a/b"),
    ],
    ids=str,
)
def test_what_the_system_refuses_names_a_place_or_a_variable(capsys, error, said):
    @errors_in_one_line
    def refused():
        raise error

    with pytest.raises(SystemExit) as ended:
        refused()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {said}\n"


@pytest.mark.parametrize("number", sorted(crossfool_errors.WRITE_ERRORS))
def test_a_write_that_the_system_refuses_names_its_file(tmp_path, number):
    with pytest.raises(OSError) as refused, atomic.replacing(tmp_path / "a" / "b.json"):
        raise OSError(number, os.strerror(number))
    assert refused.value.filename == str(tmp_path / "a" / "b.json")
    assert not list((tmp_path / "a").iterdir())


@pytest.mark.parametrize("how", [pytest.param(signal.SIGKILL, marks=pytest.mark.exhaustive), signal.SIGTERM])
def test_a_killed_attack_leaves_nothing_half_written_and_resumes(folder, how):
    out = folder / "adversarial/fnn2/long.safetensors"
    assert run(*ATTACK, folder=folder)[0] == 0
    undisturbed = out.read_bytes()
    chunks = folder / ".crossfool/chunks"
    for _ in range(5):
        out.unlink()
        process = start(*ATTACK, folder=folder)
        for _ in range(6000):
            if len(list(chunks.glob("*/*.safetensors"))) >= 2 or process.poll() is not None:
                break
            time.sleep(0.01)
        process.send_signal(how)
        process.communicate(timeout=60)
        if process.returncode:  # else it was done before this process had its turn
            break
    assert process.returncode in (-signal.SIGKILL, 143)
    finished = {path: path.stat().st_mtime_ns for path in chunks.glob("*/*.safetensors")}
    assert 2 <= len(finished) < 6 and not out.exists()
    if how == signal.SIGTERM:
        assert not list(folder.rglob("*.tmp"))
    process = start(*ATTACK, folder=folder)
    for _ in range(1200):
        if len(list(chunks.glob("*/*.safetensors"))) > len(finished) or process.poll() is not None:
            break
        time.sleep(0.02)
    kept = {path: path.stat().st_mtime_ns for path in finished if path.exists()}
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert all(finished[path] == when for path, when in kept.items())  # none was computed again
    assert out.read_bytes() == undisturbed
    assert not list(folder.rglob("*.tmp"))
    assert json.loads((folder / "sources/fnn2.json").read_text())["source"] == "fnn2"


DVC = """
import os, subprocess, sys
os.environ["DVC_STAGE"] = "attack"
subprocess.run(sys.argv[1], shell=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="stages notice it on Linux alone")
@pytest.mark.parametrize("through", ["", "true; "], ids=["the shell's only command", "a shell of its own"])
def test_a_stage_ends_with_its_dvc(folder, through):
    """As after `kill -9` of DVC: the stage would race the one that the next `dvc repro` starts."""
    command = f"{through}{shlex.join([sys.executable, '-P', str(STAGES / 'attack.py')])} --source fnn2 --attack long"
    dvc = subprocess.Popen([sys.executable, "-c", DVC, command], cwd=folder, stderr=subprocess.DEVNULL)
    chunks = folder / ".crossfool/chunks"
    while not list(chunks.glob("*/*.safetensors")):
        assert dvc.poll() is None
        time.sleep(0.01)
    dvc.kill()
    dvc.wait()
    with open(next(chunks.glob("*.lock"))) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the stage holds it until it ends
    assert not (folder / "adversarial/fnn2/long.safetensors").exists()


def test_a_stage_that_is_terminated_while_it_imports_says_nothing(tmp_path):
    (tmp_path / "slow.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(9)\n")
    (tmp_path / "script.py").write_text(
        "import traceback\nfrom crossfool.pipeline.stage import stage\n"
        "@stage\ndef main():\n    try:\n        import slow\n    except BaseException:\n        traceback.print_exc()\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")


def test_a_stage_that_is_terminated_while_it_ends_says_nothing(tmp_path):
    (tmp_path / "script.py").write_text(
        "import os, signal, time, weakref\nfrom crossfool.pipeline.stage import stage\n"
        "class Kept: pass\nkept = Kept()\n"
        "def ended():\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(9)\n"
        "weakref.finalize(kept, ended)\n"
        "@stage\ndef main():\n    print('done')\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")


def test_what_a_file_is_called_stays_in_its_line(capsys):
    @errors_in_one_line
    def refused():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/a\nb\x1b")

    with pytest.raises(SystemExit):
        refused()
    assert capsys.readouterr().err == "error: No such file or directory: /a\\nb\\x1b\n"


def test_out_of_memory_is_one_line(capsys):
    class OutOfMemoryError(RuntimeError):  # as torch names its own
        pass

    @errors_in_one_line
    def greedy(error):
        raise error

    for error in (OutOfMemoryError(), MemoryError()):
        with pytest.raises(SystemExit) as ended:
            greedy(error)
        assert ended.value.code == 2
        assert capsys.readouterr().err == "error: out of memory; lower compute: chunk in params.yaml\n"
    with pytest.raises(RuntimeError, match="a bug"):
        greedy(RuntimeError("a bug"))


def test_lpips_is_measured_where_it_is_asked_for(tmp_path):
    """From the stages' own output files: `true`, then `false`."""
    torch.manual_seed(0)
    network = build.crossfool_network("resnet20")
    weights_file.write_weights(
        tmp_path / "weights/resnet20.safetensors",
        network.state_dict(),
        model_description.describe(registry.spec("resnet20"), network),
    )
    (tmp_path / "own").mkdir()
    generator, labels = np.random.default_rng(0), np.arange(6)
    tensors = {"images": generator.integers(0, 256, (6, 3, 32, 32), np.uint8)}
    tensors |= {"labels": labels, "target_labels": labels + 1, "index": np.arange(6) * 3}
    about = {"dataset": "made", "family": "cifar10", "classes": "10"}
    write_tensors(tmp_path / "subset/images.safetensors", tensors, about)
    write_json(tmp_path / "sources/resnet20.json", weights_record.make_record("resnet20", tmp_path / "weights"))
    values = PARAMS | {
        "dataset": {"name": "cifar10"},
        "models": ["resnet20"],
        "weights": {"dir": "own"},
        "training": None,
        "subset": {"images": 6},
    }
    values |= {"sources": ["resnet20"], "attacks": {"fgsm": {"epsilon": 15, "steps": 1, "step_size": 15}}}
    cell = ("--source", "resnet20", "--attack", "fgsm")
    found = {}
    for asked in (True, False):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values | {"lpips": asked}))
        write_plans(tmp_path)
        for stage in (("lpips",), *([("attack", *cell)] if asked else []), ("evaluate", *cell)):
            code, errors = run(*stage, folder=tmp_path)
            assert code == 0, errors
        found[asked] = read_json(tmp_path / "metrics/resnet20/fgsm.detail.json")["size"]
    images = TensorFile(tmp_path / "adversarial/resnet20/fgsm.safetensors")["images"]
    distance = lpips.Lpips(lpips_weights.fetch(Weights()), torch.device("cpu"))
    assert found[True]["lpips"] == pytest.approx(distance(images, tensors["images"]).mean(), abs=1e-4)
    assert found[True]["lpips_high"] > found[True]["lpips"] > 0
    assert found[False] == found[True] | {"lpips": None, "lpips_high": None}
    for file in ("data/lpips.safetensors", "predictions/resnet20/fgsm.parquet", "metrics/resnet20/fgsm.json"):
        (tmp_path / file).unlink()
    code, errors = run("evaluate", *cell, folder=tmp_path)
    assert code == 2 and errors.startswith("error: data/lpips.safetensors is missing; run `dvc repro`")
    assert not list(tmp_path.glob("predictions/resnet20/*")) and not (tmp_path / "metrics/resnet20/fgsm.json").exists()
