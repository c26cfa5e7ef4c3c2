"""Fingerprints: hashes of the code that computes a stage, without comments, docstrings and formatting.

Parts of the user's own, in `own/`, are modules of the package here, as they are where they are imported.

Import this module before any other of the package: it reads all modules of the package when it is imported, so that
a process can tell, at any later time, whether the code that it has loaded is still the code of that moment.
"""

import ast
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from crossfool.part_files import own_files

_PACKAGE = Path(__file__).resolve().parents[1]

_RESOLVED = "validates and resolves values of params.yaml, which plan files hold as they came out"
_VERIFIES = "compiles and checks plans"
# Modules and folders that no result depends on -> the reason. Names are relative to the package.
NO_RESULT = {
    "errors": "words errors and refuses bad input",
    "runtime": "chooses device and memory settings; a device's kind stands in metadata and keys of chunks",
    "signals": "unwinds on signals",
    "part_files": "reads what parts declare; plans name the parts that compute",
    "text_encoding": "prints names in other encodings",
    "version": "stands in metadata: the version that computed a file",
    "storage.locks": "keeps processes apart",
    "storage.recovery": "words advice in errors",
    "pipeline.stage": "turns errors into one line",
    "pipeline.workers": "hands chunks to processes and machines; their bytes are the same",
    "config": _RESOLVED,
    "attacks.config": _RESOLVED,
    "attacks.own_parts": "finds parts of the user's own, which plans name, and refuses what they get wrong",
    "attacks.parts": _RESOLVED,
    "attacks.selection": _RESOLVED,
    "attacks.sweeps": _RESOLVED,
    "attacks.torchattack.catalogue": _RESOLVED,
    "datasets.preparation.catalogue": _RESOLVED,
    "datasets.preparation.config": _RESOLVED,
    "experiment.config": _RESOLVED,
    "experiment.loading": _RESOLVED,
    "experiment.model_checks": _RESOLVED,
    "experiment.params_file": _RESOLVED,
    "experiment.protected_folders": _RESOLVED,
    "experiment.protocol_files": _RESOLVED,
    "models.defence_files": _RESOLVED,
    "models.defended_models": _RESOLVED,
    "models.inference.config": _RESOLVED,
    "models.network_files": _RESOLVED,
    "models.own_models": _RESOLVED,
    "models.spec": _RESOLVED,
    "models.weights.config": _RESOLVED,
    "models.weights.registry": _RESOLVED,
    "pipeline.evaluation.transform_levels": _RESOLVED,
    "pipeline.gradient_analysis.config": _RESOLVED,
    "experiment.fingerprint": _VERIFIES,
    "experiment.plan": _VERIFIES,
    "experiment.plan_files": _VERIFIES,
    "experiment.stage_plans": _VERIFIES,
}
HASH_DIGITS = 16
_IGNORED_FIELDS = {"ctx", "kind", "type_comment"}  # of Python's syntax trees


def _find_modules() -> dict[str, Path]:
    """The file of each module of the package and of the user's own parts, by its dotted name without the package's."""
    own = {f"attacks.{path.parent.name}.{path.stem}": path for path in own_files()}
    return own | {_module_name(path): path for path in sorted(_PACKAGE.rglob("*.py"))}


def _module_name(path: Path) -> str:
    parts = path.relative_to(_PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


_FILES = _find_modules()
_SOURCES = {name: path.read_bytes() for name, path in _FILES.items()}


def has_no_result(module: str) -> bool:
    """Whether no result depends on a module, which is named without the package."""
    return any(module == name or module.startswith(f"{name}.") for name in NO_RESULT)


def fingerprint(modules: Iterable[str]) -> dict[str, str]:
    """Hashes of modules, of all that they import within the package, and of the package's data that these read.

    Args:
        modules: Dotted names, with the package's own, where the closure of static imports starts.

    Returns:
        Name of a module or path of a data file, both relative to the package -> hash, sorted by name.
    """
    code = closure(name.partition(".")[2] for name in modules)
    hashes = {name: code_hash(_SOURCES[name]) for name in code}
    for name in code:
        hashes |= {path: _file_hash(path) for path in _data_files(name)}
    return dict(sorted(hashes.items()))


def modules_in(folder: str) -> list[str]:
    """Dotted names, with the package's own, of the modules in a folder that is a registry; a name with _ is no part.

    Args:
        folder: Its dotted name, without the package's own.
    """
    names = (name.removeprefix(f"{folder}.") for name in _SOURCES if name.startswith(f"{folder}."))
    return [f"{_PACKAGE.name}.{folder}.{name}" for name in names if not name.startswith("_")]


def changed_since_import(names: Iterable[str]) -> str | None:
    """The first of a fingerprint's modules whose file is not what it was when this process began; None where all are.

    A file that was formatted or commented meanwhile counts as changed, too.
    """
    for name in names:
        if name in _SOURCES and _FILES[name].read_bytes() != _SOURCES[name]:
            return name
    return None


def is_data(name: str) -> bool:
    """Whether an entry of a fingerprint is a data file, not a module."""
    return name not in _SOURCES


def closure(starts: Iterable[str]) -> list[str]:
    """Modules that results of the starting modules may depend on: what they import, without `NO_RESULT`.

    Args:
        starts: Names relative to the package.
    """
    reached: set[str] = set()
    waiting = list(starts)
    while waiting:
        module = waiting.pop()
        if module in reached or has_no_result(module):
            continue
        assert module in _SOURCES, f"the package has no module {module}"
        reached.add(module)
        waiting += imports(module)
    return sorted(reached)


@functools.cache
def imports(module: str) -> tuple[str, ...]:
    """Modules of the package that a module imports, also within functions, but not for type checking alone."""
    return tuple(dict.fromkeys(_imports(_tree(_SOURCES[module]), module)))


def _imports(tree: ast.AST, module: str = "") -> Iterator[str]:
    package = _PACKAGE.name
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                top, _, name = alias.name.partition(".")
                if top == package and name:
                    yield name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join((package, *module.split(".")[: -node.level], *filter(None, [base])))
            top, _, base = base.partition(".")
            if top != package:
                continue
            for alias in node.names:
                whole = f"{base}.{alias.name}".lstrip(".")
                if whole in _SOURCES:
                    yield whole
                elif base:
                    yield base
        yield from _imports(node, module)


@functools.cache
def code_hash(source: bytes) -> str:
    """Hash of a module's syntax tree; equal on all supported versions of Python, whose own dumps of a tree differ."""
    digest = hashlib.sha256()
    for piece in _pieces(_tree(source)):
        digest.update(piece.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:HASH_DIGITS]


@functools.cache
def _tree(source: bytes) -> ast.Module:
    return ast.parse(source)


def _pieces(value: object) -> Iterator[str]:
    """The parts of a syntax tree, as text that differs where trees do: names of nodes, and their non-empty fields."""
    if isinstance(value, ast.AST):
        yield f"({type(value).__name__}"
        for name, field in ast.iter_fields(value):
            if name == "body" and isinstance(value, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                field = _without_docstring(field)
            if isinstance(value, ast.JoinedStr):  # Python 3.12 ends nested format specifications with an empty text
                field = [part for part in field if not (isinstance(part, ast.Constant) and part.value == "")]
            if name not in _IGNORED_FIELDS and field is not None and field != []:
                yield f" {name}="
                yield from _pieces(field)
        yield ")"
    elif isinstance(value, list):
        yield "["
        for element in value:
            yield from _pieces(element)
            yield ","
        yield "]"
    else:
        yield f"{type(value).__name__}:{value!r}"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if is_text and isinstance(first.value.value, str) else body  # type: ignore[union-attr]


@functools.cache
def _data_files(module: str) -> tuple[str, ...]:
    """Paths of the package's data that a module names: files, and files in folders, beside it."""
    folder = _FILES[module].parent
    texts = {
        node.value
        for node in ast.walk(_tree(_SOURCES[module]))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) < 100
    }
    paths: set[Path] = set()
    for text in texts:
        if "\0" in text or text.startswith((".", "/")) or not (folder / text).exists():
            continue
        place = folder / text
        inside = place.rglob("*") if place.is_dir() else [place]
        paths |= {path for path in inside if path.is_file() and path.suffix not in (".py", ".pyc")}
    return tuple(sorted(Path(os.path.relpath(path, _PACKAGE)).as_posix() for path in paths))


def _file_hash(path: str) -> str:
    return hashlib.sha256((_PACKAGE / path).read_bytes()).hexdigest()[:HASH_DIGITS]


def differing(planned: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Names whose hashes differ between two fingerprints, or that only one of them has."""
    return sorted(name for name in planned.keys() | present.keys() if planned.get(name) != present.get(name))
