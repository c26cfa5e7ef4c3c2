"""Parts and keys that nobody has put into words are shown as params.yaml has them, never as another attack."""

import json
from typing import Any

import pytest
from package_copy import Copy

LOOP = {"epsilon": 16, "steps": 3, "step_size": 4}
SMOOTHED = {**LOOP, "gradient": "smoothed", "samples": 2}
WORDLESS = {  # modules without a word
    "losses/hinge.py": """
        from crossfool.attacks.part import LossPart
        from crossfool.config import Count
        class Part(LossPart):
            gap: Count
            def loss(self, log_probabilities, labels, targeted):
                return lambda x: log_probabilities(x)[:, 0]
        """,
    "gradients/odd.py": """
        from crossfool.attacks.part import GradientPart
        from crossfool.config import Count
        class Part(GradientPart, noise="hum"):
            samples: Count
            def estimator(self, context):
                return lambda loss, x: x
        """,
    "noise/hum.py": """
        from crossfool.attacks.part import NoisePart
        from crossfool.config import Count
        class Part(NoisePart):
            loud: Count
        """,
    "updates/slow.py": """
        from crossfool.attacks.part import UpdatePart
        from crossfool.config import Count
        class Part(UpdatePart):
            rest: Count
        """,
    "inputs/tilt.py": """
        from crossfool.attacks.part import InputPart
        class Part(InputPart):
            tilt: bool
        """,
    # words that speak of another key than the one that it has, and a key that its words leave out
    "updates/lost.py": '''
        from crossfool.attacks.part import UpdatePart
        class Part(UpdatePart):
            """Lost.

            Summary: momentum of {decay:g}
            """
            drag: int
        ''',
    "losses/half.py": '''
        from crossfool.attacks.part import LossPart
        class Part(LossPart):
            """Half said.

            Summary: half a loss of {much}
            Formula:
                loss: J(x) = {much} f(x)
            """
            much: int
            more: int
        ''',
}
TITLES = {
    "hinge": ({**LOOP, "loss": "hinge", "gap": 3}, "plain gradient, loss: hinge, gap: 3, T = 3"),
    "odd": (
        {**LOOP, "gradient": "odd", "samples": 2, "loud": 7},
        "gradient: odd, samples: 2, noise: hum, loud: 7, T = 3",
    ),
    "hum": ({**SMOOTHED, "noise": "hum", "loud": 7}, "gradient of m = 2 samples (noise: hum, loud: 7), T = 3"),
    "slow": ({**LOOP, "update": "slow", "rest": 2}, "plain gradient, update: slow, rest: 2, T = 3"),
    "tilt": ({**LOOP, "tilt": True}, "plain gradient, tilt: true, T = 3"),
    "lost": ({**LOOP, "update": "lost", "drag": 2}, "plain gradient, update: lost, drag: 2, T = 3"),
    "half": ({**LOOP, "loss": "half", "much": 2, "more": 5}, "plain gradient, half a loss of 2, more: 5, T = 3"),
}
FORMULAS = {
    "hinge": "J(x): loss: hinge, gap: 3 (losses/hinge.py); f the source's log-probabilities",
    "odd": "Gₜ: gradient: odd, samples: 2 (gradients/odd.py)",
    "hum": "2 ξᵢ: noise: hum, loud: 7 (noise/hum.py) afresh each step",
    "slow": "dₜ: update: slow, rest: 2 (updates/slow.py)",
    "tilt": "tilt: true (inputs/tilt.py)",
    "lost": "dₜ: update: lost, drag: 2 (updates/lost.py)",
    "half": "J(x) = 2 f(x) (more: 5); f the source's log-probabilities",
}
TELL = """
import json, sys
from pathlib import Path
from click.testing import CliRunner
from made_experiments import complete, make, write_report
from crossfool.cli.main import main
from crossfool.report.html import page
rows = json.loads(sys.argv[1])
folder = Path("made")
experiment = make(folder, {}, models=("fnn0", "fnn2"), sources=("fnn0",), attacks=rows, transforms={})
complete(folder)
def told(*arguments):
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output
write_report(folder, experiment, folder / "report")
page.write_page([folder], folder / "index.html")
print(json.dumps({
    "show": told("show", str(folder)),
    "explain": {name: told("explain", f"fnn0/{name}", "--folder", str(folder)) for name in rows},
    "compare": {name: told("compare", name, "plain", "--folder", str(folder)) for name in rows if name != "plain"},
    "page": (folder / "index.html").read_text(),
}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = Copy(tmp_path_factory.mktemp("wordless"), {"plain": LOOP})
    for path, text in WORDLESS.items():
        lines = text.strip("\n").rstrip(" ").splitlines(keepends=True)
        (made.folder / "crossfool/attacks" / path).write_text("".join(line[8:] or "\n" for line in lines))
    return made.ask(TELL, json.dumps({"plain": LOOP, **{name: row for name, (row, _) in TITLES.items()}}))


@pytest.mark.parametrize("name", TITLES)
def test_what_nobody_put_into_words_is_shown_as_it_is(told, name):
    """By each of the four, and never as another attack."""
    title, key = TITLES[name][1], next(key for key in TITLES[name][0] if key not in LOOP)
    spaced = " ".join(told["show"].split())
    assert title in spaced
    assert title in " ".join(told["compare"][name].split())
    assert title.replace("'", "&#39;") in told["page"] or _upper(title) in told["page"]
    explained = " ".join(told["explain"][name].split())
    assert title in explained and FORMULAS[name] in explained
    value = TITLES[name][0][key]
    assert f"{key} = {value}" in explained
    assert "cross-entropy" not in explained


def _upper(title: str) -> str:
    return title[0].upper() + title[1:]
