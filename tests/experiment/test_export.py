"""`export` and `score`: an exported folder holds the cells, and its images have the rates of the metrics."""

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import ROOT, metadata
from command_line import told
from made_exports import CELLS, TARGETS, digests, make_computed
from PIL import Image
from safetensors.torch import load_file

from crossfool.errors import UserError
from crossfool.experiment.export import write_folder
from crossfool.models import build, weights_file
from crossfool.models.weights import cached_model, model_description, registry
from crossfool.models.weights.config import Weights
from crossfool.storage import exported_images
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The experiment, and beside it what `export` makes of it; tests get copies."""
    folder = tmp_path_factory.mktemp("computed")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CROSSFOOL_ENGINE", "CROSSFOOL_WORKERS"):
            patch.delenv(name, raising=False)
        patch.setenv("CROSSFOOL_DEVICE", "cpu")
        (folder / "experiment").mkdir()
        patch.chdir(folder / "experiment")
        make_computed(Path())
        write_folder.export_cells(list(CELLS), Path(), folder / "out", arrays=True)
    return folder


@pytest.fixture
def experiment(computed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSFOOL_DEVICE", "cpu")
    monkeypatch.chdir(shutil.copytree(computed / "experiment", tmp_path, dirs_exist_ok=True))
    return tmp_path


@pytest.fixture
def exported(computed: Path, experiment: Path) -> Path:
    return Path(shutil.copytree(computed / "out", experiment / "out"))


def test_files_hold_the_pixels_and_labels_of_the_cells(experiment: Path) -> None:
    said = told("export", *CELLS, "--to", "out", "--npz")
    assert said == "out: 44 images, each read back and equal to its cell's\n"  # 11 clean, 3 cells of 11
    subset = TensorFile(experiment / "subset/images.safetensors")
    with open("out/labels.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 33 and list(rows[0]) == list(exported_images.COLUMNS)
    with np.load("out/images.npz") as file:
        arrays = dict(file)
    assert {*arrays} == {"clean", "labels", "target_labels", "index", *CELLS}
    for number, row in enumerate(rows):
        name, place = f"{row['source']}/{row['attack']}", number % 11
        images = TensorFile(experiment / f"adversarial/{name}.safetensors")["images"]
        assert row["adversarial"] == f"adversarial/{name}/{2 + 7 * place}.png" and row["index"] == str(2 + 7 * place)
        assert np.array_equal(np.asarray(Image.open(f"out/{row['adversarial']}")), images[place, 0])
        assert np.array_equal(np.asarray(Image.open(f"out/{row['clean']}")), subset["images"][place, 0])
        assert np.array_equal(arrays[name], images)
        aim = str(subset["target_labels"][place]) if row["attack"] == "targeted" else ""
        assert (row["label"], row["class"], row["target_label"]) == (*2 * (str(subset["labels"][place]),), aim)
    assert not list(experiment.glob(".out*"))
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd="out", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert set(digests(Path("out"))) - {"SHA256SUMS"} == {
        line.partition("  ")[2] for line in Path("out/SHA256SUMS").read_text().splitlines()
    }


def test_colours_are_written_without_loss(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 4), np.uint8)
    exported_images.write_png(tmp_path / "a/one.png", image)
    with Image.open(tmp_path / "a/one.png") as picture:
        assert picture.mode == "RGB" and picture.getpixel((2, 1)) == tuple(image[:, 1, 2])


def test_the_card_says_what_explain_says(exported: Path) -> None:
    text, record = (
        (exported / "README.md").read_text(encoding="utf-8"),
        json.loads((exported / "cells.json").read_text()),
    )
    explained = told("explain", "fnn2/targeted").splitlines()
    update = explained[explained.index("Update") + 1 : explained.index("Parameters") - 1]
    assert len(update) > 2 and all(line.strip() in text for line in update)
    assert "success    the prediction is the target label" in text and "CC BY-SA 3.0" in text
    assert "### Rates" in text and "top-1 on fnn0" in text and str(exported.parent) not in text
    for name in CELLS:
        path = exported.parent / f"adversarial/{name}.safetensors"
        about = metadata(path)
        (own,) = [cell for cell in record["cells"] if f"{cell['source']}/{cell['attack']}" == name]
        assert own["images_sha256"] == json.loads(about["sha256"])["images"] and own["images_sha256"] in text
        assert own["sha256"] == sha256(path) and own["sha256"] in text
        assert own["params"] == json.loads(about["params"]) and own["compute"] == json.loads(about["compute"])
        assert {model: one["sha256"] for model, one in own["weights"].items()} == json.loads(about["weights"])
        assert record["subset"]["sha256"] == about["subset"]


CROISSANT = {  # class -> the properties that Croissant 1.0 requires of it, and others that the description has
    "sc:Dataset": (
        {"@context", "conformsTo", "description", "license", "name", "url", "creator", "datePublished", "distribution"},
        {"recordSet", "version", "keywords"},
    ),
    "cr:FileObject": ({"@id", "name", "contentUrl", "encodingFormat", "sha256"}, set()),
    "cr:FileSet": ({"@id", "name", "encodingFormat", "includes"}, {"description"}),
    "cr:RecordSet": ({"@id", "name", "field", "key"}, {"description"}),
    "cr:Field": ({"@id", "name", "dataType", "source"}, {"description"}),
    "sc:Organization": ({"name"}, set()),
    "sc:CreativeWork": ({"name"}, set()),
}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON value that has a type, but for the context."""
    if isinstance(value, dict):
        if "@type" in value:
            yield value
        for key, inner in value.items():
            if key != "@context":
                yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def test_the_description_is_croissant(exported: Path) -> None:
    described = json.loads((exported / "croissant.json").read_text(encoding="utf-8"))
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0" and described["@type"] == "sc:Dataset"
    found = list(nodes(described))
    for node in found:
        required, others = CROISSANT[node["@type"]]
        assert required <= set(node) - {"@type"} <= required | others, node
    ids = [node["@id"] for node in found if "@id" in node]
    assert len(ids) == len(set(ids)) == 5 + 3 + 12  # files and sets of files; record sets; fields
    listed = digests(exported)
    files = {node["contentUrl"]: node["sha256"] for node in found if node["@type"] == "cr:FileObject"}
    assert files == {name: listed[name] for name in ("labels.csv", "cells.json", "images.npz")}
    sets = {node["@id"]: node["includes"] for node in found if node["@type"] == "cr:FileSet"}
    images = [path for pattern in sets.values() for path in exported.glob(pattern)]
    assert len(images) == len(list(exported.rglob("*.png"))) == 44
    for node in found:
        if node["@type"] == "cr:Field":
            source = node["source"]
            kind = "fileObject" if "fileObject" in source else "fileSet"
            assert source.keys() == {kind, "extract"} and source[kind]["@id"] in {*files, *sets}
            (extracted,) = source["extract"].items()
            assert extracted in {("fileProperty", "fullpath"), ("fileProperty", "content")} or (
                extracted[0] == "column" and extracted[1] in exported_images.COLUMNS
            )
            assert node["dataType"] in {"sc:Text", "sc:Integer", "sc:ImageObject"}
        if node["@type"] == "cr:RecordSet":
            keys = node["key"] if isinstance(node["key"], list) else [node["key"]]
            assert {key["@id"] for key in keys} <= {field["@id"] for field in node["field"]}
    terms = {name for node in found for name in node if name[0] != "@"} | {"extract", "column", "fileProperty"}
    assert all(
        described["@context"][name] in (f"cr:{name}", f"dct:{name}", {"@id": f"cr:{name}", "@type": "@vocab"})
        for name in terms & set(described["@context"])
    )
    assert {"fileSet", "fileObject", "recordSet", "field", "key", "source", "dataType"} <= set(described["@context"])


def scored(*arguments: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Rows of `crossfool score --json`, by source, attack and target."""
    text = told("score", "out", *arguments, "--json")
    rows = json.loads(text[text.index("{") :])["rows"]
    return {(row["source"], row["attack"], row["target"]): row for row in rows}


def test_scores_are_the_rates_of_the_metrics(exported: Path) -> None:
    rows = scored(*(word for name in TARGETS for word in ("--model", name)))
    assert rows.keys() == {(*name.split("/"), target) for name in CELLS for target in TARGETS}
    rates = set()
    for (source, attack, target), row in rows.items():
        folder = exported.parent / "metrics" / source
        metrics = json.loads((folder / f"{attack}.json").read_text())[target]
        assert {key: row[key] for key in metrics} == metrics
        counts = json.loads((folder / f"{attack}.detail.json").read_text())["denominators"][target]
        assert {key: row[f"right_{key}"] for key in counts["target_right"]} == counts["target_right"]
        assert row["clean_error"] == counts["clean_error"] and row["right_n"] != row["n"] == 11
        assert row["weights"] == sha256(exported.parent / f"weights/{target}.safetensors")
        rates |= {row["top1"], row["right_top1"]}
    assert len(rates) > 4  # they are not all 0 or 100
    shown = told("score", "out", "--model", "fnn0")
    row = rows["fnn2", "migsm", "fnn0"]
    assert f"{row['top1']:.1f} [{row['top1_low']:.1f}, {row['top1_high']:.1f}]" in shown and "fnn0*" in shown


def test_the_script_of_the_page_gives_the_rates_of_the_metrics(exported: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(encoding="utf-8"), re.DOTALL)
    names = {alias.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import) for alias in node.names}
    froms = {node.module for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)}
    assert names | froms <= {"csv", "torch", "PIL"}
    defined: dict[str, Any] = {}
    exec(code, defined)
    state = load_file(exported.parent / "weights/fnn0.safetensors")
    layer = torch.nn.Linear(784, 10)
    layer.load_state_dict({key: state[f"output.{key}"] for key in ("weight", "bias")})
    network = torch.nn.Sequential(torch.nn.Flatten(), layer).eval()
    found = defined["success_rates"](exported, network, mean=[0.1307], std=[0.3081])
    rows = scored("--model", "fnn0")
    assert {(source, attack) for source, attack, _ in rows} == set(found)
    for (source, attack), (everywhere, right, count) in found.items():
        row = rows[source, attack, "fnn0"]
        assert (round(everywhere, 4), round(right, 4)) == (row["top1"], row["right_top1"])
        assert count == row["right_n"] > 5


def test_mistakes_in_exporting_are_one_line_and_leave_nothing(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "did you mean migsm?" in told("export", "fnn2/migs", "--to", "out", code=2)
    assert "did you mean fnn2?" in told("export", "fnn3/migsm", "--to", "out", code=2)
    assert "expected source/attack" in told("export", "fnn2", "--to", "out", code=2)
    (experiment / "taken").mkdir()
    assert "taken exists; choose another name with --to" in told("export", "fnn2/migsm", "--to", "taken", code=2)
    other = experiment / "other"
    shutil.copytree(experiment / "adversarial", other / "adversarial")
    shutil.copy(experiment / "params.yaml", other)
    several = ("fnn2/migsm", "other/adversarial/fnn2/targeted.safetensors")
    assert "two experiments" in told("export", *several, "--to", "out", code=2)
    (experiment / "adversarial/fnn2/targeted.safetensors").unlink()
    said = told("export", "fnn2/migsm", "fnn2/targeted", "--to", "out", code=2)
    assert "targeted.safetensors is missing" in said and "dvc repro" in said
    before = sorted(experiment.rglob("*"))
    write = exported_images.write_png

    def full_disk(path: Path, image: np.ndarray) -> None:
        if "adversarial" in path.parts and path.stem == "72":  # the last one
            raise OSError(28, "No space left on device", str(path))
        write(path, image)

    monkeypatch.setattr(exported_images, "write_png", full_disk)
    assert "No space left on device" in told("export", "fnn2/migsm", "--to", "out", code=2)
    monkeypatch.setattr(exported_images, "write_png", lambda path, image: write(path, image & 254))
    assert "do not hold the cell" in told("export", "fnn2/migsm", "--to", "out", code=2)
    assert sorted(experiment.rglob("*")) == before
    path = experiment / "adversarial/fnn2/migsm.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert "another sha256" in told("export", "fnn2/migsm", "--to", "out", code=2)


def test_mistakes_in_scoring_are_one_line(exported: Path) -> None:
    def refused(*arguments: str) -> str:
        return told("score", "out", *arguments, code=2)

    assert "did you mean fnn8 or fnn4?" in refused("--model", "fnn3x")
    assert "fnn4 is trained in an experiment and has no published weights" in refused("--model", "fnn4")
    assert "subset is no exported folder" in told("score", "subset", "--model", "fnn0", code=2)
    assert "nowhere is no exported folder" in told("score", "nowhere", "--model", "fnn0", code=2)
    network = build.crossfool_network("resnet20")
    about = model_description.describe(registry.spec("resnet20"), network)
    weights_file.write_weights(exported.parent / "weights/resnet20.safetensors", network.state_dict(), about)
    assert "resnet20 has the classes of cifar10, and the images in out those of mnist" in refused("--model", "resnet20")
    image, labels = exported / "adversarial/fnn2/migsm/2.png", exported / "labels.csv"
    kept = {path: path.read_bytes() for path in (image, labels)}
    image.write_bytes(kept[image][:-30] + kept[image][:30])
    assert "migsm/2.png has changed since it was exported" in refused("--model", "fnn0")
    image.unlink()
    assert "migsm/2.png is missing; export the cells again" in refused("--model", "fnn0")
    image.write_bytes(kept[image])
    labels.write_bytes(kept[labels] + b"fnn2,migsm,2,3,3,,clean/2.png,clean/2.png\n")
    assert "labels.csv has changed since it was exported" in refused("--model", "fnn0")
    labels.unlink()
    assert "labels.csv is missing" in refused("--model", "fnn0")


DAMAGED = {  # file -> what it is made, and what the error says
    "labels.csv": [
        (b"source,attack\n", "its columns are"),
        (b"\xff", "codec can't decode"),
        (b"%s\nfnn2,migsm,2,,3,,clean/2.png,clean/2.png\n", "label of row 1 is '', expected a number"),
        (b"%s\nfnn2,targeted,2,3,3,,clean/2.png,clean/2.png\n", "target_label of row 1 is ''"),
        (b"%s\nfnn2,other,2,3,3,,clean/2.png,clean/2.png\n", "is of fnn2/other, which is no cell"),
        (b"%s\nfnn2,migsm,2,3,3,,clean/2.png,clean/2.png\n", "it has no row of fnn2/targeted"),
    ],
    "cells.json": [(b"{", "JSONDecodeError"), (b"{}", "KeyError"), (b"[]", "TypeError")],
    "clean/2.png": [(b"no picture", "cannot identify image")],
}


@pytest.mark.parametrize(("name", "content", "said"), [(name, *one) for name in DAMAGED for one in DAMAGED[name]])
def test_damage_that_has_a_hash_of_its_own_is_told(exported: Path, name: str, content: bytes, said: str) -> None:
    header = ",".join(exported_images.COLUMNS).encode()
    (exported / name).write_bytes(content.replace(b"%s", header))
    (exported / "SHA256SUMS").unlink()
    exported_images.write_sums(exported)
    with pytest.raises(UserError, match=f"{name} is damaged") as caught:
        list(exported_images.ExportedFolder(exported).cells())
    assert said in str(caught.value) and "export the cells again" in str(caught.value)


def test_an_image_of_another_size_is_told(exported: Path) -> None:
    exported_images.write_png(exported / "clean/2.png", np.zeros((1, 28, 27), np.uint8))
    (exported / "SHA256SUMS").unlink()
    exported_images.write_sums(exported)
    with pytest.raises(UserError, match=r"it is uint8 \(1, 28, 27\), expected uint8 \(1, 28, 28\)"):
        list(exported_images.ExportedFolder(exported).cells())


def test_published_weights_come_from_the_cache(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSFOOL_CACHE", str(exported.parent / "cache"))
    fetched = []

    def fetch(spec: Any, weights: Any, out: Path) -> None:
        fetched.append(spec.name)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.touch()

    monkeypatch.setattr(cached_model, "fetch_model", fetch)
    paths = [cached_model.cached_model("resnet18", Weights()) for _ in range(2)]
    assert (
        fetched == ["resnet18"]
        and paths[0] == paths[1] == exported.parent / "cache/models/resnet18-f37072fd.safetensors"
    )


def test_refusals_load_no_torch(exported: Path) -> None:
    for arguments in (["export", "fnn2/migs", "--to", "x"], ["score", "subset", "--model", "x"], ["score", "--help"]):
        code = f"""
import sys
from crossfool.cli.main import main
try: main({arguments!r})
except SystemExit: pass
print("torch" in sys.modules)"""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "False"
