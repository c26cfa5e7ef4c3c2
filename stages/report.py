"""Tables, figures and the HTML page of the experiment, from its results alone."""

from pathlib import Path

from transferbench import pages, params, report
from transferbench.stage import stage


@stage
def main() -> None:
    report.write_report(Path(), params.load(), Path("report"))
    pages.write([Path()], Path("report/index.html"))


if __name__ == "__main__":
    main()
