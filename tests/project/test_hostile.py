"""Whatever stands in a file: it is read, or refused in one line. By hypothesis, and tables that were damaged."""

import contextlib
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from builders import ROOT, SEEDED
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.datasets.reading import decoding
from crossfool.errors import UserError
from crossfool.experiment import image_counts, loading, provenance
from crossfool.experiment.config import Experiment
from crossfool.experiment.results import metrics, outcomes
from crossfool.pipeline.evaluation import predictions_file
from crossfool.pipeline.gradient_analysis.config import Boundary, Similarity
from crossfool.report import findings
from crossfool.report.figures import boundary
from crossfool.report.html import gallery
from crossfool.storage.atomic import replacing
from crossfool.storage.tensors import TensorFile, write_tensors


@contextlib.contextmanager
def one_line(named: str = "") -> Iterator[None]:
    """The block ends well, or with a `UserError` of one line."""
    try:
        yield
    except UserError as error:
        message = str(error)
        assert message.strip() and len(message.splitlines()) == 1 and len(message) < 1000 and named in message


# --- params.yaml ----------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=8,
)
RIGHT = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested dicts and lists."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*way, key)
        yield from places(inner, (*way, key))


def replaced(way: tuple[Any, ...], value: Any) -> Any:
    """params.yaml with another value in one place."""
    values = yaml.safe_load(yaml.safe_dump(RIGHT))
    holder = values
    for key in way[:-1]:
        holder = holder[key]
    holder[way[-1]] = value
    return values


def load(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with one_line("params.yaml"):
        assert isinstance(loading.load_experiment(path), Experiment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@settings(SEEDED, max_examples=200)
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(data=b"[" * 5000)
@example(data=b"{a: " * 2000)
@example(data=b"models: " + b"9" * 5000)
@example(data=b"a: 2026-99-99")
@example(data=b"a: !!int x")
@example(data=b"a: &a [*a]")
def test_params_of_any_text(folder: Path, data: bytes) -> None:
    load(folder / "params.yaml", data)


@settings(SEEDED, max_examples=200)
@given(way=st.sampled_from(list(places(RIGHT))), value=VALUES)
def test_params_with_any_value_in_any_place(folder: Path, way: tuple[Any, ...], value: Any) -> None:
    load(folder / "params.yaml", yaml.safe_dump(replaced(way, value), allow_unicode=True).encode())


# --- safetensors -----------------------------------------------------------------------------------------------------


def read(path: Path, data: bytes) -> None:
    """Every tensor and text of a file."""
    path.write_bytes(data)
    with one_line(path.name):
        file = TensorFile(path)
        for name in file.names():
            with one_line(path.name):
                assert isinstance(file[name], np.ndarray)
        for name in (*file.metadata, "model"):
            with one_line(path.name):
                assert isinstance(file.metadata_object(name), dict)


def with_header(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SIZES = st.integers(0, 9) | st.sampled_from([2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -1])
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["U8", "I64", "F32", "F16", "BOOL", "F4", "x\ny"]),
        "shape": st.lists(SIZES, max_size=4) | st.integers(0, 80).map(lambda axes: [0] * axes),
        "data_offsets": st.tuples(st.just(0), SIZES),
    }
)
METADATA = st.dictionaries(
    st.sampled_from(["sha256", "model", "a"]), JSON.map(json.dumps) | st.text(max_size=5), max_size=3
)


@settings(SEEDED, max_examples=200)
@given(data=st.binary(max_size=80))
def test_safetensors_of_any_bytes(folder: Path, data: bytes) -> None:
    read(folder / "a.safetensors", data)


@settings(SEEDED, max_examples=300)
@given(
    header=st.dictionaries(st.text(max_size=3) | st.just("__metadata__"), JSON | ENTRIES, max_size=3)
    | st.fixed_dictionaries({"__metadata__": METADATA, "images": ENTRIES})
    | st.fixed_dictionaries({"__metadata__": METADATA})
    | JSON,
    data=st.binary(max_size=16),
)
def test_safetensors_of_any_header(folder: Path, header: Any, data: bytes) -> None:
    read(folder / "a.safetensors", with_header(json.dumps(header).encode(), data))


@settings(SEEDED, max_examples=300)
@given(
    dtype=st.sampled_from(["U8", "I64", "F32", "F16"]),
    shape=st.lists(st.sampled_from([0, 0, 1, 2, 2**31, 2**62, 2**63, 2**64 - 1]), max_size=4)
    | st.builds(lambda size, axes: [size] * axes, st.integers(0, 1), st.integers(0, 80)),
)
def test_safetensors_whose_offsets_fit_their_shapes(folder: Path, dtype: str, shape: list[int]) -> None:
    size = math.prod(shape) * {"U8": 1, "I64": 8, "F32": 4, "F16": 2}[dtype]
    entry = {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}
    read(folder / "a.safetensors", with_header(json.dumps({"images": entry}).encode(), bytes(min(size, 10**5))))


# --- images ----------------------------------------------------------------------------------------------------------


def encoded(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


ENCODED = {kind: encoded(kind) for kind in ("PNG", "JPEG")}


def decode(data: bytes, channels: int) -> None:
    with one_line("a.png"):
        found = decoding.decode(data, "a.png", resize=9, side=8, channels=channels)
        assert found.shape == (channels, 8, 8) and found.dtype == np.uint8


@settings(SEEDED, max_examples=200)
@given(start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"RIFF"]), data=st.binary(max_size=80))
def test_images_of_any_bytes(start: bytes, data: bytes) -> None:
    decode(start + data, 3)


@settings(SEEDED, max_examples=200)
@given(name=st.text(min_size=1, max_size=12) | st.sampled_from(["a\nb.png", "\x1b[31m.png", "\udcff.png", "\u2028"]))
def test_a_name_of_a_file_does_not_break_its_line(name: str) -> None:
    with pytest.raises(UserError) as caught:
        decoding.decode(b"no image", name, resize=9, side=8, channels=3)
    assert str(caught.value).isprintable() and str(caught.value).encode()
    assert not name.isprintable() or name in str(caught.value)


@settings(SEEDED, max_examples=300)
@given(
    kind=st.sampled_from(sorted(ENCODED)),
    slips=st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4),
    channels=st.sampled_from([1, 3]),
)
def test_images_with_bytes_replaced(kind: str, slips: list[tuple[int, bytes]], channels: int) -> None:
    data = bytearray(ENCODED[kind])
    for place, some in slips:
        place %= len(data)
        data[place : place + len(some)] = some
    decode(bytes(data), channels)


# --- tables ----------------------------------------------------------------------------------------------------------

UNMATCHED = "image,samples,cosine\n0,0,0.5\n0,5,0.5\n1,0,0.5\n"  # whole, and of other images than params.yaml's
SIMILARITY = Similarity(source="fnn0", target="fnn2", images=2, samples=(5,), sigma=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "image,samples\n",
        "image,samples,cosine\n0,0,0.5\n0,5,0.5\n1,0,0.5\n1,5,0.",  # cut off
        UNMATCHED,
        "image,samples,cosine\n0,0,0.5\n0,5,x\n1,0,0.5\n1,5,0.5\n",
        "image,samples,cosine\n0,0,0.5\n0,5,nan\n1,0,0.5\n1,5,0.5\n",
        "image,samples,cosine\n0,0,0.5\n0,five,0.5\n1,0,0.5\n1,5,0.5\n",
        "image,samples,cosine\n0,0,0.5\n0,5\n1,0,0.5\n1,5,0.5\n",
    ],
)
def test_a_damaged_table_of_similarity_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "analysis/similarity/a.csv"
    with replacing(path) as temporary:
        temporary.write_text("image,samples,cosine\n7,0,0.5\n7,5,0.25\n9,0,0\n9,5,1\n")
    samples, cosines = outcomes.read_similarity(tmp_path, "a", SIMILARITY)
    assert samples == (0, 5) and cosines.tolist() == [[0.5, 0.25], [0, 1]]
    path.write_text(text)
    said = "does not match params.yaml: expected 2 images" if text == UNMATCHED else "is"
    with pytest.raises(UserError, match=rf"^\S+/a\.csv {said} .*run `dvc repro`$"):
        outcomes.read_similarity(tmp_path, "a", SIMILARITY)


@pytest.mark.parametrize(
    "text",
    ["3,1,2,a.png\n", "3,1,2,a.png\n5,0,1,b.pn", "3,1,2,a.png\n5,0,2,b.png\n", "5,0,1,b.png\n3,1,2,a.png\n", "x,,,\n"],
)
def test_a_damaged_table_of_the_subset_is_one_line(tmp_path: Path, text: str) -> None:
    tensors = {
        "images": np.zeros((2, 1, 4, 4), np.uint8),
        "index": np.array([3, 5]),
        "labels": np.array([1, 0]),
        "target_labels": np.array([2, 1]),
    }
    write_tensors(tmp_path / "subset/images.safetensors", tensors)
    (tmp_path / "subset/subset.csv").write_text("id,label,target_label,file\n3,1,2,a.png\n5,0,1,b.png\n")
    experiment = loading.load_experiment(ROOT / "params.yaml").model_copy(
        update={"models": (), "targets": (), "sources": ()}
    )
    assert gallery.gather_gallery(tmp_path, experiment, 10**6) is None
    (tmp_path / "subset/subset.csv").write_text("id,label,target_label,file\n" + text)
    with pytest.raises(UserError, match=r"^\S+/subset\.csv is .*run `dvc repro`$"):
        gallery.gather_gallery(tmp_path, experiment, 10**6)


# --- what a file says of itself --------------------------------------------------------------------------------------


def experiment(**changes: Any) -> Experiment:
    return loading.load_experiment(ROOT / "params.yaml").model_copy(update=changes)


@pytest.mark.parametrize("said", ["x", "[]", "null", '{"epsilon": []}', '{"epsilon": "a\\nb"}'])
def test_a_cell_of_odd_params_is_one_line(tmp_path: Path, said: str) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    source, attack = experiment().sources[0], next(iter(experiment().attacks))
    path = tmp_path / "adversarial" / source / f"{attack}.safetensors"
    write_tensors(path, {"images": np.zeros((1, 1, 1, 1), np.uint8)}, {"params": said})
    with pytest.raises(UserError) as caught:
        provenance.find_cell(f"{source}/{attack}", tmp_path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["weights", "compute"])
def test_a_page_of_odd_cells_is_one_line(tmp_path: Path, name: str) -> None:
    whole = experiment()
    path = tmp_path / "adversarial" / whole.sources[0] / f"{next(iter(whole.attacks))}.safetensors"
    write_tensors(path, {"images": np.zeros((1, 1, 1, 1), np.uint8)}, {name: "[1]"})
    results = metrics.Results(whole, 1, {}, {}, {}, {}, {})
    with pytest.raises(UserError, match=rf"\.safetensors: '{name}' in its metadata is no JSON object"):
        _ = findings.Findings(tmp_path, results).headers


@pytest.mark.parametrize(
    "change", [{"label": "x"}, {"label": "-1"}, {"label": "10"}, {"params": "[]"}, {"params": '{"targets": ["fnn0"]}'}]
)
def test_an_odd_plane_is_one_line(tmp_path: Path, change: dict[str, str]) -> None:
    numbers = {"image": 0, "samples": 2, "sigma": 1, "extent": 5, "points": 3}
    plane = Boundary(source="fnn0", targets=("fnn0", "fnn2"), sign=True, **numbers)
    steps, dataset = np.linspace(-5, 5, 3, dtype=np.float32), make_dataset(name="mnist")
    tensors = {"labels": np.zeros((2, 3, 3), np.int64), "u": steps, "v": steps, "image": np.zeros((1, 4, 4), np.uint8)}
    said = {"label": "7", "params": json.dumps(plane.model_dump())}
    path = tmp_path / "analysis/boundary/a.safetensors"
    write_tensors(path, tensors, said)
    boundary.draw_plane(tmp_path, "a", plane, experiment(dataset=dataset))
    write_tensors(path, tensors, said | change)
    with pytest.raises(UserError, match=r"^\S+/a\.safetensors.*; delete it and run `dvc repro`$"):
        boundary.draw_plane(tmp_path, "a", plane, experiment(dataset=dataset))


def test_a_subset_of_other_models_than_it_says_is_one_line(tmp_path: Path) -> None:
    tensors = {"index": np.arange(3), "right": np.ones((3, 2), np.uint8)}
    for said in ({}, {"models": "fnn0"}, {"models": "fnn0,fnn2,fnn4"}):
        write_tensors(tmp_path / "a.safetensors", tensors, said)
        with pytest.raises(UserError, match=r"a\.safetensors: .*; delete it and run `dvc repro`"):
            predictions_file.right_by_model(TensorFile(tmp_path / "a.safetensors"))


def test_rows_are_counted_whatever_they_hold(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_bytes(b"id,label,file\n0,1,\xff.png\n1,1,a.png\n")
    assert image_counts.row_count(tmp_path / "images.csv") == 2
    (tmp_path / "images.csv").write_bytes(b"")
    assert image_counts.row_count(tmp_path / "images.csv") == 0
