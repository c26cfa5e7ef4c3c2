"""Text on streams that cannot encode all of it: ASCII that is near it, in place of a UnicodeEncodeError."""

import codecs
import contextlib
import sys
import unicodedata

ERRORS = "crossfool.text_encoding"  # the name by which Python finds `_replaced`
SIGNS = {
    "−": "-", "–": "-", "—": "-", "×": "x", "·": ".", "∗": "*", "→": "->", "≤": "<=", "≥": ">=", "±": "+-",
    "∞": "inf", "∇": "grad ", "‖": "||", "⟨": "<", "⟩": ">", "✓": "yes", "✗": "no", "◎": "o",
    "“": '"', "”": '"', "‘": "'", "’": "'",
}  # fmt: skip
SCRIPTS = {"<sub>": "_", "<super>": "^"}


def streams() -> None:
    """Have standard output and standard error spell what their encoding lacks, whoever writes to them."""
    codecs.register_error(ERRORS, _replaced)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # none, another's own stream, or one that is closed
            stream.reconfigure(errors=ERRORS)  # type: ignore[union-attr]


def spelled(text: str) -> str:
    """The text in ASCII: `xₜ₊₁ ≤ ε` is `x_t+1 <= epsilon`; what has no spelling there is escaped."""
    found, script = [], ""
    for character in text:
        kind = unicodedata.decomposition(character).partition(" ")[0]
        if kind in SCRIPTS and kind != script:
            found.append(SCRIPTS[kind])
        script = kind
        found.append(character if character.isascii() else _spelled(character))
    return "".join(found)


def _spelled(character: str) -> str:
    if character in SIGNS:
        return SIGNS[character]
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name, as Python keeps it
        return f"\\x{ord(character) - 0xDC00:02x}"
    parts = unicodedata.normalize("NFKD", character)
    plain = "".join(SIGNS.get(part, part if part.isascii() else "") for part in parts)
    if plain or unicodedata.combining(character):
        return plain
    name = unicodedata.name(character, "")
    if name.startswith("BOX DRAWINGS"):
        return "+" if " AND " in name else "|" if name.endswith("VERTICAL") else "-"
    if name.startswith("GREEK"):
        letter = name.partition(" LETTER ")[2].split(" ")[0]
        return letter.title() if "CAPITAL" in name else letter.lower()
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return spelled(error.object[error.start : error.end]), error.end
