"""Print ASCII look-alikes where a stream cannot encode a character, in place of a UnicodeEncodeError."""

import codecs
import contextlib
import sys
import unicodedata

ERROR_HANDLER = "crossfool.text_encoding"  # the name by which Python finds `_replace_unencodable`
ASCII_SIGNS = {
    "−": "-", "–": "-", "—": "-", "×": "x", "·": ".", "∗": "*", "→": "->", "≤": "<=", "≥": ">=", "±": "+-",
    "∞": "inf", "∇": "grad ", "‖": "||", "⟨": "<", "⟩": ">", "✓": "yes", "✗": "no", "◎": "o", "†": "#",
    "“": '"', "”": '"', "‘": "'", "’": "'",
}  # fmt: skip
SCRIPT_MARKS = {"<sub>": "_", "<super>": "^"}


def spell_on_streams() -> None:
    """Have standard output and standard error write similar ASCII for characters that their encoding lacks."""
    codecs.register_error(ERROR_HANDLER, _replace_unencodable)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # no stream, a stream of another type, or a closed one
            stream.reconfigure(errors=ERROR_HANDLER)  # type: ignore[union-attr]


def to_ascii(text: str) -> str:
    """Spell a text in ASCII: `xₜ₊₁ ≤ ε` as `x_t+1 <= epsilon`; a character without a spelling is escaped."""
    pieces, script = [], ""
    for character in text:
        kind = unicodedata.decomposition(character).partition(" ")[0]
        if kind in SCRIPT_MARKS and kind != script:
            pieces.append(SCRIPT_MARKS[kind])
        script = kind
        pieces.append(character if character.isascii() else _spell_character(character))
    return "".join(pieces)


def _spell_character(character: str) -> str:
    if character in ASCII_SIGNS:
        return ASCII_SIGNS[character]
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that is no UTF-8, as Python represents it
        return f"\\x{ord(character) - 0xDC00:02x}"
    parts = unicodedata.normalize("NFKD", character)
    plain = "".join(ASCII_SIGNS.get(part, part if part.isascii() else "") for part in parts)
    if plain or unicodedata.combining(character):
        return plain
    name = unicodedata.name(character, "")
    if name.startswith("BOX DRAWINGS"):
        return "+" if " AND " in name else "|" if name.endswith("VERTICAL") else "-"
    if name.startswith("GREEK"):
        letter = name.partition(" LETTER ")[2].split(" ")[0]
        return letter.title() if "CAPITAL" in name else letter.lower()
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Python's hook for encoding errors: the spelling of the characters at fault, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return to_ascii(error.object[error.start : error.end]), error.end
