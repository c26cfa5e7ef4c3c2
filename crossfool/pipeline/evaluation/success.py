"""Count success and destruction rates of a cell from top-5 predictions. All rates are percent."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from crossfool.stats.rates import wilson_rate


def success(top: np.ndarray, labels: np.ndarray, targets: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Images on which an attack succeeded, by the top-1 and by the top-5 criterion.

    Untargeted, success is a prediction other than the label; targeted, the prediction is the target. (Paper
    section 4 prints "= y_true" for the untargeted rate too; "success rate fooling a given model" is what it means.)

    Args:
        top: A target model's five most probable classes, (N,5), the most probable first.
        labels: True classes, (N,).
        targets: Classes aimed at, (N,); None for an untargeted attack.

    Returns:
        Two bool arrays (N,), by top-1 and by top-5.
    """
    aim = labels if targets is None else targets
    assert top.shape == (len(aim), 5), f"top is {top.shape}, expected ({len(aim)}, 5)"
    hit1, hit5 = top[:, 0] == aim, (top == aim[:, None]).any(1)
    return (~hit1, ~hit5) if targets is None else (hit1, hit5)


def cell_metrics(
    top_by_model: Mapping[str, np.ndarray], labels: np.ndarray, targets: np.ndarray | None, source: str
) -> dict[str, Any]:
    """Compute a cell's metrics as its JSON file has them: target model -> rates, intervals, n, whitebox.

    Args:
        top_by_model: Target model -> its predictions (N,5) for the adversarial images.
        labels: True classes, (N,).
        targets: Classes aimed at, (N,); None for an untargeted attack.
        source: A model's name, or several joined by +. A target among them is white-box.
    """
    metrics: dict[str, Any] = {}
    for model, top in top_by_model.items():
        hits1, hits5 = success(top, labels, targets)
        top1, top5 = wilson_rate(int(hits1.sum()), len(hits1)), wilson_rate(int(hits5.sum()), len(hits5))
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


def counted_rates(
    top: np.ndarray, labels: np.ndarray, targets: np.ndarray | None, counted: np.ndarray | None = None
) -> dict[str, Any] | None:
    """Success rates in percent with Wilson 95% intervals: `top1`, `top1_low`, `top1_high`, the same of `top5`, and `n`.

    Args:
        top: The model's five most probable classes, (N,5).
        labels: True classes, (N,).
        targets: Classes aimed at, (N,); None for an untargeted attack.
        counted: Which images count, (N,) bool; None for all.

    Returns:
        The rates; None where no image counts.
    """
    counted = np.ones(len(labels), bool) if counted is None else counted
    if not counted.any():
        return None
    aims = None if targets is None else targets[counted]
    found: dict[str, Any] = cell_metrics({"": top[counted]}, labels[counted], aims, "")[""]
    del found["whitebox"]
    return found


def destruction_rate(before_top1: np.ndarray, after_correct: np.ndarray) -> dict[str, Any]:
    """Destruction rate: the share of images that fool a target model and that it gets right again once transformed.

    Kurakin et al. 2017, arXiv 1607.02533; the clean images are all right by the choice of the subset.

    Args:
        before_top1: Which images fooled before the transform, (N,) bool.
        after_correct: Which images are classified correctly after the transform, (N,) bool.

    Returns:
        `rate` and its interval `low`, `high` in percent, of `n` images; None where no image fooled.
    """
    assert before_top1.shape == after_correct.shape and before_top1.dtype == after_correct.dtype == bool
    fooled = int(before_top1.sum())
    if not fooled:
        return {"rate": None, "low": None, "high": None, "n": 0}
    destroyed = wilson_rate(int((before_top1 & after_correct).sum()), fooled)
    return {"rate": destroyed.percent, "low": destroyed.low, "high": destroyed.high, "n": fooled}


def destruction_rates(
    before: Mapping[str, np.ndarray],
    after: Mapping[tuple[str, str, float], np.ndarray],
    labels: np.ndarray,
    right: Mapping[str, np.ndarray] | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Destruction rates of a cell: target model -> transform -> level -> `destruction_rate`.

    Args:
        before: Target model -> predictions (N,5) for the adversarial images.
        after: (target model, transform, level) -> most probable classes (N,) after the transform.
        labels: True classes, (N,).
        right: Target model -> which clean images it is right on, (N,) bool: on no other can it be fooled. None where
            it is right on all.
    """
    rates: dict[str, dict[str, dict[str, Any]]] = {model: {} for model in before}
    for (model, transform, level), top1 in after.items():
        fooled = before[model][:, 0] != labels
        if right is not None:
            fooled &= right[model]
        rates[model].setdefault(transform, {})[f"{level:g}"] = destruction_rate(fooled, top1 == labels)
    return rates
