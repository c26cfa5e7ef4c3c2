"""Output streams and locales that cannot encode everything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from crossfool import text_encoding
from crossfool.cli.main import main

SHOWN = {
    "show": ("Untargeted, plain gradient, one step of alpha = 40, epsilon = 40", "0.0*", "----"),
    "explain fnn0/sg_fgsm": ("step_size = 40", "alpha, pixel values a step", "G_t = 1/"),
    "compare fgsm sg_fgsm": ("fgsm - sg_fgsm: success rates in percent", "+37.5 [-5.6, 65.1]", "----"),
    "check": ("3 models, 2 sources x 3 attacks",),
    "list transforms": ("----", "levels"),
    "list attacks": ("Hammersley & Morton 1956",),
    "remove-leftovers": ("nothing is left over",),
}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("command", SHOWN)
def test_what_a_stream_cannot_encode_is_spelled(small: Path, monkeypatch, command: str, encoding: str) -> None:
    monkeypatch.chdir(small)
    values = yaml.safe_load((small / "params.yaml").read_text())
    (small / "params.yaml").write_text(yaml.safe_dump(values | {"root": "../.."}))
    done = CliRunner(charset=encoding).invoke(main, command.split())
    assert done.exit_code == 0, done.output
    text = done.stdout_bytes.decode(encoding)
    if encoding != "ascii":  # these have some of the signs
        text = text_encoding.to_ascii(text)
    assert not [part for part in SHOWN[command] if part not in text], text
    assert "\\u" not in text and "?" not in text.replace("is the variable set?", "")


@pytest.mark.parametrize(
    ("text", "ascii"),
    [
        ("xₜ₊₁ ≤ ε·α, 15², σᵢ × Σ", "x_t+1 <= epsilon.alpha, 15^2, sigma_i x Sigma"),
        ("│─┼ … café Łódź 数", "|-+ ... cafe \\u0141odz \\u6570"),
        ("\udcff.safetensors", "\\xff.safetensors"),
    ],
)
def test_text_is_spelled_in_ascii(text: str, ascii: str) -> None:
    assert text_encoding.to_ascii(text) == ascii


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONUTF8": "1"},
    ],
    ids=str,
)
def test_a_file_that_no_stream_can_name_is_told(small: Path, environment: dict[str, str]) -> None:
    """By a process whose streams, and names of files, are of the encoding."""
    for name in (b"ol\xff", "alt ü ε".encode()):
        (Path(os.fsdecode(os.fsencode(small) + b"/metrics/fnn0/" + name + b".json"))).write_text("{}")
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    command = [sys.executable, "-m", "crossfool", "remove-leftovers", "."]
    done = subprocess.run(command, cwd=small, env=variables | environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"left alone: metrics/fnn0/") == 2 and b"ol\\xff.json" in done.stdout
    command[-2:] = ["check", "ü ε"]
    done = subprocess.run(command, cwd=small, env=variables | environment, capture_output=True)
    assert done.returncode == 2 and done.stderr.startswith(b"error: unknown experiment '"), done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_path_that_the_locale_cannot_name_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from crossfool.pipeline.stage import stage\n@stage\ndef main():\n    open('\\u6570')\nmain()\n"
    )
    variables = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == ("error: this locale has no such file names: \\u6570; set LC_ALL=C.UTF-8, or PYTHONUTF8=1\n")


def test_standard_output_that_cannot_be_written_to_is_named(small: Path) -> None:
    command = [sys.executable, "-m", "crossfool", "show", "."]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, cwd=small, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device: standard output\n")
