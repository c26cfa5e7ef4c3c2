"""The paper's plots and planes: equal bytes, numbers by hand, nothing hidden or left out."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from crossfool.report.figures import _style, _sweep, agreement, boundary, saliency, scatter, similarity
from crossfool.report.figures._style import Point
from crossfool.report.figures.scatter import Dot

MODELS = [  # name, family, millions of parameters, top-1 error
    ("resnet18", "resnet", 11.7, 30.24),
    ("resnet34", "resnet", 21.8, 26.7),
    ("resnet50", "resnet", 25.6, 23.85),
    ("resnet101", "resnet", 44.5, 22.63),
    ("resnet152", "resnet", 60.2, 21.69),
    ("densenet121", "densenet", 7.98, 25.57),
    ("densenet161", "densenet", 28.7, 22.86),
    ("densenet169", "densenet", 14.15, 24.4),
    ("densenet201", "densenet", 20.0, 23.1),
    ("vgg11", "vgg", 132.9, 30.98),
    ("vgg13", "vgg", 133.0, 30.07),
    ("vgg16", "vgg", 138.4, 28.41),
    ("vgg19", "vgg", 143.7, 27.62),
    ("vgg11_bn", "vgg", 132.9, 29.62),
    ("vgg13_bn", "vgg", 133.1, 28.45),
    ("vgg16_bn", "vgg", 138.4, 26.63),
    ("vgg19_bn", "vgg", 143.7, 25.76),
    ("alexnet", "alexnet", 61.1, 43.45),
    ("squeezenet1_0", "squeezenet", 1.25, 41.9),
    ("squeezenet1_1", "squeezenet", 1.24, 41.81),
    ("resnext50_32x4d", "resnext", 25.0, 22.4),
    ("mobilenet_v2", "mobilenet", 3.5, 28.1),
    ("googlenet", "googlenet", 6.6, 30.2),
    ("inception_v3", "inception", 27.2, 22.5),
    ("wide_resnet50_2", "wide_resnet", 68.9, 21.5),
]


def _dots(crowd: float = 1) -> list[Dot]:
    rates = 60 - 30 * crowd * np.linspace(0, 1, len(MODELS))
    return [
        Dot(name, family, error, int(millions * 1e6), rate, rate - 3, rate + 3)
        for (name, family, millions, error), rate in zip(MODELS, rates, strict=True)
    ]


def _points(scale: float, levels: tuple[int, ...] = (1, 5, 10, 20)) -> list[Point]:
    return [Point(level, scale * level, 0.9 * scale * level, 1.1 * scale * level) for level in levels]


def _sweep_figure(scale: float = 4.0) -> Figure:
    lines = {"plain": _points(scale / 4), "m = 5": _points(scale / 2), "m = 20": _points(scale)}
    return _sweep.draw_sweep(
        "Title", "subtitle", "distortion ε", "success rate, %", "samples", {"a → b": lines, "c": lines}
    )


def _similarity() -> Figure:
    plain = Point(0, 0.05, 0.04, 0.06)
    return similarity.draw_similarity(
        "Title", "subtitle", {"a → b": (plain, _points(0.004)), "c → d": (plain, _points(0.002))}
    )


def _agreement() -> Figure:
    return agreement.draw_agreement("Title", "subtitle", [("table 1", 10, 12, 9, 15), ("table 2", 98, 99.9, 99, 100)])


NAMES = ["tench", "crane, a bird", "crane, a machine", *(f"a class with a long, long name {n}" for n in range(3, 20))]


def _boundary(**options: Any) -> Figure:
    plane = np.zeros((3, 4), int)
    plane[2, 1:] = 1, 2, 2
    given: dict[str, Any] = {
        "u": np.arange(-2, 2.0),
        "v": np.arange(-1, 2.0),
        "image": np.full((5, 5, 3), 90, np.uint8),
        "planes": {"resnet34": plane, "densenet121": plane[::-1]},
        "label": 0,
        "names": NAMES,
        **options,
    }
    return boundary.draw_boundary("Title", "subtitle", "u", "v", **given)


def _saliency() -> Figure:
    gradient = np.arange(48, dtype=np.float32).reshape(3, 4, 4)
    rows = [("tench", np.zeros((4, 4), np.uint8), [gradient, gradient[:, ::-1]])]
    return saliency.draw_saliency("Title", "subtitle", rows, ["image", "plain", "m = 20"])


def _scatter() -> Figure:
    return scatter.draw_scatter("Title", "subtitle", {"igsm → vgg19_bn": _dots(), "fgsm → vgg19_bn": _dots(0.3)})


def _legend_of(figure: Figure) -> dict[str, Any]:
    """Text -> handle."""
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    return dict(zip(texts, legend.legend_handles, strict=True))


def _lines_of(axes: Axes) -> list[Line2D]:
    """The lines with error bars."""
    return [container.lines[0] for container in axes.containers if isinstance(container, ErrorbarContainer)]


KINDS = ("png", "svg")


def _saved(figure: Figure, folder: Path) -> dict[str, bytes]:
    """The bytes of a figure's files, by kind."""
    for kind in KINDS:
        _style.save(figure, folder / f"saved.{kind}")
    return {kind: (folder / f"saved.{kind}").read_bytes() for kind in KINDS}


@pytest.fixture(scope="module")
def sweep_bytes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return _saved(_sweep_figure(), tmp_path_factory.mktemp("sweep"))


@pytest.mark.parametrize("make", [_sweep_figure, _similarity, _scatter, _agreement, _boundary, _saliency])
def test_equal_input_gives_equal_bytes(make: Callable[[], Figure], tmp_path: Path) -> None:
    first, second = (_saved(make(), tmp_path) for _ in range(2))
    assert first == second
    assert all(len(first[kind]) > 1000 for kind in KINDS)


@pytest.mark.parametrize(
    "own",
    [
        {"text.usetex": True},
        {"font.family": ["serif"], "font.size": 20, "mathtext.fontset": "stix"},
        {"figure.dpi": 300, "savefig.facecolor": "black", "savefig.transparent": True, "axes.grid": True},
        {"svg.fonttype": "none", "svg.hashsalt": "another", "path.simplify": False, "image.cmap": "gray"},
    ],
)
def test_a_matplotlibrc_of_the_users_changes_no_byte(
    own: dict[str, Any], sweep_bytes: dict[str, bytes], tmp_path: Path
) -> None:
    with matplotlib.rc_context(own):
        assert _saved(_sweep_figure(), tmp_path) == sweep_bytes
        assert all(matplotlib.rcParams[key] == value for key, value in own.items())


@pytest.mark.parametrize(("scale", "top"), [(4.0, 100), (2.0, 50), (2.2, 50), (2.3, 100), (0.12, 3), (0.01, 1)])
def test_the_rate_axis_holds_every_interval_and_ends_at_a_round_number(scale: float, top: float) -> None:
    figure = _sweep_figure(scale)  # the highest interval ends at 22 times the scale
    assert len(figure.axes) == 2
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert low == pytest.approx(-0.025 * top)
        assert high == pytest.approx(1.025 * top)
        left, right = axes.get_xlim()
        assert left < 1
        assert right > 20


def test_a_line_keeps_its_look_in_every_plot_and_the_plain_one_is_black_and_dashed() -> None:
    figure = _sweep_figure()
    assert list(_legend_of(figure)) == ["plain", "m = 5", "m = 20"]
    assert figure.legends[0].get_title().get_text() == "samples"
    looks = [
        [(to_hex(line.get_color()), line.get_linestyle(), line.get_marker()) for line in _lines_of(axes)]
        for axes in figure.axes
    ]
    assert looks[0] == looks[1]
    assert looks[0][0][:2] == ("#000000", "--")
    assert len({look[0] for look in looks[0]}) == len({look[2] for look in looks[0][1:]}) + 1 == 3


def test_eight_lines_have_eight_looks() -> None:
    names = ["plain", *(f"m = {m}" for m in range(8))]
    figure = _sweep.draw_sweep("", "", "", "", "m", {"a": {name: _points(1) for name in names}})
    looks = [(to_hex(line.get_color()), line.get_marker()) for line in _lines_of(figure.axes[0])]
    assert len({colour for colour, _ in looks}) == 9
    assert len({marker for _, marker in looks[1:]}) == 8


@pytest.mark.parametrize("count", [2, 8, 17, 32])
def test_lines_of_kinds_are_told_apart(count: int) -> None:
    lines = {f"attack{number}": _points(1) for number in range(count)}
    figure = _sweep.draw_sweep("", "", "", "", "attack", {"a": lines}, logarithmic=True, kinds=True)
    drawn = _lines_of(figure.axes[0])
    looks = [(to_hex(line.get_color()), line.get_marker(), str(line._dash_pattern)) for line in drawn]  # type: ignore[attr-defined]
    colours, markers = ({look[at] for look in looks} for at in (0, 1))
    assert len(set(looks)) == count and len(colours) == len(markers) == min(count, 8)


@pytest.mark.parametrize("count", [2, 8, 25])
def test_intervals_at_one_cost_stand_beside_one_another(count: int) -> None:
    """No two at one place, in the order of the lines, around their cost, and all within the axis."""
    lines = {f"attack{number}": [Point(20, 50, 40, 60)] for number in range(count)} | {"single": [Point(1, 5, 4, 6)]}
    (axes,) = _sweep.draw_sweep("", "", "", "", "attack", {"a": lines}, logarithmic=True, kinds=True).axes
    places = [float(line.get_xdata()[0]) for line in _lines_of(axes)]
    assert places[:-1] == sorted(set(places[:-1])) and np.prod(places[:-1]) ** (1 / count) == pytest.approx(20)
    assert places[-1] == pytest.approx(1)  # alone at its cost
    left, right = axes.get_xlim()
    assert left < min(places) and right > max(places)


def test_a_narrow_figure_has_its_plots_below_one_another() -> None:
    lines = {"a": _points(1), "b": _points(2)}
    wide, narrow = (
        _sweep.draw_sweep("", "", "", "", "attack", {"c": lines, "d": lines}, kinds=True, narrow=narrow)
        for narrow in (False, True)
    )
    assert (
        len({axes.get_position().x0 for axes in narrow.axes})
        == 1
        == len({axes.get_position().y0 for axes in wide.axes})
    )
    assert narrow.get_figwidth() < wide.get_figwidth() and list(_legend_of(narrow)) == ["a", "b"]


def test_lines_without_intervals_have_no_bars() -> None:
    flat = [Point(x, 50, 50, 50) for x in (1, 5)]
    (axes,) = _sweep.draw_sweep("", "", "", "", "m", {"a": {"flat": flat, "other": _points(1)}}).axes
    flat_bars, other_bars = (container for container in axes.containers if isinstance(container, ErrorbarContainer))
    assert not flat_bars.has_yerr and other_bars.has_yerr


def test_one_line_has_no_legend() -> None:
    assert not _sweep.draw_sweep("", "", "", "", "m", {"a": {"m = 5": _points(1)}, "b": {"m = 5": _points(2)}}).legends


def test_the_marked_levels_are_where_the_points_are() -> None:
    (axes,) = _sweep.draw_sweep("", "", "", "", "m", {"a": {"m = 5": _points(1)}}).axes
    assert list(axes.get_xticks()) == [1, 5, 10, 20]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "5", "10", "20"]
    (line,) = _lines_of(axes)
    assert np.asarray(line.get_xdata()).tolist() == [1, 5, 10, 20]


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="no plot has a point"):
        _sweep.draw_sweep("", "", "", "", "", {"a": {"plain": []}})
    with pytest.raises(ValueError, match="no row has a dot"):
        scatter.draw_scatter("", "", {"a": []})
    with pytest.raises(ValueError, match="positive"):
        similarity.draw_similarity("", "", {"a": (Point(0, 1, 1, 1), [Point(0, 1, 1, 1)])})
    with pytest.raises(ValueError, match="no model"):
        _boundary(planes={})


def test_the_cosine_axis_holds_every_band() -> None:
    (axes,) = _similarity().axes
    assert axes.get_xscale() == "log"
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] > 0.088
    line = similarity.draw_similarity("", "", {"a": (Point(0, -0.1, -0.2, 0.01), [Point(1, 0.1, 0.05, 0.3)])})
    low, high = line.axes[0].get_ylim()
    assert low < -0.2
    assert high > 0.3
    assert list(_legend_of(line)) == ["a", "dashed: the plain gradient"]


@pytest.mark.parametrize("crowd", [0, 0.2, 1])
def test_no_texts_of_a_scatter_overlap_one_another_or_leave_the_plot(crowd: float) -> None:
    figure = scatter.draw_scatter("Title", "subtitle", {"igsm → vgg19_bn": _dots(crowd)})
    renderer = FigureCanvasAgg(figure).get_renderer()
    left, middle, right = figure.axes
    for axes, texts in (
        (left, [f"{dot.rate:.1f}" for dot in _dots(crowd)]),
        (
            middle,
            [scatter._name_within_family(dot) for dot in _dots(crowd) if dot.name not in ("alexnet", "googlenet")],
        ),
        (right, []),
    ):
        assert sorted(text.get_text() for text in axes.texts) == sorted(texts)
        boxes = [text.get_window_extent(renderer) for text in axes.texts]
        assert not [pair for pair in combinations(boxes, 2) if Bbox.intersection(*pair) is not None]
        for box in boxes:
            assert axes.bbox.contains(box.x0, box.y0)
            assert axes.bbox.contains(box.x1, box.y1)


def test_a_scatter_holds_every_dot_and_interval_and_names_every_family() -> None:
    figure = _scatter()
    assert len(figure.axes) == 6
    assert list(_legend_of(figure))[:5] == ["resnet", "densenet", "vgg", "alexnet", "squeezenet"]
    assert set(_legend_of(figure)) == {dot.family for dot in _dots()}
    looks = {(to_hex(handle.get_color()), handle.get_marker()) for handle in _legend_of(figure).values()}
    assert len(looks) == len(_legend_of(figure))
    for number, axes in enumerate(figure.axes):
        low, high = axes.get_ylim()
        left, right = axes.get_xlim()
        for dot in _dots():
            ends = (dot.parameters / 1e6,) if number % 3 == 0 else (dot.low, dot.high)
            assert all(low < end < high for end in ends)
            assert left < (dot.parameters / 1e6 if number % 3 == 2 else dot.error) < right


def test_agreement_has_equal_axes_and_names_every_table() -> None:
    figure = _agreement()
    (axes,) = figure.axes
    assert axes.get_xlim() == axes.get_ylim() == (-2, 102)
    assert list(_legend_of(figure)) == ["table 1", "table 2", "equal"]
    drawn = [np.asarray(line.get_data()).tolist() for line in _lines_of(axes)]
    assert drawn == [[[10], [12]], [[98], [99.9]]]


def test_a_boundary_shows_v_upwards_and_names_every_class() -> None:
    figure = _boundary()
    image, first, second = figure.axes
    assert image.get_title() == "clean image"
    assert [first.get_title(), second.get_title()] == ["resnet34", "densenet121"]
    assert first.get_xlim() == (-2.5, 1.5)
    assert first.get_ylim() == (-1.5, 1.5)
    legend = {text: to_hex(handle.get_facecolor()) for text, handle in _legend_of(figure).items()}
    assert list(legend) == ["tench, true class", "crane (2)", "crane (1)"]
    assert len(set(legend.values())) == 3
    (shown,) = first.images
    assert shown.origin == "lower"
    pixels = shown.get_array()
    assert pixels is not None
    drawn = [[to_hex(colour) for colour in row] for row in np.asarray(pixels)]
    true, machine, bird = legend.values()
    assert drawn == [[true] * 4, [true] * 4, [true, bird, machine, machine]]
    (cross,) = first.lines
    assert np.asarray(cross.get_data()).tolist() == [[0], [0]]


def test_the_rarest_classes_of_a_boundary_are_one_grey() -> None:
    plane = np.repeat(np.arange(15), np.arange(30, 15, -1)).reshape(-1, 3)  # class 14 is the rarest
    figure = _boundary(u=np.arange(3), v=np.arange(len(plane)), image=None, planes={"a": plane}, label=3)
    legend = {text: to_hex(handle.get_facecolor()) for text, handle in _legend_of(figure).items()}
    assert len(legend) == 2 + len(boundary.PALETTE)
    assert next(iter(legend)) == "a class with a long (3), true class"
    assert list(legend)[-1] == f"other ({14 - len(boundary.PALETTE)} classes)"
    pixels = figure.axes[0].images[0].get_array()
    assert {to_hex(tuple(colour)) for colour in np.asarray(pixels).reshape(-1, 3)} == set(legend.values())


def test_long_names_of_classes_are_cut() -> None:
    assert boundary._short("great white shark, white shark") == "great white shark"
    assert boundary._short("supercalifragilisticexpialidocious") == "supercalifragilistice…"


@pytest.mark.parametrize("models", [1, 3, 6, 10])
def test_a_boundary_has_at_most_five_squares_in_a_row(models: int) -> None:
    figure = _boundary(planes={f"model{n}": np.zeros((3, 4), int) for n in range(models)}, image=None)
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert len(boxes) == models
    rows = [round(box.y0) for box in boxes]
    assert max(rows.count(row) for row in rows) <= 5
    for box in boxes:
        assert box.width == pytest.approx(box.height)


def test_planes_of_another_shape_and_uneven_steps_are_errors() -> None:
    with pytest.raises(ValueError, match="the plane of a"):
        _boundary(planes={"a": np.zeros((4, 3), int)})
    with pytest.raises(ValueError, match="u is not evenly spaced"):
        _boundary(u=np.array([0, 1, 2, 4]))


def test_saliency_map_by_hand() -> None:
    gradient = np.array([[[0, -1], [2, 3]], [[1, 1], [-1, -4]]])
    # sums of absolute values: 1 2 / 3 7; their 99th percentile: 3 + 0.97 * (7 - 3) = 6.88
    assert saliency.saliency_map(gradient) == pytest.approx(np.array([[0, 1 / 5.88], [2 / 5.88, 1]]))
    assert saliency.saliency_map(-gradient.astype(np.float32)) == pytest.approx(saliency.saliency_map(gradient))


def test_saliency_map_of_a_flat_and_of_a_sparse_gradient() -> None:
    assert not saliency.saliency_map(np.full((3, 4, 4), 2.0)).any()
    gradient = np.zeros((3, 20, 20))
    gradient[1, 2, 3] = -5
    expected = np.zeros((20, 20))
    expected[2, 3] = 1
    assert np.array_equal(saliency.saliency_map(gradient), expected)


def test_saliency_map_refuses_other_shapes_and_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match=r"\(C,H,W\)"):
        saliency.saliency_map(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="finite"):
        saliency.saliency_map(np.full((3, 4, 4), np.nan))


def test_saliency_draws_the_image_and_a_map_a_gradient() -> None:
    figure = _saliency()
    assert len(figure.axes) == 3
    maps = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert not maps[0].any()
    assert maps[1].max() == 255
    assert np.array_equal(maps[1], maps[2][::-1])
    with pytest.raises(ValueError, match="2 columns, but 2 gradients"):
        saliency.draw_saliency(
            "", "", [("a", np.zeros((4, 4), np.uint8), [np.zeros((3, 4, 4))] * 2)], ["image", "plain"]
        )
