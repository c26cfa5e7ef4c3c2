"""The first screen of the page: the question, and the best attack beside the next one at equal cost, by hand."""

import shutil
from pathlib import Path

import pytest
from made_experiments import FGSM, FOOLED, LABELS, SG, TARGETED, complete, make, write_report

from crossfool.experiment import loading
from crossfool.report.answer import Answer, find_answers, question
from crossfool.report.findings import read_findings
from crossfool.report.html.short_names import breakable, short_names
from crossfool.report.html.summary import coverage_sentence, experiment_name
from crossfool.report.tables import mcnemar, pairwise
from crossfool.stats.mean_rate import MeanRate


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    experiment = make(folder, FOOLED, transforms={})
    complete(folder)
    write_report(folder, experiment, folder / "report")
    return folder


def answers(folder: Path) -> list[Answer]:
    return list(find_answers(read_findings(folder)))


def test_the_answer_by_hand(made: Path) -> None:
    """fgsm fools 5, 0 and 4 of 8 images of three black-box cells, sg_fgsm 2 of each, far 1, 2 and 2."""
    untargeted, targeted = answers(made)
    assert (untargeted.attack, untargeted.rival, untargeted.gradients, untargeted.rival_gradients) == (
        *("fgsm", "sg_fgsm"),
        *(1, 5),
    )
    assert untargeted.rate.percent == 37.5 and untargeted.rate.cells == 3
    assert untargeted.test is not None and untargeted.test.difference == 12.5
    # tests/experiment/test_comparison.py counts the signs: 18 of 32 reach the sum, as for the pair in `compare`
    assert untargeted.test.p == untargeted.test.p_holm == pytest.approx(18 / 32)
    assert untargeted.verdict == "undecided" and untargeted.command == "crossfool compare fgsm sg_fgsm"
    assert untargeted.success.startswith("37.5% [14.5, 68.0] mean top-1 success over 3 black-box cells, at 1 gradient")
    assert untargeted.margin.startswith("+12.5 points [")
    assert "over sg_fgsm, the next best within 10 gradient evaluations (it has 5); paired p = 0.56" in untargeted.margin
    assert (targeted.attack, targeted.rival, targeted.test, targeted.verdict) == ("far", "", None, "")
    assert targeted.rate.percent == pytest.approx(100 * 5 / 24, abs=1e-4) and "mean top-5 success" in targeted.success
    assert targeted.margin == "no other targeted attack has its ε within 50 gradient evaluations"


def test_a_decided_answer(tmp_path: Path) -> None:
    """One attack fools all of 8 images in three cells, the other none: p is 2 / 2^8."""
    every = {(source, "fgsm", target): 8 for source in ("fnn0", "fnn2+fnn0") for target in ("fnn0", "fnn2", "fnn4")}
    none = {(source, "sg_fgsm", target): 0 for source, _, target in every}
    make(tmp_path, every | none, attacks={"sg_fgsm": SG, "fgsm": FGSM}, transforms={})
    (answer,) = answers(tmp_path)
    assert answer.attack == "fgsm" and answer.test is not None and answer.test.difference == 100
    assert answer.test.p == pytest.approx(2 / 2**8) and answer.verdict == "decided"


@pytest.mark.parametrize(
    ("attacks", "rival"),
    [
        ({"best": SG, "other": FGSM}, "other"),
        ({"best": SG, "wide": {**FGSM, "epsilon": 80}}, ""),  # another epsilon
        ({"best": SG, "dear": {**SG, "samples": 60}}, ""),  # 60 gradient evaluations, beyond the budget of 10
        ({"best": {**SG, "samples": 60}, "cheap": FGSM}, "cheap"),  # 1 of the budget of 200
    ],
)
def test_the_rival_has_the_epsilon_and_the_budget(tmp_path: Path, attacks: dict, rival: str) -> None:
    best = {(source, "best", "fnn4"): 7 for source in ("fnn0", "fnn2+fnn0")}
    make(tmp_path, best, attacks=attacks, transforms={})
    (answer,) = answers(tmp_path)
    assert (answer.attack, answer.rival, bool(answer.test)) == ("best", rival, bool(rival))


def test_where_predictions_are_missing_rates_are_the_recorded_ones(made: Path, tmp_path: Path) -> None:
    """A folder with metrics and agreement.json alone: the attacks and rates, without a paired test."""
    for name in ("metrics", "params.yaml", "agreement.json"):
        (shutil.copytree if (made / name).is_dir() else shutil.copy)(made / name, tmp_path / name)
    found = answers(tmp_path)
    assert [(one.attack, one.rate, one.rival) for one in found] == [
        (one.attack, one.rate, one.rival) for one in answers(made)
    ]
    assert {one.test for one in found} == {None}
    (tmp_path / "agreement.json").unlink()
    assert answers(tmp_path) == []


def test_the_order_in_params_does_not_matter(tmp_path: Path) -> None:
    """The pair is (sg_fgsm, fgsm) there: its difference and interval are mirrored."""
    make(tmp_path / "a", FOOLED, attacks={"fgsm": FGSM, "sg_fgsm": SG}, transforms={})
    make(tmp_path / "b", FOOLED, attacks={"sg_fgsm": SG, "fgsm": FGSM}, transforms={})
    (first,), (second,) = answers(tmp_path / "a"), answers(tmp_path / "b")
    assert first == second and first.test is not None
    assert first.test.low < 0 < first.test.difference < first.test.high


def test_without_its_predictions_the_test_is_said_to_be_missing() -> None:
    answer = Answer("a", "targeted", MeanRate(50, 40, 60, 1, 10), 300, "b", 1000, None)
    assert answer.verdict == "" and answer.command == "crossfool compare a b --metric top5"
    assert answer.success.startswith("50.0% [40.0, 60.0] mean top-5 success over 1 black-box cell, at 300 gradient")
    assert answer.margin == (
        "the paired test against b, the next best at any cost (it has 1,000), needs predictions that are not here"
    )


def test_the_question(tmp_path: Path) -> None:
    several = make(tmp_path / "a", {}, transforms={})
    assert question(several, 1000) == (
        "Which of 3 attacks transfers best from 2 sources to 3 target models, on 1,000 images of mnist?"
    )
    two = {"models": ("fnn0", "fnn2"), "sources": ("fnn0",), "transforms": {}}
    one = make(tmp_path / "b", {}, attacks={"far": TARGETED}, labels=LABELS[:1], **two)
    assert question(one, 1) == "How well does far transfer from 1 source to 2 target models, on 1 image of mnist?"


def test_the_name_is_the_folders(tmp_path: Path) -> None:
    experiment = loading.load_experiment(_params(tmp_path / "experiments/mine", "../.."))
    assert experiment_name(tmp_path / "experiments/mine", experiment) == "mine"
    experiment = loading.load_experiment(_params(tmp_path / "experiments/mine/tuning", "../../.."))
    assert experiment_name(tmp_path / "experiments/mine/tuning", experiment) == "mine/tuning"
    experiment = loading.load_experiment(_params(tmp_path, "."))
    assert experiment_name(tmp_path, experiment) == "default benchmark"


def _params(folder: Path, root: str) -> Path:
    make(folder, {}, attacks={"fgsm": FGSM}, transforms={}, root=root)
    return folder / "params.yaml"


def test_the_coverage_counts_this_experiments_figures(made: Path) -> None:
    """The paper's 62.9 lies in [30.6, 86.3], and not in [0.0, 32.4]."""
    sentence = coverage_sentence(read_findings(made))
    assert sentence == "2 of the paper's 203 success rates compared here, 1 in our 95% interval"


@pytest.mark.parametrize(
    ("models", "short"),
    [
        (("efficientnet_lite0", "efficientnet_lite1"), ["lite0", "lite1"]),
        (("timm_vit_small", "timm_vit_tiny", "timm_deit"), ["vit_small", "vit_tiny", "deit"]),
        (("fnn0", "fnn2"), []),
        (("vgg13_bn", "vgg16_bn"), []),
        (("net_18", "net_34"), []),  # a number is no name
        (("net_a", "net_a_b"), []),
        (("net_a", "net"), []),
        (("net_fgsm", "net_b"), []),  # an attack is called so
        (("efficientnet_lite0",), []),
    ],
)
def test_names_are_short_where_they_collide_with_nothing(models: tuple[str, ...], short: list[str]) -> None:
    assert list(short_names(models, {"fgsm"}).values()) == short


def test_a_short_name_has_the_whole_one_as_its_title() -> None:
    names = {"net_a": "a", "net_a_b": "a_b"}
    assert breakable("net_a+net_a_b → <net_a_c>", names) == (
        '<abbr title="net_a">a</abbr>+<wbr><abbr title="net_a_b">a_<wbr>b</abbr> → &lt;net_<wbr>a_<wbr>c&gt;'
    )
    assert breakable("net_a", {}) == "net_<wbr>a"


def test_tables_of_paired_tests_say_what_compare_prints(made: Path) -> None:
    findings = read_findings(made)
    shown = {table.name: " ".join(table.notes) for module in (pairwise, mcnemar) for table in module.tables(findings)}
    assert "The command crossfool compare prints the p of one pair, unadjusted." in shown["pairwise_untargeted"]
    assert "prints the p of one pair (by top-5), unadjusted." in shown["pairwise_targeted"]
    assert "The command crossfool compare prints the same p" in shown["mcnemar"]
