"""Which stages run, as DVC's status and the graph say."""

from pathlib import Path
from types import SimpleNamespace

from crossfool.experiment import dvc_status


def test_who_depends_on_what_runs_runs_too() -> None:
    def stage(name: str, deps: list[str], outs: list[str]) -> SimpleNamespace:
        paths = [[SimpleNamespace(fs_path=f"/x/{path}") for path in some] for some in (deps, outs)]
        return SimpleNamespace(name=name, deps=paths[0], outs=paths[1])

    modified, gone = {"p": "modified"}, {"p": "deleted"}
    found = [
        (stage("plan", ["params.yaml"], ["plan"]), modified),
        (stage("prepare", ["plan/prepare.json"], ["data/images"]), {}),
        (stage("train@a", ["data/images"], ["weights/a"]), modified),
        (stage("train@b", ["data/images"], ["weights/b"]), gone),
        (stage("predict@a", ["weights/a"], ["predictions/clean/a"]), {}),
        (stage("select", ["predictions/clean"], ["subset/images"]), {}),
        (stage("source@a", ["weights"], ["sources/a.json"]), {}),
        (stage("source@b", ["weights"], ["sources/b.json"]), {}),
        (stage("attack@a-f", ["sources/a.json", "subset/images"], ["adversarial/a/f"]), {}),
        (stage("attack@b-f", ["sources/b.json", "subset/images"], ["adversarial/b/f"]), {}),
        (stage("evaluate@b-f", ["adversarial/b/f", "weightsandmore"], ["predictions/b/f"]), {}),
    ]

    def closed() -> dict[str, str]:
        names = (one.name for one, _ in found)
        kinds = dvc_status._closed(Path("/x"), found)
        words = [[word for word in ("runs", "maybe", "absent") if getattr(one, word)] for one in kinds]
        return {name: " ".join(some) for name, some in zip(names, words, strict=True) if some}

    # plans are compared by content, source b's members are what they were, the subset may come out as another
    certain = dict.fromkeys(("plan", "train@a", "predict@a", "select", "source@a", "source@b", "attack@a-f"), "runs")
    assert closed() == certain | {"train@b": "absent", "attack@b-f": "maybe", "evaluate@b-f": "maybe"}
    found[5] = (found[5][0], {"subset.images": "modified"})
    assert closed() == certain | {"train@b": "absent", "attack@b-f": "runs", "evaluate@b-f": "runs"}
