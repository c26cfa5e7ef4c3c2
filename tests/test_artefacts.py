"""Files that are whole or not there, and whose bytes depend on their content alone."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from transferbench import artefacts
from transferbench.artefacts import TensorFile, replacing, tensor_writer, write_json, write_tensors
from transferbench.errors import UserError

TENSORS = {
    "images": np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2),
    "labels": np.array([7, -1]),
    "none": np.zeros((0, 3), np.uint8),
    "weights": np.array([[0.5, -2.0]], np.float32),
}


def test_library_reads_what_we_write(tmp_path):
    write_tensors(tmp_path / "a.safetensors", TENSORS, {"b": "é", "a": "2"})
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        metadata = file.metadata()
        digests = json.loads(metadata.pop("sha256"))
        assert metadata == {"a": "2", "b": "é"}
        assert digests.keys() == {"", *TENSORS}
        assert set(file.keys()) == set(TENSORS)
        for name, values in TENSORS.items():
            assert file.get_tensor(name).dtype == values.dtype
            assert np.array_equal(file.get_tensor(name), values)
            assert digests[name] == hashlib.sha256(values.tobytes()).hexdigest()
    own = TensorFile(tmp_path / "a.safetensors")
    assert own.metadata == metadata
    assert own.names() == sorted(TENSORS) and "labels" in own and "other" not in own
    for name, values in TENSORS.items():
        assert np.array_equal(own[name], values) and own[name].dtype == values.dtype


def test_equal_content_is_equal_bytes_whatever_the_order(tmp_path):
    write_tensors(tmp_path / "a", TENSORS, {"x": "1", "y": "2", "z": "3"})
    write_tensors(tmp_path / "b", dict(reversed(TENSORS.items())), {"z": "3", "y": "2", "x": "1"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_streamed_is_the_same_as_at_once(tmp_path):
    write_tensors(tmp_path / "a", TENSORS)
    shapes = {name: (values.dtype.name, values.shape) for name, values in TENSORS.items()}
    with tensor_writer(tmp_path / "b", shapes) as writer:
        writer.append("weights", TENSORS["weights"])
        for row in TENSORS["images"]:
            writer.append("images", row[None])
        writer.append("labels", TENSORS["labels"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_too_few_values_make_no_file(tmp_path):
    with (
        pytest.raises(AssertionError, match="fewer values"),
        tensor_writer(tmp_path / "a", {"x": ("uint8", (3,))}) as w,
    ):
        w.append("x", np.zeros(2, np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("{half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}


def test_hard_linked_copy_is_never_altered(tmp_path):
    write_json(tmp_path / "cache", 1)
    os.link(tmp_path / "cache", tmp_path / "a.json")
    (tmp_path / "cache").chmod(0o444)
    write_json(tmp_path / "a.json", 2)
    assert json.loads((tmp_path / "cache").read_text()) == 1 and json.loads((tmp_path / "a.json").read_text()) == 2


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    target = tmp_path / "a file.json"
    code = f"""
import os, signal
from pathlib import Path
from transferbench.artefacts import replacing
with replacing(Path({str(target)!r})) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    other = tmp_path / f".a file.json.{os.getppid()}.tmp"  # of a process that lives: not ours to remove
    other.touch()
    write_json(target, 1)
    assert {path.name for path in tmp_path.iterdir()} == {target.name, other.name}


@pytest.mark.parametrize("cut", [0, 4, 30, -1])
def test_truncated_file_is_named(tmp_path, cut):
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"a\.safetensors is no whole safetensors file .* run `dvc repro`"):
        TensorFile(path)


def test_lying_headers_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    for entry in (
        {"dtype": "U8", "shape": [10**12], "data_offsets": [0, 10**12]},
        {"dtype": "U8", "shape": [4], "data_offsets": [0, 8]},
        {"dtype": "U8", "shape": [8], "data_offsets": [-8, 0]},
        {"dtype": "Q9", "shape": [8], "data_offsets": [0, 8]},
    ):
        header = json.dumps({"images": entry}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
        with pytest.raises(UserError, match="is no whole safetensors file"):
            TensorFile(path)
    header = json.dumps({"images": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(UserError, match="tensor 'images' is F16, expected one of U8, I64, F32"):
        TensorFile(path)["images"]


def test_every_byte_that_changes_is_noticed(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, {"epsilon": "15"})
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            file = TensorFile(path)
            found = {name: file[name] for name in TENSORS}
        except UserError as error:
            assert re.search(r"a\.safetensors (has changed since it was written|is no whole)", str(error))
        else:  # a letter of the key's name: the file is another writer's, it seems, and nothing in it is different
            assert whole[place : place + 1] in b"sha256" and abs(place - whole.index(b"sha256")) < 6
            assert all(np.array_equal(found[name], values) for name, values in TENSORS.items())
    path.write_bytes(whole)
    assert np.array_equal(TensorFile(path)["images"], TENSORS["images"])


def test_files_of_others_are_read_as_they_are(tmp_path):
    save_file({"images": TENSORS["images"]}, tmp_path / "a.safetensors", {"epsilon": "15"})
    file = TensorFile(tmp_path / "a.safetensors")
    assert file.metadata == {"epsilon": "15"} and np.array_equal(file["images"], TENSORS["images"])


def test_no_value_of_a_table_changes_unnoticed(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {"id": np.arange(40), "model": np.repeat(["fnn0", "größer"], 20), "level": np.linspace(0, 1, 40)}
    artefacts.write_table(path, columns)
    written = artefacts.read_table(path)
    whole, noticed = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            found = artefacts.read_table(path)
        except UserError as error:
            noticed += 1
            assert "a.parquet" in str(error) and "\n" not in str(error)
        else:  # a byte of the format's own, of which no value depends
            assert found.equals(written)
    assert noticed > len(whole) / 3
    path.write_bytes(whole)
    assert artefacts.read_table(path).equals(written)


def test_missing_and_broken_files_are_one_line(tmp_path):
    for read in (TensorFile, artefacts.read_json, artefacts.read_table):
        with pytest.raises(UserError, match="is missing; run `dvc repro` or `dvc pull`"):
            read(tmp_path / "nothing")
    Path(tmp_path / "broken").write_bytes(b"{")
    for read in (TensorFile, artefacts.read_json, artefacts.read_table):
        with pytest.raises(UserError, match="broken is no"):
            read(tmp_path / "broken")


def test_a_dtype_that_files_do_not_hold(tmp_path):
    with pytest.raises(UserError, match="tensor mask is bool, expected one of uint8, int64, float32"):
        write_tensors(tmp_path / "a", {"mask": np.zeros(2, bool)})
