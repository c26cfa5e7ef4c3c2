"""Published protocols: their experiments are valid and costed, and their reported rates are the ones in public."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import made_evidence
import pytest
from builders import ROOT
from command_line import told

from crossfool.attacks.config import Attack
from crossfool.cli import stand_ins
from crossfool.cli.check import MOST_ATTACKS_SHOWN
from crossfool.datasets.preparation import catalogue
from crossfool.errors import UserError
from crossfool.experiment import costs, loading, params_file, plan_files, protocol_files, stage_plans
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.metrics import Results
from crossfool.report.reported import paper_agreement, protocol_rates

PROTOCOLS = protocol_files.protocols()
EQUAL_COST = (
    *("igsm", "migsm", "ni", "gi", "di", "ti", "si", "admix", "bsr", "sia"),
    *("sg_igsm", "sg_migsm", "vmi", "gra", "emi", "pgn", "mef"),
)
COSTS = {  # gradient evaluations an image, by hand from steps and what each of them evaluates
    "transferattack": {
        **dict.fromkeys(("igsm", "migsm", "ni", "di", "ti"), 10),
        "fgsm": 1,
        "si": 10 * 5,
        "vmi": 10 * 21,
        "vni": 10 * 21,
        "gra": 10 * 21,
    },
    "ta-bench": {**dict.fromkeys(("igsm", "migsm", "di", "ti", "un"), 100), "vt": 100 * 21},
    "transferattackeval": {
        **dict.fromkeys(("pgd", "migsm", "ni"), 100),
        "di": 50 * 5,
        "ti": 50,
        "si": 50 * 5,
        "vt": 50 * 6,
    },
    "blackboxbench": {
        "igsm": 100,
        "migsm": 10,
        "ni": 10,
        "di": 100,
        "ti": 100,
        "si": 300 * 5,
        "vt": 100 * 6,
        "vmi": 10 * 6,
    },
    "equal-cost": {
        **{f"{name}_10": 10 for name in EQUAL_COST},
        **{f"{name}_50": 12 * 2 * 2 if name == "pgn" else 50 for name in EQUAL_COST},
    },
}
# Epsilon, attacked images, models, and gradient evaluations of all sources on all images.
SIZES = {
    "transferattack": (16, 1_000, 8, 1_000 * 731),
    "ta-bench": (8, 5_000, 10, 5_000 * 2_600),
    "transferattackeval": (16, 5_000, 4, 4 * 5_000 * 1_150),
    "blackboxbench": (7.65, 1_000, 15, 5 * 1_000 * 2_480),
    "equal-cost": (4, 300, 3, 300 * (17 * 60 - 2)),
}


def made(project: Path, name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """The folder that `new` makes of a protocol, and what it prints."""
    monkeypatch.chdir(project)
    text = told("new", "mine", "--protocol", name, *arguments)
    return project / "experiments/mine", text


def path_of(name: str) -> tuple[str, ...]:
    return () if catalogue.find(PROTOCOLS[name].dataset).model_fields.get("path") is None else ("--path", "photos")


def test_every_protocol_is_expected_here() -> None:
    assert list(PROTOCOLS) == list(COSTS) == list(SIZES)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_new_experiment_follows_the_protocol(project: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, text = made(project, name, *path_of(name), monkeypatch=monkeypatch)
    protocol, experiment = PROTOCOLS[name], loading.load_experiment(folder / "params.yaml")
    assert experiment.protocol == name and experiment.dataset.name == protocol.dataset
    assert experiment.models == protocol.models and experiment.sources == protocol.sources
    assert experiment.targets == "all" and experiment.subset.images == protocol.subset["images"]
    assert {name: row.gradient_evaluations for name, row in experiment.attacks.items()} == COSTS[name]
    epsilon, images, models, gradients = SIZES[name]
    assert {row.epsilon for row in experiment.attacks.values()} == {epsilon} and len(experiment.models) == models
    cost = costs.cost(experiment)
    assert (costs.attacked_images(experiment), cost.gradients) == (images, gradients)

    written = (folder / "params.yaml").read_text(encoding="utf-8")
    comments = " ".join(line.lstrip("# -") for line in written.splitlines() if line.startswith("#"))
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for point in (protocol.summary, protocol.source, *protocol.open):
        assert point in " ".join(comments.split()) and point in readme
    assert max(len(line) for line in written.splitlines() if line.startswith("#")) <= 118
    unpinned = [model for model in protocol.models if model.startswith(("timm_", "robust_"))]
    assert (f"pin the sha256 of {', '.join(unpinned)} in experiments/mine/params.yaml" in text) == bool(unpinned)
    assert all(model in comments for model in unpinned)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_check_costs_it(project: Path, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On twenty photographs, with weights pinned; where timm is there, `check` asks it for each of its names."""
    folder, _ = made(project, name, "--dataset", "imagenet-sample", monkeypatch=monkeypatch)
    monkeypatch.setenv("CROSSFOOL_CACHE", str(tmp_path / "cache"))
    protocol, path = PROTOCOLS[name], folder / "params.yaml"
    unpinned = [model for model in protocol.models if model.startswith(("timm_", "robust_"))]
    if unpinned:
        assert f"{min(unpinned)}: its weights have no pinned sha256; set weights" in told("check", "mine", code=2)
    (tmp_path / "weights/models/imagenet/Linf").mkdir(parents=True)
    (tmp_path / "weights/models/imagenet/Linf/Salman2020Do_R50.pt").touch()
    weights = {"dir": str(tmp_path / "weights"), "sha256": dict.fromkeys(unpinned, "a" * 64)}
    text = path.read_text(encoding="utf-8").replace("weights: {}\n", f"weights: {json.dumps(weights)}\n")
    path.write_text(text, encoding="utf-8")
    printed = told("check", "mine")
    attacked = loading.load_experiment(path)
    assert f"valid: {len(protocol.models)} models, {len(protocol.sources)} source" in printed
    images = costs.attacked_images(attacked)
    assert images is not None and images <= 20
    total = images * len(protocol.sources) * sum(COSTS[name].values())
    assert f"gradients {costs.count_text(total) if total >= 10_000 else f'{total:,}'}, and " in printed
    shown = COSTS[name].items() if len(COSTS[name]) <= MOST_ATTACKS_SHOWN else ()
    assert ("an image and model: " in printed) == bool(shown)
    for attack, cost in shown:
        assert f" {attack} {cost}" in printed


def test_models_of_timm_are_timms() -> None:
    """Each name with its tag, and its images of the side that its protocol gives it."""
    pytest.importorskip("timm")
    from crossfool.models import build
    from crossfool.models.weights import model_description, registry

    names = {model for protocol in PROTOCOLS.values() for model in protocol.models if model.startswith("timm_")}
    sides = {name: model_description.timm_config(registry.spec(name))["input_size"][-1] for name in names}
    odd = {"timm_tf_efficientnetv2_m__in1k": 384, "timm_pnasnet5large": 331}
    assert sides == dict.fromkeys(names, 224) | odd
    tagged = {name: build.timm_name(name) for name in names if "__" in name}
    assert all(name == f"timm_{found.replace('.', '__')}" for name, found in tagged.items())


@pytest.mark.parametrize("pool", ["imagenet", "mnist"])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_its_smoke_run_is_valid(project: Path, name: str, pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attack in small, with few steps; `project/test_protocols_in_small.py` runs it."""
    folder, _ = made(project, name, *path_of(name), monkeypatch=monkeypatch)
    values = params_file.parse_strict((folder / "params.yaml").read_text(encoding="utf-8"))
    small = Experiment.model_validate(stand_ins.shrink_params(values, stand_ins.STAND_INS[pool]))
    assert small.protocol == name and list(small.attacks) == list(PROTOCOLS[name].attacks)
    assert max(row.gradient_evaluations for row in small.attacks.values()) <= 12


def test_what_new_refuses(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert "unknown protocol 'transferatack'; did you mean transferattack" in told(
        "new", "mine", "--protocol", "transferatack", code=2
    )
    assert "nips2017 needs " in told("new", "mine", "--protocol", "transferattack", code=2)
    assert "give --from, or --dataset" in told("new", "mine", "--protocol", "ta-bench", "--from", ".", code=2)
    refused = told("new", "mine", "--protocol", "ta-bench", "--dataset", "mnist", code=2)
    assert "classifies imagenet, and the data set mnist is mnist" in refused
    assert list((project / "experiments").iterdir()) == []


def test_protocols_are_listed() -> None:
    printed = told("list", "protocols")
    assert all(f"\n{name} " in printed for name in PROTOCOLS)
    assert "10 attacks, reported rates of 32 attacks" in printed and "arXiv 2311.01323" in printed


# --- the key in params.yaml ---------------------------------------------------------------------------


def experiment(protocol: str | None = "transferattack", **sections: Any) -> Experiment:
    """Two of TransferAttack's networks on other photographs, with its momentum, its FGSM and an attack of ours."""
    rows = PROTOCOLS["transferattack"].rows
    mine = {"epsilon": 16, "steps": 10, "step_size": 2, "update": "momentum", "decay": 1.0}
    attacks = {"mi": {**rows["migsm"], "record_steps": [2, 5]}, "one": rows["fgsm"], "mine": mine}
    plain = made_evidence.experiment(("resnet50", "vgg16"), ("resnet50", "vgg16"), attacks)
    values: Mapping[str, Any] = {name: getattr(plain, name) for name in Experiment.model_fields}
    subset = {"images": "all", "of": "all"}
    return Experiment.model_validate({**values, "subset": subset, "protocol": protocol, **sections})


def test_an_unknown_protocol_names_the_nearest() -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for wrong in ("ta_bench", "TA-Bench", "tabench"):
        with pytest.raises(
            UserError, match=f"^params.yaml: protocol: unknown protocol '{wrong}'; did you mean ta-bench"
        ):
            loading.parse_experiment(f"{text}protocol: {wrong}\n", "params.yaml")
    assert loading.parse_experiment(f"{text}protocol: ta-bench\n", "params.yaml").protocol == "ta-bench"


def test_a_protocol_is_in_the_plan_of_the_report_alone() -> None:
    without, following = (plan_files.plan_texts(experiment(name)) for name in (None, "transferattack"))
    assert {name for name, text in without.items() if following[name] != text} == {"report"}
    code = stage_plans.report(experiment()).content()["code"]
    assert {"experiment.protocols.transferattack", "experiment/protocols/transferattack.csv"} <= code.keys()
    assert "experiment.protocols.ta_bench" not in code
    assert not [name for name in stage_plans.report(experiment(None)).content()["code"] if "protocols" in name]


# --- reported rates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROTOCOLS)
def test_reported_rates_are_of_the_protocols_cells(name: str) -> None:
    protocol = PROTOCOLS[name]
    assert protocol.rates_from and bool(protocol.rates) == (protocol.reported != ())
    assert protocol.reported_as.keys() <= protocol.attacks.keys()
    cells = {(row["attack"], row["source"], row["target"]) for row in protocol.reported}
    assert len(cells) == len(protocol.reported)
    for row in protocol.reported:
        assert tuple(row) == protocol_files.COLUMNS
        assert row["source"] in protocol.sources and row["target"] in protocol.models
        assert 0 <= float(row["success_rate_percent"]) <= 100
    assert set(protocol.reported_as.values()) <= {attack for attack, _, _ in cells}
    for attack in protocol.reported_as.values():
        assert sum(cell[0] == attack for cell in cells) == len(protocol.sources) * len(protocol.models)


def test_transferattacks_rates_are_its_readmes() -> None:
    """Three rows of its table, and the means over its seven black-box targets of others, counted apart."""
    rates: dict[str, list[float]] = {}
    for row in PROTOCOLS["transferattack"].reported:
        rates.setdefault(row["attack"], []).append(float(row["success_rate_percent"]))
    assert len(rates) == 32 and {len(found) for found in rates.values()} == {8}
    assert [row["target"] for row in PROTOCOLS["transferattack"].reported[:8]] == [*PROTOCOLS["transferattack"].models]
    assert rates["FGSM"] == [49.2, 54.6, 48.2, 32.8, 11.9, 14.1, 18.7, 19.4]
    assert rates["I-FGSM"] == [99.6, 36.5, 33.6, 17.7, 7.5, 11.7, 14.4, 15.7]
    assert rates["MI-FGSM"] == [99.9, 57.9, 53.4, 37.4, 14.5, 22.5, 26.2, 28.1]
    means = {name: round(sum(found[1:]) / 7, 1) for name, found in rates.items()}
    known = {"DIM": 50.9, "DEM": 76.4, "GRA": 71.7, "MEF": 86.7, "OPS": 96.5, "RAP": 58.4, "VMI-FGSM": 54.6}
    assert {name: means[name] for name in known} == known


def rates(top1: float, whitebox: bool = False) -> dict[str, Any]:
    """A target's rates with intervals of 2 points to either side."""
    ends = {"top1": top1, "top1_low": top1 - 2, "top1_high": top1 + 2}
    return {**ends, "top5": 5.0, "top5_low": 3.0, "top5_high": 7.0, "n": 100, "whitebox": whitebox}


def test_reported_rates_stand_beside_ours() -> None:
    """Only where the row is the protocol's, whatever its name and snapshots; its white-box cells are not compared."""
    cells = {"resnet50": rates(99.0, whitebox=True), "vgg16": rates(60.0)}
    success = {("resnet50", attack): cells for attack in ("mi", "one", "mine")} | {
        ("vgg16", "mi"): {"resnet50": rates(50.0)}  # no source of the protocol
    }
    found = paper_agreement.comparison_rows(Results(experiment(), 100, {}, success, {}, {}, {}))
    assert [tuple(row.values()) for row in found] == [
        ("transferattack", "top1", "resnet50", "vgg16", "mi", 60.0, 58.0, 62.0, 100, 57.9, 2.1, False),
        ("transferattack", "top1", "resnet50", "vgg16", "one", 60.0, 58.0, 62.0, 100, 54.6, 5.4, False),
    ]
    for other in (
        experiment(None),
        experiment("ta-bench"),
        experiment(subset={"images": "all"}),  # right under all models
        experiment(subset={"images": "all", "of": "all", "tuning": 5, "use": "tuning"}),
    ):
        assert paper_agreement.comparison_rows(Results(other, 100, {}, success, {}, {}, {})) == []


def test_every_row_of_a_protocol_has_its_rates() -> None:
    for protocol in PROTOCOLS.values():
        attacks = {name: Attack.model_validate(row) for name, row in protocol.rows.items()}
        own = experiment(protocol.key, subset={"images": "all", "of": protocol.subset.get("of", "correct")})
        for name, attack in attacks.items():
            found = protocol_rates.protocol_rate(protocol, own, protocol.sources[0], protocol.models[-1], attack)
            wanted = protocol.reported_as.get(name)
            cell = (wanted, protocol.sources[0], protocol.models[-1])
            table = {(row["attack"], row["source"], row["target"]): row for row in protocol.reported}
            assert found == (float(table[cell]["success_rate_percent"]) if wanted else None)
