"""Success and destruction rates of a cell, counted from top-5 predictions. All rates are percent."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from crossfool.stats.rates import rate


def success(top: np.ndarray, labels: np.ndarray, targets: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """On which images an attack succeeded, by the top-1 and by the top-5 criterion.

    Untargeted, success is an answer other than the label; targeted, the answer is the target. (Paper
    section 4 prints "= y_true" for the untargeted rate too; "success rate fooling a given model" is what it means.)

    Args:
        top: A target model's five most probable classes, (N,5), the most probable first.
        labels: True classes, (N,).
        targets: Classes aimed at, (N,); None for an untargeted attack.

    Returns:
        Two bool arrays (N,).
    """
    aim = labels if targets is None else targets
    assert top.shape == (len(aim), 5), f"top is {top.shape}, expected ({len(aim)}, 5)"
    hit1, hit5 = top[:, 0] == aim, (top == aim[:, None]).any(1)
    return (~hit1, ~hit5) if targets is None else (hit1, hit5)


def cell_metrics(
    top_by_model: Mapping[str, np.ndarray], labels: np.ndarray, targets: np.ndarray | None, source: str
) -> dict[str, Any]:
    """A cell's metrics, as they stand in its JSON file: target model -> rates, intervals, n, whitebox.

    Args:
        top_by_model: Target model -> its answers (N,5) to the adversarial images.
        labels: True classes, (N,).
        targets: Classes aimed at, (N,); None for an untargeted attack.
        source: A model's name, or several joined by +. A target among them is white-box.
    """
    metrics: dict[str, Any] = {}
    for model, top in top_by_model.items():
        hits1, hits5 = success(top, labels, targets)
        top1, top5 = rate(int(hits1.sum()), len(hits1)), rate(int(hits5.sum()), len(hits5))
        metrics[model] = {
            "top1": top1.percent,
            "top1_low": top1.low,
            "top1_high": top1.high,
            "top5": top5.percent,
            "top5_low": top5.low,
            "top5_high": top5.high,
            "n": top1.n,
            "whitebox": model in source.split("+"),
        }
    return metrics


def destruction(before_top1: np.ndarray, after_correct: np.ndarray) -> dict[str, Any]:
    """Of the adversarial images that fool a target, the share that it gets right again after a transform.

    Kurakin et al. 2017, arXiv 1607.02533; the clean images are all right by the choice of the subset.

    Args:
        before_top1: Which images fooled before the transform, (N,) bool.
        after_correct: Which are answered correctly after it, (N,) bool.
    """
    assert before_top1.shape == after_correct.shape and before_top1.dtype == after_correct.dtype == bool
    fooled = int(before_top1.sum())
    if not fooled:
        return {"rate": None, "low": None, "high": None, "n": 0}
    destroyed = rate(int((before_top1 & after_correct).sum()), fooled)
    return {"rate": destroyed.percent, "low": destroyed.low, "high": destroyed.high, "n": fooled}


def destruction_rates(
    before: Mapping[str, np.ndarray],
    after: Mapping[tuple[str, str, float], np.ndarray],
    labels: np.ndarray,
    right: Mapping[str, np.ndarray] | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Target -> transform -> level -> `destruction`, from the answers before and after the transforms.

    Args:
        before: Target model -> answers (N,5) to the adversarial images.
        after: Target model, transform, level -> first answers (N,).
        labels: (N,).
        right: Target model -> which clean images it is right on, (N,) bool: no other was fooled. All, if not given.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {model: {} for model in before}
    for (model, transform, level), top1 in after.items():
        fooled = before[model][:, 0] != labels
        if right is not None:
            fooled &= right[model]
        found[model].setdefault(transform, {})[f"{level:g}"] = destruction(fooled, top1 == labels)
    return found
