"""Training: learns, is a function of its seed alone, and goes on after a kill as if nothing had been."""

import math
import runpy
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from builders import ROOT, write_plans
from repositories import PARAMS
from torch import Tensor, nn

from crossfool import runtime
from crossfool.errors import UserError
from crossfool.models import weights_file
from crossfool.models.weights import training
from crossfool.models.weights.config import Training
from crossfool.storage.tensors import TensorFile, write_tensors

CPU = torch.device("cpu")
NORMALISE = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
RECIPE = Training(epochs=4, batch_size=16, learning_rate=0.05, weight_decay=1e-3, label_smoothing=0.1)


class Tiny(nn.Module):
    """Logits (N,3) of normalised images (N,3,8,8); has all that a state can hold: convolution, statistics, count."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.output = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.norm(self.conv(x)).relu().mean((2, 3)))


def data(n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images that are red, green or blue, in turn."""
    draw = np.random.default_rng(0)
    labels = np.arange(n, dtype=np.int64) % 3
    images = draw.integers(0, 120, (n, 3, 8, 8), dtype=np.uint8)
    images[np.arange(n), labels] += 100
    return images, labels


def trained(recipe: Training = RECIPE, **options: Any) -> dict[str, Tensor]:
    network = training.init_from_seed(Tiny, recipe.seed)
    return training.train(network, *data(), recipe, normalise=NORMALISE, device=CPU, **options)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    assert a.keys() == b.keys()
    return all(a[name].numpy().tobytes() == b[name].numpy().tobytes() for name in a)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_learns_what_can_be_learnt(momentum: float) -> None:
    recipe = RECIPE.model_copy(update={"momentum": momentum, "epochs": 12, "learning_rate": 0.1})
    state = trained(recipe)
    network = Tiny().eval()
    network.load_state_dict(state)
    images, labels = data(60)
    with torch.inference_mode():
        answers = network((torch.from_numpy(images).float() - 127.5) / 127.5).argmax(1)
    assert np.array_equal(answers.numpy(), labels)
    assert state["norm.num_batches_tracked"] == 12 * 6  # 90 images are 5 batches of 16 and one of 10
    assert all(value.is_contiguous() for value in state.values())


@pytest.mark.parametrize("augment", [False, True])
def test_seed_decides(augment: bool) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 2, "augment": augment})
    torch.manual_seed(1)
    first = trained(recipe)
    torch.manual_seed(2)  # the global generator decides nothing
    assert same(first, trained(recipe))
    assert not same(first, trained(recipe.model_copy(update={"seed": 1})))


def test_seeded_init_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two = training.init_from_seed(Tiny, 7), training.init_from_seed(Tiny, 7)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(one.get_parameter("conv.weight"), two.get_parameter("conv.weight"))
    assert not torch.equal(
        one.get_parameter("conv.weight"), training.init_from_seed(Tiny, 8).get_parameter("conv.weight")
    )


class Killed(Exception):
    pass


def interrupted(monkeypatch: pytest.MonkeyPatch, path: Path, recipe: Training, after: int) -> None:
    """Train until `after` checkpoints are written, and die at the next."""
    written: list[object] = []

    def write(*arguments: Any) -> None:
        if len(written) == after:
            raise Killed
        written.append(arguments)
        write_tensors(*arguments)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "write_tensors", write)
        trained(recipe, checkpoint=path)


def epochs_run(monkeypatch: pytest.MonkeyPatch, recipe: Training, path: Path) -> tuple[int, dict[str, Tensor]]:
    """Train, and count the epochs that were really run, by the generators that they draw from."""
    drawn: list[object] = []
    real = np.random.default_rng

    def counted(seed: Any) -> np.random.Generator:
        drawn.append(seed)
        return real(seed)

    images_and_labels = data()
    network = training.init_from_seed(Tiny, recipe.seed)
    with monkeypatch.context() as patch:
        patch.setattr(training.np.random, "default_rng", counted)
        state = training.train(network, *images_and_labels, recipe, normalise=NORMALISE, device=CPU, checkpoint=path)
    return len(drawn), state


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("after", [1, 3])
def test_resumed_is_undisturbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after: int, momentum: float) -> None:
    recipe = RECIPE.model_copy(update={"augment": True, "momentum": momentum, "epochs": 5})
    path = tmp_path / "checkpoint.safetensors"
    interrupted(monkeypatch, path, recipe, after)
    assert path.is_file()
    run, state = epochs_run(monkeypatch, recipe, path)
    assert run == 5 - after
    assert same(state, trained(recipe))
    assert list(tmp_path.iterdir()) == [path]  # the caller's to delete


def test_epochs_are_kept_until_the_weights_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The stage, killed once all is trained and before it is written; then again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSFOOL_DEVICE", "cpu")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    write_plans(tmp_path)
    draw = np.random.default_rng(0)
    tensors = {"images": draw.integers(0, 256, (20, 1, 28, 28), np.uint8), "labels": np.arange(20) % 10}
    write_tensors(tmp_path / "data/train.safetensors", tensors)
    main = runpy.run_path(str(ROOT / "stages/train.py"), run_name="stage")["main"]

    def killed(*arguments: Any) -> None:
        raise Killed

    before = signal.getsignal(signal.SIGTERM)
    try:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(weights_file, "write_weights", killed)
            main.main(["--model", "fnn0"], standalone_mode=False)
        (checkpoint,) = (tmp_path / ".crossfool/train").iterdir()
        assert TensorFile(checkpoint).metadata["epochs"] == "5"  # of six
        main.main(["--model", "fnn0"], standalone_mode=False)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "weights/fnn0.safetensors").is_file() and not checkpoint.exists()


@pytest.mark.parametrize(
    "update", [{"learning_rate": 0.04}, {"epochs": 3}, {"seed": 1}, {"augment": True}, {"weight_decay": 0.0}]
)
def test_checkpoint_of_another_recipe_is_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, update: dict[str, Any]
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    interrupted(monkeypatch, path, RECIPE, 1)
    other = RECIPE.model_copy(update=update)
    run, state = epochs_run(monkeypatch, other, path)
    assert run == other.epochs
    assert same(state, trained(other))


def test_checkpoint_of_other_code_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    interrupted(monkeypatch, path, RECIPE, 1)
    with monkeypatch.context() as patch:
        patch.setattr(training, "code_digest", lambda: "other")
        assert epochs_run(monkeypatch, RECIPE, path)[0] == 4
    interrupted(monkeypatch, path, RECIPE, 1)
    monkeypatch.setattr(training.torch, "__version__", "0.1")
    assert epochs_run(monkeypatch, RECIPE, path)[0] == 4


def test_code_is_every_module_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("runtime.py", "networks/vgg.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("a")
    monkeypatch.setattr(runtime, "__file__", str(tmp_path / "runtime.py"))
    found = {runtime.code_digest()}
    for name in ("runtime.py", "networks/vgg.py"):
        (tmp_path / name).write_text("b")
        found.add(runtime.code_digest())
    assert len(found) == 3


@pytest.mark.parametrize("end", [b"", b"\xff"], ids=["truncated", "another byte"])
def test_damaged_checkpoint_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "checkpoint.safetensors"
    interrupted(monkeypatch, path, RECIPE, 1)
    assert not path.read_bytes().endswith(b"\xff")
    path.write_bytes(path.read_bytes()[:-1] + end)
    assert epochs_run(monkeypatch, RECIPE, path)[0] == 4


def test_fingerprint_is_of_data_and_network() -> None:
    images, labels = data()
    network = training.init_from_seed(Tiny, 0)

    def of(network: nn.Module = network, images: np.ndarray = images, labels: np.ndarray = labels) -> str:
        return training.fingerprint(network, images, labels, RECIPE, NORMALISE, CPU)

    brighter, relabelled = images.copy(), labels.copy()
    brighter[-1, -1, -1, -1] += 1
    relabelled[-1] = 0
    assert of() == of(training.init_from_seed(Tiny, 0))
    others = [of(images=brighter), of(labels=relabelled), of(training.init_from_seed(Tiny, 1))]
    assert len({of(), *others}) == 4


def test_divergence_is_told(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(UserError) as error:
        trained(recipe, label="tiny", checkpoint=tmp_path / "checkpoint.safetensors")
    assert str(error.value) == (
        "tiny: training diverged in epoch 1 of 4, the loss is no longer finite; "
        "lower training: learning_rate, which is 1e+30"
    )


def test_divergence_in_the_last_step_is_told() -> None:
    recipe = RECIPE.model_copy(update={"learning_rate": 1e38, "epochs": 1, "batch_size": 90, "weight_decay": 1e10})
    with pytest.raises(UserError, match="tiny: training diverged in epoch 1 of 1"):
        trained(recipe, label="tiny")


def test_schedule_is_one_cycle() -> None:
    rates = training.learning_rates(RECIPE.model_copy(update={"learning_rate": 1.0}), 100)
    assert len(rates) == 100
    assert max(rates) == rates[29] == 1.0  # up for 30% of the steps
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[99] == pytest.approx(1 / 25 / 1e4)
    assert rates[64] == pytest.approx((1 + math.cos(math.pi * 35 / 70)) / 2, abs=1e-5)
    assert training.learning_rates(RECIPE, 1) and len(training.learning_rates(RECIPE, 2)) == 2


class Fixed:
    """Draws what it is told to, in the order of `augmented`: top, left, mirror."""

    def __init__(self, top: list[int], left: list[int], mirror: list[bool]) -> None:
        self.integer = iter([top, left])
        self.mirror = mirror

    def integers(self, low: int, high: int, shape: tuple[int, int]) -> np.ndarray:
        assert (low, high) == (0, 9)
        return np.array(next(self.integer)).reshape(shape)

    def random(self, shape: tuple[int, int]) -> np.ndarray:
        return np.where(self.mirror, 0.0, 1.0).reshape(shape)


def test_augmented_shifts_and_mirrors() -> None:
    image = torch.tensor([[[1, 2, 3], [4, 5, 6]], [[11, 12, 13], [14, 15, 16]]], dtype=torch.uint8)
    x = image.expand(4, -1, -1, -1)
    y = training.augment(x, Fixed([4, 5, 4, 8], [4, 4, 3, 4], [False, False, True, False]))  # type: ignore[arg-type]
    assert y.dtype == torch.uint8
    assert y.tolist() == [
        image.tolist(),
        [[[4, 5, 6], [0, 0, 0]], [[14, 15, 16], [0, 0, 0]]],  # one row up
        [[[2, 1, 0], [5, 4, 0]], [[12, 11, 0], [15, 14, 0]]],  # one column right, then mirrored
        [[[0, 0, 0], [0, 0, 0]]] * 2,  # four rows up
    ]


def test_augmented_draws_all_shifts() -> None:
    x = torch.zeros(2000, 1, 9, 9, dtype=torch.uint8)
    x[:, 0, 4, 4] = 1  # the middle, which no shift and no mirror drives out
    y = training.augment(x, np.random.default_rng(0))
    counts = y.sum((0, 1))
    assert int(counts.sum()) == 2000
    assert counts.min() > 5  # each of the 81 places: 25 expected


def test_no_training_images_is_an_error() -> None:
    nothing = np.zeros((0, 3, 8, 8), np.uint8)
    with pytest.raises(UserError, match="tiny is to be trained, and the data set has no training images"):
        training.train(Tiny(), nothing, np.zeros(0, np.int64), RECIPE, normalise=NORMALISE, device=CPU, label="tiny")


def test_precision_reaches_torch() -> None:
    def switches() -> tuple[bool, bool]:
        return torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic

    exact = trained()
    assert switches() == (False, True)
    rough = trained(RECIPE.model_copy(update={"precision": "tf32"}))
    assert switches() == (True, False)
    assert same(exact, rough)  # on a CPU, tf32 is float32
    trained()
    assert switches() == (False, True)
