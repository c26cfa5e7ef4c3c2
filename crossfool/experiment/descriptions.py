"""Sentences about an experiment for titles and notes: an attack's parameters, attacked images, what rates count."""

from crossfool.attacks import words
from crossfool.attacks.config import Attack
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.metrics import Results

TUNING_NOTICE = "tuning images: not for publication"


def wrapped_model_name(model: str) -> str:
    """A model's name as the head of a column: over two lines where it is long."""
    return model.replace("_", "_\n", 1) if len(model) > 14 else model


def parameter_value(value: object) -> str:
    """The value of an attack's parameter as messages show it; "not given" for None."""
    return f"{value:g}" if isinstance(value, float) else "not given" if value is None else str(value)


def attack_summary(attack: Attack) -> str:
    """The parameters of an attack, for a title; and where its code departs from its paper, in what."""
    parts: list[str] = [attack.objective]
    if attack.method is not None:
        parts.append(attack.method)
        parts += [f"{key} {value}" for key, value in (attack.options or {}).items()]
    else:
        parts += words.summaries(attack.parts)
    steps = "one step" if attack.steps == 1 else f"T = {attack.steps} steps"
    parts += [f"{steps} of α = {attack.step_size:g}", f"ε = {attack.epsilon:g}{norm_note(attack.norm)}"]
    if attack.fusion != "probabilities":
        parts.append(f"ensembles by mean {attack.fusion}")
    departs = departure(attack)
    return ", ".join(parts) + (f" († departs from its paper: {departs})" if departs else "")


def norm_note(norm: str | None) -> str:
    """The norm of an attack's ball, to stand behind its epsilon; "" for None, L-inf."""
    return f" in {norm.capitalize()}" if norm else ""


def departure(attack: Attack) -> str:
    """How an attack's code is known to depart from the attack's paper; "" where no departure is known."""
    method = attack.library_method
    if method is None:
        return ""
    return "; ".join(filter(None, (method.departs, method.departs_targeted if attack.targeted else "")))


def attacked_images_summary(results: Results) -> str:
    """The number of images that the rates rest on, and how they were chosen."""
    experiment, n = results.experiment, results.n
    images = "1 image" if n == 1 else f"{n:,} images"
    models = "the model classifies" if len(experiment.models) == 1 else f"all {len(experiment.models)} models classify"
    every, seed, tuning = experiment.subset.of == "all", experiment.subset.seed, experiment.subset.tuning
    pool = "all, whether models are right on them or not" if every else f"those that {models} correctly"
    drawn = f"drawn at random (seed {seed}) from {pool}"
    if experiment.subset.uses_tuning:
        number = images.replace("image", "tuning image")
        place = f"{number} of {experiment.dataset.name} (not for publication)"
        return f"{place}, {drawn}, apart from those that reports score"
    if experiment.subset.images == "all":
        choice = "every one, whether models are right on it or not" if every else f"every one that {models} correctly"
        apart = f", but for {tuning:,} tuning images" if tuning else ""
        return f"{images} of {experiment.dataset.name}: {choice}{apart}"
    return f"{images} of {experiment.dataset.name}, {drawn}"


def no_compared_images_note(experiment: Experiment) -> str:
    """The sentence that says why ranks and claims are missing where no attacked image is right under all models."""
    many = len(experiment.models)
    models = "the model" if many == 1 else f"all {many} models"
    return (
        f"No image is right under {models}: ranks, paired tests, claims and pooled destruction rates count only such "
        "images and are left out; success rates are of all attacked images."
    )


def count_compared_images(results: Results) -> int:
    """The number of attacked images that all models get right, which are those that ranks and claims count."""
    if results.experiment.subset.of != "all":
        return results.n
    for cell, targets in results.success.items():
        denominators = results.detail[cell]["denominators"]
        for target in targets:
            if target in denominators:
                rates = denominators[target]["all_right"]
                return int(rates["n"]) if rates else 0
    return results.n


def denominator_note(experiment: Experiment) -> str:
    """The errors that rates count, as the end of a sentence."""
    if experiment.subset.of == "all":
        return (
            "rates count errors that no attack made; the table of denominators sets clean errors beside them, "
            "and ranks and claims count only images that every model gets right"
        )
    return "every model is right on every clean one, so that no rate counts an error that no attack made"
