"""Read params.yaml as DVC does: by ruamel.yaml and YAML 1.2. Values that YAML 1.1 reads otherwise are refused."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, ScalarEvent

from crossfool.errors import UserError, brief

# Plain scalars that readers of YAML 1.1 and of 1.2 take for different values, or for no text -> the error's message.
AMBIGUOUS_SCALARS = (
    (r"yes|no|on|off", "is a truth value in YAML 1.1 and a text in 1.2; write true or false, or put it in quotes"),
    (r"[-+]?0[0-9]+", "is octal in YAML 1.1 and decimal in 1.2; write it without the zeros before it, or in quotes"),
    (r"[-+]?0[ob][0-9a-f_]*", "is a number in some versions of YAML alone; write it in decimal digits, or in quotes"),
    (
        r"[-+]?(?=[0-9.])(?=[^_]*_)(0x[0-9a-f_]*|[0-9_]*\.?[0-9_]*(e[-+]?[0-9_]*)?)",
        "is a number in some versions of YAML alone; write it without _, or in quotes",
    ),
    (
        r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?",
        "is a number to the base of 60 in YAML 1.1 and a text in 1.2; write one number, or put it in quotes",
    ),
    (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([t \t].*)?", "is a date in YAML; put it in quotes"),
    (r"=", "is no text in YAML 1.1; put it in quotes"),
)
_AMBIGUOUS = tuple((re.compile(f"^(?:{pattern})$", re.IGNORECASE), wrong) for pattern, wrong in AMBIGUOUS_SCALARS)

_ANCHOR = re.compile(r"&[^\s,\[\]{}]+[ \t]*")


def parse_strict(text: str) -> Any:
    """The values of a params.yaml that is to be run; ambiguous ones are refused.

    Raises:
        UserError: the text is no YAML of one document, or DVC would read or rewrite it otherwise than it looks: a
            shared object (an alias, a merge key), a tag, a scalar of two readings, `${...}`, or a key that stands
            twice.
    """
    values = _loaded(text, _Checked)
    _refuse_other_reading(text, values)
    return values


def parse_lenient(text: str) -> Any:
    """The values of a params.yaml that once ran; shared objects and ambiguous values are read, too.

    Raises:
        UserError: the text is no YAML of one document.
    """
    return _loaded(text, _Quiet)


def to_yaml(values: Any, *, flow: bool = False) -> str:
    """Write values as YAML that every reader reads alike: nothing is shared, and ambiguous texts are quoted.

    Args:
        values: The content of a params.yaml, or a part of it.
        flow: Whether to write one line, which can stand within another value.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeDumper.yaml_implicit_resolvers.items()}
    for pattern in (*(pattern for pattern, _ in _AMBIGUOUS), re.compile(r"[-+]?\.?[0-9].*")):
        # the tag is never written: it only has texts that match put in quotes
        Dumper.add_implicit_resolver("tag:crossfool,2026:twofold", pattern, None)
    if flow:  # in a list, since a scalar alone would be followed by the mark of a document's end
        line = yaml.dump([values], Dumper=Dumper, sort_keys=False, default_flow_style=True, width=float("inf"))
        return line.strip()[1:-1]
    return yaml.dump(values, Dumper=Dumper, sort_keys=False)


def expand_aliases(text: str) -> str:
    """Replace each alias in the text of a params.yaml by the value it stands for; comments and layout stay.

    Raises:
        UserError: the text is no YAML of one document.
    """
    if not re.search(r"[&*]", text):
        return text
    shared: dict[str, Any] = {}
    changes: list[tuple[int, int, str]] = []  # start, end, replacement

    class Recording(_Quiet):
        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.parser.peek_event()
            alias, start = isinstance(event, AliasEvent), event.start_mark.index
            if alias and event.anchor in self.anchors and event.anchor not in shared:
                raise _wrong(event, f"the alias *{event.anchor} stands within what it stands for")
            node = super().compose_node(parent, index)
            if alias:
                changes.append((start, event.end_mark.index, to_yaml(shared[event.anchor], flow=True)))
            elif event.anchor:
                shared[event.anchor] = self.loader.constructor.construct_object(node, deep=True)
                anchor = _ANCHOR.match(text, start)
                assert anchor is not None, "a node that has an anchor begins with it"
                changes.append((start, anchor.end(), ""))
            return node

    _loaded(text, Recording)
    for start, end, replacement in sorted(changes, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def read_text(path: Path) -> str:
    """The text of a params.yaml.

    Raises:
        UserError: the file is not there, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark first
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the stage in an experiment's folder") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _loaded(text: str, composer: type[Composer]) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = composer
    try:
        return yaml.load(text)
    except UserError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}: "
        reason = ", ".join(" ".join(part.split()) for part in (error.context, error.problem) if part)
        raise UserError(f"is not valid YAML: {where}{reason}") from None
    except RecursionError:
        raise UserError("is not valid YAML of an experiment: it is nested too deeply") from None
    except (YAMLError, Exception) as error:  # odd texts raise many kinds
        raise UserError(f"is not valid YAML: {brief(error, 300)}") from None


class _Quiet(Composer):
    """Composer of any file's nodes, without a warning where one anchor is given to two objects in turn."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self.warn_double_anchors = False


class _Checked(_Quiet):
    """Composer that refuses nodes which readers take in two ways, or which `dvc exp run -S` would change elsewhere."""

    def compose_document(self) -> Any:
        start = self.parser.peek_event()
        if getattr(start, "version", None):
            raise _wrong(start, f"%YAML {'.'.join(map(str, start.version))}: DVC reads YAML 1.2; remove the line")
        return super().compose_document()

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent):
            raise _wrong(
                event,
                f"the alias *{event.anchor} shares one object with &{event.anchor}, and `dvc exp run -S` would change "
                "both, or neither; write it out",
            )
        if event.tag is not None:
            raise _wrong(event, f"the tag {event.tag} is not used here; remove it, or put a text in quotes")
        if isinstance(event, ScalarEvent):
            _refuse_ambiguous(event)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        names = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                raise _wrong(key, "a key is a list or a section; expected a name")
            if key.value in names:
                raise UserError(f"the key {key.value} occurs twice, the second time on line {key.start_mark.line + 1}")
            names.add(key.value)
        return node


def _refuse_ambiguous(event: ScalarEvent) -> None:
    """Refuse a scalar that readers take in two ways.

    Raises:
        UserError: readers do.
    """
    if "${" in event.value:
        raise _wrong(
            event,
            f"{event.value}: ${{...}} is the syntax of DVC and Hydra, and `dvc exp run -S` fails on it; "
            "write an environment variable as $NAME, without braces",
        )
    if event.style:  # in quotes
        return
    if event.value == "<<":
        raise _wrong(event, "the merge key << shares objects, and `dvc exp run -S` would change all; write it out")
    for pattern, wrong in _AMBIGUOUS:
        if pattern.fullmatch(event.value):
            raise _wrong(event, f"{event.value} {wrong}")


def _refuse_other_reading(text: str, values: Any) -> None:
    """Refuse a text that DVC reads otherwise: with libyaml where that is installed, which takes fewer plain scalars.

    Raises:
        UserError: DVC's parser refuses the text, or takes it for other values.
    """
    try:
        theirs = YAML(typ="safe").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise UserError(f"{where}DVC cannot read this ({error.problem}); put the text in quotes") from None
    if repr(theirs) != repr(values):
        raise UserError("DVC and crossfool read different values from this file; put texts in quotes")


def _wrong(event: Any, message: str) -> UserError:
    """An error that begins with an event's line."""
    return UserError(f"line {event.start_mark.line + 1}: {message}")
