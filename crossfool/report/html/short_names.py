"""Short names of models on the page: without the beginning that all models of an experiment share."""

import itertools
import re
from collections.abc import Collection, Mapping, Sequence

from markupsafe import Markup, escape


def short_names(models: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Model -> its name without the common beginning of all models, up to an underscore.

    Empty where there is no such beginning, or a short name would be taken already or begin with no letter.

    Args:
        models: Names of the experiment's models.
        taken: Names of other things, such as attacks.
    """
    columns = zip(*(model.split("_") for model in models), strict=False)
    alike = itertools.takewhile(lambda parts: len(set(parts)) == 1, columns)
    start = "".join(f"{part}_" for part, *_ in alike)
    names = {model: model.removeprefix(start) for model in models}
    usable = all(name != model and name[:1].isalpha() for model, name in names.items())
    return names if len(models) > 1 and usable and not set(names.values()) & {*models, *taken} else {}


def breakable(text: str, names: Mapping[str, str] | None = None) -> Markup:
    """A text, escaped, that may be broken over lines after each _ and +; models by their short names.

    Args:
        text: The text.
        names: Model -> short name; the whole name is the short one's title.
    """
    if not names:
        return _breakable(text)
    parts = re.split(rf"(?<!\w)({'|'.join(map(re.escape, names))})(?!\w)", text)
    named = (
        Markup('<abbr title="{}">{}</abbr>').format(part, _breakable(names[part])) if place % 2 else _breakable(part)
        for place, part in enumerate(parts)
    )
    return Markup("").join(named)


def _breakable(text: str) -> Markup:
    return Markup(re.sub(r"([_+])", r"\1<wbr>", str(escape(text))))
