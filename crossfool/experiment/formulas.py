"""The update formula of an attack's row, in the paper's notation."""

from collections.abc import Iterator

from crossfool.attacks.config import Attack

Fact = tuple[str, str]  # a name and what is said of it, as `explain` prints them

PARAMETER_MEANINGS = {
    "epsilon": "ε, radius of the L∞ ball around the clean image, in pixel values 0..255",
    "steps": "T, iterations",
    "step_size": "α, pixel values a step",
    "samples": "m, images around the iterate whose gradients are averaged",
    "sigma": "σ, standard deviation of the noise in pixel values",
    "radius": "r, the most by which a neighbour differs in a value",
    "diversity": "p, probability that an image is resized and padded before the gradient",
    "resize": "the smallest side that it gets then, as a part of its own",
    "scales": "s, halvings of the images that the gradient is the mean of, the whole among them",
    "kernel": "k, side of the Gaussian kernel that the gradient is convolved with, in pixels",
    "decay": "μ, of the momentum",
    "seed": "of all that is drawn, from (seed, image id, step)",
    "method": "another library's attack, in place of the loop",
    "options": "of that attack",
}
FUSION_FORMULAS = {
    "probabilities": "f = log of the mean of the members' softmax (equation 3, by probabilities)",
    "logits": "f = log-softmax of the mean of the members' logits (equation 3, by logits)",
    "losses": "f = mean of the members' log-softmax (equation 3, by losses)",
}


def evaluations_formula(attack: Attack) -> str:
    """The factors of the number of gradient evaluations of an image and model, as a formula."""
    copies = attack.gradient_evaluations_per_step // (
        attack.scales or 1
    )  # images whose gradients a step takes, at one scale
    if attack.samples is not None:
        factor = " · m" if copies == attack.samples else " · (m + 1)"
    else:
        factor = f" · {copies}" if copies > 1 else ""
    return f"T{factor}{' · s' if attack.scales else ''}"


def update_facts(attack: Attack, members: int) -> Iterator[Fact]:
    """The iteration with its numbers put in (paper equations 3, 4, 5 and 8, and later attacks' parts).

    Where the attack is another library's: its name, source and how its images are stored.

    Args:
        attack: The attack's row.
        members: How many models the source joins.
    """
    if attack.library_method is not None:
        yield "method", f"{attack.method}: {attack.library_method.what} ({attack.library_method.source})"
        yield "stored", f"rounded, and clipped to [0, 255] and |x − x₀| ≤ {int(attack.epsilon)}"
        return
    goal = "target label" if attack.targeted else "true label"
    sign = "" if attack.targeted else "−"
    fusion = "f the source's log-probabilities"
    if members > 1:
        fusion = FUSION_FORMULAS[attack.fusion]
    yield "loss", f"J(x) = {sign}f(x)[{goal}]; {fusion}"
    yield "start", "x₀ = the clean image, no random start"
    point = "xₜ"
    if attack.update == "nesterov":
        point = "yₜ"
        yield "look", f"yₜ = xₜ + {attack.step_size:g} · {attack.decay:g} · n gₜ, n the image's number of values"
    yield from _views(attack)
    gradient = f"∇J({point})"
    if attack.gradient == "plain":
        yield "gradient", gradient
    else:
        gradient = "Gₜ"
        yield "gradient", _estimate(attack, point)
    if attack.kernel is not None:
        yield "kernel", f"Kₜ = W ∗ {gradient}, W a Gaussian of {attack.kernel} × {attack.kernel} pixels"
        gradient = "Kₜ"
    direction = gradient
    if attack.decay is not None:
        yield "momentum", f"gₜ₊₁ = {attack.decay:g} · gₜ + {gradient} / ‖{gradient}‖₁, g₀ = 0 (equation 5)"
        direction = "gₜ₊₁"
    epsilon, step = f"{attack.epsilon:g}", f"{attack.step_size:g}"
    times = "once: t = 0" if attack.steps == 1 else f"{attack.steps} times: t = 0 … {attack.steps - 1}"
    if attack.gradient == "relevant":
        step += " · 0.94^cₜ"
        yield "settling", "cₜ, for each value: how often its sign has changed since the first step"
    yield "step", f"xₜ₊₁ = clip(xₜ + {step} · sign {direction}) to [0, 255] and |x − x₀| ≤ {epsilon}; {times}"
    stored = "whole numbers throughout: uint8 loses nothing"
    yield "stored", stored if attack.whole else f"rounded, and clipped again to |x − x₀| ≤ {int(attack.epsilon)}"


def _views(attack: Attack) -> Iterator[Fact]:
    """The transformations of the input through which each gradient is taken: scales and input diversity."""
    if attack.scales is not None:
        yield "scales", f"∇J(x) is the mean of those of J(x / 2ⁱ) by x, i = 0 … {attack.scales - 1}"
    if attack.diversity is not None:
        resized = (
            f"with probability {attack.diversity:g} resized to {attack.smallest_side:g} to 1 of its side and padded"
        )
        yield "diversity", f"J takes each image {resized}, afresh for each gradient"


def _estimate(attack: Attack, point: str) -> str:
    """The formula by which a step's gradients make one; the estimator's name where it has no formula here."""
    if attack.gradient not in ("smoothed", "varied", "relevant"):
        return f"Gₜ: {attack.gradient} (gradients/{attack.gradient}.py), at {point}"
    if attack.gradient == "smoothed":
        noise = f", {attack.noise}" if attack.noise not in (None, "gaussian") else ""
        drawn = f"{attack.samples} ξᵢ ~ N(0, {attack.sigma:g}²){noise} afresh each step"
        return f"Gₜ = 1/{attack.samples} · Σᵢ ∇J({point} + ξᵢ), {drawn}"
    mean = f"1/{attack.samples} · Σᵢ ∇J({point} + rᵢ), {attack.samples} rᵢ ~ U(−{attack.radius:g}, {attack.radius:g})"
    if attack.gradient == "varied":
        return f"Gₜ = ∇J({point}) + vₜ, v₀ = 0, vₜ₊₁ = {mean} afresh each step, − ∇J({point})"
    return f"Gₜ = s ∇J({point}) + (1 − s) Hₜ, Hₜ = {mean} afresh each step, s the cosine of the two"
