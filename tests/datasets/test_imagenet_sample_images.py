"""imagenet-sample-images on a small archive from loopback: the same bytes by every way, and each bad input refused."""

import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_datasets import Prepared, refused
from PIL import Image

from crossfool.cli import new
from crossfool.datasets import imagenet_sample_images as sample
from crossfool.datasets.preparation import class_names
from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.datasets.preparation.prepare import prepare
from crossfool.errors import UserError
from crossfool.experiment import fetches, loading
from crossfool.storage import downloads

NAME = "imagenet-sample-images"
FILES = ("n01440764_tench.JPEG", "n01443537_goldfish.JPEG", "n02123045_tabby.JPEG")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of the repository with three photographs, whose hashes take the manifest's place."""
    root = tmp_path / "clone"
    root.mkdir()
    digests = {}
    for place, name in enumerate(FILES):
        pixels = np.random.default_rng(place).integers(0, 256, (300, 260, 3), np.uint8)
        Image.fromarray(pixels).save(root / name, quality=95)
        digests[name] = hashlib.sha256((root / name).read_bytes()).hexdigest()
    (root / "README.md").write_text("about")
    monkeypatch.setattr(sample, "manifest", lambda: digests)
    monkeypatch.setenv("CROSSFOOL_CACHE", str(tmp_path / "cache"))
    return root


def packed(root: Path, kind: str = "w:gz") -> Path:
    """The archive of a clone, in GitHub's layout."""
    path = root.parent / "archive.tar.gz"
    with tarfile.open(path, kind) as archive:
        archive.add(root, arcname=f"imagenet-sample-images-{sample.COMMIT}")
    return path


class Server:
    """A server of one file; it breaks each of the first connections off after so many bytes."""

    def __init__(
        self, data: bytes, breaks: int = 0, after: int = 0, *, resumes: bool = True, status: int = 200
    ) -> None:
        self.data, self.breaks, self.ranges, self.etag = data, breaks, [], '"one"'
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                server.ranges.append(asked)
                if status != 200:
                    self.send_error(status)
                    return
                start = int(asked[6:-1]) if asked and resumes else 0
                rest = server.data[start:]
                self.send_response(206 if asked and resumes else 200)
                self.send_header("Content-Length", str(len(rest)))
                self.send_header("ETag", server.etag)
                self.end_headers()
                if server.breaks:
                    server.breaks -= 1
                    rest = rest[:after]
                self.wfile.write(rest)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/archive.tar.gz"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Server]]:
    """Makes servers, each of which takes GitHub's place; all are shut down at the end."""
    servers: list[Server] = []
    monkeypatch.setattr(downloads, "PAUSE", 0.0)

    def make(*arguments: object, **options: object) -> Server:
        servers.append(Server(*arguments, **options))  # type: ignore[arg-type]
        monkeypatch.setattr(sample, "URL", servers[-1].url)
        return servers[-1]

    yield make  # type: ignore[misc]
    for one in servers:
        one.server.shutdown()
        one.server.server_close()


def test_the_manifest_is_one_photograph_a_class() -> None:
    found = sample.manifest()
    assert [name.partition("_")[0] for name in found] == class_names.class_folders("imagenet")
    assert len(set(found.values())) == 1000 and all(len(digest) == 64 for digest in found.values())
    assert found["n01440764_tench.JPEG"].startswith("98f7e89b26142f7b")


def test_folder_archive_and_download_give_the_same_bytes(photos: Path, serve: type[Server], tmp_path: Path) -> None:
    server = serve(packed(photos).read_bytes())
    folder = Prepared(tmp_path / "a", name=NAME, path=str(photos))
    assert folder.labels.tolist() == [0, 1, 281] and folder.files == list(FILES)
    with Image.open(photos / FILES[2]) as image:
        width = image.resize((256, 295), Image.Resampling.BILINEAR).crop((16, 36, 240, 260))
    np.testing.assert_array_equal(folder.images[2], np.asarray(width).transpose(2, 0, 1))
    assert folder.metadata["source"] == sample.ORIGIN and str(tmp_path) not in str(folder.metadata)
    archive = Prepared(tmp_path / "b", name=NAME, path=str(packed(photos)), training=True)
    fetched = Prepared(tmp_path / "c", name=NAME)
    assert folder.bytes() == archive.bytes() == fetched.bytes()
    assert Prepared(tmp_path / "d", name=NAME).bytes() == folder.bytes()
    assert server.ranges == [None]  # the second time from the cache
    assert [path.suffix for path in (tmp_path / "cache/archives").iterdir() if path.suffix != ".lock"] == [".gz"]
    assert make_dataset(NAME, path=str(photos)).survey(training=False).images == 3
    assert make_dataset(NAME).survey(training=False).images is None and make_dataset(NAME).IMAGES == 1000


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_connection_is_resumed(
    photos: Path, serve: type[Server], tmp_path: Path, resumes: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    data = packed(photos).read_bytes()
    server = serve(data, breaks=2, after=1000, resumes=resumes)
    done = Prepared(tmp_path / "a", name=NAME)
    assert done.labels.tolist() == [0, 1, 281]
    assert server.ranges == [None, "bytes=1000-", "bytes=2000-" if resumes else "bytes=1000-"]
    assert "fetching: " in capsys.readouterr().err  # progress


def test_what_was_fetched_is_kept_for_the_next_run(photos: Path, serve: type[Server], tmp_path: Path) -> None:
    data = packed(photos).read_bytes()
    serve(data, breaks=downloads.ATTEMPTS, after=100)
    message = refused(tmp_path, name=NAME)
    assert "the connection broke at 500 of " in message and "500 bytes are kept and resumed; run again, or " in message
    assert message.endswith("fetch it elsewhere and name it in dataset: path")
    server = serve(data)
    assert Prepared(tmp_path / "a", name=NAME).files == list(FILES) and server.ranges == ["bytes=500-"]


def test_a_file_that_changed_on_the_server_is_fetched_anew(photos: Path, serve: type[Server], tmp_path: Path) -> None:
    data = packed(photos).read_bytes()
    serve(data, breaks=downloads.ATTEMPTS, after=100)
    refused(tmp_path, name=NAME)
    server = serve(data)
    server.etag = '"two"'
    assert Prepared(tmp_path / "a", name=NAME).files == list(FILES) and server.ranges == ["bytes=500-", None]


def test_a_server_without_the_file_is_asked_once(photos: Path, serve: type[Server], tmp_path: Path) -> None:
    server = serve(b"", status=404)
    assert "cannot be downloaded (HTTP Error 404: Not Found); run again, or fetch" in refused(tmp_path, name=NAME)
    assert server.ranges == [None]
    server.server.server_close()


def test_fetched_bytes_that_are_others_are_not_kept(photos: Path, serve: type[Server], tmp_path: Path) -> None:
    good = (photos / FILES[1]).read_bytes()
    (photos / FILES[1]).write_bytes(good[:-2] + b"xx")
    serve(packed(photos).read_bytes())
    message = refused(tmp_path, name=NAME)
    assert message.startswith("what http://127.0.0.1:") and f"{FILES[1]} is damaged or another image: exp" in message
    serve(b"<html>not found</html>")
    assert "is not kept: " in refused(tmp_path, name=NAME)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]
    (photos / FILES[1]).write_bytes(good)
    serve(packed(photos).read_bytes())
    assert Prepared(tmp_path / "a", name=NAME).files == list(FILES)


def test_a_local_copy_that_is_not_the_set_is_refused(photos: Path, tmp_path: Path) -> None:
    given = {"name": NAME, "path": str(photos)}
    good = (photos / FILES[0]).read_bytes()
    (photos / FILES[0]).write_bytes((photos / FILES[1]).read_bytes())
    message = refused(tmp_path, **given)
    assert f"{photos / FILES[0]} is damaged or another image: expected sha256 " in message and FILES[0] in message
    (photos / FILES[0]).write_bytes(good)
    (photos / "more").mkdir()
    Image.new("RGB", (9, 9)).save(photos / "more/holiday.png")
    for refusal in (lambda: refused(tmp_path, **given), lambda: str(survey_error(given))):
        assert refusal().endswith(
            f"{photos}/more/holiday.png is not of {NAME}; remove it, or take the data set imagefolder"
        )
    (photos / "more/holiday.png").rename(photos / "more" / FILES[0])
    assert "is there twice, also as " in refused(tmp_path, **given)
    (photos / "more" / FILES[0]).unlink()
    (photos / FILES[2]).unlink()
    assert f"{photos} holds 2 of the 3 photographs; missing is {FILES[2]}; fetch " in refused(tmp_path, **given)
    assert "does not exist; give the folder or tar" in refused(tmp_path, name=NAME, path=str(tmp_path / "none"))


def survey_error(given: dict[str, str]) -> UserError:
    """The error with which `check` refuses a data set."""
    with pytest.raises(UserError) as caught:
        make_dataset(**given).survey(training=False)
    return caught.value


def test_of_a_large_tar_the_start_is_looked_at(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crossfool.datasets.reading import image_files

    data = io.BytesIO()
    Image.new("RGB", (9, 9)).save(data, "PNG")
    (photos / "a.png").write_bytes(data.getvalue())
    archive = packed(photos)
    monkeypatch.setattr(image_files, "PEEK", 3)  # the folder, README.md, an image
    assert "a.png is not of imagenet-sample-images" in str(survey_error({"name": NAME, "path": str(archive)}))
    (photos / "a.png").unlink()
    assert make_dataset(NAME, path=str(packed(photos))).survey(training=False).images is None


def test_a_new_experiments_images_come_from_the_archive(
    photos: Path, serve: type[Server], tmp_path: Path, project: Path
) -> None:
    """The images of `crossfool new mine --dataset imagenet-sample-images`, as the stage `prepare` writes them."""
    server = serve(packed(photos).read_bytes())
    folder = new.make_experiment("mine", project, dataset=NAME)
    dataset = loading.load_experiment(folder / "params.yaml").dataset
    prepare(dataset, tmp_path / "images", tmp_path / "images.csv", tmp_path / "train", training=False)
    assert (tmp_path / "images").read_bytes() in Prepared(tmp_path / "a", name=NAME, path=str(photos)).bytes()
    assert server.ranges == [None]
    pending = {"data/images.safetensors"}
    experiment = loading.load_experiment(folder / "params.yaml")
    assert not list(fetches.fetches(experiment, folder, pending))  # it is in the cache now
