"""Compare the results that two revisions' dvc.lock files name: `python tools/same_results.py OLD [NEW]`.

OLD and NEW are git revisions; without NEW, the dvc.lock files of the working tree count. For every experiment that both
have, adversarial images, predictions, metrics, subsets and weights are compared by the md5 that DVC recorded. Where two
differ, both files are opened (metrics in git, all else in DVC's cache): values that are equal under other metadata,
which may name the package, are no difference. Exit code 0: no difference; 1: some, a line each; 2: wrong arguments.
"""

import argparse
import functools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as pq
import yaml
from safetensors.numpy import load

FOLDERS = ("weights", "subset", "adversarial", "predictions", "transformed", "metrics", "analysis")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Difference:
    """A result that is not the same in both revisions.

    Attributes:
        path: Path of the file, from the repository's root.
        reason: How it differs, in a few words.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class State:
    """A revision of a repository, or its working tree where the revision is None."""

    repository: Path
    revision: str | None
    caches: tuple[Path, ...]

    def locks(self) -> dict[str, str]:
        """Texts of all dvc.lock files, by path from the root."""
        tree = ["ls-tree", "-r", "--name-only", self.revision] if self.revision else ["ls-files"]
        paths = [path for path in self._git(*tree).decode().splitlines() if PurePosixPath(path).name == "dvc.lock"]
        texts = {path: self.tracked(path) for path in paths}
        return {path: text.decode() for path, text in texts.items() if text is not None}

    def tracked(self, path: str) -> bytes | None:
        """Bytes of a file that git tracks; None where it is missing."""
        if self.revision is not None:
            return self._git("show", f"{self.revision}:{path}")
        file = self.repository / path
        return file.read_bytes() if file.is_file() else None

    def result(self, path: str, md5: str) -> bytes | None:
        """Bytes of a result: metrics from git, all else from a DVC cache; None where they are missing."""
        if "metrics" in PurePosixPath(path).parts:
            return self.tracked(path)
        files = (cache / "files/md5" / md5[:2] / md5[2:] for cache in self.caches)
        return next((file.read_bytes() for file in files if file.is_file()), None)

    def _git(self, *arguments: str) -> bytes:
        done = subprocess.run(["git", *arguments], cwd=self.repository, capture_output=True)
        if done.returncode:
            print(f"error: git {' '.join(arguments)}: {done.stderr.decode().strip()}", file=sys.stderr)
            sys.exit(2)
        return done.stdout


def compare(old: State, new: State) -> tuple[Counter[str], list[Difference]]:
    """Count equal results by kind of output, and list the different ones."""
    equal: Counter[str] = Counter()
    old_locks, new_locks = old.locks(), new.locks()
    different = [
        Difference(name, f"is in the {'old' if name in old_locks else 'new'} revision alone")
        for name in sorted(old_locks.keys() ^ new_locks.keys())
    ]
    for name in sorted(old_locks.keys() & new_locks.keys()):
        before, after = results(old_locks[name]), results(new_locks[name])
        for path in sorted(before.keys() | after.keys()):
            place = str(PurePosixPath(name).parent / path)
            if path not in before or path not in after:
                reason = f"is in the {'old' if path in before else 'new'} dvc.lock alone"
            elif before[path] == after[path]:
                reason = ""
            else:
                reason = difference(path, old.result(place, before[path]), new.result(place, after[path]))
            if reason:
                different.append(Difference(place, reason))
            else:
                equal[path.split("/")[0]] += 1
    return equal, different


def results(lock: str) -> dict[str, str]:
    """Outputs that are results: path -> md5."""
    stages: dict[str, Any] = (yaml.load(lock, LOADER) or {}).get("stages", {})
    outs = (out for stage in stages.values() for out in stage.get("outs", []))
    return {out["path"]: out["md5"] for out in outs if out["path"].split("/")[0] in FOLDERS and "md5" in out}


def difference(path: str, old: bytes | None, new: bytes | None) -> str:
    """Describe how the values of two files of different bytes differ; empty where they do not."""
    if old is None or new is None:
        return f"differs, and the {'old' if old is None else 'new'} file is not here to look into; `dvc fetch` it"
    changed = sorted(changes(PurePosixPath(path).suffix, old, new))
    return f"differs in {', '.join(changed[:5])}{' ...' if len(changed) > 5 else ''}" if changed else ""


def changes(suffix: str, before: bytes, after: bytes) -> Iterator[str]:
    """Names of the values in which two files of one kind differ."""
    if suffix == ".safetensors":
        old, new = load(before), load(after)
        yield from (name for name in old.keys() | new.keys() if not equal_arrays(old.get(name), new.get(name)))
    elif suffix == ".parquet":
        # read by this thread alone: pyarrow's pools abort a process that ends while they start a thread
        files = [pq.ParquetFile(pyarrow.BufferReader(data), pre_buffer=False) for data in (before, after)]
        tables = [file.read(use_threads=False) for file in files]
        names = set(tables[0].column_names) | set(tables[1].column_names)
        for name in names:
            columns = [table[name] if name in table.column_names else None for table in tables]
            if columns[0] is None or columns[1] is None or not columns[0].equals(columns[1]):
                yield f"column {name}"
    elif suffix == ".json":
        old, new = (dict(leaves(json.loads(data))) for data in (before, after))
        yield from (key for key in old.keys() | new.keys() if old.get(key, ...) != new.get(key, ...))
    else:
        yield "bytes"


def equal_arrays(old: np.ndarray | None, new: np.ndarray | None) -> bool:
    """Whether two arrays have one type, one shape and the same bytes."""
    if old is None or new is None:
        return False
    return old.dtype == new.dtype and old.shape == new.shape and old.tobytes() == new.tobytes()


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every number, string and so on of a JSON value, with its dotted place."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", help="git revision")
    parser.add_argument("new", nargs="?", help="git revision; the working tree where left out")
    parser.add_argument("--repository", type=Path, default=Path(__file__).resolve().parents[1], help="a clone")
    parser.add_argument("--cache", type=Path, action="append", help="a DVC cache to look files up in; may be repeated")
    options = parser.parse_args()
    caches = tuple(options.cache or [options.repository / ".dvc/cache"])
    state = functools.partial(State, options.repository, caches=caches)
    equal, different = compare(state(options.old), state(options.new))
    for result in different:
        print(f"{result.path}: {result.reason}")
    counted = ", ".join(f"{kind} {equal[kind]}" for kind in FOLDERS if equal[kind])
    print(f"{len(different)} different; equal: {counted or 'none'}")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
