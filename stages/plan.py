"""Compile params.yaml: validate it whole, and write for each other stage what it computes with."""

from pathlib import Path

from crossfool.experiment import loading, plan_files, protected_folders
from crossfool.experiment.config import written_files
from crossfool.pipeline.stage import stage
from crossfool.storage.json_files import write_json


@stage
def main() -> None:
    experiment = loading.load_experiment()
    protected_folders.refuse_foreign_outputs(Path(), written_files(experiment))
    plan_files.write_plans(experiment, plan_files.FOLDER)
    # the report reads the whole folder, which has to exist even where nothing is analysed
    analyses = {kind: sorted(getattr(experiment, kind)) for kind in ("similarity", "boundary", "saliency")}
    write_json(Path("analysis/list.json"), analyses)


if __name__ == "__main__":
    main()
