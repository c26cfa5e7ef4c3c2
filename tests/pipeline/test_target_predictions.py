"""Predictions of target models: equal bytes whoever computes them, and nothing is computed that is kept."""

import dataclasses
import importlib.metadata
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from made_cells import CPU

from crossfool.errors import UserError
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.pipeline.evaluation import (
    image_transforms,
    kept_predictions,
    predict,
    predict_order,
    target_predictions,
)
from crossfool.pipeline.evaluation.compute_predictions import ImageSet
from crossfool.pipeline.evaluation.kept_predictions import KeptPredictions
from crossfool.pipeline.evaluation.predict_order import PLAIN
from crossfool.pipeline.workers import worker
from crossfool.storage.tensors import TensorFile, write_tensors

LEVELS = {"rotation": (10.0, 30.0), "gaussian_noise": (20.0,)}
LIBRARIES = {"rotation": ("torchvision",)}
COMPUTE = Compute(chunk=4)


class Backwards:
    """Computes tasks here, the last first, as an engine does."""

    def __init__(self, kind: str = "cpu") -> None:
        self.kind, self.orders = kind, []

    def run(self, tasks, name):
        worker._kept.clear()
        self.orders += [task.order for task in tasks]
        for task in reversed(tasks):
            yield task, worker.compute(task.order, task.files, task.arrays())


def transformed(images: ImageSet, levels, **changes) -> ImageSet:
    """A set of the same images, with levels of transforms."""
    hashes = dict.fromkeys(levels, "code of a transform")
    set_of_all = ImageSet(images.images, images.ids, levels, image_transforms.apply, hashes, LIBRARIES)
    return dataclasses.replace(set_of_all, **changes)


@pytest.fixture
def images(subset: Path) -> ImageSet:
    file = TensorFile(subset)
    return transformed(ImageSet(np.array(file["images"]), file["index"].tolist()), LEVELS)


@pytest.fixture
def models(fnn_weights: Path, tmp_path: Path, monkeypatch) -> dict[str, Path]:
    for name in ("CROSSFOOL_ENGINE", "CROSSFOOL_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CROSSFOOL_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    return {name: fnn_weights / f"{name}.safetensors" for name in ("fnn0", "fnn2")}


@pytest.fixture
def loaded(monkeypatch) -> list[str]:
    """Names of the models that are loaded, in order."""
    names, load = [], pixel_model.load

    def noted(path, **options):
        names.append(path.stem)
        return load(path, **options)

    monkeypatch.setattr(pixel_model, "load", noted)
    return names


def use(monkeypatch, engine: Backwards) -> Backwards:
    monkeypatch.setattr(target_predictions, "choose_engine", lambda: engine)
    return engine


def predicted(models, sets, **options):
    fingerprints = dict.fromkeys(models, options.pop("fingerprint", "code"))
    arguments = {"compute": COMPUTE, "fingerprints": fingerprints, "name": "test", **options}
    return target_predictions.predict_sets(models, sets, **arguments)


def directly(models: dict[str, Path], images: ImageSet) -> dict:
    """Predictions of each model and variation, by `predict.top5` alone."""
    found = {}
    for name, path in models.items():
        model, found[name] = pixel_model.load(path, device=CPU, compute=COMPUTE), {}
        for variation in images.variations():
            changed = images.images
            if variation != PLAIN:
                chunks = [slice(start, start + 4) for start in range(0, len(changed), 4)]
                tensors = [
                    image_transforms.apply(*variation, torch.from_numpy(changed[part]), images.ids[part])
                    for part in chunks
                ]
                changed = torch.cat(tensors).numpy()
            found[name][variation] = predict.top5(model, changed, batch=4, device=CPU)
    return found


def same(found: dict, expected: dict) -> bool:
    """Whether models, variations, their order and predictions are the same."""
    return [
        (model, variation, top.dtype, top.tolist()) for model, some in found.items() for variation, top in some.items()
    ] == [
        (model, variation, top.dtype, top.tolist())
        for model, some in expected.items()
        for variation, top in some.items()
    ]


@pytest.mark.parametrize("kind", [None, "cpu", "cuda"])
def test_whoever_computes_the_predictions_are_those_of_top5(models, images, monkeypatch, kind):
    expected = directly(models, images)
    assert len({top.tobytes() for some in expected.values() for top in some.values()}) == 8  # all differ
    if kind is not None:
        engine = use(monkeypatch, Backwards(kind))
    other = ImageSet(255 - images.images, images.ids)
    found = predicted(models, {"images": images, (3, 5): other})
    assert same(found["images"], expected) and same(found[3, 5], directly(models, other))
    if kind is not None:
        together = {"cpu": [("fnn0",)] * 6 + [("fnn2",)] * 6, "cuda": [("fnn0", "fnn2")] * 6}
        assert [order.models for order in engine.orders] == together[kind]


def test_a_worker_loads_a_model_once(models, images, monkeypatch, loaded):
    use(monkeypatch, Backwards())
    predicted(models, {"a": images, "b": ImageSet(255 - images.images, images.ids)})
    assert loaded == ["fnn2", "fnn0"]


def test_a_dark_chunk_is_predicted_like_any_other(models, images, monkeypatch):
    """Pixels of 0..1 are refused of a set, and not of a chunk, which may lie in the dark."""
    dark = images.images.astype(np.float32)
    dark[8:] = 0.5
    sets = {"float": ImageSet(dark, images.ids)}
    here = predicted(models, sets, fingerprints=None)
    use(monkeypatch, Backwards())
    assert same(predicted(models, sets, fingerprints=None)["float"], here["float"])
    with pytest.raises(UserError, match=r"these images lie in 0\.\.1"):
        predicted(models, {"float": ImageSet(dark / 255, images.ids)}, fingerprints=None)


def test_an_image_without_finite_logits_is_named_by_its_place(models, images, monkeypatch):
    bright = images.images.astype(np.float32)
    bright[6] = np.inf
    use(monkeypatch, Backwards())
    with pytest.raises(UserError, match="the logits of fnn2 for image 6 are not finite"):
        predicted(models, {"float": ImageSet(bright, images.ids)}, fingerprints=None)


def test_a_worker_of_another_library_is_refused(models, images, monkeypatch):
    libraries = ["torchvision", "no-such-library", "pillow"]
    order = predict_order.make_order({"fnn0": "x"}, COMPUTE, (PLAIN, ("jpeg", 30.0)), None, libraries)
    assert "no-such-library none, pillow " in order.versions and "torchvision " in order.versions
    monkeypatch.setattr(predict_order, "library_versions", lambda names: dict.fromkeys(names, "1"))
    with pytest.raises(UserError, match=r"a worker has torch .*, pillow 1, torchvision 1, and this machine torch "):
        worker.compute(order, [], {})


def test_a_second_run_loads_no_model(models, images, loaded):
    first = predicted(models, {"images": images})
    assert loaded == ["fnn0", "fnn2"]
    assert same(predicted(models, {"images": images})["images"], first["images"])
    assert loaded == ["fnn0", "fnn2"]


def test_without_fingerprints_nothing_is_kept(models, images, loaded):
    for _ in range(2):
        predicted(models, {"images": images}, fingerprints=None)
    assert loaded == ["fnn0", "fnn2"] * 2 and not kept_predictions.FOLDER.exists()


@pytest.mark.parametrize("engine", [False, True])
def test_a_new_target_computes_its_own_predictions_alone(models, images, loaded, monkeypatch, engine):
    if engine:
        use(monkeypatch, Backwards())
    predicted({"fnn2": models["fnn2"]}, {"images": images})
    loaded.clear()
    found = predicted(models, {"images": images})
    assert loaded == ["fnn0"]
    assert same(found["images"], directly(models, images))


def test_a_new_level_is_added_to_the_file(models, images, monkeypatch):
    few = transformed(images, {"rotation": (30.0,)})
    predicted(models, {"images": few})
    engine = use(monkeypatch, Backwards())
    found = predicted(models, {"images": images})
    missing = (("rotation", 10.0), ("gaussian_noise", 20.0))
    assert {order.variations for order in engine.orders} == {missing}
    assert same(found["images"], directly(models, images))
    files = list(kept_predictions.FOLDER.iterdir())
    names = [[name.rpartition(" ")[0] for name in TensorFile(path).names()] for path in files]
    assert names == [["gaussian_noise 20.0", "", "rotation 10.0", "rotation 30.0"]] * 2  # each followed by a hash
    use(monkeypatch, Backwards())
    predicted(models, {"images": few})  # what is not asked for stays
    assert all(len(TensorFile(path).names()) == 4 for path in files)


@pytest.mark.parametrize("other", ["code", "library"])
def test_an_edited_transform_is_computed_again_alone(models, images, monkeypatch, other):
    predicted(models, {"images": images})
    engine = use(monkeypatch, Backwards())
    if other == "code":
        images = dataclasses.replace(images, fingerprints=images.fingerprints | {"rotation": "edited"})
    else:
        known = predict_order.library_versions
        changed = {"torchvision": "0", "torch": importlib.metadata.version("torch")}
        monkeypatch.setattr(
            predict_order, "library_versions", lambda names: {name: changed.get(name, known([name])) for name in names}
        )
    assert same(predicted(models, {"images": images})["images"], directly(models, images))
    assert {order.variations for order in engine.orders} == {(("rotation", 10.0), ("rotation", 30.0))}
    assert {order.libraries for order in engine.orders} == {("torchvision",)}


def test_a_transform_without_a_hash_is_not_kept(models, images):
    with pytest.raises(KeyError, match="rotation"):
        predicted(models, {"images": dataclasses.replace(images, fingerprints={})})


def _retrained(path: Path) -> None:
    file = TensorFile(path)
    tensors = {name: file[name].copy() for name in file.names()}
    tensors[file.names()[0]].flat[0] += 1
    write_tensors(path, tensors, {"model": file.metadata["model"]})


@pytest.mark.parametrize(
    "other", ["weights", "fingerprint", "images", "shape", "ids", "chunk", "precision", "device", "library"]
)
def test_predictions_of_anything_else_are_not_taken(models, images, loaded, monkeypatch, other):
    images, options = ImageSet(images.images, images.ids), {}
    predicted(models, {"images": images})
    loaded.clear()
    expected = ["fnn0", "fnn2"]
    if other == "weights":
        _retrained(models["fnn2"])
        expected = ["fnn2"]
    elif other == "fingerprint":
        options["fingerprint"] = "other code"
    elif other == "images":
        images.images[7, 0, 20, 20] ^= 1
    elif other == "shape":
        images = ImageSet(images.images[:10], images.ids[:10])
    elif other == "ids":
        images = ImageSet(images.images, [id + 1 for id in images.ids])
    elif other == "chunk":
        options["compute"] = Compute(chunk=5)
    elif other == "precision":
        options["compute"] = Compute(chunk=4, precision="tf32")
    elif other == "device":
        use(monkeypatch, Backwards("cuda"))
    elif other == "library":
        monkeypatch.setattr(predict_order, "library_versions", lambda names: dict.fromkeys(names, "1"))
    predicted(models, {"images": images}, **options)
    assert loaded == expected


def test_versions_are_asked_once_for_all_sets(models, images, monkeypatch):
    asked = []
    monkeypatch.setattr(predict_order, "library_versions", lambda names: asked.append(names) or {})
    predicted(models, {"first": images, "second": ImageSet(images.images, [id + 1 for id in images.ids])})
    assert len(models) > 1 and asked.count(["torch"]) == 1


@pytest.mark.parametrize("damage", ["byte", "end", "key", "shape", "dtype"])
def test_a_damaged_or_misfitting_file_is_computed_again(models, images, loaded, damage):
    expected = predicted(models, {"images": images})
    first, second = sorted(kept_predictions.FOLDER.iterdir())
    whole = first.read_bytes()
    if damage == "byte":
        first.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "end":
        first.write_bytes(whole[:-1])
    elif damage == "key":
        first.write_bytes(second.read_bytes())
    else:
        file = TensorFile(first)
        tensors = {name: np.array(file[name]) for name in file.names()}
        tensors["plain"] = tensors["plain"][:10] if damage == "shape" else tensors["plain"].astype(np.int64)
        write_tensors(first, tensors, {"key": first.stem})
    loaded.clear()
    assert same(predicted(models, {"images": images})["images"], expected["images"])
    assert len(loaded) == 1 and first.read_bytes() == whole


def test_the_least_recently_used_go_beyond_the_bound(tmp_path):
    top = np.arange(50).reshape(10, 5)
    kept = KeptPredictions(tmp_path, bound=1)
    for place, key in enumerate("abcd"):
        kept.add(key, {"plain": top})
        os.utime(tmp_path / f"{key}.safetensors", (place, place))
    size = (tmp_path / "a.safetensors").stat().st_size
    assert np.array_equal(kept.read("a", 10)["plain"], top)  # used now, though it is the oldest
    KeptPredictions(tmp_path, bound=4 * size).prune()
    assert len(list(tmp_path.iterdir())) == 4
    KeptPredictions(tmp_path, bound=3 * size - 1).prune()
    assert {path.stem for path in tmp_path.iterdir()} == {"a", "d"}
    kept.prune()
    assert list(tmp_path.iterdir()) == []
    KeptPredictions(tmp_path / "none").prune()


def test_a_run_keeps_the_bound(models, images, tmp_path):
    kept = KeptPredictions(tmp_path / "kept", bound=1500)
    for shift in range(3):
        predicted(models, {"images": ImageSet(images.images + shift, images.ids)}, kept=kept)
    sizes = [path.stat().st_size for path in (tmp_path / "kept").iterdir()]
    assert len(sizes) >= 1 and sum(sizes) <= 1500 < 6 * min(sizes)


def test_many_classes_are_kept_as_they_are_or_not_at_all(tmp_path):
    kept = KeptPredictions(tmp_path)
    top = np.array([[65535, 256, 255, 1, 0]])
    kept.add("a", {"plain": top})
    assert kept.read("a", 1)["plain"].tolist() == top.tolist()
    kept.add("b", {"plain": top + 1})
    assert kept.read("b", 1) == {}


def test_nothing_fails_where_nothing_can_be_kept(models, images, tmp_path):
    (tmp_path / ".crossfool").touch()  # a file where the folder would be
    assert same(predicted(models, {"images": images})["images"], directly(models, images))


def test_models_that_are_done_are_kept_when_a_run_is_killed(models, images, loaded, monkeypatch):
    def dies(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predicted(models, {"images": dataclasses.replace(images, transform=dies)})
    engine = use(monkeypatch, Backwards())
    assert same(predicted(models, {"images": images})["images"], directly(models, images))
    assert all(PLAIN not in order.variations for order in engine.orders) and engine.orders
