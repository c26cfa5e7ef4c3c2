"""Engines: whoever computes a cell's chunks, the bytes are the same, and what fails is told in one line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from test_cells import cell, run

from transferbench import cells, engines, sources
from transferbench.artefacts import TensorFile, write_tensors
from transferbench.errors import UserError


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("TRANSFERBENCH_ENGINE", "TRANSFERBENCH_WORKERS", "TRANSFERBENCH_SLURM", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRANSFERBENCH_DEVICE", "cpu")


def elsewhere(one: cells.Cell, weights: Path, out: Path, engine: cells.Engine) -> Path:
    files = sources.verify(one.source, weights)
    cells.run_elsewhere(one, files, out, engine=engine, scratch=out.parent / "scratch")
    return out


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ENGINE", "rai", "unknown engine in TRANSFERBENCH_ENGINE 'rai'; did you mean ray?"),
        ("WORKERS", "0", "TRANSFERBENCH_WORKERS is '0', expected how many workers, 1 to 10000"),
        ("WORKERS", "two", "TRANSFERBENCH_WORKERS is 'two', expected how many workers, 1 to 10000"),
        ("WORKERS", "²", "TRANSFERBENCH_WORKERS is '²', expected how many workers, 1 to 10000"),
    ],
)
def test_a_mistake_is_one_line(monkeypatch, name, value, message):
    monkeypatch.setenv(f"TRANSFERBENCH_{name}", value)
    with pytest.raises(UserError) as error:
        engines.chosen()
    assert str(error.value) == message


@pytest.mark.parametrize(("engine", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_library_that_is_not_there(monkeypatch, engine, library):
    monkeypatch.setenv("TRANSFERBENCH_ENGINE", engine)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"needs {library}; pip install 'transferbench\[cluster\]'"):
        engines.chosen()


def test_this_process_computes_unless_told_otherwise(monkeypatch):
    assert engines.chosen() is None
    monkeypatch.setenv("TRANSFERBENCH_WORKERS", "3")
    found = engines.chosen()
    assert isinstance(found, engines.Processes) and (found.count, found.kind) == (3, "cpu")


def test_every_gpu_has_a_process(monkeypatch):
    monkeypatch.delenv("TRANSFERBENCH_DEVICE")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    found = engines.chosen()
    assert isinstance(found, engines.Processes) and found.kind == "cuda"
    assert found._devices == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]


@pytest.mark.parametrize("row", ["migsm", "sg", "targeted", "takes"])
def test_processes_give_the_same_bytes(tmp_path, subset, fnn_weights, row):
    one = cell(subset, fnn_weights, row, source="fnn0+fnn2")
    here = run(one, fnn_weights, tmp_path / "a" / "out.safetensors")
    there = elsewhere(one, fnn_weights, tmp_path / "b" / "out.safetensors", engines.Processes(2, 0))
    assert there.read_bytes() == here.read_bytes()
    assert [path.name for path in (tmp_path / "b" / "scratch").iterdir()] == [f"fnn0+fnn2-{row}.lock"]


class Backwards:
    """Computes here, the last chunk first, and dies after so many."""

    kind = "cpu"

    def __init__(self, dies_after: int) -> None:
        self.left, self.computed = dies_after, []

    def chunks(self, cell, weights, parts):
        for part in reversed(parts):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.computed.append(part.start)
            yield part, engines.compute(engines.order(cell), weights, engines.arrays(TensorFile(cell.subset), part))


def test_finished_chunks_are_kept_whoever_computed_them(tmp_path, subset, fnn_weights):
    one = cell(subset, fnn_weights)
    here = run(one, fnn_weights, tmp_path / "a" / "out.safetensors")
    first, second = Backwards(2), Backwards(9)
    with pytest.raises(KeyboardInterrupt):
        elsewhere(one, fnn_weights, tmp_path / "b" / "out.safetensors", first)
    there = elsewhere(one, fnn_weights, tmp_path / "b" / "out.safetensors", second)
    assert (first.computed, second.computed) == ([8, 4], [0])
    assert there.read_bytes() == here.read_bytes()


class Dying(engines.Processes):
    """A worker is killed once the first chunk is there."""

    def chunks(self, cell, weights, parts):
        for number, found in enumerate(super().chunks(cell, weights, parts)):
            yield found
            if number == 0:
                for worker in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
                    if b"spawn_main" in Path(f"/proc/{worker}/cmdline").read_bytes():
                        os.kill(int(worker), signal.SIGKILL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for its children in /proc")
def test_a_worker_that_dies_is_one_line_and_costs_no_finished_chunk(tmp_path, subset, fnn_weights):
    one = cell(subset, fnn_weights, chunk=1)
    here = run(one, fnn_weights, tmp_path / "a" / "out.safetensors")
    out = tmp_path / "b" / "out.safetensors"
    with pytest.raises(UserError, match=r"a worker process died .*; finished chunks are kept: run `dvc repro` again"):
        elsewhere(one, fnn_weights, out, Dying(2, 0))
    assert list(out.parent.rglob("*.safetensors")) and not out.exists()
    assert elsewhere(one, fnn_weights, out, Backwards(10)).read_bytes() == here.read_bytes()  # ten of eleven are left


LEFT_ALONE = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from transferbench import engines

if __name__ == "__main__":
    context = get_context("spawn")
    places = context.SimpleQueue()
    places.put(None)
    pool = ProcessPoolExecutor(1, context, engines._begin, (places, 1))
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the worker in /proc")
def test_a_worker_ends_with_a_stage_that_is_killed(tmp_path):
    (tmp_path / "stage.py").write_text(LEFT_ALONE)
    with subprocess.Popen([sys.executable, tmp_path / "stage.py"], stdout=subprocess.PIPE, text=True) as stage:
        assert stage.stdout is not None
        worker = Path(f"/proc/{int(stage.stdout.readline())}")
        assert b"spawn_main" in (worker / "cmdline").read_bytes()
        stage.kill()
        end = time.monotonic() + 30
        while worker.exists() and "zombie" not in (worker / "status").read_text():
            assert time.monotonic() < end, "it lives on"
            time.sleep(0.05)


def test_a_gradient_that_is_not_finite_is_told_from_elsewhere(tmp_path, subset, fnn_weights):
    file = TensorFile(fnn_weights / "fnn2.safetensors")
    tensors = {name: file[name].copy() for name in file.names()}
    tensors[file.names()[-1]][:] = 3e38
    write_tensors(fnn_weights / "fnn2.safetensors", tensors, file.metadata)
    out = tmp_path / "out.safetensors"
    with pytest.raises(UserError, match=r"sg: the gradient of fnn2 is not finite at image \d+;"):
        elsewhere(cell(subset, fnn_weights, source="fnn0+fnn2"), fnn_weights, out, engines.Processes(2, 0))
    assert not out.exists()


def test_a_worker_of_other_versions_is_refused(subset, fnn_weights):
    one = cell(subset, fnn_weights)
    order = engines.Order(one, ("x",), "torch 1, transferbench 2")
    with pytest.raises(UserError, match=r"a worker has torch .*, and this machine torch 1, transferbench 2; install"):
        engines.compute(order, [], engines.arrays(TensorFile(subset), slice(0, 2)))


def test_weights_arrive_as_bytes_too(subset, fnn_weights):
    one = cell(subset, fnn_weights)
    (path,) = sources.verify(one.source, fnn_weights)
    part = engines.arrays(TensorFile(subset), slice(4, 8))
    from_path = engines.compute(engines.order(one), [path], part)["images"]
    engines._kept.clear()
    from_bytes = engines.compute(engines.order(one), [np.fromfile(path, np.uint8)], part)["images"]
    assert np.array_equal(from_bytes, from_path)


def test_slurm_jobs_give_the_same_bytes(tmp_path, subset, fnn_weights, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setenv("TRANSFERBENCH_ENGINE", "slurm")
    monkeypatch.setenv("TRANSFERBENCH_WORKERS", "2")
    monkeypatch.setenv("TRANSFERBENCH_SLURM", "cluster=local timeout_min=5")  # submitit's own stand-in for Slurm
    monkeypatch.chdir(tmp_path)
    engine = engines.chosen()
    one = cell(subset, fnn_weights, "sg")
    here = run(one, fnn_weights, tmp_path / "a" / "out.safetensors")
    assert elsewhere(one, fnn_weights, tmp_path / "b" / "out.safetensors", engine).read_bytes() == here.read_bytes()
    monkeypatch.setattr(engines, "versions", lambda: "torch 1")
    with pytest.raises(UserError, match=r"a worker has torch .*, and this machine torch 1; install"):
        elsewhere(cell(subset, fnn_weights, "fgsm"), fnn_weights, tmp_path / "c" / "out.safetensors", engine)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("partition", "TRANSFERBENCH_SLURM has 'partition', expected name=value"),
        ("cluster=nowhere", "submitit: .*nowhere.*; see TRANSFERBENCH_SLURM"),
        ("cluster=local timeout_min=²", "submitit: .*; see TRANSFERBENCH_SLURM"),
        ("cluster=local no_such=1", "submitit: .*no_such.*; see TRANSFERBENCH_SLURM"),
    ],
)
def test_a_mistake_in_slurms_options_is_one_line(tmp_path, subset, fnn_weights, monkeypatch, options, message):
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFERBENCH_SLURM", options)
    with pytest.raises(UserError, match=message):
        elsewhere(cell(subset, fnn_weights), fnn_weights, tmp_path / "out.safetensors", engines.Slurm(2))


def test_a_ray_cluster_whose_nodes_die_gives_the_same_bytes(tmp_path, subset, fnn_weights):
    """Four nodes; two are killed while they compute: see tests/ray_cluster.py, a process of its own."""
    pytest.importorskip("ray", reason="ray is not installed")
    one = cell(subset, fnn_weights, chunk=1)
    here = run(one, fnn_weights, tmp_path / "a" / "out.safetensors")
    out = tmp_path / "b" / "out.safetensors"
    script = Path(__file__).parent / "ray_cluster.py"
    command = [sys.executable, str(script), *map(str, (subset, fnn_weights, out))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["killed"] == 2
    assert told["interrupted"], "no task was running on a node that was killed"
    assert sorted(told["started"]) == sorted([*range(11), *told["interrupted"]])  # others were computed once
    assert told["refused"].startswith("sg: the gradient of fnn2 is not finite at image ")
    assert out.read_bytes() == here.read_bytes()
