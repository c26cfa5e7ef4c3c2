"""Predictions of target models for sets of images: those that are kept are read, the others computed and kept."""

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from crossfool.models.inference.config import Compute
from crossfool.models.weights_file import read_description
from crossfool.pipeline.evaluation import kept_predictions, predict_order
from crossfool.pipeline.evaluation.compute_predictions import ImageSet, Key, compute_here, compute_with_engine
from crossfool.pipeline.evaluation.kept_predictions import KeptPredictions
from crossfool.pipeline.evaluation.predict_order import PLAIN, Variation, variation_name
from crossfool.pipeline.workers.choose_engine import choose_engine
from crossfool.runtime import choose_device
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile

Predictions = dict[str, dict[Variation, np.ndarray]]  # target model -> variation -> top-5 classes (N,5)


def predict_sets(
    models: Mapping[str, Path],
    sets: Mapping[Key, ImageSet],
    *,
    compute: Compute,
    fingerprints: Mapping[str, str] | None,
    name: str,
    kept: KeptPredictions | None = None,
) -> dict[Key, Predictions]:
    """Predict sets of images by target models; a model is loaded only where something of it is left to compute.

    Args:
        models: Target model -> its weights file.
        sets: The sets of images.
        compute: The section `compute` of params.yaml.
        fingerprints: Target model -> hash of its network and of the code that predicts, for the key of kept
            predictions; None where none are kept or read.
        name: A file name for an engine's own files; of two processes that give the same, one waits.
        kept: Where predictions are kept; None for the experiment's folder.

    Raises:
        UserError: a weights file is damaged or another model's, a logit is not finite, or pixels are 0..1.
    """
    libraries = {model: read_description(TensorFile(path), model)["library"] for model, path in models.items()}
    engine = choose_engine()
    kind = choose_device().type if engine is None else engine.kind
    digest = functools.cache(lambda model: sha256(models[model]))
    kept, keys = kept or KeptPredictions(), dict[tuple[Key, str], str]()
    found: dict[tuple[Key, str], dict[Variation, np.ndarray]] = {(key, model): {} for key in sets for model in models}
    kept_names: dict[Key, dict[Variation, str]] = {}
    if fingerprints is not None:
        kept_names = {key: _kept_names(images) for key, images in sets.items()}
        keys = _kept_keys(sets, libraries, digest, fingerprints, compute, kind)
        for place, key in keys.items():
            read, names = kept.read(key, len(sets[place[0]].images)), kept_names[place[0]]
            found[place] = {one: read[name] for one, name in names.items() if name in read}
    left = {place: tuple(one for one in sets[place[0]].variations() if one not in found[place]) for place in found}
    missing = {place: variations for place, variations in left.items() if variations}
    if engine is None or not missing:
        computed = compute_here(models, sets, missing, compute)
    else:
        digests = {model: digest(model) for _, model in missing}
        computed = compute_with_engine(engine, models, sets, missing, compute, digests, libraries, name)
    with contextlib.closing(computed):
        for place, predictions in computed:
            found[place] |= predictions
            if place in keys:
                kept.add(keys[place], {kept_names[place[0]][one]: top for one, top in predictions.items()})
    if keys and missing:
        kept.prune()
    return {
        key: {model: {one: found[key, model][one] for one in images.variations()} for model in models}
        for key, images in sets.items()
    }


def _kept_names(images: ImageSet) -> dict[Variation, str]:
    """Names under which predictions of a set are kept: variation -> its name, and a hash of what transforms the images.

    Thus an edit of a transform, or another version of a library that computes it, concerns its own predictions alone.
    """
    names = {}
    for one in images.variations():
        names[one] = variation_name(one)
        if one != PLAIN:
            versions = predict_order.library_versions(sorted(images.libraries.get(one[0], ())))
            parts = json.dumps([images.fingerprints[one[0]], versions])
            names[one] += f" {hashlib.sha256(parts.encode()).hexdigest()[:16]}"
    return names


def _kept_keys(
    sets: Mapping[Key, ImageSet],
    libraries: Mapping[str, str],
    digest: Callable[[str], str],
    fingerprints: Mapping[str, str],
    compute: Compute,
    kind: str,
) -> dict[tuple[Key, str], str]:
    """Keys of kept predictions: set and model -> key."""
    versions = {
        library: predict_order.library_versions(sorted({"torch", library} - {"crossfool"}))
        for library in set(libraries.values())
    }
    keys = {}
    for key, images in sets.items():
        images_digest = kept_predictions.images_digest(images.images, images.ids)
        for model, library in libraries.items():
            keys[key, model] = kept_predictions.prediction_key(
                images_digest,
                digest(model),
                fingerprint=fingerprints[model],
                compute=compute,
                kind=kind,
                libraries=versions[library],
            )
    return keys
