"""Tables and figures of the experiment, from its results alone."""

from pathlib import Path

from transferbench import params, report
from transferbench.stage import stage


@stage
def main() -> None:
    report.write_report(Path(), params.load(), Path("report"))


if __name__ == "__main__":
    main()
