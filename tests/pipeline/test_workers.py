"""Engines: whoever computes a cell's chunks, the bytes are the same, and what fails is told in one line."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from builders import ROOT, a_few
from made_cells import cell, run
from repositories import finished

from crossfool.attacks import fusion
from crossfool.attacks.backward import plain
from crossfool.attacks.losses import cross_entropy
from crossfool.errors import UserError
from crossfool.models.inference import pixel_model
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import compute_cell, craft_order, device_crafter, weights_record
from crossfool.pipeline.crafting.cell_inputs import Cell
from crossfool.pipeline.workers import choose_engine, local, ray_cluster
from crossfool.pipeline.workers import slurm as workers_slurm
from crossfool.pipeline.workers import worker as workers_worker
from crossfool.pipeline.workers.task import Task
from crossfool.storage.tensors import TensorFile, write_tensors


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("CROSSFOOL_ENGINE", "CROSSFOOL_WORKERS", "CROSSFOOL_SLURM", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CROSSFOOL_DEVICE", "cpu")


def elsewhere(one: Cell, weights: Path, out: Path, engine: compute_cell.Engine) -> Path:
    files = weights_record.verified_paths(one.source, weights)
    compute_cell.compute_with_engine(one, files, out, engine=engine, scratch=out.parent / "scratch")
    return out


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ENGINE", "rai", "unknown engine in CROSSFOOL_ENGINE 'rai'; did you mean ray?"),
        ("WORKERS", "0", "CROSSFOOL_WORKERS is '0', expected how many workers, 1 to 10000"),
        ("WORKERS", "two", "CROSSFOOL_WORKERS is 'two', expected how many workers, 1 to 10000"),
        ("WORKERS", "²", "CROSSFOOL_WORKERS is '²', expected how many workers, 1 to 10000"),
    ],
)
def test_a_mistake_is_one_line(monkeypatch, name, value, message):
    monkeypatch.setenv(f"CROSSFOOL_{name}", value)
    with pytest.raises(UserError) as error:
        choose_engine.choose_engine()
    assert str(error.value) == message


@pytest.mark.parametrize(("engine", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_library_that_cannot_be_imported_says_why(monkeypatch, tmp_path, engine, library):
    monkeypatch.setenv("CROSSFOOL_ENGINE", engine)
    monkeypatch.delitem(sys.modules, library, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{library}.py").write_text("raise ImportError('libz.so.9: cannot open shared object file')\n")
    with pytest.raises(UserError, match=rf"needs {library}, which cannot be imported \(libz.so.9: .*\); pip install"):
        choose_engine.choose_engine()


@pytest.mark.parametrize(("engine", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_library_that_is_not_there(monkeypatch, engine, library):
    monkeypatch.setenv("CROSSFOOL_ENGINE", engine)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"needs {library}; pip install 'crossfool\[cluster\]'"):
        choose_engine.choose_engine()


def test_this_process_computes_unless_told_otherwise(monkeypatch):
    assert choose_engine.choose_engine() is None
    monkeypatch.setenv("CROSSFOOL_WORKERS", "3")
    found = choose_engine.choose_engine()
    assert isinstance(found, local.Processes) and (found.count, found.kind) == (3, "cpu")


def test_every_gpu_has_a_process(monkeypatch):
    monkeypatch.delenv("CROSSFOOL_DEVICE")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    found = choose_engine.choose_engine()
    assert isinstance(found, local.Processes) and found.kind == "cuda"
    assert found._devices == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]


@pytest.mark.parametrize("row", a_few(["migsm", "sg", "targeted", "takes", "admix"], "takes", "admix"))
def test_processes_give_the_same_bytes(tmp_path, subset, fnn_weights, row):
    one = cell(subset, fnn_weights, row, source="fnn0+fnn2")
    here = run(one, fnn_weights, tmp_path / "a" / "out.safetensors")
    there = elsewhere(one, fnn_weights, tmp_path / "b" / "out.safetensors", local.Processes(2, 0))
    assert there.read_bytes() == here.read_bytes()
    assert [path.name for path in (tmp_path / "b" / "scratch").iterdir()] == [f"fnn0+fnn2-{row}.lock"]


class Backwards:
    """Computes here, the last chunk first, and dies after so many."""

    kind = "cpu"

    def __init__(self, dies_after: int) -> None:
        self.left, self.computed = dies_after, []

    def run(self, tasks, name):
        for task in reversed(tasks):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.computed.append(int(task.name))
            yield task, workers_worker.compute(task.order, task.files, task.arrays())


def test_finished_chunks_are_kept_whoever_computed_them(tmp_path, subset, fnn_weights):
    one = cell(subset, fnn_weights)
    here = run(one, fnn_weights, tmp_path / "a" / "out.safetensors")
    first, second = Backwards(2), Backwards(9)
    with pytest.raises(KeyboardInterrupt):
        elsewhere(one, fnn_weights, tmp_path / "b" / "out.safetensors", first)
    there = elsewhere(one, fnn_weights, tmp_path / "b" / "out.safetensors", second)
    assert (first.computed, second.computed) == ([8, 4], [0])
    assert there.read_bytes() == here.read_bytes()


def damaged(subset: Path) -> None:
    """One pixel of one image is another."""
    file = TensorFile(subset)
    tensors = {name: np.array(file[name]) for name in file.names()}
    tensors["images"][5, 0, 3, 3] ^= 1
    write_tensors(subset, tensors, {key: value for key, value in file.metadata.items() if key != "sha256"})


def retrained(weights: Path) -> None:
    """One weight of fnn2 is another."""
    file = TensorFile(weights / "fnn2.safetensors")
    tensors = {name: file[name].copy() for name in file.names()}
    tensors[file.names()[0]].flat[0] += 1
    write_tensors(weights / "fnn2.safetensors", tensors, {"model": file.metadata["model"]})


@pytest.mark.parametrize("other", ["code", "subset", "weights", "compute", "device"])
def test_chunks_of_anything_else_are_not_taken(tmp_path, subset, fnn_weights, monkeypatch, other):
    first, second, third = Backwards(2), Backwards(9), Backwards(9)
    workers_worker.versions()  # of the true code, kept for the tests after this one
    with pytest.raises(KeyboardInterrupt):
        elsewhere(cell(subset, fnn_weights), fnn_weights, tmp_path / "b" / "out.safetensors", first)
    if other == "code":
        monkeypatch.setattr(compute_cell, "code_digest", lambda: "other")
    elif other == "subset":
        damaged(subset)
    elif other == "weights":
        retrained(fnn_weights)
    elif other == "device":
        second.kind = "cuda"
    one = cell(subset, fnn_weights)
    if other == "compute":
        one = dataclasses.replace(one, compute=one.compute.model_copy(update={"precision": "tf32"}))
    workers_worker._kept.clear()
    found = elsewhere(one, fnn_weights, tmp_path / "b" / "out.safetensors", second)
    assert second.computed == [8, 4, 0]
    assert found.read_bytes() == elsewhere(one, fnn_weights, tmp_path / "c" / "out.safetensors", third).read_bytes()


def test_threads_change_a_gradient_in_its_last_digits_alone(tmp_path, subset, fnn_weights):
    """A matrix product of five images may round otherwise on two threads than on one; the signs stay."""
    x = torch.from_numpy(np.array(TensorFile(subset)["images"][:5])).float()
    found, labels = [], torch.arange(5)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        one = cell(subset, fnn_weights, "takes", chunk=5, source="fnn0+fnn2")
        members = [
            pixel_model.load(path, device=torch.device("cpu"))
            for path in weights_record.verified_paths(one.source, fnn_weights)
        ]
        gradient = plain(cross_entropy.untargeted(fusion.source_log_probabilities(members, "probabilities"), labels), x)
        file = TensorFile(run(one, fnn_weights, tmp_path / f"{threads}" / "out.safetensors"))
        found.append((gradient, {name: np.array(file[name]) for name in file.names()}))
    (gradient, here), (other, there) = found
    assert torch.allclose(gradient, other, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))
    assert here.keys() == there.keys() == {"images", "takes", "floats"}
    assert all((here[name] != there[name]).mean() < 1e-3 for name in here)


class Dying(local.Processes):
    """A worker is killed once the first chunk is there."""

    def run(self, tasks, name):
        for number, found in enumerate(super().run(tasks, name)):
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
    with pytest.raises(UserError, match=r"a worker process died .*; what is finished is kept: run `dvc repro` again"):
        elsewhere(one, fnn_weights, out, Dying(2, 0))
    assert list(out.parent.rglob("*.safetensors")) and not out.exists()
    assert elsewhere(one, fnn_weights, out, Backwards(10)).read_bytes() == here.read_bytes()  # ten of eleven are left


@pytest.mark.exhaustive  # here and test_cell.py compare the bytes
def test_workers_change_nothing_that_dvc_hashes(tmp_path, tmp_path_factory):
    """Stages that DVC ran without workers, again by two processes each: cells, metrics and what they depend on."""
    one = finished(tmp_path / "made", tmp_path_factory)

    def results():
        metrics = {path.name: path.read_bytes() for path in one.path.glob("metrics/*/*.json")}
        return yaml.safe_load((one.path / "dvc.lock").read_text())["stages"], metrics

    before, cell = results(), "fnn0-sg_igsm"
    shutil.rmtree(one.path / ".crossfool")  # predictions that are kept
    one.environment["CROSSFOOL_WORKERS"] = "2"
    for stage in ("predict@fnn0", f"attack@{cell}", f"evaluate@{cell}"):
        assert one.repro("--force", "--single-item", stage) == {stage}
        assert results() == before and len(before[1]) == 8
    one.environment["CROSSFOOL_WORKERS"] = "0"  # the stages that DVC starts look at it
    said = one.dvc("repro", "--force", "--single-item", f"attack@{cell}", code=255)
    assert "error: CROSSFOOL_WORKERS is '0'" in said


LEFT_ALONE = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from crossfool.pipeline.workers import local

if __name__ == "__main__":
    context = get_context("spawn")
    places = context.SimpleQueue()
    places.put(None)
    pool = ProcessPoolExecutor(1, context, local._begin_worker, (places, 1))
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
        elsewhere(cell(subset, fnn_weights, source="fnn0+fnn2"), fnn_weights, out, local.Processes(2, 0))
    assert not out.exists()


def test_a_worker_of_other_versions_is_refused(subset, fnn_weights):
    one = cell(subset, fnn_weights)
    order = craft_order.CraftOrder(one, ("x",), "torch 1, crossfool 2")
    with pytest.raises(UserError, match=r"a worker has torch .*, and this machine torch 1, crossfool 2; install"):
        workers_worker.compute(order, [], craft_order.chunk_arrays(TensorFile(subset), slice(0, 2)))


@pytest.mark.parametrize("row", ["sg", "admix"])
def test_files_arrive_as_bytes_too(subset, fnn_weights, row):
    """Weights, and the subset for an attack that draws from it, and only for one."""
    one = cell(subset, fnn_weights, row)
    weights = weights_record.verified_paths(one.source, fnn_weights)
    ((task, part),) = craft_order.make_tasks(one, weights, [slice(4, 8)]).items()
    assert task.files == (*weights, *([subset] if row == "admix" else []))
    workers_worker._kept.clear()
    from_paths = workers_worker.compute(task.order, task.files, task.arrays())["images"]
    workers_worker._kept.clear()
    files = [np.fromfile(path, np.uint8) for path in task.files]
    assert np.array_equal(workers_worker.compute(task.order, files, task.arrays())["images"], from_paths)
    members = [pixel_model.load(path, device=torch.device("cpu")) for path in weights]
    crafter = device_crafter.Crafter(one, members, TensorFile(subset), torch.device("cpu"), Fit(4, torch.device("cpu")))
    ((_, here),) = crafter.chunks([part])
    assert np.array_equal(here["images"], from_paths)


def test_slurm_jobs_give_the_same_bytes(tmp_path, subset, fnn_weights, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setenv("CROSSFOOL_ENGINE", "slurm")
    monkeypatch.setenv("CROSSFOOL_WORKERS", "2")
    monkeypatch.setenv("CROSSFOOL_SLURM", "cluster=local timeout_min=5")  # submitit's own stand-in for Slurm
    monkeypatch.chdir(tmp_path)
    engine = choose_engine.choose_engine()
    one = cell(subset, fnn_weights, "sg")
    here = run(one, fnn_weights, tmp_path / "a" / "out.safetensors")
    assert elsewhere(one, fnn_weights, tmp_path / "b" / "out.safetensors", engine).read_bytes() == here.read_bytes()
    monkeypatch.setattr(workers_worker, "versions", lambda: "torch 1")
    with pytest.raises(UserError, match=r"a worker has torch .*, and this machine torch 1; install"):
        elsewhere(cell(subset, fnn_weights, "fgsm"), fnn_weights, tmp_path / "c" / "out.safetensors", engine)


def slurm(monkeypatch, folder: Path) -> workers_slurm.Slurm:
    """One job at a time by submitit's own stand-in for Slurm, which does not wait for what killed jobs would write."""
    submitit = pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setattr(submitit.core.core.Job, "_results_timeout_s", 0)
    monkeypatch.setenv("CROSSFOOL_SLURM", "cluster=local timeout_min=5")
    monkeypatch.chdir(folder)
    return workers_slurm.Slurm(1)


def test_a_slurm_job_killed_at_its_last_chunk_loses_no_other(tmp_path, subset, fnn_weights, monkeypatch):
    one, engine, log = cell(subset, fnn_weights), slurm(monkeypatch, tmp_path), tmp_path / "log"

    def dies(kind, folder, pieces):
        first = not log.exists()
        with open(log, "a") as file:
            file.write(f"{' '.join(pieces)}\n")
        for name in pieces:
            if first and name.startswith("00000008"):
                os.kill(os.getpid(), signal.SIGKILL)
            workers_slurm._compute_in_job(kind, folder, {name: pieces[name]})

    engine.task = dies
    here = run(one, fnn_weights, tmp_path / "a" / "out.safetensors")
    scratch = tmp_path / ".crossfool/slurm"
    for name in ("fnn2-sg-killed", "fnn2-sg_m-another"):
        (scratch / name).mkdir(parents=True)
    assert elsewhere(one, fnn_weights, tmp_path / "b" / "out.safetensors", engine).read_bytes() == here.read_bytes()
    begun = [[int(name.split(".")[0]) for name in line.split()] for line in log.read_text().splitlines()]
    assert begun == [[0, 4, 8], [8]]
    assert [path.name for path in scratch.iterdir() if path.is_dir()] == ["fnn2-sg_m-another"]


def test_slurm_jobs_that_are_always_killed_are_one_line(tmp_path, subset, fnn_weights, monkeypatch):
    one, engine, log = cell(subset, fnn_weights), slurm(monkeypatch, tmp_path), tmp_path / "log"

    def dies(*arguments):
        with open(log, "a") as file:
            file.write("begun\n")
        os.kill(os.getpid(), signal.SIGKILL)

    engine.task = dies
    with pytest.raises(
        UserError, match=r"job \d+ failed: .*; what is finished is kept: run `dvc repro` again$"
    ) as error:
        elsewhere(one, fnn_weights, tmp_path / "b" / "out.safetensors", engine)
    assert "\n" not in str(error.value) and log.read_text() == "begun\n" * workers_slurm.MOST_KILLS


class Job:
    """Of Slurm; ends when it is told to."""

    over = False

    def done(self) -> bool:
        return self.over


def test_a_slurm_jobs_chunks_come_back_before_it_ends(tmp_path, monkeypatch):
    engine, job = slurm(monkeypatch, tmp_path), Job()
    tasks = [Task(None, (), dict, name) for name in ("00000000", "00000004")]
    running = {job: list(tasks)}
    found = engine._collected(running, tmp_path, lambda share: pytest.fail("submitted again"))
    write_tensors(tmp_path / "00000004.safetensors", {"images": np.arange(3)})
    task, made = next(found)
    assert task == tasks[1] and made["images"].tolist() == [0, 1, 2] and running == {job: tasks[:1]}
    write_tensors(tmp_path / "00000000.safetensors", {"images": np.arange(2)})
    job.over = True
    assert [(task, made["images"].tolist()) for task, made in found] == [(tasks[0], [0, 1])]


def test_a_slurm_job_that_slurm_puts_back_computes_no_chunk_twice(tmp_path, subset, fnn_weights):
    one = cell(subset, fnn_weights)
    files = weights_record.verified_paths(one.source, fnn_weights)
    arrays = tmp_path / "arrays.safetensors"
    write_tensors(arrays, craft_order.chunk_arrays(TensorFile(subset), slice(0, 4)))
    piece = workers_slurm._Piece(craft_order.make_order(one), files, arrays)
    (tmp_path / "there").touch()
    workers_slurm._compute_in_job("cpu", tmp_path, {"there": piece, "new": piece})
    assert (tmp_path / "there").stat().st_size == 0 and TensorFile(tmp_path / "new")["images"].shape == (4, 1, 28, 28)


class Sum:
    """An order whose tensor is the sum of a task's values."""

    versions = "1"

    def current_versions(self) -> str:
        return self.versions

    def compute_tensors(self, files, arrays):
        return {"sum": arrays["values"].sum(keepdims=True)}


class Now:
    """An executor that runs a job when it is submitted, and notes its tasks."""

    cluster = "none"

    def __init__(self) -> None:
        self.jobs = []

    def submit(self, task, kind, folder, pieces):
        self.jobs.append(list(pieces))
        task(kind, folder, pieces)
        job = Job()
        job.over = True
        return job


def test_slurm_jobs_of_neighbours_share_a_file_of_equal_arrays(tmp_path, monkeypatch):
    engine, executor, order = slurm(monkeypatch, tmp_path), Now(), Sum()
    engine._count = 2
    arrays = [lambda number=number: {"values": np.array([number, 1])} for number in range(3)]
    tasks = [Task(order, (), arrays[number % 3], f"{number:08d}") for number in range(6)]
    found = {task.name: made["sum"].tolist() for task, made in engine._computed(executor, tasks, tmp_path)}
    assert found == {f"{number:08d}": [number % 3 + 1] for number in range(6)}
    assert executor.jobs == [[f"{number:08d}.safetensors" for number in some] for some in ((0, 1, 2), (3, 4, 5))]
    assert len(list((tmp_path / "arrays").iterdir())) == 3


def test_a_ray_cluster_stores_each_file_and_order_once_and_lets_it_go(tmp_path):
    stored, order, other = [], Sum(), Sum()
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    a, b, c = (tmp_path / name for name in "abc")
    tasks = [Task(order, (a, b), dict, "0"), Task(order, (a, b), dict, "1"), Task(other, (b, c), dict, "2")]
    ray = SimpleNamespace(put=lambda value: stored.append(value) or value)
    store = ray_cluster._Stored(ray, tasks)
    assert [[bytes(file) for file in store.references(task)[1]] for task in tasks] == [[b"a", b"b"]] * 2 + [
        [b"b", b"c"]
    ]
    assert [value for value in stored if isinstance(value, Sum)] == [order, other]
    assert sorted(bytes(value) for value in stored if not isinstance(value, Sum)) == [b"a", b"b", b"c"]
    assert not store._references


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("partition", "CROSSFOOL_SLURM has 'partition', expected name=value"),
        ("cluster=nowhere", "submitit: .*nowhere.*; see CROSSFOOL_SLURM"),
        ("cluster=local timeout_min=²", "submitit: .*; see CROSSFOOL_SLURM"),
        ("cluster=local no_such=1", "submitit: .*no_such.*; see CROSSFOOL_SLURM"),
    ],
)
def test_a_mistake_in_slurms_options_is_one_line(tmp_path, subset, fnn_weights, monkeypatch, options, message):
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSFOOL_SLURM", options)
    with pytest.raises(UserError, match=message):
        elsewhere(cell(subset, fnn_weights), fnn_weights, tmp_path / "out.safetensors", workers_slurm.Slurm(2))


@pytest.mark.exhaustive  # 40 s; one of this machine has a test below
def test_a_ray_cluster_whose_nodes_die_gives_the_same_bytes(tmp_path, subset, fnn_weights):
    """Four nodes; two are killed while they compute: see tests/ray_cluster.py, a process of its own."""
    pytest.importorskip("ray", reason="ray is not installed")
    one = cell(subset, fnn_weights, chunk=1)
    here = run(one, fnn_weights, tmp_path / "a" / "out.safetensors")
    out = tmp_path / "b" / "out.safetensors"
    script = ROOT / "tests/ray_cluster.py"
    command = [sys.executable, str(script), *map(str, (subset, fnn_weights, out))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["killed"] == 2
    assert told["interrupted"], "no task was running on a node that was killed"
    assert sorted(told["started"]) == sorted([*range(11), *told["interrupted"]])  # others were computed once
    assert told["refused"].startswith("sg: the gradient of fnn2 is not finite at image ")
    assert out.read_bytes() == here.read_bytes()


ALONE = """
import json, os, sys, time
from pathlib import Path
subset, weights, out = map(Path, sys.argv[1:])
import ray
from made_cells import cell
from crossfool.pipeline.crafting import compute_cell, craft_order, weights_record
from crossfool.pipeline.workers import ray_cluster, worker

LOG = out.parent / "log"
LOG.mkdir(parents=True)

def counted(order, kind, chunk, *files):
    def note(what):
        (LOG / f"{what}-{os.getpid()}-{time.time_ns()}").touch()
    def loaded(file, cell):
        note("loaded")
        return craft_order.load(file, cell)
    if not hasattr(craft_order, "load"):
        craft_order.load, craft_order.load_source = craft_order.load_source, loaded
    found = ray_cluster._compute_in_task(order, kind, chunk, *files)
    note("chunk")
    return found

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
engine, one = ray_cluster.Ray(), cell(subset, weights, source="fnn0+fnn2", chunk=1)
engine.task = counted
files = weights_record.verified_paths(one.source, weights)
compute_cell.compute_with_engine(one, files, out, engine=engine, scratch=out.parent / "scratch")
print(json.dumps([path.name.split("-")[:2] for path in LOG.iterdir()]))
"""


def test_a_ray_cluster_of_this_machine_loads_a_model_once_a_worker(tmp_path, subset, fnn_weights):
    """No RAY_ADDRESS: one is started for the stage."""
    pytest.importorskip("ray", reason="ray is not installed")
    here = run(cell(subset, fnn_weights, source="fnn0+fnn2", chunk=1), fnn_weights, tmp_path / "a" / "out.safetensors")
    out = tmp_path / "b" / "out.safetensors"
    (tmp_path / "alone.py").write_text(ALONE)
    command = [sys.executable, str(tmp_path / "alone.py"), *map(str, (subset, fnn_weights, out))]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert out.read_bytes() == here.read_bytes()
    noted = json.loads(done.stdout.splitlines()[-1])
    chunks, loads = (Counter(pid for what, pid in noted if what == one) for one in ("chunk", "loaded"))
    assert sum(chunks.values()) == 11 and loads == dict.fromkeys(chunks, 2)  # models of the source


@pytest.mark.parametrize(
    ("resources", "kind", "needs"),
    [
        ({"CPU": 8.0, "GPU": 3.0}, "cuda", {"num_gpus": 1, "num_cpus": 0}),
        ({"CPU": 3.0}, "cpu", {"num_cpus": 1}),
    ],
)
def test_a_ray_task_asks_for_a_gpu_where_there_is_one(subset, fnn_weights, monkeypatch, resources, kind, needs):
    """By a stand-in for Ray that computes nothing."""
    asked, most = [], []

    class Task:
        def __init__(self, task):
            self.running = 0

        def remote(self, order, kind, chunk, *files):
            most.append((kind, len(chunk["index"])))
            return len(most)

    def remote(**options):
        asked.append(options)
        return Task

    stub = SimpleNamespace(
        is_initialized=lambda: True,
        cluster_resources=lambda: resources,
        put=lambda value: value,
        remote=remote,
        wait=lambda tasks: (tasks[:1], tasks[1:]),
        get=lambda task: {"images": task},
        cancel=lambda *arguments, **options: None,
        exceptions=SimpleNamespace(RayTaskError=ZeroDivisionError, RayError=ZeroDivisionError),
    )
    monkeypatch.setitem(sys.modules, "ray", stub)
    monkeypatch.setenv("CROSSFOOL_ENGINE", "ray")
    engine, one = choose_engine.choose_engine(), cell(subset, fnn_weights)
    files = weights_record.verified_paths(one.source, fnn_weights)
    tasks = craft_order.make_tasks(one, files, [slice(place, place + 1) for place in range(11)])
    found = engine.run(list(tasks), "fnn2-sg")
    next(found)
    assert most == [(kind, 1)] * 2 * 3  # two a slot: no more lie in its store
    assert len(list(found)) == 10
    assert (engine.kind, asked) == (kind, [{"max_retries": ray_cluster.RETRIES, **needs}])


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), UserError("not finite")]
)
def test_memory_that_runs_out_in_a_ray_task_is_told_as_here(error):
    exceptions = pytest.importorskip("ray", reason="ray is not installed").exceptions
    raised = exceptions.RayTaskError("compute", "Traceback ...", error).as_instanceof_cause()

    def get(task):
        raise raised

    engine = ray_cluster.Ray.__new__(ray_cluster.Ray)
    engine._ray = SimpleNamespace(get=get, exceptions=exceptions)
    with pytest.raises(type(error)) as told:
        engine._result("task")
    assert told.value is error  # which a stage tells in one line


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_ray_cluster_that_does_not_answer_is_one_line_at_once(monkeypatch, scheme):
    pytest.importorskip("ray", reason="ray is not installed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("CROSSFOOL_ENGINE", "ray")
    for address in (f"127.0.0.1:{port}", "no-such-host.invalid:6379", "127.0.0.1:99999"):
        monkeypatch.setenv("RAY_ADDRESS", scheme + address)
        monkeypatch.setattr(
            "ray.init", lambda *address, **options: pytest.fail("Ray was asked, which tries for a minute")
        )
        with pytest.raises(UserError, match=f"no Ray cluster at {scheme}{address}: .*; see RAY_ADDRESS and"):
            choose_engine.choose_engine()


def test_a_ray_cluster_that_another_process_started_is_not_joined(monkeypatch):
    """`ray start` and Ray's test clusters note their address in a file, which `ray.init()` alone would take."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    asked = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *address, **options: asked.append(address))
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray_cluster.Ray()
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    ray_cluster.Ray()
    assert asked == [("local",), ("auto",)]


@pytest.mark.parametrize("address", ["", "auto", "local", "[::1]:x", "anything"])
def test_other_addresses_are_rays_to_judge(address):
    ray_cluster._check_reachable(address)


def test_a_ray_cluster_that_answers_is_asked():
    with socket.create_server(("127.0.0.1", 0)) as server:
        ray_cluster._check_reachable(f"127.0.0.1:{server.getsockname()[1]}")
