"""The update formula of an attack's row, in the paper's notation, from the formulas of its parts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crossfool.attacks import words
from crossfool.attacks.config import Attack
from crossfool.attacks.part import BasePart, GradientPart, InputPart
from crossfool.attacks.parts import DEFAULTS, FOLDERS

Fact = tuple[str, str]  # a name and what is said of it, as `explain` prints them

# of keys that every row may have; those of parts stand in the parts' docstrings
ROW_MEANINGS = {
    "epsilon": "ε, radius of the L∞ ball around the clean image, in pixel values 0..255",
    "steps": "T, iterations",
    "step_size": "α, pixel values a step",
    "seed": "of all that is drawn, from (seed, image id, step)",
    "noise": "kind of the samples that are drawn",
    "record_steps": "steps after which the images are kept, too",
    "seeds": "the first is the attack's; the others are run beside it, for the spread",
    "quantisation": "the last images are kept as floats, too",
    "method": "another library's attack, in place of the loop",
    "options": "of that attack",
}
L2_MEANINGS = {
    "epsilon": "ε, radius of the L2 ball around the clean image, in pixel values over the whole image",
    "step_size": "α, L2 norm of a step, in pixel values over the whole image",
    "norm": "of the ball, ε and α",
}
FUSION_FORMULAS = {
    "probabilities": "f = log of the mean of the members' softmax (equation 3, by probabilities)",
    "logits": "f = log-softmax of the mean of the members' logits (equation 3, by logits)",
    "losses": "f = mean of the members' log-softmax (equation 3, by losses)",
}


def parameter_meanings(attack: Attack) -> dict[str, str]:
    """The meaning of each key of a row that has one."""
    parts = () if attack.method is not None else attack.parts
    row_meanings = ROW_MEANINGS | (L2_MEANINGS if attack.norm == "l2" else {})
    return row_meanings | {key: text for part in parts for key, text in words.words(type(part)).meanings.items()}


def evaluations_formula(attack: Attack) -> str:
    """The factors of the number of gradient evaluations of an image and model, as a formula."""
    factors = ["T"]
    counted: tuple[GradientPart | InputPart, ...] = (attack.parts.gradient, *attack.parts.inputs)
    for part in counted:
        symbol = words.words(type(part)).evaluations
        if symbol or part.evaluations > 1:
            factors.append(symbol or str(part.evaluations))
    return " · ".join(factors)


class _Spread(float):
    """A step size in L2 as formulas show it where it stands for the change of each value."""

    def __format__(self, spec: str) -> str:
        return f"{float(self):{spec}}/√n"


@dataclass(frozen=True)
class PartFormula:
    """The formula of a part with its numbers put in.

    Attributes:
        facts: Its lines.
        symbol: What the last of them defines, such as Gₜ.
        step: A factor of the step; "" for none.
        iterate: What is clipped to the next images, where it is not the images moved by a sign; else "".
    """

    facts: tuple[Fact, ...]
    symbol: str
    step: str = ""
    iterate: str = ""


def part_formula(part: BasePart, names: Mapping[str, Any], symbol: str) -> PartFormula:
    """The formula of a part, or where it has none, or one that does not fit, its name, file and keys.

    Args:
        part: The part.
        names: What its formula may name beside its keys.
        symbol: What stands for its result, where its formula defines none.
    """
    lines = words.words(type(part)).formula
    facts = [(label, words.filled(template, part, names)) for label, template in lines]
    kind, name = words.kind_of(part), part.part_name()
    if not facts or any(text is None for _, text in facts):
        label = name if kind == "input" else kind
        return PartFormula(((label, f"{symbol}: {words.bare_part(part)} ({FOLDERS[kind]}/{name}.py)"),), symbol)
    step = "".join(f" · {text}" for label, text in facts if label == "step")
    iterate = "".join(str(text) for label, text in facts if label == "iterate")
    shown = [(label, str(text)) for label, text in facts if label not in ("step", "iterate")]
    defined = [match[1] for label, text in shown if label != "look" and (match := re.match(r"(\S+)(?= = )", text))]
    unsaid = words.bare_keys(part, *(template for _, template in lines))
    if unsaid:
        shown[-1] = (shown[-1][0], f"{shown[-1][1]} ({', '.join(unsaid)})")
    if kind == "gradient" and not defined and len(shown) == 1:
        defined = [shown[0][1]]
    return PartFormula(tuple(shown), defined[-1] if defined else symbol, step, iterate)


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
    parts = attack.parts
    names = {"label": "target label" if attack.targeted else "true label", "sign": "" if attack.targeted else "−"}
    loss = part_formula(parts.loss, names, "J(x)")
    fusion = FUSION_FORMULAS[attack.fusion] if members > 1 else "f the source's log-probabilities"
    yield from loss.facts[:-1]
    yield loss.facts[-1][0], f"{loss.facts[-1][1]}; {fusion}"
    yield "start", "x₀ = the clean image, no random start"
    step_size = attack.step_size if attack.norm is None else _Spread(attack.step_size)
    looks = [text for label, text in words.words(type(parts.update)).formula if label == "look"]
    point = "xₜ"
    for template in looks:
        if text := words.filled(template, parts.update, {"step_size": step_size}):
            point = text.partition(" = ")[0]
            yield "look", text
    of_images = [part for part in parts.inputs if part.stage() < 2]
    for part in of_images:
        yield from part_formula(part, {}, "∇J(x)" if part.stage() == 0 else "J(x)").facts
    gradient = _gradient_formula(attack, point)
    yield from gradient.facts
    symbol = gradient.symbol
    for part in parts.inputs:
        if part not in of_images:
            formula = part_formula(part, {"gradient": symbol}, "Kₜ")
            yield from formula.facts
            symbol = formula.symbol
    update = part_formula(parts.update, {"gradient": symbol, "step_size": step_size}, "dₜ")
    if attack.update != DEFAULTS["update"]:
        yield from (fact for fact in update.facts if fact[0] != "look")
        symbol = update.symbol
    epsilon, step = f"{attack.epsilon:g}", f"{attack.step_size:g}{gradient.step}{update.step}"
    times = "once: t = 0" if attack.steps == 1 else f"{attack.steps} times: t = 0 … {attack.steps - 1}"
    if attack.norm == "l2":
        moved = f"xₜ + {step} · {symbol} / ‖{symbol}‖₂"
        yield "step", f"xₜ₊₁ = {moved}, scaled to ‖x − x₀‖₂ ≤ {epsilon}, then clipped to [0, 255]; {times}"
        yield "stored", f"rounded, toward x₀ where else ‖x − x₀‖₂ > {epsilon}"
        return
    moved = update.iterate or f"xₜ + {step} · sign {symbol}"
    yield "step", f"xₜ₊₁ = clip({moved}) to [0, 255] and |x − x₀| ≤ {epsilon}; {times}"
    stored = "whole numbers throughout: uint8 loses nothing"
    yield "stored", stored if attack.whole else f"rounded, and clipped again to |x − x₀| ≤ {int(attack.epsilon)}"


def _gradient_formula(attack: Attack, point: str) -> PartFormula:
    """The formula of a row's estimator at a point, with that of its noise put in or beside it."""
    parts, names = attack.parts, {"point": point}
    if parts.noise is None:
        return part_formula(parts.gradient, names, "Gₜ")
    noise = part_formula(parts.noise, {}, "ξᵢ")
    text = noise.facts[-1][1]
    names |= {"noise": text, "sample": text.partition(" ~ ")[0] if " ~ " in text else "ξᵢ"}
    formula = part_formula(parts.gradient, names, "Gₜ")
    if any(text in said for _, said in formula.facts):
        return formula
    return PartFormula((*formula.facts, *noise.facts), formula.symbol, formula.step)
