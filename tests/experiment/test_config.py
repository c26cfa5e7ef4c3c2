"""Every mistake in params.yaml is one clear line, and the right files load."""

from pathlib import Path

import pytest
import yaml
from builders import ROOT

from crossfool.attacks.config import Attack
from crossfool.errors import UserError
from crossfool.experiment import loading
from crossfool.experiment.config import Experiment
from crossfool.models.weights import registry

DEFAULT = (ROOT / "params.yaml").read_text(encoding="utf-8")


def load(tmp_path: Path, text: str) -> Experiment:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return loading.load_experiment(path)


def test_default_loads_as_the_paper_has_it(tmp_path):
    experiment = load(tmp_path, DEFAULT)
    row, plain = experiment.attacks["sg_igsm"], experiment.attacks["igsm_100"]  # table 3's pair, at equal cost
    assert (row.epsilon, row.steps, row.step_size, row.samples, row.sigma) == (15, 5, 5, 20, 15)
    assert (plain.epsilon, plain.steps, plain.step_size, plain.gradient) == (15, 100, 1, "plain")
    assert row.gradient_evaluations_per_seed == plain.gradient_evaluations_per_seed == 100 and not row.targeted
    assert experiment.attacks["igsm_targeted"].targeted
    assert experiment.subset.images == "all"
    with pytest.raises(ValueError):
        row.epsilon = 3  # frozen


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/*/params.yaml")), ids=lambda path: path.parent.name)
def test_experiments_load(path):
    loading.load_experiment(path)


def test_seed_is_for_whatever_is_drawn():
    row = {"epsilon": 8, "steps": 2, "step_size": 4, "seed": 3}
    for drawn in (
        {"diversity": 0.5},
        {"gradient": "varied", "samples": 2, "radius": 9},
        {"gradient": "relevant", "samples": 2, "radius": 9},
    ):
        assert Attack(**row, **drawn).seed == 3
    with pytest.raises(ValueError, match="seed is used only with"):
        Attack(**row, kernel=3, scales=2, update="nesterov", decay=1.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fgsm:     {", "KEY: {"),
        ("fgsm:     {epsilon: 15", "fgsm:     {KEY: 1, epsilon: 15"),
        ("subset:", "KEY: {KEY: 1}\nsubset:"),
        ("subset:", "KEY: 1\nKEY: 2\nsubset:"),
        ("  jpeg: ", "  KEY: "),
        ("fgsm:     {epsilon: 15", "fgsm:     {epsilon: KEY"),
    ],
)
def test_what_breaks_a_line_or_moves_a_terminal_is_escaped(tmp_path, old, new):
    text = DEFAULT.replace(old, new.replace("KEY", r'"two\nlines\e[2J\u2028"'), 1)
    with pytest.raises(UserError) as error:
        load(tmp_path, text)
    said = str(error.value)
    assert said.isprintable() and "two" in said and r"lines\x1b[2J" in said


def test_record_steps_may_end_with_steps():
    """The last step's images are the result: the row, and so its file, is the one without it."""
    row = {"epsilon": 15, "steps": 10, "step_size": 2}
    whole, short = (Attack(**row, record_steps=steps) for steps in ([1, 2, 5, 10], [1, 2, 5]))
    assert whole == short and whole.snapshots == ((0, 1), (0, 2), (0, 5))
    assert whole.model_dump_json() == short.model_dump_json()


@pytest.mark.parametrize("steps", [[10], [5, 11], [5, 10, 10], [10, 5], [5, 5]])
def test_record_steps_that_are_no_steps_of_the_row_are_one_line(tmp_path, steps):
    text = DEFAULT.replace("steps: 1,", f"steps: 10, record_steps: {steps},", 1)
    with pytest.raises(UserError, match=r"attacks: fgsm: record_steps: is .*, expected rising numbers up to steps, 10"):
        load(tmp_path, text)


def test_rows_of_the_paper_are_written_as_ever():
    """A key that is not given does not enter a cell's metadata."""
    row = Attack(epsilon=8, steps=2, step_size=4).model_dump_json(exclude_none=True)
    assert row == (
        '{"epsilon":8.0,"steps":2,"step_size":4.0,"gradient":"plain","update":"sign","objective":"untargeted",'
        '"fusion":"probabilities"}'
    )


# what stands in the default file, what is put instead, what the error must say
MISTAKES = [
    ("dataset:", "datset:", "unknown key 'datset'; did you mean dataset?"),
    ("images: all", "imges: all", "unknown key of subset 'imges'; did you mean images?"),
    ("steps: 1,", "step: 1,", "unknown key of attacks.fgsm 'step'; did you mean steps or step_size?"),
    ("gradient: smoothed", "gradient: smothed", "attacks: sg_fgsm: unknown gradient 'smothed'; did you mean smoothed?"),
    ("update: momentum", "update: momentm", "unknown update 'momentm'; did you mean momentum?"),
    ("objective: targeted", "objective: target", "unknown objective 'target'; did you mean targeted"),
    ("name: imagenet-sample", "name: imagenet_sample", "unknown name 'imagenet_sample'; did you mean imagenet-sample"),
    ("efficientnet_lite2]", "resnet1888]", "unknown model 'resnet1888'; did you mean resnet18"),
    ("efficientnet_lite2]", "../evil]", "letters, digits and _"),
    ("efficientnet_lite2]", "vgg-bn]", "letters, digits and _"),
    ("  jpeg:", "  jpg:", "unknown transform 'jpg'; did you mean jpeg?"),
    ("fgsm:     {epsilon: 15", "fgsm:     {epsilon: -1", "attacks: fgsm: epsilon is -1"),
    ("fgsm:     {epsilon: 15", "fgsm:     {epsilon: .nan", "attacks: fgsm: epsilon is nan"),
    ("fgsm:     {epsilon: 15", "fgsm:     {epsilon: '15'", "attacks: fgsm: epsilon is '15'"),
    ("fgsm:     {epsilon: 15, ", "fgsm:     {", "attacks: fgsm: epsilon is missing"),
    ("steps: 1,", "steps: 0,", "attacks: fgsm: steps is 0"),
    ("steps: 1,", "steps: 1.5,", "attacks: fgsm: steps is 1.5"),
    ("samples: 20", "samples: 0", "attacks: sg_fgsm: samples is 0"),
    ("images: all", "images: 0", "subset: images: is 0, expected a whole number of at least 1, or all"),
    ("images: all", "images: true", "subset: images: is True, expected"),
    ("jpeg: [50,", "jpeg: [101,", "transforms: jpeg: 101 is out of range 1 to 100 (quality)"),
    ("jpeg: [50,", "jpeg: [75.5,", "transforms: jpeg: 75.5 is no whole number"),
    ("seed: 0", "seed: -1", "subset: seed is -1"),
    ("chunk: 20", "chunk: 0", "compute: chunk is 0"),
    ("precision: float32", "precision: float31", "unknown precision 'float31'; did you mean float32"),
    (
        "  - efficientnet_lite1\n",
        "  - resnet18\n",
        "sources: resnet18: unknown model 'resnet18'; valid: efficientnet_l",
    ),
    ("  - efficientnet_lite1\n", "  - efficientnet_lite0\n", "sources: efficientnet_lite0 occurs twice; remove one"),
    ("  - efficientnet_lite1\n", "  - efficientnet_lite0+efficientnet_lite0\n", "names a member twice; remove one"),
    (
        "  igsm:     {",
        "  igsm:     {sigma: 15, ",
        "sigma is used only with gradient: maximin, penalised, relevant, smoothed or varied, and here gradient is",
    ),
    (
        "  igsm:     {",
        "  igsm:     {seed: 1, ",
        "seed is used only with gradient: maximin, penalised, relevant, smoothed or varied, or with admix, bsr, "
        "diversity or sia",
    ),
    (
        "  igsm:     {",
        "  igsm:     {decay: 1.0, ",
        "decay is used only with update: initialised, momentum or nesterov, and here update is sign",
    ),
    ("samples: 20, ", "", "samples is missing; gradient: smoothed needs it"),
    (
        "gradient: smoothed, ",
        "gradient: varied, ",
        "sigma is used only with noise: antithetic, gaussian or latin, and here noise is uniform",
    ),
    ("smoothed, samples: 20, sigma: 15", "relevant, samples: 20", "radius is missing; gradient: relevant needs it"),
    (
        "smoothed, samples: 20, sigma: 15",
        "varied, samples: 2, radius: 9",
        "fgsm: gradient: varied differs from plain from",
    ),
    (
        "samples: 20, ",
        "samples: 20, radius: 9, ",
        "radius is used only with noise: uniform, and here noise is gaussian; remove radius or set",
    ),
    ("samples: 20, ", "samples: 1, noise: latin, ", "noise: latin needs samples of at least 2"),
    (
        "samples: 20, ",
        "samples: 20, noise: sobol, ",
        "unknown noise 'sobol'; valid: antithetic, gaussian, latin, uniform",
    ),
    (
        "  igsm:     {",
        "  igsm:     {noise: latin, ",
        "noise is used only with gradient: maximin, penalised, relevant, smoothed or varied, and here gradient is",
    ),
    ("  igsm:     {", "  igsm:     {resize: 0.8, ", "resize is used only with diversity; remove resize or give"),
    ("  igsm:     {", "  igsm:     {diversity: 1.5, ", "igsm: diversity is 1.5"),
    ("  igsm:     {", "  igsm:     {diversity: 0, ", "igsm: diversity is 0"),
    ("  igsm:     {", "  igsm:     {kernel: 4, ", "igsm: kernel: is 4, expected an odd number"),
    ("  igsm:     {", "  igsm:     {scales: 1, ", "igsm: scales is 1"),
    ("  igsm:     {", "  igsm:     {update: nesterov, ", "decay is missing; update: nesterov needs it"),
    ("update: momentum, decay: 1.0", "update: momentum", "decay is missing; update: momentum needs it"),
    (
        "training: null",
        "training: {epochs: 1, batch_size: 8, learning_rate: 0.1}",
        "training: no model here uses it",
    ),
    ("name: imagenet-sample", "name: mnist", "efficientnet_lite0 classifies imagenet, and the data set mnist is mnist"),
    ("name: imagenet-sample", "name: imagefolder", "path is missing; imagefolder needs"),
    (
        "name: imagenet-sample",
        "name: imagenet-sample, classes: imagenet",
        "classes is used by csv, imagefolder, not by imagenet-sample; remove it",
    ),
    ("name: imagenet-sample", "name: imagefolder, pth: x", "dataset: unknown key 'pth'; did you mean path?"),
    ("name: imagenet-sample", "classes: imagenet", "dataset: name is missing; valid: cifar10, "),
    ("{name: imagenet-sample}", "imagenet-sample", "dataset is 'imagenet-sample': expected a section of keys"),
    ("weights: {}", "weights: {sha256: {resnet18: abc}}", "weights: sha256: resnet18"),
    (
        "weights: {}",
        f"weights: {{sha256: {{efficientnet_lite0: {'a' * 64}}}}}",
        "has its hash pinned by the zoo; remove",
    ),
    ("sources:\n", "sources: []\nothers:\n", "unknown key 'others'"),
    ("attacks:\n", "attacks: {}\nothers:\n", "unknown key 'others'"),
    ("  igsm: ", "  fgsm: ", "the key fgsm occurs twice"),
    ("attacks:", "attacks: []\nother:", "unknown key 'other'"),
    ("dataset: {", "dataset: {{", "is not valid YAML"),
    ("models: [", "models: ['7', ", "unknown model '7'"),
    ("models: [", "models: [7, ", "models: 0 is 7"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), MISTAKES, ids=[wrong.strip() for _, wrong, _ in MISTAKES])
def test_mistakes_are_one_clear_line(tmp_path, right, wrong, message):
    assert right in DEFAULT
    with pytest.raises(UserError) as error:
        load(tmp_path, DEFAULT.replace(right, wrong, 1))
    text = str(error.value)
    assert message in text
    assert "\n" not in text and len(text) < 360


@pytest.mark.parametrize("where", ["attack", "ensemble", "both"])
def test_names_that_make_no_files_name_are_one_line(tmp_path, where):
    values = yaml.safe_load(DEFAULT)
    many = sorted(name for name, spec in registry.all_specs().items() if spec.library == "torchvision")
    if where != "attack":
        values["models"] += many[: 30 if where == "ensemble" else 12]
        values["sources"] = ["+".join(values["models"])]
    if where != "ensemble":
        values["attacks"] = {"a" * (260 if where == "attack" else 100): next(iter(values["attacks"].values()))}
    with pytest.raises(UserError, match=r"characters, expected at most 220; give the attack a shorter name") as error:
        load(tmp_path, yaml.safe_dump(values))
    assert "\n" not in str(error.value) and len(str(error.value)) < 360
    longest = 220 - 1 - len(max(yaml.safe_load(DEFAULT)["sources"], key=len))
    values = yaml.safe_load(DEFAULT)
    values["attacks"]["a" * longest] = next(iter(values["attacks"].values()))
    assert "a" * longest in load(tmp_path, yaml.safe_dump(values)).attacks


@pytest.mark.parametrize("text", ["", "- 1", "3", "a: !!python/object/apply:os.system ['true']", "\x00", "a: &x [*x]"])
def test_no_params_file_at_all(tmp_path, text):
    with pytest.raises(UserError) as error:
        load(tmp_path, text)
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="is missing; run the stage in an experiment's folder"):
        loading.load_experiment(tmp_path / "params.yaml")


def test_trained_model_needs_a_recipe(tmp_path):
    values = yaml.safe_load(DEFAULT)
    values |= {"dataset": {"name": "mnist"}, "models": ["fnn0"], "sources": ["fnn0"], "lpips": False}
    with pytest.raises(UserError, match="training: is null, but fnn0 has no published weights"):
        load(tmp_path, yaml.safe_dump(values))
    values["training"] = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-4}
    assert load(tmp_path, yaml.safe_dump(values)).training.learning_rate == 1e-4


def test_cifar_resnets_are_trained_unless_a_folder_is_given(tmp_path):
    values = yaml.safe_load(DEFAULT)
    values |= {"dataset": {"name": "cifar10"}, "models": ["resnet20"], "sources": ["resnet20"]}
    with pytest.raises(UserError, match="training: is null"):
        load(tmp_path, yaml.safe_dump(values))
    values["weights"] = {"dir": "somewhere"}
    load(tmp_path, yaml.safe_dump(values))


def test_scientific_numbers_are_numbers(tmp_path):
    text = DEFAULT.replace("epsilon: 15", "epsilon: 1e1", 1)
    assert load(tmp_path, text).attacks["fgsm"].epsilon == 10


def changed(**sections) -> str:
    return yaml.safe_dump(yaml.safe_load(DEFAULT) | sections)


def test_keys_that_nothing_would_use(tmp_path):
    row = {"epsilon": 1, "steps": 1, "step_size": 1, "fusion": "logits"}
    with pytest.raises(UserError, match="attacks: a: fusion applies to ensembles, and no source is an ensemble"):
        load(tmp_path, changed(sources=["efficientnet_lite0"], attacks={"a": row}))
    load(tmp_path, changed(sources=["efficientnet_lite0+efficientnet_lite1"], attacks={"a": row}))
    folder = {"name": "imagefolder", "path": "photos", "train_folder": "train"}
    with pytest.raises(UserError, match="train_folder is used by no model here, none is trained"):
        load(tmp_path, changed(dataset=folder))
    trained = {"models": ["fnn0"], "sources": ["fnn0"], "training": {"epochs": 1, "batch_size": 8, "learning_rate": 1}}
    trained["lpips"] = False
    with pytest.raises(UserError, match="train_folder is missing; fnn0 is to be trained on its images"):
        load(tmp_path, changed(dataset={"name": "imagefolder", "path": "digits", "classes": "mnist"}, **trained))
    with pytest.raises(UserError, match="dataset: path"):
        load(tmp_path, changed(dataset={"name": "imagefolder", "path": ""}))


def test_empty_lists(tmp_path):
    for name, nothing in (("models", []), ("sources", []), ("attacks", {})):
        with pytest.raises(UserError, match=f"{name}: is empty, expected at least one"):
            load(tmp_path, changed(**{name: nothing}))


PLANE = {"image": 0, "samples": 2, "sigma": 15, "sign": True, "extent": 10, "points": 3}
GRID = {
    "attack": {},
    "epsilon": [1.5, 10],
    "steps": [1],
    "step_size": ["epsilon"],
    "samples": [0, 5],
    "sigma": [15],
    "figure": {"x": "epsilon", "lines": "samples"},
}


def with_grid(tmp_path: Path, **changes: object) -> Experiment:
    values = yaml.safe_load(DEFAULT)
    values["grids"]["a"] = {**GRID, **changes}
    return load(tmp_path, yaml.safe_dump(values))


def test_a_grid_is_its_product_named_as_it_is_written(tmp_path):
    experiment = with_grid(tmp_path)
    cells = experiment.grids.cells()
    assert list(cells) == [
        "a_e1.5_T1_aepsilon_m0_s15",
        "a_e1.5_T1_aepsilon_m5_s15",
        "a_e10_T1_aepsilon_m0_s15",
        "a_e10_T1_aepsilon_m5_s15",
    ]
    plain, smoothed = cells["a_e10_T1_aepsilon_m0_s15"], cells["a_e10_T1_aepsilon_m5_s15"]
    assert (plain.epsilon, plain.step_size, plain.gradient, plain.value("sigma")) == (10, 10, "plain", None)
    assert (smoothed.step_size, smoothed.gradient, smoothed.samples, smoothed.sigma) == (10, "smoothed", 5, 15)
    assert experiment.row("a_e1.5_T1_aepsilon_m0_s15").epsilon == 1.5
    with pytest.raises(UserError, match="unknown attack 'a_e1"):
        experiment.row("a_e11_T1_aepsilon_m0_s15")


def test_cells_of_a_grid_share_parts_and_a_seed_where_each_draws(tmp_path):
    shared = {"loss": "cross_entropy", "kernel": 3, "update": "momentum", "decay": 0.5, "diversity": 0.5, "seed": 4}
    cells = with_grid(tmp_path, attack=shared).grids.cells()
    for row in cells.values():
        assert {key: row.value(key) for key in shared} == shared
    cells = with_grid(tmp_path, attack={"seed": 4}).grids.cells()
    assert [row.seed for row in cells.values()] == [None, 4, None, 4]  # the plain gradient draws nothing


def test_a_grid_of_an_ensemble_takes_a_fusion(tmp_path):
    values = yaml.safe_load(DEFAULT) | {"sources": ["efficientnet_lite0+efficientnet_lite1"]}
    values["grids"]["a"] = {**GRID, "attack": {"fusion": "logits"}, "samples": [5]}
    cells = load(tmp_path, yaml.safe_dump(values)).grids.cells()
    assert cells["a_e10_T1_aepsilon_m5_s15"].fusion == "logits"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilon": []}, "grids: a: epsilon is empty, but the grid is used"),
        ({"figure": None}, "grids: a: figure is null, but the grid is used"),
        ({"epsilon": [1, 1]}, "grids: a: epsilon: a value stands twice"),
        ({"sigma": [5, 15]}, "samples: 0 is the plain gradient, the same for every sigma"),
        ({"steps": [1, 5]}, "figure: draws x and lines, and steps has several values too"),
        ({"figure": {"x": "epsilon", "lines": "epsilon"}}, "x and lines are both epsilon"),
        ({"figure": {"x": "epsilom"}}, "grids: a: figure: unknown x 'epsilom'; did you mean epsilon?"),
        ({"attack": {"decay": 1.0}}, "decay is used only with update: initialised, momentum or nesterov"),
        ({"attack": {"fusion": "logits"}, "samples": [5]}, "fusion applies to ensembles, and no source is an ensemble"),
        ({"attack": {"update": "momentm"}}, "grids: a: attack: unknown update 'momentm'; did you mean momentum?"),
        ({"attack": {"kernl": 3}}, "unknown key of grids.a.attack 'kernl'; did you mean kernel?"),
        ({"attack": {"samples": 3}}, "unknown key of grids.a.attack 'samples'"),
        ({"attack": {"kernel": 1}}, "grids: a: kernel is 1"),
        ({"step_size": ["alpha"]}, "grids: a: step_size"),
        ({"epsilon": [300]}, "grids: a: epsilon"),
    ],
)
def test_mistakes_in_a_grid_are_one_line(tmp_path, changes, message):
    with pytest.raises(UserError) as error:
        with_grid(tmp_path, **changes)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("section", "row", "message"),
    [
        ("similarity", {"source": "efficientnet_lite9"}, "similarity: one: source: unknown model 'efficientnet_lite9'"),
        ("similarity", {"samples": [5, 2]}, "similarity: one: samples are [5, 2], expected rising numbers"),
        ("similarity", {"sample": [5]}, "unknown key of similarity.one 'sample'; did you mean samples?"),
        ("boundary", {"targets": ["resnet18"]}, "boundary: one: targets: unknown model 'resnet18'"),
        ("boundary", {"points": 2}, "boundary: one: points is 2"),
        ("boundary", {"points": 10**30}, "boundary: one: points is 1000000000000000000000000000000"),
        ("boundary", {"targets": []}, "boundary: one: targets is empty, expected at least one"),
        ("boundary", {"extent": 1e-300}, "boundary: one: extent is 1e-300: input should be greater than or equal to"),
        ("saliency", {"model": "resnet18"}, "saliency: one: model: unknown model 'resnet18'"),
        ("saliency", {"images": []}, "saliency: one: images is empty, expected at least one"),
        ("saliency", {"sigma": 1e308}, "saliency: one: sigma is 1e+308: input should be less than or equal to"),
    ],
)
def test_mistakes_in_an_analysis_are_one_line(tmp_path, section, row, message):
    lite = "efficientnet_lite0"
    right = {
        "similarity": {"source": lite, "target": lite, "images": 2, "samples": [1, 2], "sigma": 15},
        "boundary": {
            **PLANE,
            "source": lite,
            "targets": [lite],
        },
        "saliency": {"model": lite, "images": [0], "samples": [1, 2], "sigma": 15},
    }[section]
    values = yaml.safe_load(DEFAULT)
    values[section] = {"one": right}
    assert load(tmp_path, yaml.safe_dump(values))
    values[section] = {"one": {**right, **row}}
    with pytest.raises(UserError) as error:
        load(tmp_path, yaml.safe_dump(values))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_targets_retraining_and_scatter_name_what_there_is(tmp_path):
    values = yaml.safe_load(DEFAULT)
    for changes, message in (
        ({"targets": ["resnet18"]}, "targets: unknown model 'resnet18'"),
        ({"targets": []}, "targets: is empty"),
        ({"targets": "some"}, "targets: is 'some', expected a list of models, or all"),
        ({"scatter": {"attacks": ["fgms"], "same_family": False}}, "scatter: attacks: unknown attack 'fgms'"),
    ):
        with pytest.raises(UserError) as error:
            load(tmp_path, yaml.safe_dump(values | changes))
        assert message in str(error.value)
    assert load(tmp_path, yaml.safe_dump(values | {"targets": ["efficientnet_lite2"]})).answering == (
        "efficientnet_lite2",
    )
    cifar = yaml.safe_load((ROOT / "experiments/depth-cifar10/params.yaml").read_text(encoding="utf-8"))
    training = {"epochs": 24, "batch_size": 128, "learning_rate": 0.05, "retrain": ["resnet20"]}
    cifar |= {"models": ["lenet", *cifar["models"]], "training": training}
    experiment = load(tmp_path, yaml.safe_dump(cifar))
    assert [model for model in experiment.models if experiment.is_trained(model)] == ["lenet", "resnet20"]
    with pytest.raises(UserError, match="retrain: lenet is trained here anyway"):
        load(tmp_path, yaml.safe_dump(cifar | {"training": training | {"retrain": ["lenet"]}}))


def with_method(tmp_path: Path, row: dict, **sections) -> Experiment:
    values = yaml.safe_load(DEFAULT) | {"sources": ["efficientnet_lite0"]} | sections
    values["attacks"]["other"] = {"method": "torchattack/MIFGSM", "epsilon": 16} | row
    return load(tmp_path, yaml.safe_dump(values))


def test_a_method_has_its_own_steps_where_none_are_given(tmp_path):
    for given, steps, step_size, gradients in (
        ({}, 10, 1.6, 10),
        ({"steps": 20}, 20, 0.8, 20),
        ({"steps": 20, "step_size": 2}, 20, 2.0, 20),
        ({"method": "torchattack/FGSM"}, 1, 16.0, 1),
        ({"method": "torchattack/VMIFGSM", "options": {"n": 3}, "seed": 2}, 10, 1.6, 40),
        ({"method": "torchattack/DR", "options": {"feature_layer_cfg": "_blocks.3"}}, 100, 0.16, 100),
    ):
        row = with_method(tmp_path, given).attacks["other"]
        assert (row.steps, row.step_size, row.gradient_evaluations_per_seed) == (steps, step_size, gradients)
        # what a cell's metadata says of its row is that row
        again = Attack.model_validate_json(row.model_dump_json(exclude_none=True))
        assert again == row and len({again, row}) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"method": "MIFGSM"}, "attacks: other: method 'MIFGSM' is not known; expected torchattack/<attack>"),
        ({"method": "torchattack/MIFGMS"}, "unknown attack of torchattack 'MIFGMS'; did you mean MIFGSM"),
        ({"method": "torchattack/CDA"}, "torchattack/CDA is a generator trained beforehand, and attacks no model"),
        ({"options": {"decy": 1.0}}, "unknown option of torchattack/MIFGSM 'decy'; did you mean decay?"),
        ({"options": {"decay": "1"}}, "option decay of torchattack/MIFGSM is '1', expected a number"),
        ({"options": {"decay": True}}, "option decay of torchattack/MIFGSM is True, expected a number"),
        (
            {"method": "torchattack/VMIFGSM", "options": {"n": 0}},
            "option n of torchattack/VMIFGSM is 0, expected at le",
        ),
        ({"decay": 1.0}, "decay is not used with method"),
        ({"samples": 3}, "samples is not used with method"),
        ({"seed": 1}, "seed is not used by torchattack/MIFGSM, which draws nothing"),
        ({"method": "torchattack/FGSM", "steps": 3}, "torchattack/FGSM takes one step of epsilon"),
        ({"method": "torchattack/NAA", "objective": "targeted"}, "torchattack/NAA cannot aim at a label"),
        ({"steps": 0}, "attacks: other: steps is 0"),
        ({"method": 3}, "attacks: other: method is 3, expected a name such as torchattack/MIFGSM"),
        ({"method": "torchattack/SGM", "options": {"hook_cfg": "resnet19"}}, "unknown hook_cfg of torchattack/SGM"),
        ({"method": "torchattack/TGR"}, "not of efficientnet_lite0; name the one that it is built as in options"),
    ],
)
def test_mistakes_with_a_method_are_one_line(tmp_path, row, message):
    with pytest.raises(UserError) as error:
        with_method(tmp_path, row)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_method_suits_sources_and_arithmetic(tmp_path):
    fia = {"method": "torchattack/FIA", "options": {"feature_layer_cfg": "_blocks.3"}}
    assert with_method(tmp_path, fia).attacks["other"].needs_original_network
    pair = "efficientnet_lite0+efficientnet_lite1"
    assert not with_method(tmp_path, {}, sources=[pair]).attacks["other"].needs_original_network
    for sections, message in (
        ({"sources": [pair]}, f"hooks into the layers of one network, and the source {pair} is an ensemble"),
        ({"compute": {"chunk": 2, "compile": True}}, "set compile: false"),
        ({"compute": {"chunk": 2, "precision": "bfloat16"}}, "no bfloat16"),
    ):
        with pytest.raises(UserError) as error:
            with_method(tmp_path, fia, **sections)
        assert message in str(error.value)
    text = (ROOT / "experiments/depth-mnist/params.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    values["attacks"]["ssa"] = {"method": "torchattack/SSA", "epsilon": 16}
    with pytest.raises(UserError, match="torchattack/SSA takes images of 224 pixels; mnist has others"):
        load(tmp_path, yaml.safe_dump(values))
    row = {"epsilon": 15, "steps": 1, "step_size": 15, "options": {}}
    values["attacks"]["ssa"] = row
    with pytest.raises(UserError, match="options are used only with method"):
        load(tmp_path, yaml.safe_dump(values))
