"""Seeds of random draws, derived from what identifies a draw: the attack's seed, the image, the step."""

import hashlib


def derive_seed(*parts: int) -> int:
    """A seed of 63 bits, the same for the same parts alone; each part is a whole number of at most 63 bits."""
    digest = hashlib.blake2b(b"".join(int(part).to_bytes(8, "little") for part in parts), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
