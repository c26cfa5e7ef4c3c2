"""Fetch and verify the weights of LPIPS; write a file of no tensors where params.yaml does not ask for LPIPS."""

from crossfool.experiment import plan_files, stage_plans
from crossfool.pipeline.stage import stage


@stage
def main() -> None:
    values = plan_files.verified(stage_plans.lpips)
    from crossfool.pipeline.evaluation import lpips_weights

    lpips_weights.write_lpips(values.weights, "data/lpips.safetensors", asked=values.asked)


if __name__ == "__main__":
    main()
