"""Cells: chunks, resume, noise by image, and files that are what they claim."""

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import metadata
from made_cells import CPU, ROWS, SG, cell, run
from torch import nn

from crossfool.attacks import backward
from crossfool.attacks.config import Attack
from crossfool.attacks.noise import gaussian
from crossfool.errors import UserError
from crossfool.models.inference import batch_size, pixel_model
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import compute_cell, device_crafter, weights_record
from crossfool.pipeline.crafting import craft as crafting_craft
from crossfool.pipeline.crafting.cell_inputs import Cell
from crossfool.pipeline.evaluation import adversarial_file
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile, TensorWriter, write_tensors


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("source", ["fnn2", "fnn0+fnn2"])
def test_file_is_uint8_in_the_ball_with_metadata(tmp_path, subset, fnn_weights, row, source):
    out = run(cell(subset, fnn_weights, row, source=source), fnn_weights, tmp_path / "out.safetensors")
    clean, found = TensorFile(subset)["images"].astype(int), TensorFile(out)["images"]
    assert found.dtype == np.uint8 and found.shape == clean.shape
    distance = np.abs(found - clean)
    assert distance.max() == int(ROWS[row]["epsilon"])
    about = metadata(out)
    assert json.loads(about["params"])["steps"] == ROWS[row]["steps"]
    assert (
        about["source"] == source
        and about["seed"] == str(ROWS[row].get("seed", 0))
        and about["subset"] == sha256(subset)
    )
    assert json.loads(about["weights"]) == {
        name: sha256(fnn_weights / f"{name}.safetensors") for name in source.split("+")
    }
    assert np.array_equal(adversarial_file.read_adversarial(out, subset, source, Attack(**ROWS[row])), found)


def test_rerun_is_byte_identical_and_leaves_no_scratch(tmp_path, subset, fnn_weights):
    first = run(cell(subset, fnn_weights), fnn_weights, tmp_path / "a" / "out.safetensors")
    again = run(cell(subset, fnn_weights), fnn_weights, tmp_path / "b" / "out.safetensors")
    assert first.read_bytes() == again.read_bytes()
    assert [path.name for path in (tmp_path / "a" / "scratch").iterdir()] == ["fnn2-sg.lock"]


def test_other_chunks_have_the_same_noise(tmp_path, subset, fnn_weights, monkeypatch):
    """In another chunk size a float may round otherwise, but each image's noise is the same."""
    drawn: dict[int, list[np.ndarray]] = {}
    original = gaussian.gaussian

    def spy(seed, ids, sigma):
        noise = original(seed, ids, sigma)

        def draw(step, x):
            for sample in noise(step, x):
                for place, image in enumerate(ids):
                    drawn.setdefault(image, []).append(sample[place].numpy().copy())
                yield sample

        return draw

    monkeypatch.setattr(gaussian, "gaussian", spy)
    run(cell(subset, fnn_weights, chunk=4), fnn_weights, tmp_path / "a.safetensors")
    first = {image: np.stack(samples) for image, samples in drawn.items()}
    drawn.clear()
    run(cell(subset, fnn_weights, chunk=11), fnn_weights, tmp_path / "b.safetensors")
    assert first.keys() == drawn.keys() and len(first) == 11
    for image, samples in first.items():
        assert samples.shape[0] == 3 * 4
        assert np.array_equal(samples, np.stack(drawn[image]))


def _chunk(arguments: tuple[Path, Path, int]) -> tuple[int, bytes]:
    subset, weights, start = arguments
    torch.set_num_threads(1)
    one = cell(subset, weights)
    file = TensorFile(subset)
    members = [pixel_model.load(path, device=CPU) for path in weights_record.verified_paths(one.source, weights)]
    part = slice(start, min(start + 4, 11))
    ((_, made),) = device_crafter.Crafter(one, members, file, CPU, Fit(4, CPU)).chunks([part])
    return start, made["images"].tobytes()


def test_order_and_workers_change_no_byte(tmp_path, subset, fnn_weights):
    whole = TensorFile(run(cell(subset, fnn_weights), fnn_weights, tmp_path / "out.safetensors"))["images"]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        parts = dict(pool.map(_chunk, [(subset, fnn_weights, start) for start in (8, 0, 4)]))
    assert b"".join(parts[start] for start in (0, 4, 8)) == whole.tobytes()


def dies_at_the_third_chunk(monkeypatch) -> list[int]:
    """Where chunks start, as they are begun; the third is never computed at the first try."""
    computed: list[int] = []
    original = device_crafter.Crafter.begin

    def begin(work, part, *others):
        computed.append(part.start)
        if len(computed) == 3:
            raise KeyboardInterrupt
        return original(work, part, *others)

    monkeypatch.setattr(device_crafter.Crafter, "begin", begin)
    return computed


@pytest.mark.parametrize("row", ["sg", "today"])
def test_killed_cell_resumes_and_is_byte_identical(tmp_path, subset, fnn_weights, monkeypatch, row):
    undisturbed = run(cell(subset, fnn_weights, row), fnn_weights, tmp_path / "a" / "out.safetensors")
    computed = dies_at_the_third_chunk(monkeypatch)
    out = tmp_path / "b" / "out.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(cell(subset, fnn_weights, row), fnn_weights, out)
    assert not out.exists() and not list(out.parent.glob(".*.tmp"))
    run(cell(subset, fnn_weights, row), fnn_weights, out)
    assert computed == [0, 4, 8, 8]  # no finished chunk twice
    assert out.read_bytes() == undisturbed.read_bytes()


def test_a_damaged_chunk_is_computed_again(tmp_path, subset, fnn_weights, monkeypatch):
    undisturbed = run(cell(subset, fnn_weights), fnn_weights, tmp_path / "a" / "out.safetensors")
    computed = dies_at_the_third_chunk(monkeypatch)
    out = tmp_path / "b" / "out.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(cell(subset, fnn_weights), fnn_weights, out)
    (chunk,) = (tmp_path / "b").rglob("00000004.safetensors")
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\xff")
    run(cell(subset, fnn_weights), fnn_weights, out)
    assert computed == [0, 4, 8, 4, 8]
    assert out.read_bytes() == undisturbed.read_bytes()


@pytest.mark.parametrize(
    ("row", "surer", "moved"),
    [
        ({}, 1, 11),
        ({}, 1e6, 0),  # its softmax is 1 and 0 in float32
        ({"steps": 3, "step_size": 6, "update": "momentum", "decay": 1.0}, 1e6, 0),
        ({"epsilon": 0}, 1, 0),
    ],
)
def test_images_that_no_step_moved_are_told(tmp_path, subset, fnn_weights, capsys, row, surer, moved):
    own = cell(subset, fnn_weights, "fgsm")
    own = Cell(own.source, "fgsm", Attack(**ROWS["fgsm"] | row), own.compute, subset)
    model = pixel_model.load(fnn_weights / "fnn2.safetensors", device=CPU)
    answers = model(torch.from_numpy(TensorFile(subset)["images"].copy()).float()).argmax(1)
    tensors = {name: TensorFile(subset)[name] for name in TensorFile(subset).names()} | {"labels": answers.numpy()}
    write_tensors(subset, tensors, TensorFile(subset).metadata)
    model.network.register_forward_hook(lambda module, given, logits: surer * logits)
    compute_cell.compute_here(own, [model], tmp_path / "out.safetensors", device=CPU, scratch=tmp_path / "scratch")
    found = TensorFile(tmp_path / "out.safetensors")["images"]
    assert (found != tensors["images"]).any((1, 2, 3)).sum() == moved
    lines = [line for line in capsys.readouterr().err.splitlines() if "as they were" in line]
    why = "epsilon is 0" if row.get("epsilon") == 0 else "so sure of its answer"
    assert len(lines) == (moved < 11) and all(f"{11 - moved} of 11 images" in line and why in line for line in lines)


def test_stale_chunks_are_not_taken(tmp_path, subset, fnn_weights, monkeypatch):
    original = device_crafter.Crafter.begin

    def dies(work, part, *others):
        if part.start == 8:
            raise KeyboardInterrupt
        return original(work, part, *others)

    out = tmp_path / "b" / "out.safetensors"
    monkeypatch.setattr(device_crafter.Crafter, "begin", dies)
    with pytest.raises(KeyboardInterrupt):
        run(cell(subset, fnn_weights), fnn_weights, out)
    monkeypatch.setattr(device_crafter.Crafter, "begin", original)
    other = cell(subset, fnn_weights)
    other = Cell(other.source, "sg", Attack(**{**SG, "sigma": 3}), other.compute, subset)
    run(other, fnn_weights, out)
    assert run(other, fnn_weights, tmp_path / "c" / "out.safetensors").read_bytes() == out.read_bytes()
    assert [path.name for path in (tmp_path / "b" / "scratch").iterdir()] == ["fnn2-sg.lock"]


def test_a_chunk_is_begun_before_the_last_one_is_written_where_that_pays(tmp_path, subset, fnn_weights, monkeypatch):
    """As on a GPU, which computes the next chunk meanwhile: same bytes, and a kill loses one chunk more."""
    at_once = run(cell(subset, fnn_weights), fnn_weights, tmp_path / "a" / "out.safetensors")
    done = []
    begin, finish = device_crafter.Crafter.begin, device_crafter.Crafter.finish
    monkeypatch.setattr(device_crafter, "CHUNKS_AHEAD", {"cpu": 1})
    monkeypatch.setattr(
        device_crafter.Crafter,
        "begin",
        lambda work, part, *a: (done.append(f"+{part.start}"), begin(work, part, *a))[1],
    )
    monkeypatch.setattr(
        device_crafter.Crafter,
        "finish",
        lambda work, chunk: (done.append(f"-{chunk.part.start}"), finish(work, chunk))[1],
    )
    ahead = run(cell(subset, fnn_weights), fnn_weights, tmp_path / "b" / "out.safetensors")
    assert done == ["+0", "+4", "-0", "+8", "-4", "-8"]
    assert ahead.read_bytes() == at_once.read_bytes()


def test_failed_write_leaves_no_half_file(tmp_path, subset, fnn_weights, monkeypatch):
    def full(self, name, values):
        raise OSError(28, "No space left on device")

    out = tmp_path / "out.safetensors"
    monkeypatch.setattr(TensorWriter, "append", full)
    with pytest.raises(OSError):
        run(cell(subset, fnn_weights), fnn_weights, out)
    assert not out.exists() and not list(tmp_path.rglob("*.tmp"))


def test_nan_gradient_names_model_and_image(tmp_path, subset, fnn_weights):
    file = TensorFile(fnn_weights / "fnn2.safetensors")
    tensors = {name: file[name].copy() for name in file.names()}
    tensors["layers.0.weight" if "layers.0.weight" in tensors else file.names()[-1]][:] = (
        3e38  # finite, its products are not
    )
    write_tensors(fnn_weights / "fnn2.safetensors", tensors, file.metadata)
    out = tmp_path / "out.safetensors"
    for source in ("fnn2", "fnn0+fnn2"):
        with pytest.raises(UserError, match="sg: the gradient of fnn2 is not finite at image 2;"):
            run(cell(subset, fnn_weights, source=source), fnn_weights, out)
        assert not out.exists()


def test_weights_that_changed_since_are_refused(tmp_path, subset, fnn_weights):
    one = cell(subset, fnn_weights)
    shutil.copy(fnn_weights / "fnn0.safetensors", fnn_weights / "fnn2.safetensors")
    with pytest.raises(UserError, match=r"fnn2.safetensors is not the file that sources/fnn2.json names"):
        run(one, fnn_weights, tmp_path / "out.safetensors")


def test_strangers_file_is_checked_against_its_clean_images(tmp_path, subset, fnn_weights):
    out = run(cell(subset, fnn_weights), fnn_weights, tmp_path / "out.safetensors")
    file, row = TensorFile(out), Attack(**SG)
    images = file["images"].copy()
    far = images.copy()
    far[3, 0, 0, 0] = (int(TensorFile(subset)["images"][3, 0, 0, 0]) + 128) % 256
    write_tensors(out, {"images": far}, file.metadata)
    with pytest.raises(UserError, match="is 128 from its clean one, more than its epsilon 15"):
        adversarial_file.read_adversarial(out, subset, "fnn2", row)
    write_tensors(out, {"images": images[:5]}, file.metadata)
    with pytest.raises(UserError, match=r"uint8 \(5, 1, 28, 28\), expected uint8 \(11, 1, 28, 28\)"):
        adversarial_file.read_adversarial(out, subset, "fnn2", row)
    write_tensors(out, {"images": images}, {**file.metadata, "subset": "0" * 64})
    with pytest.raises(UserError, match="was made from another subset"):
        adversarial_file.read_adversarial(out, subset, "fnn2", row)
    for change in ({"source": "fnn0"}, {"params": Attack(**{**SG, "epsilon": 99}).model_dump_json(exclude_none=True)}):
        write_tensors(out, {"images": far}, {**file.metadata, **change})
        with pytest.raises(UserError, match=f"its {next(iter(change))} is .*, expected .*; delete it"):
            adversarial_file.read_adversarial(out, subset, "fnn2", row)
    write_tensors(out, {"images": images}, {k: v for k, v in file.metadata.items() if k != "params"})
    with pytest.raises(UserError, match="its params is None, expected"):
        adversarial_file.read_adversarial(out, subset, "fnn2", row)
    out.write_bytes(out.read_bytes()[:-10])
    with pytest.raises(UserError, match="is no whole safetensors file"):
        adversarial_file.read_adversarial(out, subset, "fnn2", row)


def test_memory_that_runs_out_halves_what_goes_through_at_once(tmp_path, subset, fnn_weights, monkeypatch):
    whole = run(cell(subset, fnn_weights, chunk=8), fnn_weights, tmp_path / "a" / "out.safetensors")
    sizes = []
    original = crafting_craft.craft

    def craft(members, row, chunk, *others, together):
        sizes.append(len(chunk.images) * together)
        if len(chunk.images) * together > 3:
            raise torch.OutOfMemoryError("made")
        return original(members, row, chunk, *others, together=together)

    monkeypatch.setattr(crafting_craft, "craft", craft)
    parts = run(cell(subset, fnn_weights, chunk=8), fnn_weights, tmp_path / "b" / "out.safetensors")
    # eleven images in chunks of 8 and 3; found once, then remembered; the last image with two noise samples at once
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2]
    assert np.array_equal(TensorFile(parts)["images"], TensorFile(whole)["images"])


def test_not_even_one_image_fits(monkeypatch):
    def work(part, together):
        raise torch.OutOfMemoryError("made")

    with pytest.raises(torch.OutOfMemoryError):
        Fit(4, CPU).map(work, 4)


def test_widest_is_the_largest_output_of_a_layer():
    first = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Flatten(), nn.Linear(5 * 8 * 8, 2))
    second = nn.Sequential(nn.Conv2d(3, 7, 3, stride=2, padding=1), nn.ReLU())
    image = torch.zeros(1, 3, 8, 8)
    assert batch_size.widest_output([second], image) == 7 * 4 * 4 * 4
    assert batch_size.widest_output([first, second], image) == 5 * 8 * 8 * 4
    assert all(not layer._forward_hooks for network in (first, second) for layer in network.modules())


def test_passes_are_of_equal_size_and_no_wider_than_pays(monkeypatch):
    monkeypatch.setattr(batch_size, "WIDE", 1000)
    parts = Fit(20, CPU, 150).map(lambda part, together: (part.stop - part.start, together), 8, 3)
    assert parts == [(4, 1), (4, 1)]  # six would fit
    assert Fit(20, CPU, 150).map(lambda part, together: (part.stop - part.start, together), 2, 9) == [(2, 3)]
    assert Fit(20, CPU, 9999).map(lambda part, together: (part.stop - part.start, together), 2, 9) == [
        (2, 1)
    ]  # no fewer


def test_a_cell_goes_through_in_passes_that_its_models_layers_allow(tmp_path, subset, fnn_weights, monkeypatch):
    whole = run(cell(subset, fnn_weights, chunk=8), fnn_weights, tmp_path / "a" / "out.safetensors")
    member = pixel_model.load(fnn_weights / "fnn2.safetensors", device=CPU)
    image = torch.from_numpy(np.array(TensorFile(subset)["images"][:1])).float()
    monkeypatch.setattr(batch_size, "WIDE", 4 * batch_size.widest_output([member], image))
    sizes = []
    original = backward.plain
    monkeypatch.setattr(backward, "plain", lambda loss, x: (sizes.append(len(x)), original(loss, x))[1])
    parts = run(cell(subset, fnn_weights, chunk=8), fnn_weights, tmp_path / "b" / "out.safetensors")
    assert set(sizes) == {4, 3}  # eleven images in chunks of 8 and 3
    assert np.array_equal(TensorFile(parts)["images"], TensorFile(whole)["images"])


def test_noise_samples_of_few_images_go_through_together(tmp_path, subset, fnn_weights, monkeypatch):
    passes = []
    original = backward.plain

    def counted(loss, x):
        passes.append(len(x))
        return original(loss, x)

    monkeypatch.setattr(backward, "plain", counted)
    alone = run(cell(subset, fnn_weights, chunk=8), fnn_weights, tmp_path / "a" / "out.safetensors")
    by_one = len(passes)
    monkeypatch.setattr(batch_size, "ROOM", {"cpu": 27})
    stacked = run(cell(subset, fnn_weights, chunk=8), fnn_weights, tmp_path / "b" / "out.safetensors")
    assert max(passes[:by_one]) == 8 and max(passes[by_one:]) == 24 and len(passes) < 2 * by_one
    assert sum(passes[by_one:]) == sum(passes[:by_one])  # not one gradient more or less
    # the samples are the same, whatever goes through together; sums in another order may turn a sign
    assert (np.asarray(TensorFile(alone)["images"]) == np.asarray(TensorFile(stacked)["images"])).mean() > 0.99
