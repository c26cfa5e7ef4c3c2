"""Numbers as the report's texts and tables write them: p-values, signed differences, intervals, gradient counts."""


def p_value_text(p: float) -> str:
    """A p-value to two significant digits, or that it is below 0.0001."""
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def typographic_minus(text: str) -> str:
    """The text with each hyphen replaced by a minus sign."""
    return text.replace("-", "−")


def difference_text(points: float) -> str:
    """A signed difference in points of percent, one digit after the point; a difference that rounds to 0 is +0.0."""
    return typographic_minus(f"{round(points, 1) + 0.0:+.1f}")


def interval_text(low: float, high: float) -> str:
    """An interval of percents in brackets, one digit after the point."""
    return f"[{low:.1f}, {high:.1f}]"


def gradients_text(gradients: int) -> str:
    """The gradient evaluations that an attack takes, in words."""
    count = "1 gradient evaluation" if gradients == 1 else f"{gradients} gradient evaluations"
    return f"{count} an image and model"
