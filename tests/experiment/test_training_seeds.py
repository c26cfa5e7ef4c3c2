"""Networks of one model that are trained with different seeds: names, plans, costs, and mistakes in one line."""

from typing import Any

import pytest
import yaml
from builders import DIGITS, ROOT
from made_experiments import FGSM

from crossfool.errors import UserError
from crossfool.experiment import costs, loading, stage_plans
from crossfool.experiment.config import Experiment
from crossfool.experiment.output_sizes import output_sizes
from crossfool.models import families
from crossfool.models.weights import registry

NETWORKS = ["fnn0", "fnn0_seed1", "fnn0_seed7", "fnn2", "fnn2_seed1"]


def parsed(**changed: Any) -> Experiment:
    values = {
        **DIGITS,
        "models": NETWORKS,
        "sources": [*NETWORKS, "fnn0_seed1+fnn2_seed1"],
        "subset": {"images": 100},
        "compute": {"chunk": 8},
        "attacks": {"fgsm": FGSM},
        **changed,
    }
    return loading.parse_experiment(yaml.safe_dump(values), ROOT / "params.yaml")


def test_a_seed_in_a_name_is_that_of_its_training_alone() -> None:
    experiment = parsed()
    plain, seeded = (stage_plans.train(experiment, model).values for model in ("fnn0", "fnn0_seed7"))
    assert plain.recipe is not None and seeded.recipe is not None
    assert (plain.recipe.seed, seeded.recipe.seed) == (0, 7)
    assert seeded.recipe == plain.recipe.model_copy(update={"seed": 7})
    assert (seeded.spec.name, seeded.spec.network, seeded.spec.model) == ("fnn0_seed7", "fnn0", "fnn0")
    assert (seeded.spec.mean, seeded.spec.side) == (plain.spec.mean, plain.spec.side)
    other = parsed(training={**DIGITS["training"], "seed": 3})
    assert stage_plans.train(other, "fnn0_seed7").content() == stage_plans.train(experiment, "fnn0_seed7").content()
    assert stage_plans.train(other, "fnn0").content() != stage_plans.train(experiment, "fnn0").content()


def test_a_further_network_changes_no_other_ones_plan() -> None:
    """Neither its training, nor its predictions, nor the cells that it is a source of."""
    few, many = parsed(models=["fnn0", "fnn2"], sources=["fnn0", "fnn2"]), parsed()
    for plan in (stage_plans.train, stage_plans.predict, stage_plans.source):
        for model in ("fnn0", "fnn2"):
            assert plan(few, model).content() == plan(many, model).content()
    assert stage_plans.craft(few, "fgsm").content() == stage_plans.craft(many, "fgsm").content()
    content = stage_plans.source(many, "fnn0_seed1+fnn2_seed1").content()
    assert content["values"]["members"] == {"fnn0_seed1": ["crossfool", "fnn0"], "fnn2_seed1": ["crossfool", "fnn2"]}
    assert "models.networks.fnn" in content["code"]


def test_the_plan_of_a_name_without_seed_says_nothing_of_seeds() -> None:
    """So that plan files of experiments without seeds are what they were before names had any."""
    content = stage_plans.train(parsed(), "fnn0").content()
    assert "seed" not in content["values"]["spec"]
    assert content["values"]["recipe"]["seed"] == 0 and "seeds" not in content["values"]["recipe"]


@pytest.mark.parametrize("model", ["fnn8", "resnet20", "lenet", "densenet"])
def test_family_depth_size_and_layers_are_the_models(model: str) -> None:
    name = f"{model}_seed12"
    assert (families.family(name), families.depth(name)) == (families.family(model), families.depth(model))
    assert registry.architecture(name) == model and registry.spec(name).seed == 12
    assert registry.spec(name).family == registry.spec(model).family


def test_networks_of_one_model_cost_the_same() -> None:
    experiment = parsed(sources=["fnn2", "fnn2_seed1"])
    sizes = output_sizes(experiment, 100, 10_000)
    assert sizes["weights/fnn2_seed1.safetensors"] == sizes["weights/fnn2.safetensors"] > 0
    found = costs.cost(experiment)
    assert (found.cells, found.gradients) == (2, 200) and costs.is_small(experiment)
    one = costs.cost(parsed(models=["fnn2"], sources=["fnn2"]))
    two = costs.cost(parsed(models=["fnn2", "fnn2_seed1"], sources=["fnn2"]))
    assert one.operations is not None and two.operations is not None
    assert two.operations - one.operations == pytest.approx(10_100 * 1_294_000)  # the second one's predictions


CIFAR = {"dataset": {"name": "cifar10"}, "models": ["resnet20", "resnet20_seed1"], "sources": ["resnet20_seed1"]}
LITE = {"dataset": {"name": "imagenet-sample"}, "models": ["efficientnet_lite0_seed1"], "training": None}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"models": [*NETWORKS, "fnn0_seed0"]},
            "models: fnn0 and fnn0_seed0 are one network, fnn0 trained with seed 0 (a name without a seed has that of "
            "training); remove one",
        ),
        ({"models": [*NETWORKS, "fnn9_seed1"]}, "unknown model 'fnn9_seed1'; did you mean fnn8_seed1 or"),
        ({"models": [*NETWORKS, "fnn0_seed01"]}, "unknown model 'fnn0_seed01'; write fnn0_seed1, without the zeros"),
        ({"models": [*NETWORKS, "fnn0_seed"]}, "unknown model 'fnn0_seed'; did you mean fnn0"),
        ({"models": [*NETWORKS, "fnn0_seed1_seed2"]}, "unknown model 'fnn0_seed1_seed2'"),
        ({"models": [*NETWORKS, "fnn0@1"]}, "a name has letters, digits and _ only"),
        ({"sources": ["fnn0_seed2"]}, "sources: fnn0_seed2: unknown model 'fnn0_seed2'; did you mean fnn0_seed"),
        ({"targets": ["fnn2_seed7"]}, "targets: unknown model 'fnn2_seed7'; did you mean"),
        (
            LITE | {"sources": ["efficientnet_lite0_seed1"]},
            "models: efficientnet_lite0_seed1: efficientnet_lite0 has published weights, which depend on no seed here; "
            "write efficientnet_lite0",
        ),
        (CIFAR | {"weights": {"dir": "own"}, "training": None}, "resnet20 has published weights"),
        (
            CIFAR | {"weights": {"dir": "own"}, "training": {**DIGITS["training"], "retrain": ["resnet20_seed1"]}},
            "training: retrain: unknown model 'resnet20_seed1'; did you mean resnet20?",
        ),
    ],
)
def test_mistakes_are_one_line(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        parsed(**changed)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_retrained_model_may_have_several_networks() -> None:
    recipe = {**DIGITS["training"], "retrain": ["resnet20"]}
    experiment = parsed(**CIFAR, weights={"dir": "own"}, training=recipe)
    assert all(map(experiment.is_trained, experiment.models))
    values = stage_plans.train(experiment, "resnet20_seed1").values
    assert values.recipe is not None and (values.recipe.seed, values.recipe.retrain) == (1, ())
    assert all(map(parsed(**CIFAR).is_trained, CIFAR["models"]))  # without a folder of weights, they are trained anyway
