"""Gradient evaluations, floating-point operations and durations of experiments, counted by hand."""

from typing import Any

import pytest
from builders import DIGITS
from made_experiments import FGSM, SG

from crossfool.experiment import costs
from crossfool.experiment.config import Experiment
from crossfool.experiment.network_sizes import NetworkSize, network_sizes
from crossfool.experiment.output_sizes import output_sizes
from crossfool.models.weights import registry


def digits(**changed: Any) -> Experiment:
    values = {
        **DIGITS,
        "subset": {"images": 100},
        "compute": {"chunk": 8},
        "sources": ["fnn0", "fnn2+fnn0"],
        "attacks": {"fgsm": FGSM, "sg_fgsm": SG},
        "transforms": {"jpeg": [75, 20]},
        **changed,
    }
    return Experiment.model_validate(values)


def test_costs_by_hand() -> None:
    """One and 5 gradients an image of 100, through one model and then two; evaluated with 2 levels of a transform."""
    found = costs.cost(digits())
    fnn0, fnn2 = (network_sizes()[name] for name in ("fnn0", "fnn2"))
    gradients = {"fnn0": 2 * 600, "fnn2": 600}
    passes = 10_000 + 100 * (4 + 4 * 2)  # each model: the data set, then 4 cells, plain and at two levels
    assert (found.cells, found.gradients, found.passes) == (4, 1_800, 2 * passes)
    assert found.operations == pytest.approx(
        fnn0.operations * (2 * gradients["fnn0"] + passes) + fnn2.operations * (2 * gradients["fnn2"] + passes)
    )
    tables = sum(size for out, size in output_sizes(digits(), 100, 10_000).items() if out.endswith(".parquet"))
    assert found.own == 5 * 100 * 784 + 100 * 24 + 4 * (fnn0.parameters + fnn2.parameters) + tables
    assert found.shared == 70_000 * (784 + 8) and found.written == found.own + found.shared
    assert found.folders["adversarial"] == 4 * 100 * 784 and found.folders["data"] == found.shared
    assert found.seconds(100) == pytest.approx((1_800 + passes) / 100)


def test_what_is_done_costs_no_more() -> None:
    pending = {"adversarial/fnn0/sg_fgsm.safetensors", "predictions/fnn0/sg_fgsm.parquet"}
    found = costs.cost(digits(), pending=pending)
    table = output_sizes(digits(), 100, 10_000)["predictions/fnn0/sg_fgsm.parquet"]
    assert (found.gradients, found.passes) == (500, 2 * 100)
    assert found.folders == {"adversarial": 100 * 784, "predictions": table}


def test_analyses_cost_gradients() -> None:
    rows = {
        "similarity": {"s": {"source": "fnn0", "target": "fnn2", "images": 10, "samples": [1, 4], "sigma": 1}},
        "saliency": {"a": {"model": "fnn2", "images": [1, 2], "samples": [3], "sigma": 1}},
        "boundary": {
            "b": {"source": "fnn0", "targets": ["fnn2"], "image": 0, "samples": 7, "sigma": 1, "sign": False,
                  "extent": 1, "points": 5}
        },
    }  # fmt: skip
    found = costs.cost(digits(**rows))
    assert found.gradients == 1_800 + (10 * 5 + 10) + 2 * 4 + 8
    assert found.passes == costs.cost(digits()).passes + 25


def test_a_timm_model_has_no_estimate() -> None:
    experiment = digits(dataset={"name": "imagenet-sample"}, models=["timm_a"], sources=["timm_a"], training=None)
    found = costs.cost(experiment)
    assert found.operations is None and found.seconds() is None and found.seconds(2) is not None


def test_operations_are_torchs_and_torchvisions() -> None:
    from torchvision.models import get_model_weights

    from crossfool.models import build

    known = network_sizes()
    assert known.keys() == registry.all_specs().keys()
    for name in ("fnn2", "lenet", "efficientnet_lite0"):
        assert known[name].parameters == sum(p.numel() for p in build.crossfool_network(name).parameters())
    assert known["fnn0"].operations == 2 * 784 * 10
    for name in ("resnet18", "densenet161", "vit_h_14"):
        meta = get_model_weights(name)[registry.spec(name).version].meta
        assert known[name] == NetworkSize(meta["num_params"], pytest.approx(2e9 * meta["_ops"]))


def test_durations() -> None:
    assert [costs.duration_text(seconds) for seconds in (0.4, 59, 600, 7200, 400_000)] == [
        "0.4 seconds", "59 seconds", "10 minutes", "2.0 hours", "4.6 days"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("subset", "models", "evaluated", "expected"),
    [
        ({"images": "all"}, 3, None, 837),
        ({"images": "all"}, 2, None, 1000),
        ({"images": "all", "of": "all"}, 3, None, 1000),
        ({"images": "all", "tuning": 100}, 3, None, 737),
        ({"images": 50, "tuning": 100, "use": "tuning"}, 3, None, 100),
        ({"images": 500}, 2, 1000, 500),
        ({"images": "all"}, 3, 20, 20),
    ],
)
def test_attacked_images_of_imagenet_sample_images(
    subset: dict[str, Any], models: int, evaluated: int | None, expected: int
) -> None:
    named = [f"efficientnet_lite{number}" for number in range(models)]
    experiment = digits(
        dataset={"name": "imagenet-sample-images"}, models=named, sources=named[:1], training=None, subset=subset
    )
    assert costs.attacked_images(experiment, evaluated) == expected
