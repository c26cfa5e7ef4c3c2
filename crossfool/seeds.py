"""Seeds of random draws, from what a draw is for."""

import hashlib


def derived(*parts: int) -> int:
    """63 bits that differ wherever the parts do, each a whole number of at most 63 bits."""
    digest = hashlib.blake2b(b"".join(int(part).to_bytes(8, "little") for part in parts), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
