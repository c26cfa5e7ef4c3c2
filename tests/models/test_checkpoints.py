"""Checkpoints as the world saves them: states under keys, names behind prefixes, and files of other kinds."""

import argparse
import collections
import datetime
import pathlib
import pickle
import re
import subprocess
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crossfool.errors import UserError
from crossfool.models import build
from crossfool.models.weights import checkpoint_file, checkpoint_kind, published, registry
from crossfool.models.weights.config import Weights
from crossfool.models.weights.state_dicts import LoadedState, load_published
from crossfool.storage.hashing import sha256

pytestmark = pytest.mark.filterwarnings("ignore")
State = dict[str, Any]


def of(name: str = "fnn2", seed: int = 0) -> tuple[nn.Module, State]:
    """A network whose state is not that of a new one, and its state dict."""
    torch.manual_seed(seed)
    network = build.crossfool_network(name)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.normal_()
    return network, network.state_dict()


def before(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def loaded(checkpoint: Any, name: str = "fnn2") -> tuple[State, LoadedState]:
    network = build.crossfool_network(name)
    taken = load_published(name, network, checkpoint)
    return network.state_dict(), taken


def assert_same(found: State, wanted: State) -> None:
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


# --- prefixes and keys ------------------------------------------------------------------------------

PREFIXES = (
    "module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.", "module.module.",
    "module._orig_mod.", "_orig_mod.module.", "model._orig_mod.module.", "_fsdp_wrapped_module.", "my_student.",
)  # fmt: skip
KEYS = (
    "state_dict", "model", "net", "model_state_dict", "state", "params", "network", "weights",
    "ema", "model_ema", "ema_state_dict", "state_dict_ema", "params_ema", "swa_model", "best_weights_so_far",
)  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", ["fnn2", "resnet20"])
def test_prefixes_are_taken_off(prefix: str, name: str) -> None:
    _, state = of(name)
    found, taken = loaded({"state_dict": before(prefix, state)}, name)
    assert_same(found, state)
    assert taken.told("FILE") == f"took `{prefix}` off the names in FILE, state under `state_dict`"
    _, taken = loaded(before(prefix, state), name)
    assert taken.told("FILE") == f"took `{prefix}` off the names in FILE"


@pytest.mark.parametrize("key", KEYS)
def test_states_under_keys_are_found(key: str) -> None:
    _, state = of()
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    for checkpoint in (
        {key: state, "epoch": 3, "optimizer": optimizer},
        {"optimizer": optimizer, key: {"module": before("module.", state), "decay": 0.9}},
        {"a": [{key: before("_orig_mod.", state)}]},
    ):
        found, taken = loaded(checkpoint)
        assert_same(found, state)
        assert key in taken.place and f"`{'.'.join(taken.place)}`" in taken.told("FILE")


def test_a_plain_state_dict_is_told_nothing_of() -> None:
    _, state = of()
    found, taken = loaded(state)
    assert_same(found, state)
    assert taken.told("FILE") == ""


@pytest.mark.parametrize("word", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_words_of_compiled_parts_are_taken_off_within_names(word: str) -> None:
    _, state = of("resnet20")
    inner = {re.sub(r"^(layer1)\.", rf"\1.{word}.", key): value for key, value in state.items()}
    for checkpoint in (inner, before("module.", inner)):
        found, taken = loaded(checkpoint, "resnet20")
        assert_same(found, state)
        assert taken.told("FILE").startswith("took `")


def test_a_networks_own_child_is_no_prefix() -> None:
    class Wrapping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Linear(2, 2)

    wanted = {key: torch.randn_like(value) for key, value in Wrapping().state_dict().items()}
    for prefix in ("", "model.", "module."):
        network = Wrapping()
        taken = load_published("x", network, before(prefix, wanted))
        assert_same(network.state_dict(), wanted)
        assert taken.prefix == prefix


def test_the_plain_one_of_two_states_is_taken_and_told() -> None:
    (_, state), (_, average) = of(seed=0), of(seed=1)
    for checkpoint in (
        {"model_ema": average, "state_dict": before("module.", state)},
        {"ema": {"module": average}, "model": state},
        {"state_dict": before("ema_model.", average) | before("model.", state)},
        {"teacher": average, "student": state},
        {"model": average, "state_dict": state},  # both plain: the documented order
    ):
        found, taken = loaded(checkpoint)
        assert_same(found, state)
        assert len(taken.others) == 1 and "not taken, though it fits: " in taken.told("FILE")
    found, taken = loaded({"ema": average, "state_dict": {"wrong": torch.ones(2)}})  # where it alone fits
    assert_same(found, average)
    assert not taken.others


def test_two_states_of_which_nothing_says_which_is_meant() -> None:
    (_, state), (_, another) = of(seed=0), of(seed=1)
    with pytest.raises(UserError, match=r"2 states fit \(`alice`, `bob`\), .* save that one alone"):
        loaded({"alice": state, "bob": another})
    assert_same(loaded({"alice": state, "bob": dict(state)})[0], state)


def test_an_averaged_models_count_is_left_out() -> None:
    network, state = of()
    averaged = torch.optim.swa_utils.AveragedModel(network)
    found, taken = loaded(averaged.state_dict())
    assert_same(found, state)
    assert taken.told("FILE") == "took `module.` off the names in FILE; left out n_averaged"


def test_weights_beside_the_network_are_not_left_out() -> None:
    _, state = of()
    for extra in ({"head.weight": torch.ones(2, 2)}, {"temperature": torch.ones(())}, {"head.bias": torch.ones(5)}):
        for prefix in ("", "module."):
            with pytest.raises(UserError, match=rf"{next(iter(extra))} of shape .* is not expected at all"):
                loaded(before(prefix, state) | extra)


@pytest.mark.parametrize("factor", [1, 255])
@pytest.mark.parametrize(
    "names",
    [
        ("normalize.mean", "normalize.std"), ("mu", "sigma"),
        ("module.normalizer.new_mean", "module.normalizer.new_std"),
        ("pixel_mean", "pixel_std"), ("normalization.mean", "normalization.std"), ("_mean", "_std"),
    ],
)  # fmt: skip
def test_a_normalisation_beside_the_weights_is_taken(names: tuple[str, str], factor: int) -> None:
    _, state = of("resnet20")
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    beside = {names[0]: factor * mean.view(1, 3, 1, 1), names[1]: factor * std.view(3, 1, 1)}
    for prefix in ("", "model."):
        found, taken = loaded(before(prefix, state) | beside, "resnet20")
        assert_same(found, state)
        assert np.allclose(taken.normalisation["mean"], 255 * mean) and np.allclose(
            taken.normalisation["std"], 255 * std
        )
    with pytest.raises(UserError, match="expected three means and deviations"):
        loaded(state | {names[0]: mean}, "resnet20")
    with pytest.raises(UserError, match="two normalisations"):
        loaded(state | beside | {"other.mean": mean + 0.1}, "resnet20")


def test_the_layout_of_the_package_robustness() -> None:
    _, state = of("resnet20")
    mean, std = (
        torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1),
        torch.tensor([0.2023, 0.1994, 0.2010]).view(3, 1, 1),
    )
    model = {
        "module.normalizer.new_mean": mean,
        "module.normalizer.new_std": std,
        **before("module.model.", state),
        "module.attacker.normalize.new_mean": mean,
        "module.attacker.normalize.new_std": std,
        **before("module.attacker.model.", state),
    }
    found, taken = loaded({"model": model, "optimizer": {"state": {}}, "epoch": 149, "arch": "resnet20"}, "resnet20")
    assert_same(found, state)
    assert taken.prefix == "module.model." and not taken.others
    assert taken.normalisation["mean"] == [255 * float(value) for value in mean.flatten()]


# --- what does not fit --------------------------------------------------------------------------------


def test_the_error_counts_what_does_not_fit_and_names_three() -> None:
    _, state = of("resnet44")
    with pytest.raises(UserError) as caught:
        loaded({"net": before("module.", state)}, "resnet20")
    message = str(caught.value)
    assert re.search(
        r"names in `net` names that begin with `module.`: \d+ not expected \(\S+, \S+, \S+, \.\.\.\)", message
    )
    assert "another architecture, give those of resnet20" in message
    with pytest.raises(UserError, match=r"linear\.weight has shape \(100, 64\), expected \(10, 64\); of \d+ names"):
        loaded(of("resnet20")[1] | {"linear.weight": torch.ones(100, 64)}, "resnet20")


@pytest.mark.parametrize("classes", [100, 1001])
def test_other_classes_are_told_as_such(classes: int) -> None:
    _, state = of("resnet20")
    state |= {"linear.weight": torch.ones(classes, 64), "linear.bias": torch.ones(classes)}
    with pytest.raises(UserError, match=rf"weights for {classes} classes, give those of resnet20 for 10$"):
        loaded({"model": state}, "resnet20")


@pytest.mark.parametrize("checkpoint", [{}, {"epoch": 3}, {"state_dict": [1]}, {"a": {"b": {}}}])
def test_a_file_without_tensors_says_so(checkpoint: Any) -> None:
    with pytest.raises(UserError, match=r"expected (a state dict|tensors by name)$"):
        loaded(checkpoint)


def test_a_checkpoint_that_holds_itself_is_read_once() -> None:
    _, state = of()
    checkpoint: dict[str, Any] = {"state_dict": state}
    checkpoint |= {str(number): checkpoint for number in range(50)}
    assert_same(loaded(checkpoint)[0], state)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_another_width_load(kind: torch.dtype) -> None:
    _, state = of()
    narrow = {key: value.to(kind) for key, value in state.items()}
    assert_same(loaded(narrow)[0], {key: value.float() for key, value in narrow.items()})


@pytest.mark.parametrize(
    ("convert", "line"),
    [
        (lambda tensor: tensor.to_sparse(), "is no dense tensor (torch.sparse_coo)"),
        (lambda tensor: tensor.to_sparse_csr(), "is no dense tensor (torch.sparse_csr)"),
        (lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), "is quantised (torch.qint8)"),
        (lambda tensor: tensor.to(torch.complex64), "is torch.complex64"),
        (lambda tensor: tensor.to(torch.int8), "is torch.int8"),
        (lambda tensor: tensor.bool(), "is torch.bool"),
        (lambda tensor: tensor.to("meta"), "has no values (device meta)"),
        (lambda tensor: torch.nested.nested_tensor([tensor[0], tensor[1]]), "is no dense tensor (nested)"),
        (lambda tensor: tensor.numpy(), "is a ndarray, expected a tensor"),
    ],
)
def test_tensors_of_another_kind_are_one_line(convert: Callable[[Tensor], Any], line: str) -> None:
    _, state = of("resnet20")
    state["linear.weight"] = convert(state["linear.weight"])
    with pytest.raises(UserError, match=rf"^resnet20: weights: linear\.weight {re.escape(line)}"):
        loaded(state, "resnet20")


# --- through the file, in every library ---------------------------------------------------------------


@pytest.mark.parametrize("model", ["squeezenet1_1", "timm_test_resnet", "resnet20", "robust_Salman2020Do_R18"])
def test_every_library_takes_wrapped_weights(tmp_path, monkeypatch, capsys, model: str) -> None:
    if model.startswith("timm_"):
        pytest.importorskip("timm")
    spec = registry.spec(model)
    network = build.build(spec.network or model, spec.library)
    path = tmp_path / registry.file_names(spec)[-1 if spec.library != "timm" else 1]
    beside = {"normalize.mean": torch.full((1, 3, 1, 1), 0.25), "normalize.std": torch.full((1, 3, 1, 1), 0.5)}
    torch.save({"model": before("module.", network.state_dict()) | beside, "best": np.float64(76.1)}, path)
    monkeypatch.setattr(published, "verify", lambda path, *_: sha256(path))
    state, about = published.fetch(spec, Weights(dir=str(tmp_path)))
    assert_same(state, network.state_dict())
    assert about["mean"] == [63.75] * 3 and about["std"] == [127.5] * 3
    line = f"{model}: took `module.` off the names in {path.name}, state under `model`"
    line += "; the file's own normalisation is taken\n"
    assert capsys.readouterr().err == line


def test_old_names_of_densenets_are_renamed_behind_prefixes(tmp_path, monkeypatch) -> None:
    spec = registry.spec("densenet121")
    with torch.device("meta"):
        network = build.build("densenet121", "torchvision")
    state = {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in network.state_dict().items()}
    old = {re.sub(r"(norm|conv)(\d)\.", r"\1.\2.", key): value for key, value in state.items() if "denselayer" in key}
    old |= {key: value for key, value in state.items() if "denselayer" not in key}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save({"state_dict": before("module.", old)}, tmp_path / spec.file)
    monkeypatch.setattr(published, "verify", lambda path, *_: sha256(path))
    assert published.fetch(spec, Weights(dir=str(tmp_path)))[0].keys() == state.keys()


# --- files that hold more, or something else ----------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


class Evaluating:
    def __reduce__(self) -> Any:
        return eval, ("open('canary', 'w')",)


HERE = f"{__name__}.Net"
REFUSED = {
    "argparse.Namespace": lambda: argparse.Namespace(lr=0.1),
    "types.SimpleNamespace": lambda: types.SimpleNamespace(lr=0.1),
    HERE: Net,
    "torch.nn.modules.container.Sequential": lambda: nn.Sequential(nn.Linear(2, 2)),
    "torch.nn.parallel.data_parallel.DataParallel": lambda: nn.DataParallel(Net()),
    "torch.optim.sgd.SGD": lambda: torch.optim.SGD(Net().parameters(), lr=0.1),
    "numpy._core.multiarray._reconstruct": lambda: np.ones(3),
    "builtins.eval": Evaluating,
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("way", ["zip", "legacy", "alone", "plain pickle", "protocol 4"])
def test_what_is_refused_is_named(tmp_path, monkeypatch, name: str, way: str) -> None:
    monkeypatch.chdir(tmp_path)
    path, made = tmp_path / "a.pth", REFUSED[name]()
    beside = made if way == "alone" else {"state_dict": of()[1], "args": made}
    if way == "plain pickle":
        beside["state_dict"] = {}
        path.write_bytes(pickle.dumps(beside, 4))
    else:
        options = {"_use_new_zipfile_serialization": False} if way == "legacy" else {}
        torch.save(beside, path, **options, **({"pickle_protocol": 4} if way == "protocol 4" else {}))
    with pytest.raises(UserError) as caught:
        checkpoint_file.read(path)
    message = str(caught.value)
    assert f"it asks for {name}, " in message
    assert "torch.save(model.state_dict(), FILE)" in message and "torch.save(checkpoint['state_dict'], FILE)" in message
    assert "x1b" not in message and "[1m" not in message and len(message) < 600
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_harmless_values_beside_the_state_are_read(tmp_path, legacy: bool) -> None:
    _, state = of()
    beside = {
        "best": np.float64(76.25), "epoch": np.int64(3), "single": np.float32(0.5), "better": np.bool_(True),
        "name": np.str_("a"), "dtype": np.dtype("f4"), "when": datetime.datetime(2024, 1, 2),
        "path": pathlib.Path("/a/b"),
        "history": collections.defaultdict(list, {1: [2]}), "count": collections.Counter("ab"), "set": frozenset([1]),
        "day": np.datetime64("2024-01-02"),
    }  # fmt: skip
    torch.save({"state_dict": state} | beside, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    found = checkpoint_file.read(tmp_path / "a.pth")
    assert_same(found["state_dict"], state)
    plain = {"best": 76.25, "epoch": 3, "single": 0.5, "better": True, "name": "a", "history": {1: [2]}}
    assert {key: found[key] for key in plain} == plain
    assert type(found["best"]) is float and found["when"] == beside["when"] and found["path"] == "/a/b"


def test_files_of_numpy_1_are_read(tmp_path) -> None:
    torch.save({"best": np.float64(1.5)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    data = (tmp_path / "a.pth").read_bytes()
    assert b"numpy._core.multiarray" in data
    (tmp_path / "a.pth").write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert checkpoint_file.read(tmp_path / "a.pth") == {"best": 1.5}


def traced(path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), path)


def zipped(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "x")

    return make


def npz(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, weight=np.ones(2))


FOREIGN: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "a git-lfs pointer": lambda path: path.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    ),
    "a web page": lambda path: path.write_text("\n<!DOCTYPE html>\n<html>Sign in</html>"),
    "a web page (HTML or XML)": lambda path: path.write_text("<?xml version='1.0'?><Error>AccessDenied</Error>"),
    "JSON text": lambda path: path.write_text('{"error": "not found"}'),
    "an HDF5 file": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)),
    "a numpy archive": npz,
    "a numpy array": lambda path: path.write_bytes(b"\x93NUMPY\x01\x00" + bytes(99)),
    "an ONNX model": lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch" + bytes(99)),
    "a TensorFlow SavedModel": lambda path: path.write_bytes(b"\x08\x01\x12\x87\x01" + bytes(99)),
    "a TensorFlow Lite model": lambda path: path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(99)),
    "the index of a TensorFlow checkpoint": lambda path: path.write_bytes(bytes(99) + checkpoint_kind.LEVELDB),
    "a gzip archive": lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(99)),
    "a tar archive": lambda path: path.write_bytes(b"storages" + bytes(249) + b"ustar" + bytes(300)),
    "a Keras model": zipped("model.weights.h5"),
    "a zip archive": zipped("weights.pth"),
    "a TorchScript archive": traced,
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_files_of_another_kind_are_named(tmp_path, kind: str, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    FOREIGN[kind](path)
    with pytest.raises(UserError, match=rf"is {re.escape(kind)}.*expected a PyTorch state dict or safetensors; \w+"):
        checkpoint_file.read(path)
    spec = registry.spec("resnet20")
    path.rename(tmp_path / spec.file)
    with pytest.raises(UserError, match=rf"is {re.escape(kind)}.*; it has sha256 \w+\.\.\., expected 12fca82f"):
        published.fetch(spec, Weights(dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda path: path.write_text("404: Not Found"), r"it begins with '404: Not Found', and is neither"),
        (lambda path: torch.save(of()[1], path, pickle_protocol=5), "pickled by protocol 5, and torch reads 2"),
        (lambda path: torch.save([of()[1]], path), "holds a list, expected a state dict"),
        (lambda path: torch.save(torch.ones(2), path), "holds a Tensor, expected a state dict"),
        (lambda path: path.write_bytes(pickle.dumps(of()[1], 2)), r"torch\.storage\._load_from_bytes"),
        (lambda path: path.write_bytes(pickle.dumps(of()[1], 5)), r"torch\.storage\._load_from_bytes"),
    ],
)
def test_files_that_torch_cannot_read_say_why(tmp_path, make: Callable[[Path], Any], line: str) -> None:
    make(tmp_path / "a.pth")
    with pytest.raises(UserError, match=line) as caught:
        checkpoint_file.read(tmp_path / "a.pth")
    assert not re.search(r"\[1m|x1b|\w\.\.\.", str(caught.value))


def test_the_ending_does_not_say_what_a_file_is(tmp_path) -> None:
    from safetensors.torch import save_file

    _, state = of()
    save_file(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        assert_same(checkpoint_file.read(tmp_path / name), state)


def test_spread_tensors_are_told(tmp_path) -> None:
    # as torch.save writes one: the class, and no process group to make it with
    path = tmp_path / "a.pth"
    torch.save({"weight": Net}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    module = b"torch.distributed.tensor\nDTensor\n"
    path.write_bytes(re.sub(rb"c\S*test_checkpoints\nNet\n", b"c" + module, data))
    imports = "from crossfool.models.weights import checkpoint_file; from pathlib import Path"
    code = f"{imports}; checkpoint_file.read(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "DTensor" in done.stderr.splitlines()[-1] and "torch.save(model.state_dict(), FILE)" in done.stderr
