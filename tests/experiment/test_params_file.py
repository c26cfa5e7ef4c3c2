"""params.yaml is read as DVC reads it, what could be read in two ways is refused, and nothing in it is shared."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import ROOT, SEEDED
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crossfool.cli import new as cli_new
from crossfool.config import expand_path
from crossfool.errors import UserError
from crossfool.experiment import git, loading, params_file
from crossfool.experiment.results import revisions

FILES = [ROOT / "params.yaml", *sorted(ROOT.glob("experiments/*/params.yaml"))]
DEFAULT = FILES[0].read_text(encoding="utf-8")
UNUSED = "{attack: null, epsilon: [], steps: [], step_size: [], samples: [], sigma: []}"
SHARED = DEFAULT.replace(f"grids:\n  a: {UNUSED}\n  b: {UNUSED}", f"grids: {{a: &unused {UNUSED}, b: *unused}}")


def dvc(text: str) -> Any:
    """The values that DVC records of a text."""
    from dvc.utils.serialize import loads_yaml

    return loads_yaml(text)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def refused(tmp_path: Path, text: str) -> str:
    (tmp_path / "params.yaml").write_bytes(text.encode())
    with pytest.raises(UserError) as caught:
        loading.load_experiment(tmp_path / "params.yaml")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'params.yaml'}") and "\n" not in said and len(said) < 500
    return said


# --- nothing is shared ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_change_of_one_grid_by_dvc_changes_that_one_alone(tmp_path, path):
    from dvc.utils.hydra import apply_overrides

    copy = tmp_path / "params.yaml"
    for grid, other in (("a", "b"), ("b", "a")):
        shutil.copy(path, copy)
        before = params_file.parse_strict(copy.read_text(encoding="utf-8"))
        apply_overrides(copy, [f"grids.{grid}.epsilon=[4,8]"])
        after = params_file.parse_strict(copy.read_text(encoding="utf-8"))
        assert after["grids"][grid]["epsilon"] == [4, 8] and after["grids"][other] == before["grids"][other]
        assert {key for key in before if before[key] != after[key]} == {"grids"}


def test_no_committed_file_or_page_shows_a_shared_object():
    for path in FILES:
        assert not re.search(r"^[^#]*[:,\[-] [&*][a-z]|<<:", path.read_text(encoding="utf-8"), re.MULTILINE), path
    for path in (*ROOT.glob("docs/*.md"), ROOT / "README.md", *ROOT.glob("experiments/*/README.md")):
        for block in re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            assert not re.search(r": [&*][a-z]|<<:", block), path
    params_file.parse_strict(cli_new.PARAMS_TEMPLATE)


@pytest.mark.parametrize(
    ("text", "part", "said"),
    [
        (SHARED, "grids:", "the alias *unused shares one object with &unused, and `dvc exp run -S` would change both"),
        (DEFAULT.replace("targets: all", "targets: &a [efficientnet_lite0]\nother: *a"), "other:", "the alias *a"),
        (DEFAULT.replace("{epsilon: 15, steps: 1,", "{<<: {epsilon: 15, steps: 1},", 1), "fgsm:", "the merge key <<"),
        (DEFAULT.replace("{epsilon: 15, steps: 1,", "{<<: *x,", 1), "fgsm:", "the merge key <<"),
    ],
)
def test_what_is_shared_is_refused_with_its_line(tmp_path, text, part, said):
    found = refused(tmp_path, text)
    assert f": line {line_of(text, part)}: {said}" in found and "write it out" in found


def test_a_new_experiment_of_an_old_file_shares_nothing(tmp_path):
    project = tmp_path / "project"
    (project / "stages").mkdir(parents=True)
    shutil.copy(ROOT / "dvc.yaml", project)
    models = "models: &all  # all of them\n  - efficientnet_lite0\n  - efficientnet_lite1\n"
    old = SHARED.replace("models: [efficientnet_lite0, efficientnet_lite1, efficientnet_lite2]\n", models)
    old = re.sub(r"sources:\n(  - .*\n)+", "sources: *all  # and again\n", old)
    (project / "params.yaml").write_text(old, encoding="utf-8")
    with pytest.raises(UserError, match="the alias"):
        loading.load_experiment(project / "params.yaml")
    text = (cli_new.make_experiment("mine", project, ".") / "params.yaml").read_text(encoding="utf-8")
    assert "sources: [efficientnet_lite0, efficientnet_lite1]  # and again\n" in text
    assert text.count(UNUSED) == 2 and not re.search("[&*](all|unused)", text)
    assert params_file.parse_strict(text) == params_file.parse_lenient(old) | {"root": "../.."}
    assert text.count("#") == old.count("#")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a 1\nb: *a\nc: &a 2\nd: *a\n",
        "a: &x {b: &y [1, 'yes']}\nc: *x\nd: [*y, *x]\n",
        "a: &x\n  b: 1\n  c: [2]\nd: *x\n",
        "a: '&x *x'\nb: 1 # *c\n",
    ],
)
def test_aliases_are_replaced_by_what_they_stand_for(text):
    assert params_file.parse_strict(params_file.expand_aliases(text)) == params_file.parse_lenient(text)


def test_an_alias_within_itself_is_one_line():
    with pytest.raises(UserError, match="line 1: the alias \\*a stands within what it stands for"):
        params_file.expand_aliases("a: &a [*a]")


def test_old_revisions_are_read_whatever_they_share(tmp_path, monkeypatch):
    texts = {"dvc.lock": "stages: {}", "params.yaml": SHARED}
    monkeypatch.setattr(git, "commit", lambda name, folder: "c0")
    monkeypatch.setattr(git, "file", lambda revision, name, folder: texts[name].encode())
    assert revisions.version_at("HEAD~1", tmp_path).values == params_file.parse_strict(DEFAULT)
    texts["params.yaml"] = "a: ["
    with pytest.raises(UserError, match=r"^params.yaml of HEAD~1 is not valid YAML: line 1: "):
        revisions.version_at("HEAD~1", tmp_path)


# --- one reading ----------------------------------------------------------------------------------------------------

TWOFOLD = [
    *("010", "-010", "+010", "00", "08", "0o10", "0b11", "1_000", "1_000.5", "1_0e3", "0x1_0", "._5"),
    *("12:30", "12:30:45", "-1:30", "1:30.5", "yes", "Yes", "NO", "no", "on", "On", "off", "OFF"),
    *("2020-01-01", "2020-1-1", "2020-01-01T10:00:00Z", "2020-01-01 10:00:00", "=", "<<"),
]


@pytest.mark.parametrize("scalar", TWOFOLD)
@pytest.mark.parametrize("place", ["fgsm:     {epsilon: 15", "  fgsm:", "efficientnet_lite2]"])
def test_what_versions_of_yaml_read_differently_is_refused_with_its_line(tmp_path, scalar, place):
    instead = {"  fgsm:": f"  {scalar}:", "efficientnet_lite2]": f"{scalar}]"}.get(place, f"fgsm: {{epsilon: {scalar}")
    text = DEFAULT.replace(place, instead, 1)
    said = refused(tmp_path, text)
    assert f": line {line_of(text, instead)}: " in said and scalar in said
    assert "write" in said or "put it in quotes" in said


@pytest.mark.parametrize("scalar", ["15", "15.0", "1.5e1", "15e0", "1.5e+1", "0xf", "+15"])
def test_numbers_of_one_reading_are_taken(tmp_path, scalar):
    (tmp_path / "params.yaml").write_text(DEFAULT.replace("epsilon: 15", f"epsilon: {scalar}", 1))
    assert loading.load_experiment(tmp_path / "params.yaml").attacks["fgsm"].epsilon == 15


@settings(SEEDED, max_examples=500)
@given(scalar=st.text("0123456789abefnoxyNOTZ_.:+-~=<", min_size=1, max_size=10))
@example(scalar="1e3")
@example(scalar="_1")
@example(scalar="y")
def test_a_plain_scalar_that_is_taken_is_what_dvc_and_pyyaml_take_it_for(scalar):
    try:
        ours = params_file.parse_strict(f"- {scalar}\n")
    except UserError:
        return
    assert repr(ours) == repr(dvc(f"- {scalar}\n"))
    # PyYAML knows no exponent without point and sign, and no sign before a point: there it says a text
    try:
        theirs = yaml.safe_load(f"- {scalar}\n")
    except yaml.YAMLError:  # of a text in which it sees a key
        return
    assert repr(theirs) == repr(ours) or (isinstance(ours[0], float) and theirs == [scalar])


def test_what_the_parser_of_dvc_refuses_is_refused_with_its_line():
    """libyaml sees no key in it, ruamel.yaml's own parser an empty one."""
    pytest.importorskip("_ruamel_yaml", reason="ruamel.yaml.clib is not installed")
    assert params_file.parse_lenient("- 1\n- :\n") == [1, {None: None}]
    with pytest.raises(UserError, match=r"^line 2: DVC cannot read this \(did not find expected key\); put "):
        params_file.parse_strict("- 1\n- :\n")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_committed_files_are_read_as_dvc_reads_them(path):
    text = path.read_text(encoding="utf-8")
    assert params_file.parse_strict(text) == params_file.parse_lenient(text) == dvc(text)


TEXTS = st.text("0123456789abefnoxy_.:+-~=<>*&!{}[],'\"#%@` \n", max_size=8) | st.sampled_from(
    [*TWOFOLD, "1e3", "null", "~", "true", ""]
)


@settings(SEEDED, max_examples=300)
@given(
    values=st.recursive(
        TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    )
)
def test_what_is_written_is_read_back_by_every_reader(values):
    for text in (params_file.to_yaml({"a": values}), f"a: {params_file.to_yaml(values, flow=True)}\n"):
        assert params_file.parse_strict(text) == dvc(text) == yaml.safe_load(text) == {"a": values}
    shared = [1]
    assert params_file.parse_strict(params_file.to_yaml({"a": shared, "b": shared})) == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", " is empty, expected sections: root, "),
        ("# nothing\n", " is empty, expected sections: root, "),
        ("- 1\n", " is a list, expected sections"),
        ("a:\n\t- 1\n", " is not valid YAML: line 2: "),
        ("a: 1\n---\nb: 2\n", " is not valid YAML: line 2: expected a single document"),
        ("%YAML 1.1\n---\na: 1\n", ": line 2: %YAML 1.1: DVC reads YAML 1.2; remove the line"),
        ("a: !!python/object/apply:os.system ['true']\n", ": line 1: the tag tag:yaml.org,2002:python/object/apply"),
        ("a: !!int 1\n", ": line 1: the tag tag:yaml.org,2002:int is not used"),
        ("a: !own 1\n", ": line 1: the tag !own is not used"),
        ("? [a]\n: 1\n", ": line 1: a key is a list or a section"),
        ("? {a: 1}\n: 1\n", ": line 1: a key is a list or a section"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", ": the key c occurs twice, the second time on line 4"),
        ("a: 1\n'a': 2\n", ": the key a occurs twice, the second time on line 2"),
        ("a: 'x\n", " is not valid YAML: line 2: "),
        ("[" * 5000, " is not valid YAML of an experiment: it is nested too deeply"),
        ("a: \x00\n", " is not valid YAML: "),
        ("a: &a [*a]\n", ": line 1: the alias *a"),
    ],
)
def test_odd_files_are_one_line(tmp_path, text, said):
    assert str(tmp_path / "params.yaml") + said in refused(tmp_path, text)


@pytest.mark.parametrize("kind", ["BOM", "CRLF", "CR"])
def test_files_of_other_editors_are_read_as_they_are(tmp_path, kind):
    text = {"BOM": "\ufeff" + DEFAULT, "CRLF": DEFAULT.replace("\n", "\r\n"), "CR": DEFAULT.replace("\n", "\r")}[kind]
    (tmp_path / "params.yaml").write_bytes(text.encode())
    assert loading.load_experiment(tmp_path / "params.yaml") == loading.load_experiment(ROOT / "params.yaml")


@pytest.mark.parametrize("key", ["1", "true", "null", "1.5"])
def test_keys_that_are_no_names_are_one_line(tmp_path, key):
    assert "attacks: " in refused(tmp_path, DEFAULT.replace("  fgsm:", f"  {key}:", 1))


# --- variables ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{name: imagenet-sample}", '{name: imagenet, path: "${IMAGENET}"}'),
        ("{name: imagenet-sample}", "{name: imagefolder, path: x, folder: '${PART}/a'}"),
        ("weights: {}", 'weights: {dir: "${WEIGHTS}/x"}'),
        ("root: .", "root: '${ROOT}'"),
    ],
)
def test_braces_of_a_variable_are_refused_as_dvc_fails_on_them(tmp_path, old, new):
    from dvc.utils.hydra import apply_overrides
    from omegaconf.errors import InterpolationKeyError

    text = DEFAULT.replace(old, new, 1)
    said = refused(tmp_path, text)
    assert f": line {line_of(text, new)}: " in said
    assert "`dvc exp run -S` fails on it; write an environment variable as $NAME, without braces" in said
    with pytest.raises(InterpolationKeyError):
        apply_overrides(tmp_path / "params.yaml", ["subset.images=5"])


@pytest.mark.parametrize("written", ["$IMAGENET", '"$IMAGENET"', "'$IMAGENET/val'"])
def test_a_variable_without_braces_survives_dvcs_changes(tmp_path, monkeypatch, written):
    from dvc.utils.hydra import apply_overrides

    monkeypatch.setenv("IMAGENET", "/somewhere")
    copy = tmp_path / "params.yaml"
    copy.write_text(DEFAULT.replace("imagenet-sample", f"imagenet, path: {written}", 1), encoding="utf-8")
    before = loading.load_experiment(copy).dataset.path
    apply_overrides(copy, ["subset.images=5"])
    experiment = loading.load_experiment(copy)
    assert experiment.dataset.path == before == written.strip("\"'") and experiment.subset.images == 5
    assert expand_path(before).as_posix() == before.replace("$IMAGENET", "/somewhere")


@pytest.mark.parametrize("path", ["$NOT_SET", "$NOT_SET/x", "~/$NOT_SET", "/a/$NOT_SET/b"])
def test_a_variable_that_is_not_set_is_named_where_it_is_needed(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expand_path(path)  # it is not needed to tell what the file says
    with pytest.raises(UserError, match=r"^weights: dir: .*: \$NOT_SET is not set; set it \(`export NOT_SET=\.\.\.`\)"):
        expand_path(path, "weights: dir")


def test_a_folder_named_with_a_dollar_is_found(tmp_path):
    (tmp_path / "$cash").mkdir()
    assert expand_path("$cash", "weights: dir", tmp_path) == tmp_path / "$cash"


def test_nobodys_home_is_no_traceback():
    assert str(expand_path("~nobody-of-this-name/x")) == "~nobody-of-this-name/x"


@pytest.mark.parametrize("key", ["root", "weights"])
def test_a_name_that_no_file_system_takes_is_one_line(tmp_path, key):
    """Found by a campaign (`stress/run.py --only valid`): a long `root` ended in a traceback."""
    long = "x" * 300
    values = params_file.parse_strict((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values |= {"root": long} if key == "root" else {"weights": {"dir": long}}
    values["dataset"] = {"name": "nips2017", "path": "images"}
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r": x{40}\.\.\. cannot be looked up: File name too long; give a shorter path"):
        loading.parse_experiment(params_file.to_yaml(values), tmp_path / "params.yaml")
