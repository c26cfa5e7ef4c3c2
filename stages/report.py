"""Write tables, figures and the HTML page of the experiment, from its results alone."""

import os
from pathlib import Path
from shlex import quote

from crossfool.experiment import plan_files, stage_plans
from crossfool.pipeline.stage import print_line, stage


@stage
def main() -> None:
    experiment = plan_files.verified(stage_plans.report)
    from crossfool.experiment.results.metrics import load_metrics
    from crossfool.report import findings, report_folder
    from crossfool.report.html import page

    found = findings.Findings(Path(), load_metrics(Path(), experiment))
    report_folder.write_report(found, Path("report"))
    page.write_page_of([found], Path("report/index.html"), [""])
    folder = Path(os.path.relpath(".", experiment.root))
    command = f"crossfool show {quote(str(folder))}"
    print_line(f"report   {folder / 'report/index.html'}, to be opened in a browser; in this terminal: {command}")


if __name__ == "__main__":
    main()
