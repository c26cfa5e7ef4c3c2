"""Fetch and verify the weights of LPIPS; write a file of no tensors where params.yaml does not ask for LPIPS."""

from crossfool.experiment import loading
from crossfool.pipeline.evaluation import lpips_weights
from crossfool.pipeline.stage import stage
from crossfool.storage.tensors import write_tensors


@stage
def main() -> None:
    experiment = loading.load_experiment()
    tensors = lpips_weights.fetch(experiment.weights) if experiment.lpips else {}
    metadata = {"source": lpips_weights.ARCHIVE, "source_sha256": lpips_weights.SHA256} if tensors else {}
    write_tensors("data/lpips.safetensors", tensors, metadata)


if __name__ == "__main__":
    main()
