"""docs/cluster.md: its batch script runs an experiment, whose work is done by jobs."""

import os
import re
import subprocess

import pytest
from builders import ROOT
from made_datasets import made_digits
from repositories import made

SCRIPT = ROOT / "docs/dvc-repro.sbatch"


@pytest.mark.exhaustive  # test_workers.py and test_evaluate_cell.py run jobs
def test_the_batch_script_has_jobs_attack_predict_and_evaluate(tmp_path):
    """By submitit's own stand-in for Slurm; in a job, whose variables are not the others'."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    (tmp_path / "made").mkdir()
    one = made(tmp_path / "made", made_digits(tmp_path / "digits", train=12, contrast=150), forked=True)
    one.edit(lambda values: values.update(models=["fnn0"], sources=["fnn0"], transforms={}))
    one.edit(lambda values: values["attacks"].pop("fgsm"))
    one.environment |= {
        "CROSSFOOL_WORKERS": "2",
        "CROSSFOOL_SLURM": "cluster=local timeout_min=5",
        "SLURM_SUBMIT_DIR": str(one.path),
        "SLURM_MEM_PER_CPU": "1",
        "SBATCH_TIMELIMIT": "1",
    }
    said = one.run("bash", str(SCRIPT), "attack", "evaluate")
    ran = set(re.findall(r"^Running stage '([^']+)'", said, re.MULTILINE))
    assert {"predict@fnn0", "attack@fnn0-sg_igsm", "evaluate@fnn0-sg_igsm"} <= ran
    submitted = sorted((one.path / ".crossfool/slurm").glob("*_submitted.pkl"))
    assert len(submitted) == 6  # two jobs a stage
    assert {path.name for path in (one.path / ".crossfool/slurm").iterdir() if path.suffix == ".lock"} == {
        "clean.fnn0.lock",
        "fnn0-sg_igsm.lock",
        "evaluate.fnn0-sg_igsm.lock",
    }
    files = [*one.path.glob("predictions/*/*.parquet"), *one.path.glob("metrics/*/*.json")]
    files += one.path.glob("adversarial/*/*.safetensors")
    written = {path: path.read_bytes() for path in files}
    assert sorted(path.relative_to(one.path).as_posix() for path in written) == [
        "adversarial/fnn0/sg_igsm.safetensors",
        "metrics/clean/fnn0.json",
        "metrics/fnn0/sg_igsm.detail.json",
        "metrics/fnn0/sg_igsm.json",
        "metrics/fnn0/sg_igsm.transform.json",
        "predictions/clean/fnn0.parquet",
        "predictions/fnn0/sg_igsm.parquet",
    ]
    for path in written:
        path.unlink()
    one.environment = {name: value for name, value in one.environment.items() if not name.startswith("CROSSFOOL_")}
    cell = ("--source", "fnn0", "--attack", "sg_igsm")
    for stage, *arguments in (("predict", "--model", "fnn0"), ("attack", *cell), ("evaluate", *cell)):
        one.run("python", "-P", f"stages/{stage}.py", *arguments)
    assert {path: path.read_bytes() for path in written} == written


def test_the_batch_script_runs_dvc_without_its_own_jobs_variables(tmp_path):
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").write_text(f"PATH={tmp_path}:$PATH\n")
    names = "CROSSFOOL_ENGINE CROSSFOOL_WORKERS CROSSFOOL_SLURM OMP_NUM_THREADS SLURM_CONF SLURM_JOB_ID SBATCH_GPUS"
    shown = "\n".join(f'echo "{name}=${{{name}-}}"' for name in names.split())
    (tmp_path / "dvc").write_text(f'#!/bin/bash\npwd -P\nprintf "[%s]" "$@"\necho\n{shown}\n')
    (tmp_path / "dvc").chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_CONF": "/etc/slurm.conf"}
    environment |= {"SLURM_JOB_ID": "7", "SBATCH_GPUS": "2", "CROSSFOOL_WORKERS": "3"}
    done = subprocess.run(["bash", SCRIPT, "a b", "c"], env=environment, cwd="/", capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.splitlines() == [
        str(tmp_path.resolve()),
        "[repro][a b][c]",
        "CROSSFOOL_ENGINE=slurm",
        "CROSSFOOL_WORKERS=3",
        "CROSSFOOL_SLURM=gpus_per_node=1 cpus_per_task=4 mem_gb=32 timeout_min=240",
        "OMP_NUM_THREADS=1",
        "SLURM_CONF=/etc/slurm.conf",
        "SLURM_JOB_ID=",
        "SBATCH_GPUS=",
    ]
