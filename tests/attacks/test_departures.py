"""Where torchattack's code departs from its papers: seen on tiny networks, and said wherever an attack is shown."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import ROOT
from command_line import told
from made_experiments import make
from torch import Tensor, nn

from crossfool.attacks.config import Attack
from crossfool.attacks.torchattack import catalogue
from crossfool.experiment.descriptions import attack_summary, departure
from crossfool.report.findings import read_findings
from crossfool.report.renderers.csv_text import render_csv
from crossfool.report.renderers.latex import render_latex
from crossfool.report.renderers.markdown import render_markdown

torchattack = pytest.importorskip("torchattack", "1.7.2")
EPSILON, STEP = 0.25, 0.0625


class Scheduled(nn.Module):
    """Two logits whose gradient has a sign that the number of the call decides, the same at every pixel: +, +, −."""

    def __init__(self) -> None:
        super().__init__()
        self.signs = iter((1.0, 1.0, -1.0))

    def forward(self, x: Tensor) -> Tensor:
        lever = next(self.signs) * x.sum((1, 2, 3))
        return torch.stack([-lever, lever], 1) * 1e-3  # the true label is 0: the loss rises with the lever


def tiny() -> nn.Module:
    """A small network of random weights, nowhere linear."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    return nn.Sequential(*layers).eval().requires_grad_(False)


def attacked(name: str, network: nn.Module, x: Tensor, y: Tensor, steps: int = 3, **options: Any) -> Tensor:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    attack = getattr(torchattack, name)
    made = attack(network, device=torch.device("cpu"), eps=EPSILON, steps=steps, alpha=STEP, **options)
    return made(x, y).detach()


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [("MIFGSM", {}, 3), ("NIFGSM", {}, 1), ("SINIFGSM", {"m": 1}, 1), ("TIFGSM", {"kern_len": 3}, 1)],
)
def test_the_last_gradient_decides_where_no_momentum_is_kept(name: str, options: dict[str, Any], steps: int) -> None:
    """Gradients +, +, −: momentum goes on for a third step, what keeps none turns back: one step from the start."""
    x = torch.full((1, 3, 8, 8), 0.5)
    moved = attacked(name, Scheduled(), x, torch.tensor([0]), **options) - x
    assert torch.equal(moved, torch.full_like(x, steps * STEP))
    assert ("no momentum" in catalogue.METHODS[name].departs) == (steps == 1)


@pytest.mark.filterwarnings("ignore:torch.meshgrid")  # of DeCoWA
@pytest.mark.parametrize(
    ("name", "options"), [("MIFGSM", {}), ("SSA", {"num_spectrum": 1}), ("DeCoWA", {"num_warping": 1})]
)
def test_the_decay_is_of_no_use_where_no_momentum_is_kept(name: str, options: dict[str, Any]) -> None:
    side = catalogue.METHODS[name].side or 32
    x, y = torch.rand((1, 3, side, side), generator=torch.Generator().manual_seed(1)), torch.tensor([0])
    results = [attacked(name, tiny(), x, y, 5, decay=decay, **options) for decay in (0.0, 1.0)]
    assert torch.equal(*results) == ("no momentum" in catalogue.METHODS[name].departs)


def test_every_attack_without_momentum_is_looked_at() -> None:
    assert [name for name, one in catalogue.METHODS.items() if "no momentum" in one.departs] == [
        *("NIFGSM", "SINIFGSM", "TIFGSM", "DeCoWA", "SSA"),
    ]


def test_mig_raises_the_true_labels_probability() -> None:
    x, network = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(1)), tiny()
    y = network(x).argmax(1)
    before, after, right = (
        network(images).softmax(1).gather(1, y[:, None])
        for images in (x, attacked("MIG", network, x, y, s_factor=3), attacked("MIFGSM", network, x, y))
    )
    assert (after > before).all() and (right < before).all()
    assert "raises the true label's probability" in catalogue.METHODS["MIG"].departs


def test_bsr_turns_strips_and_a_whole_chunk_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchattack import bsr

    turned: list[Tensor] = []

    class Rotation(nn.Module):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__()

        def forward(self, x: Tensor) -> Tensor:
            turned.append(x)
            return x

    monkeypatch.setattr(bsr, "RandomRotation", Rotation)
    attack = bsr.BSR(tiny(), device=torch.device("cpu"), num_block=3)
    attack._bsr_shuffle(torch.rand(2, 3, 32, 32))
    assert len(turned) == 3  # strips, and no nine blocks
    assert all(
        len(strip) == 2 and 32 in strip.shape[2:] for strip in turned
    )  # of both images at once, from edge to edge


@pytest.mark.parametrize(("name", "options"), [("MIFGSM", {}), ("DR", {"feature_layer_cfg": "0"})])
def test_dr_takes_one_spread_for_the_chunk(name: str, options: dict[str, Any]) -> None:
    """Whether a grey image's result depends on its neighbour of strong contrast."""
    x = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(1))
    x[0] = 0.45 + 0.1 * x[0]
    y = torch.tensor([0, 1])
    alone, together = attacked(name, tiny(), x[:1], y[:1], **options), attacked(name, tiny(), x, y, **options)
    assert torch.equal(alone[0], together[0]) == ("chunk" not in catalogue.METHODS[name].departs)


def attack(method: str, **keys: Any) -> Attack:
    return Attack.model_validate({"method": f"torchattack/{method}", "epsilon": 15, "steps": 2} | keys)


def test_a_row_says_in_what_it_departs() -> None:
    assert departure(attack("MIFGSM")) == "" and departure(attack("GRA")) == ""
    assert departure(attack("GRA", objective="targeted")) == "the neighbours' gradients aim at no target"
    assert attack_summary(attack("TIFGSM")).endswith("(† departs from its paper: no momentum is kept)")
    assert "†" not in attack_summary(attack("MIFGSM"))


RENDERERS: dict[str, tuple[Callable[..., str], str]] = {
    "markdown": (render_markdown, "ti †"),
    "latex": (render_latex, r"ti $\dagger$"),
}


@pytest.mark.parametrize("renderer", RENDERERS)
def test_tables_mark_it_and_the_csv_does_not(tmp_path: Path, renderer: str) -> None:
    rows = {
        "ti": {"method": "torchattack/TIFGSM", "epsilon": 40, "steps": 2},
        "mi": {"method": "torchattack/MIFGSM", "epsilon": 40, "steps": 2},
    }
    make(tmp_path, {("fnn0", "ti", "fnn2"): 5}, sources=("fnn0",), attacks=rows)
    tables = {table.name: table for section in read_findings(tmp_path).tables.values() for table in section}
    render, mark = RENDERERS[renderer]
    for name in ("ranking", "mcnemar", "pairwise_untargeted"):
        assert mark in render(tables[name]), name
        assert (
            "† The code is known to depart from the attack's paper. ti: no momentum is kept." in tables[name].all_notes
        )
        assert "†" not in render_csv(tables[name])
    assert "mi †" not in render_markdown(tables["ranking"])
    assert "departs from its paper: no momentum is kept" in tables["ti-top1"].all_notes[0]


def test_the_list_and_the_leaderboard_say_it() -> None:
    (line,) = [line for line in told("list", "attacks", "--filter", "torchattack/MIG").splitlines() if "MIG" in line]
    assert "† 1.7.2 departs from the paper: the sign is wrong" in line
    text = (ROOT / "docs/leaderboard.md").read_text(encoding="utf-8")
    for name in ("mig", "tifgsm", "bsr", "decowa", "ssa", "nifgsm", "sinifgsm", "dr"):
        assert f"| `{name}` † |" in text
    assert "| `mifgsm` |" in text and "mig: the sign is wrong" in text and "nifgsm, tifgsm: no momentum is kept" in text
