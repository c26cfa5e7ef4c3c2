"""The benchmarks count what they say they count, and find what they are to find."""

import contextlib
import importlib
import json
import math
import sys

import pytest
import torch
from builders import ROOT
from click.testing import CliRunner
from torch import Tensor, nn

FOLDER = ROOT / "benchmarks"
pytestmark = pytest.mark.filterwarnings("ignore")


def module(name: str):
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


class Small(nn.Module):
    """Counts the images that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.seen = nn.Conv2d(3, 4, 3, stride=4), 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        return torch.relu(self.conv(x)).mean((2, 3))


@pytest.mark.parametrize("attack", ["igsm", "migsm", "smoothed"])
@pytest.mark.parametrize(
    "name", ["crossfool", "torchattack", "torchattacks", "foolbox", "transferattack", "torchattacks frozen"]
)
def test_gradients_are_counted(monkeypatch, name, attack):
    contestants = module("contestants")
    if (library := name.split()[0]) in ("torchattack", "torchattacks", "foolbox"):
        pytest.importorskip(library)
    network = Small().eval()
    described = {"mean": (127.0,) * 3, "std": (64.0,) * 3, "side": 32, "interpolation": "bilinear"}
    monkeypatch.setattr(contestants, "about", lambda model: (network, described))
    from crossfool.models.inference import pixel_model

    monkeypatch.setattr(
        pixel_model, "fold_batch_norm", lambda network: network
    )  # the very network, whose count is looked at
    run = contestants.contestants(frozen=True)[name]("small")
    work = contestants.Work(attack, images=2, steps=3, samples=4 if attack == "smoothed" else 1)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    network.seen = 0  # ours has looked at how large the layers' outputs are
    found = run(work, images, torch.tensor([0, 1]))
    # torchattacks looks at the answers to the clean images before it starts: forward passes, no gradients
    assert network.seen - work.gradients(name) in ((0, 2) if name.startswith("torchattacks") else (0,))
    assert found.shape == images.shape
    distance = (found.float() / (1 if name == "crossfool" else 1 / 255) - images.float()).abs().max()
    assert 2 <= float(distance) <= 16.001


def test_summary_and_ratios_by_hand():
    throughput = module("throughput")
    work = throughput.Work("igsm", images=8, steps=10)
    ours = throughput.Measured(work, 80, [1.0, 2.0, 4.0], 100.0)
    theirs = throughput.Measured(work, 80, [4.0, 4.0, 4.0], 200.0)
    assert ours.summary() == {
        "gradients_per_second": 40.0,
        "gradients_per_second_low": 20.0,
        "gradients_per_second_high": 80.0,
        "images_per_second": 4.0,
        "peak_memory_mb": 100.0,
    }
    assert throughput.ratios({"crossfool": ours, "other": theirs}, "other") == [4.0, 2.0, 1.0]


@pytest.mark.parametrize(("quick", "expected"), [(True, 1), (False, 3)])
def test_a_quick_run_stops_when_its_time_is_over(monkeypatch, quick, expected):
    throughput = module("throughput")

    class Connection:
        def send(self, work) -> None:
            pass

        def recv(self) -> tuple[float, float]:
            return 1.0, 100.0

    monkeypatch.setattr(throughput, "worker", lambda *arguments, environment: contextlib.nullcontext(Connection()))
    monkeypatch.setattr(throughput, "SECONDS", 0)
    found = throughput.measure("efficientnet_lite0", quick, 3)
    assert {len(one.seconds) for by_name in found.values() for one in by_name.values()} == {expected}
    assert found["igsm"]["crossfool"].summary()["gradients_per_second"] == 80


def test_a_line_by_hand():
    line = module("scaling").fitted("x", [1, 2, 3, 4], [3.0, 5.0, 7.0, 9.0])
    assert math.isclose(line.each, 2) and math.isclose(line.start, 1) and line.worst < 1e-9 and line.r2 > 1 - 1e-9
    bent = module("scaling").fitted("x", [1, 2, 3, 4], [1.0, 4.0, 9.0, 16.0])
    assert bent.worst > 0.2 and bent.r2 < 0.98


def test_a_paired_interval_by_hand():
    # 10 and 4 of 100: (10.5 - 4.5) / 102, standard error sqrt(15 - 36 / 102) / 102
    difference, low, high = module("agreement").paired_interval(10, 4, 100)
    middle, half = 600 / 102, 195.9963984540054 * math.sqrt(15 - 36 / 102) / 102
    assert difference == 6 and math.isclose(low, middle - half) and math.isclose(high, middle + half)
    difference, low, high = module("agreement").paired_interval(0, 0, 340)
    assert difference == 0 and low < 0 < high


def result(**changes: float) -> dict:
    gradient = {"signs_mean": 0.9999, "signs_worst": 0.9, "cosine_distance_worst": 1e-6, "cosine_distance_mean": 1e-7}
    attack = {"low": -1.0, "high": 1.5, "difference": 0.2}
    return {
        "gradient": {"a": {key: changes.get(key, value) for key, value in gradient.items()}},
        "one_step": {"a": changes.get("one_step", 0.9995)},
        "attacks": {"igsm": {key: changes.get(key, value) for key, value in attack.items()}},
    }


@pytest.mark.parametrize(
    "changes", [{"signs_mean": 0.998}, {"cosine_distance_worst": 2e-4}, {"one_step": 0.99}, {"low": 0.1}]
)
def test_disagreement_is_found(changes):
    agreement = module("agreement")
    assert agreement.failures(result()) == []
    assert len(agreement.failures(result(**changes))) == 1


def test_a_wrong_fast_path_is_found():
    agreement = module("agreement")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)).requires_grad_(False)
    wrong = nn.Sequential(*network)
    images, labels = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8), torch.tensor([0, 1, 2])
    same = agreement.one_gradient(agreement.Pair(network, network, network), images, labels)
    assert same["signs_worst"] == 1 and same["cosine_distance_worst"] < 1e-12
    wrong[0] = nn.Conv2d(3, 8, 3).requires_grad_(False)
    other = agreement.one_gradient(agreement.Pair(network, wrong, network), images, labels)
    assert other["signs_mean"] < 0.9 and other["cosine_distance_worst"] > 0.1


def test_a_plot_is_drawn(tmp_path):
    one = {"gradients_per_second": 5.0, "gradients_per_second_low": 4.0, "gradients_per_second_high": 6.0}
    source = tmp_path / "a.json"
    source.write_text(json.dumps({"resnet18": {"igsm": {"crossfool": one, "foolbox": one, "foolbox frozen": one}}}))
    done = CliRunner().invoke(module("plot").main, [str(source), str(tmp_path / "a.png")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def wrapped_pair(monkeypatch, break_it):
    """A small network through `wrap`; what `break_it` breaks is broken in the fast path alone."""
    agreement = module("agreement")
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 36, 5)).eval()
    network[1].running_mean.normal_(), network[1].running_var.uniform_(0.5, 2), network[1].bias.data.normal_()
    described = {"mean": (127.0,) * 3, "std": (64.0,) * 3, "side": 16, "interpolation": "bilinear"}
    monkeypatch.setattr(agreement, "about", lambda name: (network, described))
    wrap = agreement.pixel_model.wrap

    def broken(network: nn.Module, *arguments, **options):
        with torch.no_grad():
            break_it(network, monkeypatch)
        return wrap(network, *arguments, **options)

    monkeypatch.setattr(agreement.pixel_model, "wrap", broken)
    return agreement, agreement.Pair.of("small", "float32", torch.device("cpu"))


def one_weight(network: nn.Module, monkeypatch) -> None:
    network[0].weight[0, 0, 1, 1] += 0.1


def no_mask(network: nn.Module, monkeypatch) -> None:
    from crossfool.models.inference.cpu import convolution

    monkeypatch.setattr(convolution.Clamp, "backward", lambda self, gradient, output, *, in_place: gradient)


@pytest.mark.parametrize("break_it", [None, one_weight, no_mask])
def test_a_break_inside_the_fast_path_is_found(monkeypatch, break_it):
    agreement, pair = wrapped_pair(monkeypatch, break_it or (lambda network, monkeypatch: None))
    images = torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8)
    labels = agreement.answers(pair, "plain", images)
    shares = [agreement.craft(pair, way, agreement.FGSM, images, labels) for way in ("plain", "fast")]
    found = result() | {
        "gradient": {"small": agreement.one_gradient(pair, images, labels)},
        "one_step": {"small": agreement.equal(*shares)},
    }
    assert (agreement.failures(found) == []) is (break_it is None)


def test_only_the_fast_way_computes_in_tf32():
    pair = module("agreement").Pair("plain", "fast", "double", "tf32")
    try:
        for way, allowed in (("fast", True), ("plain", False), ("fast", True), ("double", False)):
            assert pair.use(way) == way
            assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is allowed
    finally:
        pair.use("plain")


def test_no_number_is_a_disagreement():
    assert len(module("agreement").failures(result(cosine_distance_worst=math.nan))) == 1


def test_pixels_apart_by_hand():
    import numpy as np

    a, b = np.array([0, 255, 7, 7], np.uint8), np.array([3, 254, 7, 7], np.uint8)
    assert module("decoding").difference([a], [b]) == {"equal": 0.5, "mean": 1.0, "most": 3}


# The other benchmarks run in `make test-all`; in `make test` run agreement and decoding, whose results are judged.


@pytest.mark.slow
@pytest.mark.exhaustive
def test_starting_up_is_measured(tmp_path):
    startup = module("startup")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert startup.stages_under_dvc("yaml", 2, 1, tmp_path / "a") > 0
    repro, status = startup.unchanged(4, tmp_path / "b")
    assert repro > 0 and status > 0
    seconds, heavy = startup.imports(startup.MODULES["attack"])
    assert seconds > 0 and "torch" in heavy and "torchvision" not in heavy


@pytest.mark.slow
def test_decoding_runs(tmp_path):
    done = CliRunner().invoke(module("decoding").main, ["--quick", "--json", str(tmp_path / "d.json")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "d.json").read_text())
    assert found["count"] == 20 and len(found["images_per_second"]) == 5
    assert 0.9 < found["resized"]["equal"] <= 1 and found["forward"]["top5"] > 0


@pytest.mark.slow
@pytest.mark.exhaustive
def test_engines_are_measured(tmp_path):
    done = CliRunner().invoke(module("engines").main, ["--quick", "--json", str(tmp_path / "e.json")])
    assert done.exit_code == 0, done.output
    (cost,) = json.loads((tmp_path / "e.json").read_text())
    assert (cost["engine"], cost["workers"], cost["cell"]) == ("processes", 1, "digits")
    assert cost["start"] > 0.3  # a process that imports torch


@pytest.mark.exhaustive  # half a minute
@pytest.mark.slow
def test_the_agreement_is_measured(tmp_path):
    done = CliRunner().invoke(module("agreement").main, ["--quick", "--json", str(tmp_path / "a.json")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["gradient"]["efficientnet_lite0"]["signs_mean"] >= 0.999
    assert found["one_step"]["efficientnet_lite1"] >= 0.999


@pytest.mark.slow
@pytest.mark.exhaustive
def test_scaling_is_measured(tmp_path):
    done = CliRunner().invoke(module("scaling").main, ["--quick", "--json", str(tmp_path / "s.json")])
    assert done.exit_code == 0, done.output
    lines = json.loads((tmp_path / "s.json").read_text())["lines"]
    assert [line["what"].split()[0] for line in lines] == ["images", "steps", "samples", "targets"]
    assert all(len(line["seconds"]) == 4 for line in lines)
