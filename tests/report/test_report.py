"""The report and what is printed, on made experiment folders whose rates are counted by hand."""

import csv
import dataclasses
import io
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import EMPTY
from made_experiments import FGSM, FOOLED, make, write_report
from rich.console import Console

from crossfool.attacks import parts_table
from crossfool.attacks.config import Attack
from crossfool.cli.show import show
from crossfool.errors import UserError
from crossfool.experiment import formulas
from crossfool.experiment.config import Experiment
from crossfool.experiment.results import metrics
from crossfool.pipeline.evaluation import success
from crossfool.report.figures import heatmap, panel
from crossfool.report.findings import Findings
from crossfool.report.reported import published_rates
from crossfool.report.tables import results as results_table
from crossfool.stats.rates import wilson_interval_of_share, wilson_rate
from crossfool.storage.json_files import write_json


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Experiment]:
    """A made experiment with its report; tests read it and change copies."""
    folder = tmp_path_factory.mktemp("made")
    experiment = make(folder, FOOLED)
    write_report(folder, experiment, folder / "report")
    return folder, experiment


@pytest.fixture
def copied(made: tuple[Path, Experiment], tmp_path: Path) -> tuple[Path, Experiment]:
    shutil.copytree(made[0], tmp_path / "copy", ignore=shutil.ignore_patterns("report"))
    return tmp_path / "copy", made[1]


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def printed(folder: Path, width: int = 120, names: Sequence[str] = ()) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show(folder, console, names)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_key_of_an_attack_is_in_the_table_and_in_words() -> None:
    """Or it is known to be told elsewhere, on purpose."""
    keys, meant = set(Attack.key_names()), {*formulas.ROW_MEANINGS, *formulas.L2_MEANINGS}
    untold = {"method", "options", "seed", "seeds", "fusion", "quantisation", "record_steps", "loss"}
    of_parts = {key for row in parts_table.part_rows() for key in row.keys}  # a column where an attack has it
    assert keys - set(results_table.PARAMETERS) - of_parts == untold | {"norm"}
    for row in parts_table.part_rows():
        assert row.meanings.keys() == row.keys.keys(), row.name
        meant |= row.meanings.keys()
    assert keys - meant == {"gradient", "update", "loss", "objective", "fusion"}


def test_a_key_that_few_attacks_have_is_a_column_where_one_has_it(made: tuple[Path, Experiment]) -> None:
    results = metrics.load_metrics(made[0], made[1])
    assert "loss" not in results_table.column_names(results)
    rows = {"fgsm": Attack(epsilon=8, steps=1, step_size=8, loss="cross_entropy")}
    other = dataclasses.replace(results, experiment=made[1].model_copy(update={"attacks": rows}))
    assert results_table.column_names(other)[18:20] == ["loss", "gradients"]


def test_results_csv(made: tuple[Path, Experiment]) -> None:
    table = {(row["source"], row["attack"], row["target"]): row for row in rows(made[0] / "report/tables/results.csv")}
    assert len(table) == 2 * 3 * 3
    row = table["fnn0", "fgsm", "fnn2"]
    wilson = wilson_rate(5, 8)
    assert row == {
        "source": "fnn0",
        "target": "fnn2",
        "attack": "fgsm",
        "objective": "untargeted",
        "epsilon": "40",
        "steps": "1",
        "step_size": "40",
        "gradient": "plain",
        "samples": "",
        "sigma": "",
        "update": "sign",
        "decay": "",
        **dict.fromkeys(("noise", "radius", "diversity", "resize", "scales", "kernel"), ""),
        "gradients": "1",
        "whitebox": "false",
        "n": "8",
        "top1": "62.5",
        "top1_low": str(wilson.low),
        "top1_high": str(wilson.high),
        "top5": "62.5",
        "top5_low": str(wilson.low),
        "top5_high": str(wilson.high),
        # the paper's table 2a: from depth 0 to depth 2 by FGSM with epsilon 40 it has 62.9
        "paper": "62.9",
        "difference": "-0.4",
        "paper_table": "table2a",
        "paper_top5": "",
        "difference_top5": "",
        "paper_top5_table": "",
    }
    assert table["fnn0", "sg_fgsm", "fnn2"]["paper"] == ""
    assert (table["fnn0", "sg_fgsm", "fnn2"]["samples"], table["fnn0", "sg_fgsm", "fnn2"]["gradients"]) == ("5", "5")
    assert [table["fnn2+fnn0", "fgsm", name]["whitebox"] for name in ("fnn0", "fnn2", "fnn4")] == [
        "true",
        "true",
        "false",
    ]
    assert (table["fnn0", "far", "fnn2"]["top1"], table["fnn0", "far", "fnn2"]["top5"]) == ("12.5", "12.5")


def test_destruction_csv(made: tuple[Path, Experiment]) -> None:
    table = rows(made[0] / "report/tables/destruction.csv")
    assert len(table) == 2 * 3 * 3 * 3
    by = {(r["source"], r["attack"], r["target"], r["transform"], r["level"]): r for r in table}
    row = by["fnn0", "fgsm", "fnn2", "jpeg", "20"]  # five fooled, the first three made right again
    assert (row["rate"], row["n"], row["whitebox"]) == ("60", "5", "false")
    assert (row["low"], row["high"]) == (str(wilson_rate(3, 5).low), str(wilson_rate(3, 5).high))
    none = by["fnn0", "fgsm", "fnn4", "rotation", "5"]
    assert (none["rate"], none["low"], none["high"], none["n"]) == ("", "", "", "0")


def test_tables(made: tuple[Path, Experiment]) -> None:
    text = (made[0] / "report/tables.md").read_text(encoding="utf-8")
    assert "8 images of mnist: every one that all 3 models classify correctly" in text
    assert "| source | fnn0 | fnn2 | fnn4 |\n| --- | ---: | ---: | ---: |\n" in text
    assert "| fnn0 | 100.0* [67.6, 100.0] | 62.5 [30.6, 86.3] (62.9) | 0.0 [0.0, 32.4] (62.9) |" in text
    # an ensemble has no figure in the paper here
    assert "| fnn2+fnn0 | 25.0* [7.1, 59.1] | 25.0* [7.1, 59.1] | 50.0 [21.5, 78.5] |" in text
    assert text.count("top-5 success rate") == 1  # of the targeted attack
    assert (
        "smoothed gradient of m = 5 samples with σ = 15, one step of α = 40, ε = 40; 5 gradient evaluations an image"
        in text
    )
    low, high = wilson_rate(91, 100).low, wilson_rate(91, 100).high
    assert f"| fnn2 | 91.0 [{low:.1f}, {high:.1f}] | 99.0 [94.6, 99.8] | 91.2 | 100 | 1,001 |" in text
    # fgsm's black-box pairs: 5 and 0 fooled from fnn0, 4 from the ensemble; destroyed 3 of 5 and 2 of 4
    # images 0 to 3 are fooled in two pairs, the fifth in one; destroyed in 2, 2, 1, 0 and 0
    each = np.array([2, 2, 1, 0, 0]) - 5 / 9 * np.array([2, 2, 2, 2, 1])
    effect = 5 / 4 * (each**2).sum() / 9**2 / (5 / 9 * 4 / 9 / 9)
    low, high = wilson_interval_of_share(5 / 9, 9 / effect)
    assert 1.5 < effect < 3
    cell = f"55.6 [{100 * low:.1f}, {100 * high:.1f}]"
    assert f"| fgsm | {cell} | {cell} | 9 |" in text and f"| fgsm | {cell} | 9 |" in text


def test_figures_are_there(made: tuple[Path, Experiment]) -> None:
    found = sorted(str(path.relative_to(made[0] / "report")) for path in (made[0] / "report").rglob("*.*"))
    names = ["agreement", "cost", "cost_narrow", "destruction", "heatmap_far", "heatmap_fgsm", "heatmap_sg_fgsm"]
    pictures = [f"figures/{name}.png" for name in [*names, "panel"]] + [f"vector/{name}.svg" for name in names]
    shown = ["fgsm-top1", "sg_fgsm-top1", "far-top1", "far-top5", "clean", "ranking", "mcnemar", "claims", "comparison"]
    shown.append("reported_claims")
    shown += ["destruction_jpeg", "destruction_rotation"]
    others = ["results", "destruction", "destruction_pooled", "pairwise", "budget", "samples", "seeds", "quantisation"]
    others += ["denominators", "cost", "grid_a", "grid_b", "scatter", "similarity", "panels", "networks"]
    others += [f"{name}_{objective}" for name in ("pairwise", "budget") for objective in ("untargeted", "targeted")]
    tables = [f"tables/{name}.csv" for name in (*shown, *others)] + [f"tables/{name}.tex" for name in shown]
    assert found == sorted(["tables.md", *tables, *pictures])


def test_the_panel_tells_right_from_wrong(made: tuple[Path, Experiment]) -> None:
    folder, experiment = made
    ((name, figure),) = panel.figures(Findings(folder, metrics.load_metrics(folder, experiment)))
    assert name == "panel"
    marks = [text.get_text()[0] for text in figure.texts if text.get_text()[:1] in ("✓", "✗")]
    # four images, fnn0 against fnn2 and fnn4: 8 clean answers; fgsm fools fnn2 on all and fnn4 on none; sg_fgsm
    # fools each on two
    assert (marks.count("✓"), marks.count("✗")) == (8 + 4 + 4, 4 + 4)
    clean, fgsm, change, *_ = (np.unique(np.asarray(axes.images[0].get_array())).tolist() for axes in figure.axes)
    assert (clean, fgsm, change) == ([100], [60, 140], [1, 255])


def test_a_heat_maps_scale_is_fixed_and_its_numbers_are_printed() -> None:
    rates = (np.array([[12.5, 100.0]]), np.array([[2.2, 67.6]]), np.array([[47.1, 100.0]]))
    grid = heatmap.Grid(["a"], ["b", "a"], rates, np.array([[False, True]]))
    figure = heatmap.draw_heatmap(grid, "igsm", "in words")
    axes = figure.axes[0]
    assert axes.images[0].get_clim() == (0, 100)
    assert [text.get_text() for text in axes.texts] == ["12.5", "2.2 – 47.1", "100.0*", "67.6 – 100.0"]
    assert [0.5 < patch.get_path().get_extents(patch.get_patch_transform()).x0 < 1 for patch in axes.patches] == [True]


def test_a_second_run_writes_the_same_bytes(made: tuple[Path, Experiment], tmp_path: Path) -> None:
    folder, experiment = made
    write_report(folder, experiment, tmp_path)
    first = {path.relative_to(folder / "report"): path.read_bytes() for path in (folder / "report").rglob("*.*")}
    again = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert first == again
    assert b"<dc:date>" not in first[Path("vector/destruction.svg")]


def test_nothing_to_transform_gives_no_destruction(tmp_path: Path) -> None:
    experiment = make(tmp_path, {}, attacks={"fgsm": FGSM}, transforms={})
    write_report(tmp_path, experiment, tmp_path / "report")
    assert rows(tmp_path / "report/tables/destruction.csv") == []
    assert not (tmp_path / "report/figures/destruction.png").exists()
    assert "Destruction" not in (tmp_path / "report/tables.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "place",
    ["metrics/fnn0/old.json", "metrics/fnn8/fgsm.json", "metrics/clean/fnn8.json", "adversarial/fnn0/old.safetensors"],
)
def test_a_left_over_file_is_refused(copied: tuple[Path, Experiment], place: str) -> None:
    folder, experiment = copied
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text("{}", encoding="utf-8")
    with pytest.raises(
        UserError, match=rf"{place} was not made by crossfool, and lies in a folder that stages write; move "
    ):
        write_report(folder, experiment, folder / "report")
    assert not (folder / "report").exists()


def test_hidden_files_are_no_left_overs(copied: tuple[Path, Experiment]) -> None:
    folder, experiment = copied
    (folder / "metrics/fnn0/.gitignore").write_text("*", encoding="utf-8")
    assert metrics.load_metrics(folder, experiment).n == 8


@pytest.mark.parametrize(
    "place",
    [
        "metrics/fnn0/fgsm.json",
        "metrics/fnn0/fgsm.transform.json",
        "metrics/clean/fnn2.json",
        "adversarial/fnn2+fnn0/far.safetensors",
        "predictions/fnn0/fgsm.parquet",
        "subset/images.safetensors",
    ],
)
def test_a_missing_file_is_named(copied: tuple[Path, Experiment], place: str) -> None:
    folder, experiment = copied
    (folder / place).unlink()
    with pytest.raises(UserError) as error:
        write_report(folder, experiment, folder / "report")
    assert f"{place} is missing" in str(error.value)
    assert not (folder / "report").exists()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("metrics/fnn0/fgsm.json", {"fnn0": {}}, "expected the targets fnn0, fnn2, fnn4, found fnn0; delete the file"),
        ("metrics/fnn0/fgsm.json", [], "does not match params.yaml: expected the targets fnn0, fnn2, fnn4, found list"),
        ("metrics/fnn0/fgsm.json", {name: {"top1": 3} for name in ("fnn0", "fnn2", "fnn4")}, "found no n, top1_high"),
        ("metrics/fnn0/fgsm.transform.json", {}, "does not match params.yaml: a model, transform or level"),
        ("metrics/clean/fnn0.json", {"top1": 3}, "found no n, parameters, published_top1"),
    ],
)
def test_metrics_of_another_shape_are_refused(
    copied: tuple[Path, Experiment], place: str, value: Any, message: str
) -> None:
    folder, experiment = copied
    write_json(folder / place, value)
    with pytest.raises(UserError, match=message) as error:
        metrics.load_metrics(folder, experiment)
    assert str(error.value).startswith(str(folder / place))


def test_metrics_of_other_images_are_refused(copied: tuple[Path, Experiment]) -> None:
    folder, experiment = copied
    right = np.tile(np.arange(5), (3, 1))
    other = success.cell_metrics(dict.fromkeys(experiment.models, right), np.zeros(3, int), None, "fnn0")
    write_json(folder / "metrics/fnn0/sg_fgsm.json", other)
    with pytest.raises(UserError, match=r"has results on 8 images, but .*sg_fgsm.json on 3"):
        metrics.load_metrics(folder, experiment)


def test_show(made: tuple[Path, Experiment]) -> None:
    text = printed(made[0])
    lines = text.splitlines()
    assert "Success rates in percent: 8 images of mnist: every one that all 3 models classify correctly" in lines
    heading = next(number for number, line in enumerate(lines) if line == "fgsm: top-1 success rate, %")
    assert lines[heading + 1].split() == ["source", "fnn0", "fnn2", "fnn4"]
    assert lines[heading + 3].split() == [
        *("fnn0", "100.0*", "[67.6,", "100.0]", "62.5", "(62.9)", "[30.6,", "86.3]", "0.0", "(62.9)", "[0.0,", "32.4]")
    ]
    assert lines[heading + 6].startswith(
        "Untargeted, plain gradient, one step of α = 40, ε = 40; 1 gradient evaluation"
    )
    clean = next(number for number, line in enumerate(lines) if line == "Clean accuracy")
    assert lines[clean + 3].split() == [
        "fnn0",
        "90.0",
        "[82.6,",
        "94.5]",
        "99.0",
        "[94.6,",
        "99.8]",
        "–",
        "100",
        "1,000",
    ]
    assert str(made[0] / "report/tables.md") in text and str(made[0] / "metrics") in text


def test_show_prints_any_table(made: tuple[Path, Experiment]) -> None:
    text = printed(made[0], names=["pairwise_untargeted", "ranking", "destruction"])
    assert "Success rates in percent" not in text and text.index("sg_fgsm") < text.index("Attacks by success")
    line = next(line.split() for line in text.splitlines() if line.startswith("fgsm ") and "untargeted" in line)
    assert line[:4] == ["fgsm", "1", "untargeted", "37.5"]
    assert "Destruction rates of each pair" in text  # one that the page leaves to its CSV
    with pytest.raises(UserError, match="unknown table 'rankin'; did you mean ranking"):
        printed(made[0], names=["ranking", "rankin"])


def test_show_needs_no_report_and_no_images(copied: tuple[Path, Experiment]) -> None:
    folder, _ = copied
    for place in ("adversarial", "predictions", "subset"):
        shutil.rmtree(folder / place)
    text = printed(folder)
    assert "62.5 (62.9)" in text and "tables.md" not in text


def test_show_fits_a_narrow_terminal(tmp_path: Path) -> None:
    lite = [f"efficientnet_lite{number}" for number in range(3)]
    igsm = {"epsilon": 15, "steps": 5, "step_size": 5}
    make(
        tmp_path,
        {},
        models=(lite[0], lite[1], lite[2]),
        sources=(lite[0], f"{lite[0]}+{lite[1]}"),
        attacks={"igsm": igsm},
        dataset={"name": "imagenet-sample"},
    )
    text = printed(tmp_path, 80)
    assert "\nefficientnet_lite0  " in text
    assert max(len(line) for line in text.splitlines() if str(tmp_path) not in line) <= 80
    assert text.count("25.0* [7.1, 59.1]") == 3 and text.count("25.0 [7.1, 59.1]") == 3


def test_many_targets_in_a_narrow_terminal_are_legible(tmp_path: Path) -> None:
    models = ("resnet18", "resnet101", "vgg13_bn", "vgg16_bn", "densenet121", "densenet161")
    igsm = {"epsilon": 15, "steps": 5, "step_size": 5}
    data = {"name": "imagenet-sample"}
    make(tmp_path, {}, models=models, sources=("resnet18",), attacks={"igsm": igsm}, dataset=data)
    narrow = printed(tmp_path, 75).splitlines()
    place = next(number for number, line in enumerate(narrow) if line.startswith("source"))
    assert narrow[place].split() == ["source", *models]
    # the paper's table 1 has five of these cells; a figure that does not fit beside the rate stands under it
    numbers = " ".join(narrow[place + 2 : place + 4])
    assert [numbers.count(figure) for figure in ("(43.4)", "(58.0)", "(51.7)", "(49.2)", "(35.8)")] == [1] * 5
    assert numbers.count("25.0") == 6
    assert "[7.1, 59.1]" in printed(tmp_path, 90) and "[7.1, 59.1]" not in printed(tmp_path, 75)
    assert "25.0 (43.4) [7.1, 59.1]" in printed(tmp_path, 180)


def test_show_loads_nothing_heavy(made: tuple[Path, Experiment]) -> None:
    code = (
        "import sys; from pathlib import Path; from rich.console import Console; from crossfool.cli.show import show; "
        f"show(Path({str(made[0])!r}), Console(quiet=True)); "
        "print(sorted({'torch', 'pandas', 'matplotlib', 'scipy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the paper's figures ----------------------------------------------------------------------------


def paper(models: str, source: str, target: str, of: str = "correct", **attack: Any) -> dict[str, tuple[float, str]]:
    """The figures that an ImageNet experiment with these models gets."""
    names = models.split()
    experiment = Experiment.model_validate(
        {
            "root": ".",
            "dataset": {"name": "imagenet", "path": "x"},
            "models": names,
            "weights": {},
            "training": None,
            "subset": {"images": "all", "of": of},
            "compute": {"chunk": 8},
            "sources": [source],
            "attacks": {"any": attack},
            "transforms": {},
            **EMPTY,
        }
    )
    found = published_rates.reported_rates(experiment, source, target, experiment.attacks["any"])
    return {metric: (figure.percent, figure.table) for metric, figure in found.items()}


IGSM = {"epsilon": 15, "steps": 5, "step_size": 5}
SMOOTHED = {"gradient": "smoothed", "samples": 20, "sigma": 15}
FAR = {"epsilon": 20, "steps": 20, "step_size": 15, "objective": "targeted"}


def test_each_table_has_its_parameters() -> None:
    two = "resnet18 densenet121"
    assert paper(two, "resnet18", "densenet121", epsilon=15, steps=1, step_size=15) == {"top1": (41.1, "table1")}
    assert paper(two, "resnet18", "densenet121", **IGSM) == {"top1": (49.2, "table1")}
    assert paper(two, "resnet18", "densenet121", **IGSM, **SMOOTHED) == {"top1": (73.1, "table5")}
    assert paper(two, "resnet18", "densenet121", of="all", **IGSM) == {}  # the paper has images that all get right
    momentum = {"update": "momentum", "decay": 1.0}
    assert paper(two, "resnet18", "densenet121", **IGSM, **momentum) == {"top1": (65.6, "table5")}
    assert paper(two, "resnet18", "densenet121", **IGSM, **SMOOTHED, **momentum) == {"top1": (86.5, "table5")}
    slow = {"epsilon": 15, "steps": 100, "step_size": 1}
    assert paper("resnet34 densenet121", "densenet121", "resnet34", **slow) == {"top1": (59.9, "table3")}
    three = "vgg11_bn densenet161 resnet50"
    assert paper(three, "vgg11_bn+densenet161", "resnet50", epsilon=20, steps=100, step_size=3) == {
        "top1": (80.3, "table6")
    }
    assert paper(three, "vgg11_bn+densenet161", "resnet50", epsilon=20, steps=50, step_size=3, **SMOOTHED) == {
        "top1": (94.8, "table6")
    }


def test_targeted_figures_are_top1_and_top5() -> None:
    models = "resnet101 densenet121 resnet50"
    expected = {"top5": (26.2, "table4"), "top1": (11.9, "table7")}
    assert paper(models, "resnet101+densenet121", "resnet50", **FAR) == expected
    assert paper(models, "densenet121+resnet101", "resnet50", **FAR) == expected  # the order does not matter
    smoothed = {"top5": (52.4, "table4"), "top1": (34.5, "table7")}
    assert paper(models, "resnet101+densenet121", "resnet50", **FAR, **SMOOTHED) == smoothed


@pytest.mark.parametrize(
    "attack",
    [
        {**IGSM, "epsilon": 16},
        {**IGSM, "steps": 6},
        {**IGSM, "step_size": 4},
        {**IGSM, "objective": "targeted"},
        {**IGSM, "gradient": "smoothed", "samples": 30, "sigma": 15},
        {**IGSM, "gradient": "smoothed", "samples": 20, "sigma": 10},
        {**IGSM, "update": "momentum", "decay": 0.9},
        {**IGSM, "diversity": 0.5},
        {**IGSM, "kernel": 7},
        {**IGSM, "scales": 5},
        {**IGSM, "update": "nesterov", "decay": 1.0},
        {**IGSM, **SMOOTHED, "noise": "antithetic"},
    ],
)
def test_other_parameters_have_no_figure(attack: dict[str, Any]) -> None:
    assert paper("resnet18 densenet121", "resnet18", "densenet121", **attack) == {}


def test_white_box_cells_have_no_figure() -> None:
    assert paper("resnet18 densenet121", "resnet18", "resnet18", **IGSM) == {}


def test_of_two_tables_the_one_with_the_experiments_models_is_taken() -> None:
    attack = {**IGSM, **SMOOTHED}
    table3 = "densenet121 resnet152 resnet34 vgg13_bn vgg19_bn"
    assert paper(table3, "densenet121", "vgg13_bn", **attack) == {"top1": (82.2, "table3")}
    assert paper(table3, "densenet121", "vgg13_bn", **attack, noise="gaussian") == {"top1": (82.2, "table3")}
    assert paper("resnet18 densenet121 vgg13_bn", "densenet121", "vgg13_bn", **attack) == {"top1": (80.3, "table5")}


def test_every_figure_of_the_paper_can_be_found() -> None:
    figures = [pair for found in published_rates._paper().values() for pair in found]
    assert len(figures) == 60 + 12 + 9 + 40 + 18 + 18 + 24 + 22  # tables 1, 2a, 2b, 3, 4, 5, 6, 7
