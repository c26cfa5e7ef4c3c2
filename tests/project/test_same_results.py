"""tools/same_results.py on a made repository: equal values pass, any other value is told."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from builders import ROOT
from safetensors.numpy import save

TOOL = ROOT / "tools/same_results.py"
IMAGES = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)


def parquet(label: int, about: str) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"label": [label]}).replace_schema_metadata({"about": about}), sink)
    return sink.getvalue().to_pybytes()


def commit(folder: Path, results: dict[str, bytes]) -> None:
    """Commit a dvc.lock of these results, and the results where DVC and git keep them."""
    outs = []
    for path, data in results.items():
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        outs.append({"path": path, "md5": md5, "size": len(data)})
        kept = folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        for place in (folder / path, kept):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": {"attack": {"outs": outs}}}))
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "add", "dvc.lock", "metrics"], cwd=folder, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "--message", "run"], cwd=folder, check=True)


def run(folder: Path, *revisions: str) -> tuple[int, str]:
    command = [sys.executable, str(TOOL), *revisions, "--repository", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def before(tmp_path: Path) -> dict[str, bytes]:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    results = {
        "adversarial/a/igsm.safetensors": save({"images": IMAGES}, {"code": "old"}),
        "predictions/a/igsm.parquet": parquet(1, "old"),
        "metrics/a/igsm.json": json.dumps({"b": {"top1": 50.0}}).encode(),
        "report/index.html": b"<p>old</p>",
    }
    commit(tmp_path, results)
    return results


def test_other_metadata_and_other_reports_are_no_difference(tmp_path, before):
    after = {
        "adversarial/a/igsm.safetensors": save({"images": IMAGES}, {"code": "new"}),
        "predictions/a/igsm.parquet": parquet(1, "new"),
        "metrics/a/igsm.json": b'{"b":\n{"top1": 50.0}}',
        "report/index.html": b"<p>new</p>",
    }
    assert all(after[path] != before[path] for path in before)
    commit(tmp_path, after)
    assert run(tmp_path, "HEAD~1", "HEAD") == (0, "0 different; equal: adversarial 1, predictions 1, metrics 1\n")
    assert run(tmp_path, "HEAD~1")[0] == 0  # the working tree is HEAD


OTHER = {
    "a pixel": ("adversarial/a/igsm.safetensors", save({"images": IMAGES + 1}), "differs in images"),
    "a shape": ("adversarial/a/igsm.safetensors", save({"images": IMAGES.reshape(1, 3, 4, 1)}), "differs in images"),
    "a label": ("predictions/a/igsm.parquet", parquet(2, "old"), "differs in column label"),
    "a rate": ("metrics/a/igsm.json", b'{"b": {"top1": 50.1}}', "differs in b.top1"),
}


@pytest.mark.parametrize("path, data, reason", OTHER.values(), ids=OTHER)
def test_another_value_is_told(tmp_path, before, path, data, reason):
    commit(tmp_path, before | {path: data})
    code, text = run(tmp_path, "HEAD~1", "HEAD")
    assert code == 1 and text.splitlines() == [f"{path}: {reason}", text.splitlines()[1]]
    assert text.splitlines()[1].startswith("1 different; equal: ")


def test_a_result_that_is_gone_or_cannot_be_looked_into_is_told(tmp_path, before):
    path = "adversarial/a/igsm.safetensors"
    commit(tmp_path, {name: data for name, data in before.items() if name != path})
    assert f"{path}: is in the old dvc.lock alone" in run(tmp_path, "HEAD~1", "HEAD")[1]
    commit(tmp_path, before | {path: save({"images": IMAGES}, {"code": "new"})})
    md5 = hashlib.md5(before[path], usedforsecurity=False).hexdigest()
    (tmp_path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    code, text = run(tmp_path, "HEAD~2", "HEAD")
    assert code == 1 and f"{path}: differs, and the old file is not here to look into; `dvc fetch` it" in text


def test_an_unknown_revision_is_one_line(tmp_path, before):
    code, text = run(tmp_path, "nowhere")
    assert code == 2 and text.startswith("error: git ls-tree") and "Traceback" not in text
