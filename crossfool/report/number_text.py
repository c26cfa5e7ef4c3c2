"""Numbers as the report's texts and tables write them: rates, intervals, p-values, differences, counts."""

from typing import Any


def six_digits(value: Any) -> str:
    """A number with six significant digits; any other value as it is, a truth value as yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return typographic_minus(f"{value:.6g}") if isinstance(value, float) else str(value)


def rate_text(percent: float) -> str:
    """A rate in percent, or another number, with one digit after the point."""
    return typographic_minus(f"{percent:.1f}")


def two_places(number: float) -> str:
    """A number with two digits after the point."""
    return typographic_minus(f"{number:.2f}")


def three_places(number: float) -> str:
    """A number with three digits after the point."""
    return typographic_minus(f"{number:.3f}")


def three_digits(number: float) -> str:
    """A number with three significant digits; a whole number from a thousand on."""
    return typographic_minus(f"{number:,.0f}" if number >= 1000 else f"{number:.3g}")


def count_text(number: int) -> str:
    """A whole number, with a comma before each three digits."""
    return f"{number:,}"


def signed_digits(number: float) -> str:
    """A number with its sign and three significant digits."""
    return typographic_minus(f"{number:+.3g}")


def p_value_text(p: float) -> str:
    """A p-value to two significant digits, or that it is below 0.0001."""
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def p_equation(p: float) -> str:
    """A p-value as "p = 0.02", or as "p < 0.0001"."""
    return f"p {p_value_text(p)}" if p < 0.0001 else f"p = {p_value_text(p)}"


def typographic_minus(text: str) -> str:
    """The text with each hyphen replaced by a minus sign."""
    return text.replace("-", "−")


def difference_text(points: float) -> str:
    """A signed difference in points of percent, one digit after the point; a difference that rounds to 0 is +0.0."""
    return typographic_minus(f"{round(points, 1) + 0.0:+.1f}")


def interval_text(low: float, high: float) -> str:
    """An interval of percents in brackets, one digit after the point."""
    return f"[{rate_text(low)}, {rate_text(high)}]"


def gradients_text(gradients: int) -> str:
    """The number of gradient evaluations of an attack, as a phrase."""
    count = "1 gradient evaluation" if gradients == 1 else f"{gradients} gradient evaluations"
    return f"{count} an image and model"
