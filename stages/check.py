"""Validate the whole of params.yaml, so that a mistake costs a second and not a night."""

from pathlib import Path

from crossfool.experiment import loading, protected_folders
from crossfool.experiment.config import written_files
from crossfool.pipeline.stage import stage
from crossfool.storage.atomic import replacing
from crossfool.storage.json_files import write_json


@stage
def main() -> None:
    experiment = loading.load_experiment()
    protected_folders.refuse_foreign_outputs(Path(), written_files(experiment))
    # the report reads the whole folder, which has to exist even where nothing is analysed
    analyses = {kind: sorted(getattr(experiment, kind)) for kind in ("similarity", "boundary", "saliency")}
    write_json(Path("analysis/list.json"), analyses)
    with replacing(Path("data/params.checked")) as temporary:
        temporary.write_text("params.yaml is valid\n", encoding="utf-8")


if __name__ == "__main__":
    main()
