"""Write a source's weights record, so that a cell reruns for its own weights and for no other model's."""

from pathlib import Path

import click

from crossfool.pipeline.crafting import weights_record
from crossfool.pipeline.stage import stage
from crossfool.storage.json_files import write_json


@stage
@click.option("--source", required=True, help="A name from sources in params.yaml.")
def main(source: str) -> None:
    write_json(Path("sources") / f"{source}.json", weights_record.make_record(source, Path("weights")))


if __name__ == "__main__":
    main()
