"""Image files to pixels: torchvision's arithmetic, every odd kind of file, folders and tars."""

import errno
import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from crossfool.datasets import imagenet_sample
from crossfool.datasets.reading import decoding, image_files
from crossfool.errors import UserError
from crossfool.pipeline.workers import local
from crossfool.storage import wheels


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def torchvision_pixels(data: bytes, resize: int = 256, side: int = 224) -> np.ndarray:
    pipeline = transforms.Compose([transforms.Resize(resize), transforms.CenterCrop(side), transforms.PILToTensor()])
    return pipeline(Image.open(io.BytesIO(data)).convert("RGB")).numpy()


# --- decode --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(256, 256), (257, 301), (500, 375), (375, 501), (31, 40), (1000, 229), (225, 224)])
def test_resize_and_crop_are_torchvisions(size: tuple[int, int]) -> None:
    data = encoded(noise(*size))
    pixels = decoding.decode(data, "x.png", resize=256, side=224)
    assert pixels.dtype == np.uint8 and pixels.shape == (3, 224, 224)
    np.testing.assert_array_equal(pixels, torchvision_pixels(data))


def test_odd_margins_are_cropped_as_torchvision_does() -> None:
    data = encoded(noise(15, 12))  # margins 5 and 2 around a crop of 10: 2.5 rounds to 2
    np.testing.assert_array_equal(decoding.decode(data, "x", resize=12, side=10), torchvision_pixels(data, 12, 10))
    data = encoded(noise(17, 13))
    np.testing.assert_array_equal(decoding.decode(data, "x", resize=13, side=10), torchvision_pixels(data, 13, 10))


def test_photographs_are_decoded_as_torchvision_does() -> None:
    wheel = wheels.fetch_wheel(*imagenet_sample.FOOLBOX_WHEEL)
    for name in ("imagenet_00_243", "imagenet_10_541", "imagenet_19_305"):
        data = wheels.read_member(wheel, f"foolbox/data/{name}.jpg")
        pixels = decoding.decode(data, name, resize=256, side=224)
        np.testing.assert_array_equal(pixels, torchvision_pixels(data))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_lossless_formats_keep_their_pixels(kind: str) -> None:
    image = noise(32, 32)
    data = encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(
        decoding.decode(data, "x", resize=None, side=32), np.asarray(image).transpose(2, 0, 1)
    )


def test_grey_is_three_equal_channels_or_one() -> None:
    data = encoded(Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) * 17))
    grey = decoding.decode(data, "x", resize=None, side=4, channels=1)
    assert grey.tolist() == [[[0, 17, 34, 51], [68, 85, 102, 119], [136, 153, 170, 187], [204, 221, 238, 255]]]
    np.testing.assert_array_equal(decoding.decode(data, "x", resize=None, side=4), np.repeat(grey, 3, 0))


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.array([[0x0000, 0x00FF], [0x1234, 0xFFFF]], np.uint16)
    pixels = decoding.decode(encoded(Image.fromarray(values)), "x.png", resize=None, side=2)
    assert pixels.tolist() == [[[0x00, 0x00], [0x12, 0xFF]]] * 3


def test_a_palette_is_looked_up() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    data = encoded(image.resize((2, 2)), transparency=b"\x00\xff")
    assert decoding.decode(data, "x", resize=None, side=2)[:, 0].tolist() == [[200, 10], [100, 20], [50, 30]]


def test_transparency_is_dropped() -> None:
    pixels = decoding.decode(encoded(Image.new("RGBA", (2, 2), (1, 2, 3, 0))), "x", resize=None, side=2)
    assert pixels[:, 0, 0].tolist() == [1, 2, 3]


def test_cmyk_becomes_rgb() -> None:
    data = encoded(Image.new("CMYK", (260, 300), (0, 255, 255, 0)), "JPEG", quality=95)  # red, as printers mix it
    pixels = decoding.decode(data, "x.jpg", resize=256, side=224).astype(int)
    assert pixels.shape == (3, 224, 224)
    assert abs(pixels - np.array([255, 0, 0]).reshape(3, 1, 1)).max() <= 3


def test_exif_orientation_is_applied() -> None:
    stored = np.array([[1, 2], [3, 4]], np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    data = encoded(Image.fromarray(stored), exif=exif)
    assert decoding.decode(data, "x", resize=None, side=2, channels=1).tolist() == [[[3, 1], [4, 2]]]


def test_unreadable_exif_data_do_not_matter() -> None:
    image = Image.new("RGB", (8, 8), (9, 9, 9))
    data = encoded(image, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7fgarbage")
    assert decoding.decode(data, "x", resize=None, side=8).shape == (3, 8, 8)


def test_bad_files_are_named() -> None:
    jpeg = encoded(noise(300, 300), "JPEG")
    for data, reason in (
        (b"", "is empty"),
        (b"not an image, but text", "is no JPEG, PNG, BMP or WebP image"),
        (jpeg[: len(jpeg) // 2], "truncated"),
        (jpeg[:100], "is no JPEG|cannot be decoded"),
        (encoded(noise(300, 300))[:-2000], "cannot be decoded"),
        (encoded(noise(9, 9), "GIF"), "is no JPEG"),
    ):
        with pytest.raises(UserError, match=rf"^some/photo 7\.jpg .*({reason})") as caught:
            decoding.decode(data, "some/photo 7.jpg", resize=256, side=224)
        assert "\n" not in str(caught.value)


def test_an_image_of_another_size_is_refused_where_none_is_resized() -> None:
    with pytest.raises(UserError, match=r"^a\.png is 33x32 pixels, expected 32x32"):
        decoding.decode(encoded(noise(32, 33)), "a.png", resize=None, side=32)


def test_decompression_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    )
    with pytest.raises(UserError, match=r"^bomb\.png has more than \d+ pixels"):
        decoding.decode(bomb, "bomb.png", resize=256, side=224)
    with pytest.raises(UserError, match=r"^thin\.png is 1x9000 pixels, too narrow"):  # 256 x 2,304,000 when resized
        decoding.decode(encoded(noise(9000, 1)), "thin.png", resize=256, side=224)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # of which Pillow itself only warns up to twice as many
    with pytest.raises(UserError, match=r"^b\.png has more than 1000 pixels"):
        decoding.decode(encoded(noise(40, 40)), "b.png", resize=None, side=40)


# --- folders and tars ----------------------------------------------------------------------------------------------

NAMES = ["Käse/a b.JPG", "Käse/c.jpeg", "dog/x/deep.webp", "dog/y.png", "top.bmp"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five files with image extensions and others that are passed over."""
    root = tmp_path / "my photos é"
    for name in (*NAMES, "notes.txt", ".DS_Store", "dog/._y.png", "__MACOSX/z.png", "dog/jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode() * 50)
    return root


def pack(folder: Path, mode: str = "w") -> Path:
    path = folder.parent / ("images.tar" + mode.replace("w", "").replace(":", "."))
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT) as archive:
        archive.add(folder, arcname=".")
    return path


@pytest.mark.parametrize("mode", [None, "w", "w:gz", "w:bz2", "w:xz"])
def test_folder_and_tars_list_and_read_alike(folder: Path, mode: str | None) -> None:
    with image_files.open_images(pack(folder, mode) if mode else folder) as files:
        assert files.names() == NAMES
        assert files.names("dog") == ["dog/x/deep.webp", "dog/y.png"]
        assert files.names("do") == []
        assert files.folders() == ["Käse", "dog"]
        assert files.folders("dog") == ["x"]
        assert files.folders("cat") == []
        for name in NAMES:
            assert files.read(name) == name.encode() * 50


def test_a_decompressed_copy_does_not_stay(folder: Path) -> None:
    with image_files.open_images(pack(folder, "w:gz")) as files:
        assert files.tar is not None and files.tar.is_file()
    assert not files.tar.exists()


def test_links_that_stay_inside_are_followed(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder / "dog" / "y.png")
    (folder / "cat").symlink_to("dog", target_is_directory=True)
    with image_files.open_images(folder) as files:
        assert set(files.names()) - set(NAMES) == {"link.png", "cat/x/deep.webp", "cat/y.png"}


@pytest.mark.parametrize("kind", ["file", "folder", "dangling", "circle", "asked"])
def test_links_that_lead_out_are_refused(folder: Path, kind: str) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"s")
    link, target, under = {
        "file": (folder / "dog" / "s.png", outside / "secret.png", ""),
        "folder": (folder / "cat", outside, ""),
        "dangling": (folder / "gone.jpg", folder / "nowhere.jpg", ""),
        "circle": (folder / "dog" / "again", folder, ""),
        "asked": (folder / "cat", outside, "cat"),
    }[kind]
    link.symlink_to(target)
    with image_files.open_images(folder) as files, pytest.raises(UserError, match="symbolic link") as caught:
        files.names(under)
    assert str(link) in str(caught.value)


def test_links_in_a_tar_are_passed_over_and_upward_names_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (
            ("dog/a.png", tarfile.SYMTYPE),
            ("dog/b.png", tarfile.LNKTYPE),
            ("dog/c.png", tarfile.FIFOTYPE),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    with image_files.open_images(tmp_path / "a.tar") as files:
        assert files.names() == []
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../evil.png"))
    with (
        pytest.raises(UserError, match=r"b\.tar: the member '\.\./evil\.png' leads out"),
        image_files.open_images(tmp_path / "b.tar"),
    ):
        pass


def test_names_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes no such name")
    with image_files.open_images(tmp_path) as files, pytest.raises(UserError, match="is no UTF-8"):
        files.names()


def test_missing_and_damaged_sources(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.tar"
    text.write_text("no tar at all" * 100)
    empty = tmp_path / "empty.tar"
    empty.touch()
    tar = pack(folder).read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(tar[:5000])
    at_member = tmp_path / "member.tar"
    at_member.write_bytes(tar[:1024])
    flipped = tmp_path / "flipped.tar"
    place = tar.index(b"./dog/y.png")  # in a header: Python's tarfile stops there without a word
    flipped.write_bytes(tar[:place] + b"X" + tar[place + 1 :])
    packed = pack(folder, "w:gz").read_bytes()
    cut_gz = tmp_path / "cut.tar.gz"
    cut_gz.write_bytes(packed[: len(packed) // 2])
    for path, reason in (
        (tmp_path / "nothing here", "does not exist"),
        (text, "is no tar file, or a damaged one"),
        (empty, "is no tar file, or a damaged one"),
        (cut, "a damaged one|cut off"),
        (at_member, "a damaged one|cut off"),
        (flipped, "damaged or cut off"),
        (cut_gz, "damaged or cut off"),
    ):
        with pytest.raises(UserError, match=reason) as caught, image_files.open_images(path):
            pass
        assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_damaged_compressed_tar_is_one_line(tmp_path: Path, mode: str) -> None:
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "a.png").write_bytes(np.random.default_rng(0).bytes(100_000))
    path = pack(tmp_path / "noise", mode)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:12], whole[:middle] + bytes([whole[middle] ^ 16]) + whole[middle + 1 :]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"images\.tar\.\w+ is damaged or cut off \(.+\); fetch it again$"):
            image_files.open_images(path).__enter__()


def member(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The header of a tar's member, whatever follows."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    return entry.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("size", [-5, -1024])
def test_a_member_of_negative_size_is_refused(tmp_path: Path, size: int) -> None:
    record = f"{9 + len(str(size))} size={size}\n".encode()
    path = tmp_path / "a.tar"
    path.write_bytes(member("p", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0") + member("a/x.png", 10))
    with pytest.raises(UserError, match=r"a\.tar is no tar file, or a damaged one \(the member 'a/x.png' has -"):
        image_files.open_images(path).__enter__()


@pytest.mark.parametrize(
    "data",
    [
        member("x", 0, tarfile.GNUTYPE_LONGNAME) * 5000,
        member("x", 0, tarfile.XHDTYPE) * 5000,
        member("x", 2**62, tarfile.GNUTYPE_LONGNAME),
        member("a/x.png", 2**62),
        member("a/x.png", 2**80),
    ],
    ids=["long names", "pax", "long name", "size", "greater size"],
)
def test_tars_that_tarfile_trips_over_are_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data + bytes(1024))
    with pytest.raises(UserError, match=r"^\S+/a\.tar is no tar file, or a damaged one \(.+\)"):
        image_files.open_images(tmp_path / "a.tar").__enter__()


def test_a_full_disk_is_no_damaged_tar(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        image_files.open_images(pack(folder, "w:gz")).__enter__()


# --- decode_many ---------------------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """70 small images of 12x9 pixels."""
    root = tmp_path / "many"
    root.mkdir()
    for number in range(70):
        noise(12, 9, number).save(root / f"{number:02}.png")
    return root


def test_processes_give_the_same_images_in_the_same_order(many: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with image_files.open_images(pack(many)) as files:
        names = files.names()
        assert len(names) == 70
        alone: list[np.ndarray] = []
        decoding.decode_many(files, names, 256, 224, alone.append, processes=1)
        together: list[np.ndarray] = []
        decoding.decode_many(files, names, 256, 224, together.append, processes=2)
    assert len(together) > 2, "images come piece by piece"
    assert max(len(piece) for piece in together) * 3 * 224 * 224 <= 1 << 21
    np.testing.assert_array_equal(np.concatenate(together), np.concatenate(alone))
    expected = torchvision_pixels((many / "69.png").read_bytes())
    np.testing.assert_array_equal(np.concatenate(together)[69], expected)
    shown = capfd.readouterr()
    assert "70/70" in shown.err and "images/s" in shown.err and shown.out == ""


def test_a_bad_image_is_named_by_any_process(many: Path) -> None:
    (many / "55.png").write_bytes((many / "55.png").read_bytes()[:-60])
    (many / "68.png").write_bytes(b"")
    with image_files.open_images(many) as files:
        for processes in (1, 2):
            with pytest.raises(UserError, match=r"many/55\.png cannot be decoded"):
                decoding.decode_many(files, files.names(), 9, 9, lambda _: None, processes=processes)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOENT, errno.ENOSPC, errno.EACCES, errno.ENOSYS, None])
def test_without_semaphores_one_process_decodes(tmp_path: Path, monkeypatch, capsys, number: int | None) -> None:
    """As where /dev/shm is read-only, absent or full: the same images, and a line that says why."""

    def lock(context: object) -> None:
        raise ImportError("no sem_open") if number is None else OSError(number, os.strerror(number))

    for place in range(3):
        (tmp_path / f"{place}.png").write_bytes(encoded(noise(9, 9, seed=place)))
    with image_files.open_images(tmp_path) as files:
        found: list[np.ndarray] = []
        decoding.decode_many(files, files.names(), None, 9, found.append, processes=1)
        monkeypatch.setattr("multiprocessing.context.BaseContext.Lock", lock)
        decoding.decode_many(files, files.names(), None, 9, found.append, processes=2)
    assert len(found) == 2 and (found[0] == found[1]).all()
    reason = "no sem_open" if number is None else os.strerror(number)
    said = f"decoding in one process: processes that share work need semaphores, which lie in /dev/shm: {reason}\n"
    assert said in capsys.readouterr().err
    with pytest.raises(UserError, match=rf"/dev/shm: {reason}; mount .*, or set CROSSFOOL_WORKERS=1$"):
        local.Processes(2, 0)


MOUNTS = {
    "read-only": "mount -t tmpfs -o ro none /dev/shm",
    "full": "mount -t tmpfs -o size=4k none /dev/shm && { head -c 9999 /dev/zero > /dev/shm/x || true; }",
    "absent": "mount -t tmpfs none /dev",
}


@pytest.mark.parametrize("how", MOUNTS)
def test_a_machine_whose_shared_memory_is_of_no_use(tmp_path: Path, how: str) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no `unshare -rm` (user namespaces) on this machine")
    script = "from crossfool import runtime; print(runtime.missing_semaphores_reason())"
    command = f"({MOUNTS[how]}) 2>/dev/null && exec '{sys.executable}' -c '{script}'"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "which lie in /dev/shm: " in done.stdout
