"""crossfool: adversarial transferability, measured exactly."""

__version__ = "0.1.0"
