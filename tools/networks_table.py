"""Write docs/networks.md from stress/networks.json: which networks were tried as sources, and with what verdict."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ROWS, PAGE = ROOT / "stress" / "networks.json", ROOT / "docs" / "networks.md"
MACHINE = "Intel Xeon (AVX-512), 2 cores, one thread"
HEAD = """# Networks as sources

A network's gradient here is compared with its own library's. `pixel_model.wrap` folds and fuses what
torch.fx can trace; everything else is left to torch. Compared are logits and the gradient of the cross-entropy by the
pixels, two images of the native side, random seeded weights, batch normalisation that has seen data, float32 on the
CPU ({machine}). *Equal* is a cosine of at least 0.999, in every image, and logits within 0.1% of the largest. Where the
two gradients' cosine is below 0.9999, the same network in float64 judges; a network whose plain float32 gradient is
itself further than 0.999 from float64's counts as *as near to float64 as plain* where ours is at most three times as
far. *Below 0.999 by rounding alone*: plain float32 just reaches 0.999 and ours just misses it, at most three times as
far from float64's; folded and computed in float64, the network's gradient is the library's own (a cosine of at least
0.999998).

`python stress/networks.py` tries what has no row yet, a process a network; `python tools/networks_table.py` writes
this page. To be tried are torchvision's 80 classifiers and one network of each family of timm.
**Not tried yet: {left}.**

{versions}: {count} networks, {verdicts}. The last columns but one are cosines.

| network | library | side | traced, parts | logits by | ours, plain | plain, float64 | ours, float64 | verdict |
|---|---|---:|---|---:|---:|---:|---:|---|
"""


def page(rows: dict[str, dict[str, Any]], wanted: int) -> str:
    """Make the page from the rows of stress/networks.json and the number of networks to try."""
    verdicts = Counter(row["verdict"] for row in rows.values())
    versions = sorted({f"torch {r['torch']}, torchvision {r['torchvision']}, timm {r['timm']}" for r in rows.values()})
    dates = sorted({row["date"] for row in rows.values()})
    head = HEAD.format(
        machine=MACHINE,
        left=f"{wanted - len(rows)} of {wanted}" if wanted > len(rows) else "none",
        versions=f"{' to '.join(sorted({dates[0], dates[-1]}))}, {'; '.join(versions)}",
        count=len(rows),
        verdicts=", ".join(f"{verdict}: {count}" for verdict, count in verdicts.most_common()),
    )
    return head + "\n".join(lines(rows)) + "\n"


def lines(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Rows of the table, by library and name."""
    for name, row in sorted(rows.items(), key=lambda item: (item[1].get("library", ""), item[0])):
        traced = f"yes, {row['fused']}" if row.get("traced") else f"no: {row.get('why', '')}"
        logits = f"{row['logits']:.1e}" if "logits" in row else ""
        cosines = [f"{row[key]:.6f}" if key in row else "" for key in ("ours_plain", "plain_float64", "ours_float64")]
        cells = [name, row.get("library", ""), row.get("side", ""), traced, logits, *cosines, row["verdict"]]
        yield f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))
    import library_networks

    networks = json.loads(ROWS.read_text(encoding="utf-8"))
    PAGE.write_text(page(networks, len(library_networks.names())), encoding="utf-8")
