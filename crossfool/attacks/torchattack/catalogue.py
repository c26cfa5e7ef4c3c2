"""The attacks of torchattack that `method` in params.yaml may name: their options and costs. Imports no torch.

Names, options and defaults are those of torchattack 1.7.2. Every attack keeps to an L-inf ball. The catalogue is one
module, over 300 lines long, since it is one table.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from crossfool.errors import UserError, unknown_name

Option = int | float | bool | str
Options = dict[str, Option]

LIBRARY = "torchattack"
VERSION = "1.7.2"  # of the library, whose names and options these are, and whose code was read
VIT_ARCHITECTURES = ("vit_base_patch16_224", "pit_b_224", "cait_s24_224", "visformer_small")


@dataclass(frozen=True)
class Method:
    """An attack of another library.

    Attributes:
        what: Description, in a line.
        source: The paper's arXiv number, or where it appeared.
        options: The attack's further arguments and their defaults; an empty text is a name without a default.
        cost: Number of steps, options -> gradient evaluations an image and model.
        steps: Number of steps where params.yaml gives none; 0 for an attack of a single step.
        targeted: Whether the attack can aim at a label.
        random: Whether the attack draws, so that `seed` is of use.
        network: Whether the attack hooks into a network's layers, which must be as their library built them.
        hooks: The architectures that `hook_cfg` may name.
        side: Side of the images that the attack takes, in pixels; 0 for any.
        alone: Whether the library decides by a batch's first image, so that each image must be a batch.
        departs: In what the library's code is known to depart from the attack's paper; "" where nothing is known.
        departs_targeted: In what it does so where the attack aims at a label, and there alone.
    """

    what: str
    source: str
    options: Options = field(default_factory=dict)
    cost: Callable[[int, Options], int] = lambda steps, options: steps
    steps: int = 10
    targeted: bool = True
    random: bool = False
    network: bool = False
    hooks: tuple[str, ...] = ()
    side: int = 0
    alone: bool = False
    departs: str = ""
    departs_targeted: str = ""


def _times(*names: str, plus: int = 0) -> Callable[[int, Options], int]:
    """The cost of steps x (product of the named options + `plus`)."""

    def cost(steps: int, options: Options) -> int:
        product = 1
        for name in names:
            product *= int(options[name])
        return steps * (product + plus)

    return cost


DECAY_OPTION: Options = {"decay": 1.0}
LAYER_OPTION: Options = {"feature_layer_cfg": ""}
HOOKS_OPTION: Options = {"hook_cfg": ""}
NO_MOMENTUM = "no momentum is kept"

METHODS: dict[str, Method] = {
    "FGSM": Method("one signed step", "1412.6572", cost=lambda steps, options: 1, steps=0),
    "IFGSM": Method("signed steps", "1607.02533"),
    "PGD": Method("signed steps from a random start", "1706.06083", {"random_start": True}, random=True),
    "MIFGSM": Method("momentum", "1710.06081", DECAY_OPTION),
    "NIFGSM": Method("Nesterov's step ahead", "1908.06281", DECAY_OPTION, departs=NO_MOMENTUM),
    "SINIFGSM": Method(
        "Nesterov's step ahead, over scaled copies",
        "1908.06281",
        DECAY_OPTION | {"m": 3},
        _times("m"),
        departs=f"{NO_MOMENTUM}, and the gradients of earlier copies count again",
    ),
    "DIFGSM": Method(
        "random resizing and padding",
        "1803.06978",
        DECAY_OPTION | {"resize_rate": 0.9, "diversity_prob": 1.0},
        random=True,
    ),
    "TIFGSM": Method(
        "gradients blurred", "1904.02884", DECAY_OPTION | {"kern_len": 15, "n_sig": 3}, departs=NO_MOMENTUM
    ),
    "VMIFGSM": Method(
        "variance tuning", "2103.15571", DECAY_OPTION | {"n": 5, "beta": 1.5}, _times("n", plus=1), random=True
    ),
    "VNIFGSM": Method(
        "variance tuning, Nesterov's step",
        "2103.15571",
        DECAY_OPTION | {"n": 5, "beta": 1.5},
        _times("n", plus=1),
        random=True,
    ),
    "Admix": Method(
        "images of the chunk mixed in, five scales",
        "2102.00436",
        DECAY_OPTION | {"portion": 0.2, "size": 3},
        lambda steps, options: 5 * steps * int(options["size"]),
        random=True,
    ),
    "BSR": Method(
        "blocks shuffled and rotated",
        "2308.10299",
        DECAY_OPTION | {"num_scale": 20, "num_block": 3},
        _times("num_scale"),
        random=True,
        departs="strips are rotated, not blocks, and all images of a chunk are cut and turned alike",
    ),
    "DeCoWA": Method(
        "adversarial warping",
        "2402.03951",
        DECAY_OPTION | {"mesh_width": 3, "mesh_height": 3, "rho": 0.01, "num_warping": 20, "noise_scale": 2},
        lambda steps, options: 2 * steps * int(options["num_warping"]),
        random=True,
        departs=f"{NO_MOMENTUM}, and the gradients of earlier warps count again",
    ),
    "GRA": Method(
        "gradients of neighbours, by their similarity",
        "ICCV 2023",
        DECAY_OPTION | {"beta": 3.5, "eta": 0.94, "num_neighbors": 20},
        _times("num_neighbors", plus=1),
        random=True,
        departs_targeted="the neighbours' gradients aim at no target",
    ),
    "MIG": Method(
        "integrated gradients",
        "ICCV 2023",
        DECAY_OPTION | {"s_factor": 25},
        _times("s_factor"),
        departs="the sign is wrong, so that untargeted it raises the true label's probability",
    ),
    "MuMoDIG": Method(
        "integrated gradients along several paths",
        "2412.18844",
        DECAY_OPTION | {"n_trans": 6, "n_base": 1, "n_interpolate": 1, "region_num": 2, "lambd": 0.65},
        lambda steps, options: (
            steps * (1 + int(options["n_trans"])) * int(options["n_base"]) * int(options["n_interpolate"])
        ),
        targeted=False,
        random=True,
    ),
    "SSA": Method(
        "random changes of the spectrum",
        "2207.05382",
        DECAY_OPTION | {"num_spectrum": 20, "rho": 0.5},
        _times("num_spectrum"),
        random=True,
        side=224,
        departs=f"{NO_MOMENTUM}, and the gradients of earlier spectra count again",
    ),
    "BFA": Method(
        "features of a layer, weighed by fitted gradients",
        "Neurocomputing 2024",
        DECAY_OPTION | {"eta": 28, "num_ens": 30} | LAYER_OPTION,
        lambda steps, options: steps + 2 * int(options["num_ens"]),
        network=True,
    ),
    "DANAA": Method(
        "neurons' attribution along a path",
        "2310.10427",
        DECAY_OPTION | {"num_ens": 30, "scale": 0.25, "lr": 0.0025} | LAYER_OPTION,
        lambda steps, options: steps + int(options["num_ens"]),
        targeted=False,
        random=True,
        network=True,
    ),
    "DR": Method(
        "a layer's spread reduced",
        "1911.11616",
        DECAY_OPTION | LAYER_OPTION,
        steps=100,
        targeted=False,
        network=True,
        departs="the spread is that of the whole chunk, not of each image",
    ),
    "FIA": Method(
        "a layer's important features",
        "2107.14185",
        DECAY_OPTION | {"num_ens": 30, "drop_rate": 0.3} | LAYER_OPTION,
        lambda steps, options: steps + int(options["num_ens"]),
        targeted=False,
        random=True,
        network=True,
    ),
    "ILPD": Method(
        "a layer's output kept near that of noise",
        "2304.13410",
        DECAY_OPTION | {"sigma": 0.05, "coef": 0.1} | LAYER_OPTION,
        targeted=False,
        random=True,
        network=True,
    ),
    "NAA": Method(
        "neurons' attribution",
        "2204.00008",
        DECAY_OPTION | {"num_ens": 30} | LAYER_OPTION,
        lambda steps, options: steps + int(options["num_ens"]),
        targeted=False,
        network=True,
    ),
    "FDA": Method(
        "features disrupted at ReLUs and pools",
        "1909.04385",
        DECAY_OPTION | {"random_start": True},
        lambda steps, options: 2 * steps,
        targeted=False,
        random=True,
        network=True,
    ),
    "SGM": Method(
        "gradients of residual branches weakened",
        "2002.05990",
        DECAY_OPTION | {"gamma": 0.2} | HOOKS_OPTION,
        network=True,
        hooks=(
            *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
            *("densenet121", "densenet161", "densenet169", "densenet201"),
        ),
    ),
    "BPA": Method(
        "smooth gradients of ReLU and pool, of torchvision's ResNets", "2306.12685", DECAY_OPTION, network=True
    ),
    "TGR": Method(
        "gradients of tokens regularised, of ViTs",
        "2303.15754",
        DECAY_OPTION | HOOKS_OPTION,
        network=True,
        hooks=VIT_ARCHITECTURES,
        side=224,
        alone=True,
    ),
    "PNAPatchOut": Method(
        "attention's gradient skipped, patches left out, of ViTs",
        "2109.04176",
        DECAY_OPTION | {"pna_skip": True, "pna_patchout": True} | HOOKS_OPTION,
        network=True,
        hooks=(*VIT_ARCHITECTURES, "deit_base_distilled_patch16_224"),
        side=224,
    ),
    "VDC": Method(
        "virtual dense connections, of ViTs",
        "AAAI 2024",
        DECAY_OPTION | HOOKS_OPTION,
        lambda steps, options: 2 * steps,
        network=True,
        hooks=VIT_ARCHITECTURES,
        side=224,
    ),
    "ATT": Method(
        "adaptive token tuning, of ViTs",
        "NeurIPS 2024",
        DECAY_OPTION | {"lambd": 0.01} | HOOKS_OPTION,
        lambda steps, options: steps + 1,
        random=True,
        network=True,
        hooks=VIT_ARCHITECTURES,
        side=224,
        alone=True,
    ),
}
GENERATOR = "is a generator trained beforehand, and attacks no model"
REFUSAL_REASONS = {
    **dict.fromkeys(("BIA", "CDA", "GAMA", "LTP"), GENERATOR),
    "SSP": "disturbs the features of a VGG16 of its own, and attacks no model",
    "PGDL2": "keeps to an L2 ball, as rows of the loop with norm: l2 do",
    **dict.fromkeys(("DeepFool", "GeoDA"), "looks for the smallest change, and knows no epsilon"),
    "L2T": "draws how many gradients it takes, and runs on CUDA alone",
}


def find_method(name: str) -> Method:
    """Look up `torchattack/<Name>`.

    Raises:
        UserError: there is no such attack, or it cannot be used here, with the reason.
    """
    library, _, attack = name.partition("/")
    if library != LIBRARY or not attack:
        raise UserError(f"method {name!r} is not known; expected {LIBRARY}/<attack>, such as {LIBRARY}/MIFGSM")
    if attack in REFUSAL_REASONS:
        raise UserError(f"{name} {REFUSAL_REASONS[attack]}; take another")
    if attack not in METHODS:
        raise unknown_name(f"attack of {LIBRARY}", attack, METHODS)
    return METHODS[attack]


def complete_options(name: str, given: Options) -> Options:
    """All options of a method, with defaults for those that are not given.

    Raises:
        UserError: the method does not have an option, or a value has another type.
    """
    defaults = find_method(name).options
    for key, value in given.items():
        if key not in defaults:
            raise unknown_name(f"option of {name}", key, defaults)
        default = defaults[key]
        fits = type(value) is type(default) or (type(default) is float and type(value) is int)
        if not fits:
            expected = {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}[type(default)]
            raise UserError(f"option {key} of {name} is {value!r}, expected {expected}")
        if type(default) is int and int(value) < 1:
            raise UserError(f"option {key} of {name} is {value!r}, expected at least 1")
    hooks, architecture = find_method(name).hooks, given.get("hook_cfg")
    if architecture is not None and architecture not in hooks:
        raise unknown_name(f"hook_cfg of {name}", architecture, hooks)
    return {**defaults, **given}
