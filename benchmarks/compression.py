"""Measure the size of cells with compressed perturbations: `python benchmarks/compression.py [FOLDER]`.

For every cell in the folder's adversarial/ (a finished run), the difference to the clean images, modulo 256, is
compressed by pyarrow's codecs and, where they are installed, blosc2's. One thread; the best of three turns.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pyarrow as pa

from crossfool.storage.tensors import TensorFile

TURNS = 3


def codecs() -> dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes, int], bytes]]]:
    """Codecs by name: functions that compress, and that decompress to so many bytes."""
    by_name = {}
    for name, level in (("lz4", None), ("zstd", 1), ("zstd", 3), ("zstd", 9)):
        codec = pa.Codec(name, level)
        by_name[f"{name} {level}" if level else name] = (
            lambda data, codec=codec: codec.compress(data, asbytes=True),
            lambda data, size, codec=codec: codec.decompress(data, size, asbytes=True),
        )
    try:
        import blosc2
    except ImportError:
        return by_name
    for name in ("BLOSCLZ", "LZ4", "ZSTD"):
        options = {"codec": blosc2.Codec[name], "clevel": 1, "typesize": 1, "filter": blosc2.Filter.BITSHUFFLE}
        by_name[f"blosc2 {name.lower()} 1, bitshuffle"] = (
            lambda data, options=options: blosc2.compress(data, **options),
            lambda data, size: blosc2.decompress(data),
        )
    return by_name


def best(work: Callable[[], bytes]) -> tuple[bytes, float]:
    """Call a function in several turns; return its result and the seconds of the fastest turn."""
    least = float("inf")
    for _ in range(TURNS):
        begun = time.perf_counter()
        result = work()
        least = min(least, time.perf_counter() - begun)
    return result, least


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True), default=Path())
def main(folder: Path) -> None:
    """Print a table: share of the raw size, MB of raw images a second."""
    clean = np.array(TensorFile(folder / "subset/images.safetensors")["images"])
    cells = {
        str(p.relative_to(folder / "adversarial").with_suffix("")): p
        for p in sorted((folder / "adversarial").rglob("*.safetensors"))
    }
    click.echo(
        "| cell | codec | of the raw images | of the difference | compresses, MB/s | decompresses, MB/s |\n"
        "|---|---|---:|---:|---:|---:|"
    )
    for cell, path in cells.items():
        raw = np.array(TensorFile(path)["images"])
        difference = (raw - clean).tobytes()
        for name, (compress, decompress) in codecs().items():
            packed, packing = best(lambda compress=compress, data=difference: compress(data))
            back, unpacking = best(lambda decompress=decompress, data=packed, size=raw.nbytes: decompress(data, size))
            if bytes(back) != difference:
                sys.exit(f"{name} does not give {cell} back")
            whole = len(compress(raw.tobytes()))
            speeds = f"{raw.nbytes / packing / 1e6:.0f} | {raw.nbytes / unpacking / 1e6:.0f}"
            click.echo(f"| {cell} | {name} | {whole / raw.nbytes:.0%} | {len(packed) / raw.nbytes:.0%} | {speeds} |")


if __name__ == "__main__":
    main()
