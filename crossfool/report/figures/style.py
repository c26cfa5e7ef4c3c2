"""Style of all figures: colours, fonts, axes, legends, and how a figure is saved."""


# --- in words ---------------------------------------------------------------------------------------


def wrapped(model: str) -> str:
    """A model's name as a column's head: over two lines where it is long."""
    return model.replace("_", "_\n", 1) if len(model) > 14 else model
