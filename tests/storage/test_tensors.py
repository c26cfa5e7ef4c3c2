"""Files that are whole or not there, and whose bytes depend on their content alone."""

import errno
import hashlib
import io
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

from crossfool.errors import UserError
from crossfool.storage import clean_images, csv_files, json_files, parquet
from crossfool.storage import tensors as storage_tensors
from crossfool.storage.atomic import replacing
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile, tensor_writer, write_tensors

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


def test_every_file_is_flushed_before_it_is_renamed(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def flush(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("flushed", os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))

    def rename(old: Path, new: Path) -> None:
        done.append(("renamed", old.stat().st_ino, old.stat().st_size))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    write_json(tmp_path / "a.json", {"a": 1})
    parquet.write_table(tmp_path / "a.parquet", {"a": [1]})
    write_tensors(tmp_path / "a.safetensors", TENSORS)
    with replacing(tmp_path / "a.csv") as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write("id\n1\n")
    for path in ("a.json", "a.parquet", "a.safetensors", "a.csv"):
        found = (tmp_path / path).stat()
        assert [what for what, *which in done if which == [found.st_ino, found.st_size]] == ["flushed", "renamed"], path


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
from crossfool.storage.atomic import replacing
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


def stranger(path: Path, header: object, data: bytes = b"") -> None:
    """A safetensors file of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize("said", ["[1]", "5", "null", '"x"', '{"":5}', '{"a":[]}', "no JSON", "[" * 100_000])
def test_digests_that_are_none_are_one_line(tmp_path, said):
    entry = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    stranger(tmp_path / "a.safetensors", {"__metadata__": {"sha256": said}, "a": entry}, b"x")
    with pytest.raises(UserError, match=r"^.*a\.safetensors is no whole safetensors file \(.+\); delete it") as caught:
        TensorFile(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [[0, 2**64 - 1], [2**63, 0], [0] * 70, [1] * 70, [0, 2**40, 2**40]])
def test_shapes_that_no_array_has_are_one_line(tmp_path, shape):
    size = 0 if 0 in shape else 1
    stranger(tmp_path / "a", {"images": {"dtype": "U8", "shape": shape, "data_offsets": [0, size]}}, bytes(size))
    with pytest.raises(UserError, match=r"^.*a: tensor 'images' cannot have the shape \["):
        TensorFile(tmp_path / "a")["images"]


def test_odd_headers_are_one_line(tmp_path):
    stranger(tmp_path / "a", {"images": ["U8", [1], [0, 1]]}, b"x")  # the library takes a list for an entry
    with pytest.raises(UserError, match="a is no whole safetensors file"):
        TensorFile(tmp_path / "a")
    stranger(tmp_path / "a", {"x\ny": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"x")
    with pytest.raises(UserError, match=r"holds no tensor 'images', only x y$"):
        TensorFile(tmp_path / "a")["images"]
    stranger(tmp_path / "a", {"x": {"dtype": "Q\n9", "shape": [1], "data_offsets": [0, 1]}}, b"x")
    with pytest.raises(UserError) as caught:
        TensorFile(tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_what_metadata_say(tmp_path):
    write_tensors(
        tmp_path / "a", TENSORS, {"params": '{"epsilon": 15}', "list": "[]", "deep": "[" * 100_000, "no": "x"}
    )
    file = TensorFile(tmp_path / "a")
    assert file.metadata_text("no") == "x" and file.metadata_object("params") == {"epsilon": 15}
    for name in ("list", "deep", "no"):
        with pytest.raises(UserError, match=f"a: '{name}' in its metadata is no JSON object; delete it"):
            file.metadata_object(name)
    for read in (file.metadata_text, file.metadata_object):
        with pytest.raises(UserError, match="a: its metadata lacks 'label'; delete it"):
            read("label")


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
    parquet.write_table(path, columns)
    written = parquet.read_table(path)
    whole, noticed = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            found = parquet.read_table(path)
        except UserError as error:
            noticed += 1
            assert "a.parquet" in str(error) and "\n" not in str(error)
        else:  # a byte of the format's own, of which no value depends
            assert found.equals(written)
    assert noticed > len(whole) / 3
    path.write_bytes(whole)
    assert parquet.read_table(path).equals(written)


COLUMNS = {"id": int, "cosine": float, "file": str}
ROWS = 'id,cosine,file\n0,0.5,a b.png\n1,-1e-3,"x, ""y""\nz.png"\n'


def test_rows_of_a_csv(tmp_path):
    (tmp_path / "a.csv").write_text(ROWS, newline="")
    found = csv_files.read_csv(tmp_path / "a.csv", COLUMNS)
    assert found[0] == {"id": "0", "cosine": "0.5", "file": "a b.png"}
    assert found[1] == {"id": "1", "cosine": "-1e-3", "file": 'x, "y"\nz.png'}
    (tmp_path / "a.csv").write_text("id,cosine,file\n")
    assert csv_files.read_csv(tmp_path / "a.csv", COLUMNS) == []
    (tmp_path / "a.csv").write_text("p,more,id\n,x,1\n0.5,,2\n")
    some = {"id": int, "p": float | None}
    assert [row["p"] for row in csv_files.read_csv(tmp_path / "a.csv", some, others=True)] == ["", "0.5"]
    for columns, others in ((some, False), (some | {"none": str}, True), ({"id": int, "p": float}, True)):
        with pytest.raises(UserError, match="is damaged"):
            csv_files.read_csv(tmp_path / "a.csv", columns, others=others)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "its last line is cut off"),
        (ROWS.encode()[:-1], "its last line is cut off"),
        (ROWS.encode()[:-3], "its last line is cut off"),
        (b"id,file\n", r"its columns are \['id', 'file'\], expected \['id', 'cosine', 'file'\]"),
        (b"\n", "its columns are"),
        (b"id,cosine,file\n0,0.5\n", "row 1 has not 3 values"),
        (b"id,cosine,file\n0,0.5,a,b\n", "row 1 has not 3 values"),
        (b"id,cosine,file\n0,0.5,a\nx,0.5,a\n", "id of row 2 is 'x', expected int"),
        (b"id,cosine,file\n0.5,0.5,a\n", "id of row 1 is '0.5', expected int"),
        (b"id,cosine,file\n0,nan,a\n", "cosine of row 1 is 'nan', expected float"),
        (b"id,cosine,file\n0,1e999,a\n", "cosine of row 1 is '1e999', expected float"),
        (b"id,cosine,file\n" + b"9" * 5000 + b",1,a\n", "id of row 1 is '9999"),
        (b"id,cosine,file\n0,1,\xff\n", "utf-8"),
        (b'id,cosine,file\n0,1,"a\n', "unexpected end of data"),
        (b"id,cosine,file\n0,1," + b"a" * 200_000 + b"\n", "field larger than field limit"),
    ],
)
def test_a_damaged_csv_is_one_line(tmp_path, text, reason):
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(UserError, match=rf"^.*a\.csv is damaged \(.*{reason}.*\); delete it and run `dvc repro`$"):
        csv_files.read_csv(tmp_path / "a.csv", COLUMNS)


def test_missing_and_broken_files_are_one_line(tmp_path):
    for read in (TensorFile, json_files.read_json, parquet.read_table):
        with pytest.raises(UserError, match="is missing; run `dvc repro` to make it"):
            read(tmp_path / "nothing")
    (tmp_path / "deep").write_bytes(b"[" * 100_000)
    with pytest.raises(UserError, match="deep is no JSON"):
        json_files.read_json(tmp_path / "deep")
    Path(tmp_path / "broken").write_bytes(b"{")
    for read in (TensorFile, json_files.read_json, parquet.read_table):
        with pytest.raises(UserError, match="broken is no"):
            read(tmp_path / "broken")


def test_a_dtype_that_files_do_not_hold(tmp_path):
    with pytest.raises(UserError, match="tensor mask is bool, expected one of uint8, int64, float32"):
        write_tensors(tmp_path / "a", {"mask": np.zeros(2, bool)})


def made_clean(path: Path, **other: np.ndarray | None) -> Path:
    """A subset of two digits, with other tensors in place of some, or without them."""
    tensors = {
        "images": np.zeros((2, 1, 28, 28), np.uint8),
        "labels": np.array([3, 4]),
        "target_labels": np.array([0, 9]),
        "index": np.array([5, 7]),
    } | other
    about = {"dataset": "mnist", "family": "mnist", "classes": "10"}
    write_tensors(path, {name: values for name, values in tensors.items() if values is not None}, about)
    return path


def test_clean_images_are_what_they_say(tmp_path):
    whole = clean_images.read_clean_images(made_clean(tmp_path / "a.safetensors"))
    assert whole["index"].tolist() == [5, 7]
    of_all = made_clean(tmp_path / "b.safetensors", target_labels=None, index=None)  # the data set's
    assert clean_images.read_clean_images(of_all).names() == ["images", "labels"]


@pytest.mark.parametrize("shape", [(3, 224, 224), (3, 8, 8), (3, 299, 299), (3, 512, 512)])
def test_images_of_imagenets_classes_may_have_other_sides(tmp_path, shape):
    tensors = {"images": np.zeros((1, *shape), np.uint8), "labels": np.array([999])}
    write_tensors(tmp_path / "a", tensors, {"family": "imagenet", "classes": "1000"})
    assert clean_images.read_clean_images(tmp_path / "a")["images"].shape == (1, *shape)


@pytest.mark.parametrize("shape", [(1, 224, 224), (3, 7, 7), (3, 513, 513), (3, 299, 224)])
def test_but_not_any(tmp_path, shape):
    tensors = {"images": np.zeros((1, *shape), np.uint8), "labels": np.array([999])}
    write_tensors(tmp_path / "a", tensors, {"family": "imagenet", "classes": "1000"})
    said = r"an image is .*, expected \(3, 224, 224\), imagenet's, or another side from 8 to 512; delete it"
    with pytest.raises(UserError, match=said):
        clean_images.read_clean_images(tmp_path / "a")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"images": np.zeros((2, 1, 28, 28), np.float32)}, "images are float32 of shape"),
        ({"images": np.zeros((2, 28, 28), np.uint8)}, "expected uint8 (N, C, H, W)"),
        ({"images": np.zeros((2, 1, 32, 32), np.uint8)}, "an image is (1, 32, 32), expected (1, 28, 28), mnist's"),
        ({"images": np.zeros((2, 3, 28, 28), np.uint8)}, "an image is (3, 28, 28), expected (1, 28, 28), mnist's"),
        (
            {"images": np.zeros((3, 1, 28, 28), np.uint8)},
            "of shape (2,), expected int64 (3,), one an image",
        ),
        ({"labels": None}, "holds no tensor 'labels'"),
        ({"labels": np.array([3.0, 4.0], np.float32)}, "labels are float32"),
        ({"labels": np.array([3, 10])}, "labels are 3 to 10, which are not all classes"),
        ({"target_labels": np.array([-1, 4])}, "target_labels are -1 to 4, which are not all classes"),
        ({"target_labels": np.array([1])}, "target_labels are int64 of shape (1,)"),
        ({"target_labels": np.array([[1], [2]])}, "target_labels are int64 of shape (2, 1)"),
        ({"index": np.array([5])}, "index are int64 of shape (1,)"),
        ({"index": np.array([5, 5])}, "ids of images do not rise"),
        ({"index": np.array([-5, 5])}, "index are -5 to 5, which are not all ids"),
    ],
)
def test_strangers_clean_images_are_refused_in_one_line(tmp_path, other, said):
    path = made_clean(tmp_path / "subset.safetensors", **other)
    with pytest.raises(UserError) as error:
        clean_images.read_clean_images(path)
    assert said in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_writer_that_fails_at_once_leaves_no_file_open(tmp_path, monkeypatch):
    """Left to its finalizer, a file tells of the full disk once more, in a traceback (from Python 3.13 on)."""
    opened = []

    class Full(io.BufferedWriter):
        def truncate(self, size=None):
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(path, mode):
        opened.append(Full(io.FileIO(path, mode)))
        return opened[-1]

    monkeypatch.setattr(storage_tensors, "open", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        storage_tensors.write_tensors(tmp_path / "a.safetensors", {"a": np.zeros(3, np.uint8)})
    assert [file.closed for file in opened] == [True] and list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
def test_tables_are_read_and_written_by_no_other_thread(tmp_path):
    """Pools of pyarrow abort a process that ends while they start a thread ("terminate called ...", exit code -6)."""
    script = (
        "import os, pyarrow.parquet\n"
        "from crossfool.storage import parquet\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "parquet.write_table('a.parquet', {'id': list(range(5000)), 'name': ['a', 'b'] * 2500})\n"
        "assert parquet.read_table('a.parquet').num_rows == 5000\n"
        "print(len(os.listdir('/proc/self/task')) - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
