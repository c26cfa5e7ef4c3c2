"""Write tables, figures and the HTML page of the experiment, from its results alone."""

import os
from pathlib import Path
from shlex import quote

from crossfool.experiment import plan_files, stage_plans
from crossfool.pipeline.stage import print_line, stage


@stage
def main() -> None:
    experiment = plan_files.verified(stage_plans.report)
    from crossfool.report import report_folder
    from crossfool.report.html import page

    report_folder.write_report(Path(), experiment, Path("report"))
    page.write_page([Path()], Path("report/index.html"))
    folder = Path(os.path.relpath(".", experiment.root))
    command = f"crossfool show {quote(str(folder))}"
    print_line(f"report   {folder / 'report/index.html'}, to be opened in a browser; in this terminal: {command}")


if __name__ == "__main__":
    main()
