"""Validate params.yaml whole, so that a mistake costs a second and not a night."""

from pathlib import Path

from transferbench import params
from transferbench.artefacts import replacing
from transferbench.stage import stage


@stage
def main() -> None:
    params.load()
    with replacing(Path("data/params.checked")) as temporary:
        temporary.write_text("params.yaml is valid\n", encoding="utf-8")


if __name__ == "__main__":
    main()
