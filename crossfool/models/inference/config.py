"""The section `compute` of params.yaml: precision, compilation and chunk."""

from crossfool.config import Count, Precision, Section


class Compute(Section):
    """Settings of the computation that change a result's bytes beside the mathematics.

    Attributes:
        precision: Of the networks' arithmetic: float32; or tf32 or bfloat16, for a GPU's speed.
        compile: Have `torch.compile` write the networks' kernels, with CUDA graphs on a GPU.
        chunk: Images a unit of work: the batch of every forward and backward pass, and what a killed cell resumes by.
    """

    precision: Precision = "float32"
    compile: bool = False
    chunk: Count
