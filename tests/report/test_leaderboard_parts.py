"""Parts of the leaderboard, by hand: comparable rows, ranks within budgets and their changes, the Pareto front."""

import dataclasses
from pathlib import Path

import pytest
from made_experiments import FOOLED, make

from crossfool.experiment import loading
from crossfool.report.leaderboard import boards, experiment_rows, pareto, rank_changes
from crossfool.report.leaderboard.boards import Board, Setting
from crossfool.report.leaderboard.experiment_rows import BoardRow
from crossfool.report.leaderboard.rank_changes import Before, RankChange

SETTING = Setting("mnist", 300, "300 images", "untargeted", 4.0, ("fnn0",), ("fnn0", "fnn2"))


def row(attack: str, success: float, gradients: int, experiment: str = "one") -> BoardRow:
    ends = (success - 5, success + 5)
    texts = {"departs": "", "summary": attack, "params": f"{attack}: {{}}", "sources": ("fnn0",)}
    return BoardRow(
        experiment, attack, "untargeted", 4.0, success, *ends, gradients, success / gradients, 100.0, None,
        **texts, momentum_alone=False, of_all=False,
    )  # fmt: skip


ROWS = [row("d", 80, 200), row("b", 60, 10), row("c", 60, 50), row("a", 50, 10), row("e", 30, 1)]


def board(rows: list[BoardRow], setting: Setting = SETTING) -> Board:
    return Board(setting, boards.sorted_rows(rows))


def ranks(found: Board, budget: int | None) -> dict[str, int]:
    return {attack: rank for (_, attack), rank in found.ranks(budget).items()}


def test_ranks_are_among_rows_within_the_budget() -> None:
    found = board(ROWS)
    assert [one.attack for one in found.rows] == ["d", "b", "c", "a", "e"]
    assert ranks(found, None) == {"d": 1, "b": 2, "c": 2, "a": 4, "e": 5}
    assert ranks(found, 50) == {"b": 1, "c": 1, "a": 3, "e": 4}
    assert ranks(found, 10) == {"b": 1, "a": 2, "e": 3}


def test_the_front_has_rows_than_which_none_is_better_for_less() -> None:
    assert [one.attack for one in pareto.pareto_front(ROWS)] == ["e", "b", "d"]  # c costs more than b and is no better
    drawing = pareto.draw(ROWS)
    assert [mark.row.attack for mark in drawing.front] == ["e", "b", "d"] and len(drawing.marks) == 5
    for mark in drawing.marks:
        assert pareto.LEFT < mark.x < pareto.RIGHT and pareto.TOP <= mark.high <= mark.y <= mark.low <= pareto.BOTTOM
    places = {mark.row.attack: (mark.x, mark.y) for mark in drawing.marks}
    assert places["e"][0] < places["a"][0] == places["b"][0] < places["c"][0] < places["d"][0]
    assert places["d"][1] < places["b"][1] == places["c"][1] < places["a"][1] < places["e"][1]
    assert [text for _, text in drawing.gradients] == ["1", "2", "5", "10", "20", "50", "100", "200"]


def test_a_setting_says_its_norm_where_it_is_not_linf() -> None:
    assert (SETTING.radius, dataclasses.replace(SETTING, norm="l2").radius) == ("ε = 4", "ε = 4 in L2")


@pytest.mark.parametrize("success", [0.0, 100.0])
def test_a_single_row_can_be_drawn(success: float) -> None:
    (mark,) = pareto.draw([dataclasses.replace(row("a", success, 7), low=0.0, high=100.0)]).marks
    assert pareto.LEFT < mark.x < pareto.RIGHT and pareto.TOP <= mark.y <= pareto.BOTTOM


def test_changes_of_ranks() -> None:
    earlier = board([row("a", 70, 10), row("b", 60, 10), row("c", 50, 50), row("f", 40, 10)])
    before = Before("HEAD~1", [board([row("a", 99, 10)], dataclasses.replace(SETTING, images=16)), earlier], [])
    found = rank_changes.rank_changes(board(ROWS), before)
    texts = {budget: {key[1]: change.text for key, change in found[budget].items()} for budget in found}
    assert texts[None] == {"d": "new", "b": "=", "c": "▲ 1", "a": "▼ 3", "e": "new"}
    assert texts[10] == {"b": "▲ 1", "a": "▼ 1", "e": "new"}  # a table of 16 images is another
    assert rank_changes.gone_rows(board(ROWS), before) == {("one", "f"): 4}
    assert [setting.images for setting in rank_changes.gone_settings([board(ROWS)], before)] == [16]
    assert RankChange(12, 2).text == "▼ 10"


def test_few_images_say_how_little_they_tell() -> None:
    rows = [row("a", 50, 10), dataclasses.replace(row("b", 50, 10), low=20.0, high=82.0)]
    assert experiment_rows.few_images_note(16, rows).startswith("16 images alone: intervals of ±5 to ±31 points.")
    assert experiment_rows.few_images_note(300, rows) == experiment_rows.few_images_note(16, []) == ""


def lock(folder: Path, images: str) -> None:
    paths = {"subset/images.safetensors": images, **{f"weights/fnn{n}.safetensors": f"w{n}" for n in (0, 2, 4)}}
    outs = "".join(f"    - {{path: {path}, md5: {md5}}}\n" for path, md5 in paths.items())
    (folder / "dvc.lock").write_text(f"stages:\n  some:\n    outs:\n{outs}", encoding="utf-8")


def test_only_rows_of_the_very_same_images_and_weights_share_a_table(tmp_path: Path) -> None:
    """Two experiments of one lock do; a third of other images, and a fourth without a lock, have their own."""
    for name, images in (("b", "same"), ("a", "same"), ("c", "other"), ("d", "")):
        folder = tmp_path / "experiments" / name
        make(folder, FOOLED | ({("fnn0", "fgsm", "fnn2"): 8} if name == "a" else {}))
        if images:
            lock(folder, images)
    found, left_out = boards.read_boards(tmp_path)
    assert left_out == [] and len(found) == 2 * 3  # fgsm and sg_fgsm share epsilon; far is targeted
    assert [one.experiments for one in found if one.setting.objective == "untargeted"] == [("a", "b"), ("c",), ("d",)]
    shared = found[0]
    assert [key for key, rank in shared.ranks().items() if rank == 1] == [("a", "fgsm")] and len(shared.rows) == 4
    experiment = loading.load_experiment(tmp_path / "experiments/a/params.yaml")
    assert boards.content(tmp_path / "experiments/a", experiment) == ("same", "w0", "w2", "w4")


def test_the_leaderboards_own_experiment_comes_first_and_few_images_last(tmp_path: Path) -> None:
    for name in ("a", boards.LEAD):
        make(tmp_path / "experiments" / name, FOOLED)
    found, _ = boards.read_boards(tmp_path)
    assert [one.experiments[0] for one in found] == [boards.LEAD, boards.LEAD, "a", "a"]


def test_larger_perturbations_are_marked_where_they_come_with_a_gain(tmp_path: Path) -> None:
    from crossfool.storage.json_files import read_json, write_json

    momentum = {"epsilon": 40, "steps": 5, "step_size": 10, "update": "momentum", "decay": 1.0}
    rows = {name: {"epsilon": 40, "steps": 5, "step_size": 10} for name in ("gain", "slight", "loss")}
    fooled = {("fnn0", name, target): count for name, count in (("migsm", 4), ("gain", 6), ("slight", 6), ("loss", 1))
              for target in ("fnn2", "fnn4")}  # fmt: skip
    make(tmp_path, fooled, attacks={"migsm": momentum, **rows}, sources=("fnn0",))
    for name, l2 in (("migsm", 100.0), ("gain", 106.0), ("slight", 104.0), ("loss", 200.0)):
        path = tmp_path / f"metrics/fnn0/{name}.detail.json"
        details = read_json(path)
        write_json(path, details | {"size": details["size"] | {"l2": l2}})
    (found,), _ = boards.read_boards(tmp_path)
    assert {one.attack: found.is_larger(one) for one in found.rows} == {"migsm": False, "gain": True, "slight": False,
                                                              "loss": False}  # fmt: skip
    assert {one.attack: (one.l2, one.lpips) for one in found.rows}["gain"] == (106.0, None)
