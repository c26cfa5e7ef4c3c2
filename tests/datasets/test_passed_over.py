"""Files that are not taken are counted and named; what `prepare` refuses by its name, `check` refuses before."""

import gzip
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from builders import ROOT, write_plans
from made_datasets import make_devkit, refused, save, write_idx
from PIL import Image
from repositories import PARAMS

from crossfool.datasets.preparation import prepare
from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.datasets.preparation.dataset import Survey
from crossfool.datasets.reading import cifar10_files as cifar10
from crossfool.datasets.reading import devkit, image_files, image_names
from crossfool.errors import UserError
from crossfool.experiment import image_counts, loading, preflight
from crossfool.pipeline.evaluation import predictions_file
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile, write_tensors

STAGES = ROOT / "stages"
PASSED = ("notes.txt", "cat/a.gif", "cat/b.GIF", "cat/c.tif", "cat/d.heic", "dog/e", "dog/deep/f.tiff")
SYSTEMS = ("cat/.DS_Store", "cat/._a.png", "__MACOSX/cat/._a.png", "__MACOSX/b", "dog/Thumbs.db", ".git/config")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """CIFAR-10 images in two class folders, and what is passed over."""
    root = tmp_path / "photos"
    for name in ("cat/a.png", "cat/B.PNG", "dog/deep/c.bmp", "dog/d.JPEG", "dog/e.webp"):
        save(root / name, 7, 32)
    for name in (*PASSED, *SYSTEMS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def packed(folder: Path, kind: str | None) -> Path:
    """The folder, or a tar of it."""
    if kind is None:
        return folder
    path = folder.parent / f"{folder.name}.tar"
    with tarfile.open(path, kind) as archive:
        archive.add(folder, arcname=".")
    return path


def given(path: Path) -> dict[str, str]:
    return {"name": "imagefolder", "classes": "cifar10", "path": str(path)}


def surveyed(*, training: bool = False, **dataset: str) -> Survey:
    return make_dataset(**dataset).survey(training=training)


def both_refuse(folder: Path, /, *, training: bool = False, **dataset: str) -> str:
    """The one line with which `check` and `prepare` refuse the same."""
    with pytest.raises(UserError) as caught:
        surveyed(training=training, **dataset)
    assert str(caught.value) == refused(folder, training=training, **dataset)
    return str(caught.value)


KINDS = pytest.mark.parametrize("kind", [None, "w", "w:gz"], ids=["folder", "tar", "tar.gz"])


@KINDS
def test_what_is_passed_over_is_counted_and_named(photos: Path, tmp_path: Path, kind: str | None) -> None:
    path = packed(photos, kind)
    said = (
        "passed over: 12 files: .gif (2), .tif (1), .heic (1), .tiff (1), no ending (1), .txt (1), "
        "hidden or a system's own (5); first cat/a.gif (images are .jpg, .jpeg, .png, .bmp and .webp)"
    )
    assert surveyed(**given(path)) == Survey(5, (said,))
    paths = [tmp_path / "out" / name for name in ("images", "table", "train")]
    assert prepare.prepare(make_dataset(**given(path)), *paths, training=False) == [said]
    assert len(TensorFile(paths[0])["labels"]) == 5


def test_few_files_are_told_in_few_words(tmp_path: Path) -> None:
    save(tmp_path / "d/cat/a.png", 1, 32)
    assert surveyed(**given(tmp_path / "d")) == Survey(1)
    for name in ("a/b.gif", "a/c.gif", "d.txt"):
        (tmp_path / "d/cat" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "d/cat" / name).touch()
    (note,) = surveyed(**given(tmp_path / "d")).notes
    assert note.startswith("passed over: 3 files: .gif (2), .txt (1); first cat/a/b.gif (images are .jpg")
    assert image_names.passed_over_note({"x\n.q": ".q"}).startswith("passed over: 1 file: .q (1); first x\\n.q (")


@KINDS
@pytest.mark.parametrize(
    "names",
    [("a.gif",), ("a.tif", "b.tif"), ("notes.txt",), ("deep/a.heic",), ("a.GIF", ".DS_Store"), ("no ending",)],
)
def test_a_class_folder_that_loses_all_its_files_is_refused(
    tmp_path: Path, kind: str | None, names: tuple[str, ...]
) -> None:
    save(tmp_path / "d/dog/a.png", 1, 32)
    for name in names:
        (tmp_path / "d/cat" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d/cat" / name).write_bytes(b"GIF89a")
    said = both_refuse(tmp_path, **given(packed(tmp_path / "d", kind)))
    assert "cat: no file of the class folder is taken; passed over: " in said and f"first cat/{names[0]}" in said


@pytest.mark.parametrize("names", [(), (".DS_Store",), ("Thumbs.db", "._a.png")])
def test_a_class_folder_without_files_is_no_loss(tmp_path: Path, names: tuple[str, ...]) -> None:
    save(tmp_path / "d/dog/a.png", 1, 32)
    (tmp_path / "d/cat").mkdir()
    for name in names:
        (tmp_path / "d/cat" / name).touch()
    assert surveyed(**given(tmp_path / "d")).images == 1


def test_links_in_a_tar_are_counted(tmp_path: Path) -> None:
    save(tmp_path / "cat/a.png", 1, 32)
    with tarfile.open(tmp_path / "d.tar", "w") as archive:
        archive.add(tmp_path / "cat", arcname="cat")
        entry = tarfile.TarInfo("cat/b.png")
        entry.type, entry.linkname = tarfile.SYMTYPE, "a.png"
        archive.addfile(entry)
    (note,) = surveyed(**given(tmp_path / "d.tar")).notes
    assert note.startswith("passed over: 1 file: a link or no file (1); first cat/b.png")


def test_training_images_are_looked_at_where_models_are_trained(tmp_path: Path) -> None:
    save(tmp_path / "d/test/dog/a.png", 1, 32)
    (tmp_path / "d/train/dog").mkdir(parents=True)
    (tmp_path / "d/train/dog/a.gif").touch()
    dataset = {**given(tmp_path / "d"), "folder": "test", "train_folder": "train"}
    assert surveyed(**dataset) == Survey(1)
    assert "train holds no images" in both_refuse(tmp_path, training=True, **dataset)


def test_the_stage_prints_it(photos: Path, tmp_path: Path) -> None:
    values = PARAMS | {"dataset": given(photos), "models": ["lenet"], "sources": ["lenet"]}
    values["dataset"]["train_folder"] = "."
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    write_plans(tmp_path)
    done = subprocess.run(
        [sys.executable, "-P", str(STAGES / "prepare.py")], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("passed over: 12 files: ") and done.stdout.count("\n") == 1


# --- what check sees --------------------------------------------------------------------------------


def folders(*names: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        for name in ("", *names):
            (path / name).mkdir(parents=True, exist_ok=True)

    return make


def strangers(path: Path) -> None:
    save(path / "plane/a.png", 1, 32)


def stray(path: Path) -> None:
    save(path / "a.png", 1, 32)


def text(path: Path) -> None:
    path.write_text("no tar" * 500)


def hollow(path: Path) -> None:
    (path / "cat").mkdir(parents=True)
    (path / "cat/a.png").touch()


@pytest.mark.parametrize(
    ("dataset", "make", "said"),
    [
        ({"name": "imagenet"}, folders(), "holds 0 images, expected the 50000 of ImageNet's validation set"),
        ({"name": "imagenet"}, strangers, "holds 1 images, expected the 50000"),
        ({"name": "imagefolder"}, folders(), "holds no images"),
        ({"name": "imagefolder"}, folders("n01440764"), "holds no images"),
        ({"name": "imagefolder"}, strangers, "the class folder 'plane' is no ImageNet id"),
        (
            {"name": "imagefolder", "folder": "val"},
            folders("vall/cat", "x"),
            "unknown folder 'val'; did you mean vall?",
        ),
        ({"name": "cifar10"}, strangers, "unknown folder 'test'"),
        ({"name": "cifar10"}, folders("test/cat"), "test holds no images"),
        ({"name": "imagefolder", "classes": "cifar10"}, strangers, "no class of cifar10; did you mean airplane"),
        ({"name": "imagefolder", "classes": "cifar10"}, stray, "a.png lies in no class folder"),
        ({"name": "imagefolder", "classes": "cifar10"}, text, "is no tar file, or a damaged one"),
        ({"name": "imagefolder", "classes": "cifar10"}, hollow, "cat/a.png is empty (0 bytes); replace it or remove"),
        ({"name": "imagenet"}, text, "is no tar file, or a damaged one"),
        ({"name": "mnist"}, folders(), "raw holds no train-images-idx3-ubyte nor train-images-idx3-ubyte.gz"),
        ({"name": "mnist"}, text, "raw holds no train-images-idx3-ubyte"),
    ],
)
def test_check_refuses_what_prepare_refuses(
    tmp_path: Path, dataset: dict[str, str], make: Callable[[Path], None], said: str
) -> None:
    make(tmp_path / "data")
    assert said in both_refuse(tmp_path, path=str(tmp_path / "data"), **dataset)


@pytest.mark.parametrize("lacking", ["test_batch", "data_batch_3", "batches.meta"])
@pytest.mark.parametrize("hollow", [False, True])
def test_cifar10s_files_have_to_be_there(tmp_path: Path, lacking: str, hollow: bool) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in cifar10.CIFAR10_FILES:
        (folder / name).write_bytes(b"x")
    assert surveyed(name="cifar10", path=str(tmp_path)) == surveyed(name="cifar10", path=str(folder))
    (folder / lacking).write_bytes(b"") if hollow else (folder / lacking).unlink()
    with pytest.raises(
        UserError, match=f"files are missing or damaged \\({lacking} is {'empty' if hollow else 'miss'}"
    ):
        surveyed(name="cifar10", path=str(folder))


@pytest.mark.parametrize("zipped", [False, True])
def test_mnists_files_say_how_many_images_they_hold(tmp_path: Path, zipped: bool) -> None:
    raw = tmp_path / "MNIST/raw"
    for part, count in (("train", 6), ("t10k", 3)):
        write_idx(raw / f"{part}-images-idx3-ubyte", np.zeros((count, 28, 28), np.uint8), zipped)
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.zeros(count, np.uint8), zipped)
    assert surveyed(name="mnist", path=str(tmp_path)).images == 3
    path = raw / ("t10k-images-idx3-ubyte" + (".gz" if zipped else ""))
    path.write_bytes(gzip.compress(b"\0" * 99) if zipped else path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"is no file of MNIST's" if zipped else r"is cut off: 2,359 of 2,368 bytes"):
        surveyed(name="mnist", path=str(tmp_path))


def test_a_flat_validation_set_needs_its_devkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devkit, "IMAGENET_IMAGES", 3)
    for number in (1, 2, 3):
        save(tmp_path / f"in/val/ILSVRC2012_val_{number:08}.JPEG", number, 60)
    dataset = {"name": "imagenet", "path": str(tmp_path / "in/val")}
    assert "ILSVRC2012_devkit_t12.tar.gz with their labels is not beside them" in both_refuse(tmp_path, **dataset)
    tar = packed(tmp_path / "in/val", "w")
    monkeypatch.setattr(image_files, "PEEK", 2)  # the start of a tar shows it, too
    with pytest.raises(UserError, match="with their labels is not beside them"):
        surveyed(name="imagenet", path=str(tar))
    make_devkit(tmp_path / "in", [2, 1, 3], packed=False)
    assert surveyed(**dataset) == Survey(3) and surveyed(name="imagenet", path=str(tar)) == Survey(None)
    save(tmp_path / "in/val/ILSVRC2012_val_00000004.JPEG", 4, 60)
    assert "holds 4 images, expected the 3" in both_refuse(tmp_path, **dataset)


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:xz"])
def test_of_a_large_tar_the_start_is_looked_at(photos: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    tar = packed(photos, kind)
    monkeypatch.setattr(image_files, "PEEK", 12)
    assert surveyed(**given(tar)) == Survey(None)
    with pytest.raises(UserError, match="lies in no class folder, nor do the other images at the tar's start"):
        surveyed(name="imagefolder", path=str(tar))


def test_check_is_quick_where_there_are_many_files_and_loads_no_torch(tmp_path: Path) -> None:
    save(tmp_path / "one.png", 1, 32)
    for label in ("cat", "dog"):
        (tmp_path / "d" / label).mkdir(parents=True)
        for number in range(2500):
            os.link(tmp_path / "one.png", tmp_path / "d" / label / f"{number}.png")
    code = (
        "import sys; from crossfool.experiment import preflight; "
        "from crossfool.datasets.preparation.catalogue import make_dataset; "
        f"found = make_dataset(**{given(tmp_path / 'd')}).survey(training=False); "
        "print(found.images, sorted({'torch', 'torchvision', 'scipy', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "5000 []\n" and time.monotonic() - start < 10


# --- how many images are decoded --------------------------------------------------------------------


@pytest.mark.parametrize("place", ["data/images.csv", "data/images.safetensors", "metrics/clean/fnn0.json"])
def test_decoded_images_are_counted(tmp_path: Path, place: str) -> None:
    values = PARAMS | {"dataset": {"name": "mnist"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    experiment = loading.load_experiment(tmp_path / "params.yaml")
    assert image_counts.decoded(tmp_path, experiment) is None
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    if path.suffix == ".csv":
        path.write_text("id,label,file\n0,1,\n1,1,\n2,1,\n")
    elif path.suffix == ".json":
        write_json(path, {"n": 3})
    else:
        write_tensors(path, {"images": np.zeros((3, 1, 28, 28), np.uint8), "labels": np.zeros(3, np.int64)})
    assert image_counts.decoded(tmp_path, experiment) == 3
    path.write_bytes(b"" if path.suffix == ".safetensors" else path.read_bytes())
    assert image_counts.decoded(tmp_path, experiment) == (None if path.suffix == ".safetensors" else 3)


@pytest.mark.parametrize("right", [np.zeros((3, 2), np.uint8), np.eye(3, 2, dtype=np.uint8), np.ones((3, 2), np.uint8)])
def test_check_notes_a_subset_on_which_no_image_is_right(tmp_path: Path, right: np.ndarray) -> None:
    values = PARAMS | {"dataset": {"name": "mnist"}, "subset": {"images": "all", "of": "all"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    experiment = loading.load_experiment(tmp_path / "params.yaml")
    assert preflight._right(tmp_path, experiment) == ()
    tensors = {"index": np.arange(3), "right": right}
    write_tensors(tmp_path / "subset/images.safetensors", tensors, {"models": "fnn0,fnn2"})
    assert predictions_file.right_by_model(TensorFile(tmp_path / "subset/images.safetensors")) is not None
    found = preflight._right(tmp_path, experiment)
    assert bool(found) == (not right.all(1).any())
    assert all(line.startswith("no image is right under all models (3 drawn") for line in found)


def test_an_image_of_another_kind_is_read_by_what_it_is(tmp_path: Path) -> None:
    """A wrong ending is the file's, not ours: bytes decide once it is taken."""
    path = tmp_path / "d/cat/a.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(path, "GIF")
    assert surveyed(**given(tmp_path / "d")).images == 1
    assert "a.png is no JPEG, PNG, BMP or WebP image" in refused(tmp_path, **given(tmp_path / "d"))


def test_a_path_is_looked_for_from_the_experiments_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, from wherever `check` is called."""
    monkeypatch.chdir(tmp_path)
    dataset = make_dataset(name="imagefolder", path="own")
    assert preflight._seen_from_here(Path("e"), dataset).path == str(Path("e/own"))
    absolute = make_dataset(name="imagefolder", path=str(tmp_path))
    assert preflight._seen_from_here(Path("e"), absolute).path == str(tmp_path)
