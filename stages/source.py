"""Write a source's weights record, so that a cell reruns for its own weights and for no other model's."""

from pathlib import Path

import click

from crossfool.experiment import plan_files, stage_plans
from crossfool.pipeline.stage import stage


@stage
@click.option("--source", required=True, help="A name from sources in params.yaml.")
def main(source: str) -> None:
    plan_files.verified(stage_plans.source, source)
    from crossfool.pipeline.crafting import weights_record

    weights_record.write_weights_record(source, Path("weights"), Path("sources") / f"{source}.json")


if __name__ == "__main__":
    main()
