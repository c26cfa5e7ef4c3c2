"""Names of timm's models: every one that is a classifier of ImageNet is taken, with its tag and by its old name."""

import re

import pytest
import torch
import yaml
from builders import ROOT

from crossfool.attacks.torchattack import catalogue
from crossfool.cli import list as listing
from crossfool.errors import UserError
from crossfool.experiment import loading, preflight
from crossfool.experiment.config import Experiment
from crossfool.models import build, families, weights_file
from crossfool.models.inference import pixel_model
from crossfool.models.weights import model_description, published, registry
from crossfool.models.weights.config import Weights
from crossfool.storage.hashing import sha256

timm = pytest.importorskip("timm")
from safetensors.torch import save_file  # noqa: E402

REGISTRY = timm.models
OLD = REGISTRY.get_deprecated_models()
TAGGED = REGISTRY.list_models(include_tags=True)


def ours(name: str) -> str:
    """A name of timm's as params.yaml has it."""
    return f"timm_{name.replace('.', '__')}"


def test_names_are_written_in_one_way_alone():
    names = {*REGISTRY.list_models(), *TAGGED, *OLD}
    assert len(names) > 3000 and len({ours(name) for name in names}) == len(names)
    for name in names:
        assert re.fullmatch(registry.TIMM_NAME, ours(name)) and registry.spec(ours(name)).library == "timm"
        if "." in name:
            for written in (name, f"timm_{name}", f"timm/{name}", f"hf-hub:timm/{name}", f"hf_hub:timm/{name}"):
                assert registry.timm_name_hint(written).startswith(f"write {ours(name)}: ")


def test_every_classifier_of_imagenet_is_taken():
    taken = 0
    for name in {*REGISTRY.list_models(), *TAGGED, *OLD}:
        meant = OLD.get(name, name)
        try:
            own = REGISTRY.get_pretrained_cfg(meant)
        except RuntimeError:  # two old names lead to a tag that is no more
            own = None
        spec = registry.spec(ours(name))
        if own is None:
            with pytest.raises(UserError, match="with no tag sam; did you mean timm_vit_base_patch"):
                model_description.timm_config(spec)
        elif own.num_classes != 1000:
            with pytest.raises(UserError, match=rf"{ours(name)} has \d+ classes; expected a model of ImageNet's 1000"):
                model_description.timm_config(spec)
        else:
            assert build.timm_name(ours(name)) == meant
            assert model_description.timm_config(spec) == own.to_dict()
            taken += 1
    assert taken > 2500


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("timm_ens_adv_inception_resnet_v2", "inception_resnet_v2.tf_ens_adv_in1k"),
        ("timm_resnet50__a1_in1k", "resnet50.a1_in1k"),
        ("timm_vit_tiny_patch16_384", "vit_tiny_patch16_384.augreg_in21k_ft_in1k"),
        ("timm_tv_resnet34", "resnet34.tv_in1k"),
        ("timm_tv_resnet34__a1_in1k", "resnet34.a1_in1k"),
    ],
)
def test_tags_and_old_names_are_timms_networks(name, meant):
    with torch.device("meta"):
        network, expected = build.build(name, "timm"), timm.create_model(meant, pretrained=False)
    assert network.pretrained_cfg == expected.pretrained_cfg
    about, config = (
        model_description.describe(registry.spec(name), network),
        timm.data.resolve_model_data_config(expected),
    )
    assert about["name"] == name and about["side"] == config["input_size"][-1]
    assert about["mean"] == [255 * value for value in config["mean"]]
    assert about["std"] == [255 * value for value in config["std"]]
    assert about["interpolation"] == config["interpolation"]
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in expected.state_dict().items()
    }


def test_the_tag_says_the_side_and_the_classes():
    for name, side in (
        ("timm_tiny_vit_21m_224__dist_in22k_ft_in1k", 224),
        ("timm_tf_efficientnet_b0__ns_jft_in1k", 224),
        ("timm_eva02_tiny_patch14_336__mim_in22k_ft_in1k", 336),
        ("timm_convnext_tiny__fb_in22k_ft_in1k_384", 384),
    ):
        assert model_description.timm_config(registry.spec(name))["input_size"] == (3, side, side)
    with pytest.raises(UserError, match=r"21841 classes; .*; take timm_tiny_vit_5m_224__dist_in22k_ft_in1k$"):
        model_description.timm_config(registry.spec("timm_tiny_vit_5m_224"))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("timm_resnet_50", "did you mean timm_resnet50"),
        ("timm_resnet50_a1_in1k", "did you mean timm_resnet50__a1_in1k"),
        ("timm_resnet50__a1_1k", "timm has resnet50 with no tag a1_1k; did you mean timm_resnet50__a1_in1k"),
        ("timm_qqqq", r"timm has no such model; see timm\.list_models\(\)"),
    ],
)
def test_names_that_timm_has_not_name_the_nearest(name, line):
    for act in (lambda: build.build(name, "timm"), lambda: model_description.timm_config(registry.spec(name))):
        with pytest.raises(UserError, match=f"^unknown model '{name}': .*{line}"):
            act()


@pytest.mark.parametrize("name", ["timm_", "timm_x__", "timm___x", "timm_a__b__c", "timm_a_", "timm_a/b", "timm_é"])
def test_names_that_nobody_could_mean_are_refused(name):
    with pytest.raises(UserError, match="unknown model"):
        registry.spec(name)


def experiment(model: str, **changes) -> dict:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return values | {"models": [model], "sources": [model], "weights": {"sha256": {model: "0" * 64}}} | changes


@pytest.mark.parametrize("key", ["models", "sources", "targets", "weights"])
def test_a_dotted_name_in_params_says_how_to_write_it(tmp_path, key):
    right, dotted = "timm_resnet50__a1_in1k", "timm_resnet50.a1_in1k"
    for name in (
        (dotted, "resnet50.a1_in1k", f"resnet18+{dotted}") if key == "sources" else (dotted, "resnet50.a1_in1k")
    ):
        changed = {"weights": {"sha256": {name: "0" * 64}}} if key == "weights" else {key: [name]}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(experiment(right, **changed)), encoding="utf-8")
        with pytest.raises(UserError, match=f"{key}: .*write {right}: "):
            loading.load_experiment(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(experiment(right, attacks={"fgsm.v2": {}})), encoding="utf-8")
    with pytest.raises(UserError, match="a name has letters, digits and _ only"):
        loading.load_experiment(tmp_path / "params.yaml")


def test_check_tells_a_wrong_name_before_anything_runs(tmp_path):
    for name, line in (
        ("timm_resnet50__a1_1k", "no tag a1_1k"),
        ("timm_resnet_50", "no such model"),
        ("timm_convnext_tiny_in22k", "has 21841 classes"),
    ):
        with pytest.raises(UserError, match=line):
            preflight._weights(tmp_path, Experiment.model_validate(experiment(name)), {name})
        with pytest.raises(UserError, match=line):  # rather than that no hash is given for it
            preflight._weights(tmp_path, Experiment.model_validate(experiment(name, weights={})), {name})
    for name in ("timm_resnet50__a1_in1k", "timm_ens_adv_inception_resnet_v2"):
        preflight._weights(tmp_path, Experiment.model_validate(experiment(name)), {name})


def test_the_hub_is_asked_for_the_tags_weights(monkeypatch):
    hub, asked = pytest.importorskip("huggingface_hub"), []

    def download(*arguments):
        asked.append(arguments)
        raise OSError("\x1b[31mno " + "network " * 40)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    for name, repository in (
        ("timm_resnet50__a1_in1k", "timm/resnet50.a1_in1k"),
        ("timm_resnet50__tv_in1k", "timm/resnet50.tv_in1k"),
        ("timm_ens_adv_inception_resnet_v2", "timm/inception_resnet_v2.tf_ens_adv_in1k"),
    ):
        with pytest.raises(UserError, match=rf"set weights: {{sha256: {{{name}: .*huggingface\.co/{repository}/blob"):
            published.fetch(registry.spec(name), Weights())
        with pytest.raises(UserError, match=rf"cannot fetch {repository} \(no network .* network \.\.\.\)"):
            published.fetch(registry.spec(name), Weights(sha256={name: "0" * 64}))
        assert asked.pop() == (repository, "model.safetensors") and not asked


def test_weights_that_timm_publishes_elsewhere_are_fetched_there(tmp_path, monkeypatch):
    name, asked = "timm_legacy_seresnet18", []
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *given, **more: asked.append((given, more)))
    with pytest.raises(
        UserError, match=r"nothing pins its weights.* the sha256 of https://\S+seresnet18-4bb0ce65\.pth"
    ):
        published.find_weights(registry.spec(name), Weights())
    published.find_weights(registry.spec(name), Weights(sha256={name: "a" * 64}))
    ((url, path), more), *rest = asked
    assert url.endswith("seresnet18-4bb0ce65.pth") and path == str(tmp_path / "checkpoints/seresnet18-4bb0ce65.pth")
    assert more == {"hash_prefix": "a" * 64} and not rest


@pytest.mark.parametrize("name", ["timm_test_resnet__r160_in1k", "timm_test_resnet"])
def test_a_tagged_model_loads_from_a_folder(tmp_path, name):
    network = timm.create_model("test_resnet.r160_in1k", pretrained=False).eval()
    save_file(network.state_dict(), tmp_path / f"{name}.safetensors")
    where = Weights(dir=str(tmp_path), sha256={name: sha256(tmp_path / f"{name}.safetensors")})
    weights_file.write_weights(tmp_path / "w.safetensors", *published.fetch(registry.spec(name), where))
    model = pixel_model.load(tmp_path / "w.safetensors", device=torch.device("cpu"))
    config = timm.data.resolve_model_data_config(network)
    assert model.side == config["input_size"][-1] == 160
    x = torch.randint(0, 256, (2, 3, 160, 160)).float()
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        assert torch.allclose(model(x), network((x / 255 - mean) / std), rtol=1e-3, atol=1e-3)


def test_what_a_name_says_does_not_change_with_a_tag_or_an_old_name():
    renamed = {"mnasnet_a1"}  # semnasnet_100 today
    for name in TAGGED:
        plain, tagged = ours(name.partition(".")[0]), ours(name)
        assert families.family(tagged) == families.family(plain)
        assert families.depth(tagged) == families.depth(plain)
        assert registry.architecture(tagged) == name.partition(".")[0]
    for name, today in OLD.items():
        if name not in renamed:
            assert families.family(ours(name)) == families.family(ours(today))
            assert families.depth(ours(name)) == families.depth(ours(today))
    assert registry.architecture("resnet18") == "resnet18"


def test_an_attack_that_knows_a_networks_layers_knows_it_by_its_tag():
    values = experiment("timm_vit_base_patch16_224__augreg2_in21k_ft_in1k", lpips=False)
    values["attacks"] = {"tgr": {"method": "torchattack/TGR", "epsilon": 8}}
    values |= {"scatter": {"attacks": [], "same_family": False}}
    assert registry.architecture(values["models"][0]) in catalogue.METHODS["TGR"].hooks
    try:
        Experiment.model_validate(values)
    except ValueError as error:
        pytest.fail(str(error))


@pytest.mark.parametrize("text", ["timm_resnet50__a1_in1k", "timm_", "TIMM_ens_adv_inception_resnet_v2"])
def test_list_tells_of_every_name_of_timm(capsys, text):
    from crossfool.cli import console

    listing.show("models", text, console.make_console(), ROOT)
    assert "timm_<name>__<tag>" in capsys.readouterr().out
