"""The GPU benchmark: its order of rows, its tables, what it does without a GPU, and how gradients are compared."""

import functools
import json
import shutil
import subprocess

import pytest
import torch
from builders import ROOT
from click.testing import CliRunner
from torch import nn

from crossfool.models.inference.precision import configure


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu

    yield gpu
    configure("float32")  # torch's switches are the whole process's


def report(gpu_table, **more):
    """Made measurements of ResNet-50 at a matrix product of 1 TFLOP/s and a copy of 100 GB/s."""
    hardware = {"device": "Card, 80 GiB", "driver": "1.2", "torchattack": "1.7"}
    return gpu_table.Report(hardware, gpu_table.Peaks({"float32": 1e12, "bfloat16": 2e12}, 1e11), **more)


def test_a_table_by_hand(gpu):
    import gpu_table

    def timed(way, precision="float32", batch=8, **more):
        return gpu_table.Timed(gpu_table.Row("resnet50", precision, batch, way), **more)

    measured = [
        timed("folded", start=1.5, seconds=[0.1, 0.2, 0.9]),
        timed("plain", start=0.5, seconds=[0.4]),
        timed("compiled", failure="out of memory"),
        timed("folded", "bfloat16", seconds=[0.2]),
    ]
    agreement = [gpu_table.Agreement("resnet50", "float32", "folded", 99.98765, 0.00123)]
    text = gpu_table.tables(report(gpu_table, timed=measured, agreement=agreement), {"resnet50": (4e9, 5e8)})
    lines = text.splitlines()
    assert lines[0] == "Card, 80 GiB; driver 1.2; torchattack 1.7."
    assert "Weights are random (seed 0)" in lines[1] and "float32 1.0, bfloat16 2.0. Copy" in lines[2]
    # 20 and 40 gradients a second; of the product 20 * 2 * 8.178e9 / 1e12; of the copy 20 * (4e9 / 8 + 5e8) / 1e11
    assert [line for line in lines if line.startswith("| resnet50 | 8")] == [
        "| resnet50 | 8 | float32 | plain | 20.0 | 1.00 | 33% | 20% | 0.5 |",
        "| resnet50 | 8 | float32 | folded | 40.0 | 2.00 | 65% | 40% | 1.5 |",
        "| resnet50 | 8 | float32 | compiled | out of memory | | | | |",
        "| resnet50 | 8 | bfloat16 | folded | 40.0 |  | 33% | 20% | 0.0 |",  # half the bytes, twice the product
    ]
    assert lines[-1] == "| resnet50 | float32 | folded | 99.988% | 1.2e-03 |"
    assert "not installed" not in text and "begun" not in text


def test_what_was_left_out_is_said(gpu):
    import gpu_table

    made = report(gpu_table, not_begun=gpu.rows(True)[:3])
    del made.hardware["torchattack"]
    text = gpu_table.tables(made, {})
    assert "torchattack is not installed, and was left out" in text and "before 3 rows were begun" in text


def test_rows_are_all_there_once_and_the_telling_ones_first(gpu):
    rows = gpu.rows(True)
    assert len(rows) == len(set(rows)) == 3 * 3 * 3 * 5
    assert len(gpu.rows(False)) == 3 * 3 * 3 * 4
    assert {row.batch for row in rows[:39]} == {64} and {row.way for row in rows[36:39]} == {"compiled"}
    assert {row.way for row in rows[-24:]} == {"compiled"}
    assert {row.network for row in rows[:12]} == {"resnet50"}


def test_gradients_are_compared_by_hand(gpu):
    from gpu_gradients import agreement

    reference = torch.tensor([[1.0, -2.0, 4.0, 0.0], [10.0, -1.0, 2.0, 5.0]]).view(2, 1, 2, 2)
    gradient = torch.tensor([[1.0, 2.0, 4.0, 0.0], [15.0, -1.0, 2.0, 5.0]]).view(2, 1, 2, 2)
    assert agreement(gradient, reference) == (87.5, 1.0)  # one sign of eight; 4 of 4, and 5 of 10
    assert agreement(reference, reference) == (100.0, 0.0)


@pytest.fixture
def small(gpu, monkeypatch):
    """A small network with batch normalisation under every name; the benchmark's module of gradients."""
    import gpu_gradients

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 1000)).eval()
    network[1].running_mean.normal_(), network[1].running_var.uniform_(0.5, 2)
    described = {"mean": (127.0,) * 3, "std": (64.0,) * 3, "side": 8, "interpolation": "bilinear"}
    monkeypatch.setattr(gpu_gradients, "random_network", lambda name: (network, described))
    return gpu_gradients


def test_a_wrong_gradient_is_found(gpu, small, monkeypatch):
    (_, right) = gpu.compare(["small"], ["float32"], "cpu")
    assert (right.way, right.equal_signs) == ("folded", pytest.approx(100, abs=0.1)) and right.difference < 1e-4
    monkeypatch.setattr(small.pixel_model, "fold_std", lambda network, std: True)  # std is lost
    (_, wrong) = gpu.compare(["small"], ["float32"], "cpu")
    assert wrong.difference > 0.1


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch.compile looks at it
@pytest.mark.parametrize("way", ["folded", pytest.param("compiled", marks=pytest.mark.exhaustive), "CUDA graph"])
def test_all_ways_compute_the_plain_gradient(small, monkeypatch, way):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and way == "CUDA graph":
        pytest.skip("CUDA graphs need a GPU")
    if device.type == "cpu":  # traced like any other, without a compiler of C++
        eager = functools.partial(torch.compile, backend="eager")
        monkeypatch.setattr(small.pixel_model, "compile_network", lambda network, device: eager(network))
    plain, ours = (small.WAYS[name](small.Setting.make("small", "float32", 3, device)) for name in ("plain", way))
    for _ in range(3):  # the first calls warm up
        signs, difference = small.agreement(ours(), plain())
    assert signs > 99.9 and difference < 1e-4
    assert len(small.time_gradients("small", "float32", 3, way, device)[1]) == small.REPEATS


def test_steps_of_the_library_are_counted(small, monkeypatch):
    """A call of torchattack evaluates several gradients: a gradient's time is that share of a call's."""
    pytest.importorskip("torchattack")
    cpu, passes = torch.device("cpu"), []
    setting = small.Setting.make("small", "float32", 2, cpu)
    setting.network[0].register_forward_hook(lambda *inputs: passes.append(1))
    adversarial = small.WAYS["torchattack"](setting)()
    assert len(passes) == small.STEPS and adversarial.shape == setting.images.shape
    assert 0 < float((255 * adversarial - setting.images).detach().abs().max()) <= 16.001
    monkeypatch.setattr(small, "seconds_a_call", lambda *arguments: 3.0 * small.STEPS)
    assert small.time_gradients("small", "float32", 2, "torchattack", cpu)[1] == [3.0] * small.FEW
    assert small.time_gradients("small", "float32", 2, "plain", cpu)[1] == [3.0 * small.STEPS] * small.FEW


def test_failures_are_results(gpu, monkeypatch):
    import gpu_gradients

    def fail(error):
        def time_gradients(*arguments):
            raise error

        monkeypatch.setattr(gpu_gradients, "time_gradients", time_gradients)
        return gpu.measure(gpu.quick_rows()[0], "cpu")

    assert fail(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")).failure == "out of memory"
    assert fail(AssertionError("no compiler\nfound")).failure == "fails: no compiler found"
    assert fail(RuntimeError("x")).rate == 0


def test_no_head_of_zeros_hides_the_gradient(gpu, monkeypatch):
    import gpu_gradients

    head = nn.Linear(3, 2)
    nn.init.zeros_(head.weight)
    monkeypatch.setattr(gpu_gradients, "about", lambda name: (nn.Sequential(head), {}))
    network, _ = gpu_gradients.random_network("made with a head of zeros")
    assert network[0].weight.any()


def test_bytes_are_counted_by_hand(gpu, monkeypatch):
    """A linear layer of 48 inputs and 10 outputs: its weights count for any batch, its images for each."""
    import gpu_limits

    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 10, bias=False))
    monkeypatch.setattr(gpu_limits, "random_network", lambda name: (network, {"side": 4}))
    of_batch, of_image = gpu_limits.traffic("a linear layer")
    assert of_batch == pytest.approx(4 * 2 * 480, rel=0.05)  # read in the forward and in the backward pass
    assert of_image > 4 * 2 * (48 + 10)  # and what the loss reads and writes


def test_a_quick_run_on_the_cpu(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr("gpu_gradients.REPEATS", 2)
    monkeypatch.setattr("gpu_gradients.REPEAT_SECONDS", 0.001)
    done = CliRunner().invoke(gpu.main, ["--device", "cpu", "--quick", "--json", str(tmp_path / "gpu.json")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert [one["row"]["way"] for one in found["timed"]] == ["plain", "folded"] * 2
    assert not any(one["failure"] for one in found["timed"]) and not found["not_begun"]
    assert all(one["gradients_per_second"] > 0 and one["start"] > 0 for one in found["timed"])
    assert set(found["peaks"]["product"]) == {"float32", "bfloat16"} and found["peaks"]["copy"] > 0
    by_way = {(one["precision"], one["way"]): one["equal_signs"] for one in found["agreement"]}
    assert by_way["float32", "plain"] == 100 and by_way["float32", "folded"] > 99.9
    assert 60 < by_way["bfloat16", "folded"] < 99.9
    assert {"device", "torch", "date"} <= found["hardware"].keys() and "random" in found["weights"]
    assert done.stdout.count("| mobilenet_v3_small | 2 |") == 4


def test_no_row_is_begun_when_the_time_is_over(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "compare", lambda *arguments: [])
    monkeypatch.setattr("gpu_limits.traffic", lambda name: (0.0, 0.0))
    done = CliRunner().invoke(gpu.main, ["--device", "cpu", "--quick", "--seconds", "0"])
    assert done.exit_code == 0, done.output
    assert "The time was over before 4 rows were begun" in done.stdout and "| 2 |" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "finds no NVIDIA GPU: run this on a machine with one, or try"),
        (["--device", "cpu"], "--device cpu is for trials: expected --quick"),
    ],
)
def test_a_run_that_cannot_be_is_refused_in_a_line(gpu, monkeypatch, arguments, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = CliRunner().invoke(gpu.main, arguments)
    assert done.exit_code == 2 and done.stdout == ""
    assert message in done.stderr and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_make_runs_it():
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    run = functools.partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "python benchmarks/gpu.py --json .crossfool/bench/gpu.json" in run([make, "--dry-run", "bench-gpu"]).stdout
    assert "make bench-gpu " in run([make, "help"]).stdout
