"""A real Ray cluster on one machine, in a process of its own: `python ray_cluster.py SUBSET WEIGHTS OUT`.

Four nodes, of which the head computes nothing. A cell of eleven chunks is computed; twice, a node is killed while
a task runs on it. Prints what happened as JSON.
"""

import json
import os
import sys
import time
from pathlib import Path

subset, weights, out = map(Path, sys.argv[1:])
os.environ["RAY_DEDUP_LOGS"] = "0"
import ray
from made_cells import cell
from ray.cluster_utils import Cluster

from crossfool.errors import UserError
from crossfool.pipeline.crafting import weights_record
from crossfool.pipeline.crafting.compute_cell import compute_with_engine
from crossfool.pipeline.workers import ray_cluster
from crossfool.storage.tensors import TensorFile, write_tensors

LOG = out.parent / "tasks"


def watched(order, kind, chunk, *files):
    """A task that says when it starts, and takes a while."""
    start = int(chunk["index"][0] - 2) // 7  # the place of this image in the made subset
    (LOG / f"{start}-{time.time_ns()}-{ray.get_runtime_context().get_node_id()}").touch()
    time.sleep(0.7)
    found = ray_cluster._compute_in_task(order, kind, chunk, *files)
    (LOG / f"done-{start}-{time.time_ns()}").touch()
    return found


def started() -> list[tuple[int, str, int]]:
    """Chunk, node and time of every task so far."""
    names = [path.name.split("-") for path in LOG.iterdir() if not path.name.startswith("done")]
    return [(int(chunk), node, int(when)) for chunk, when, node in names]


class Deadly(ray_cluster.Ray):
    """Kills a node that computes, after the second and the fifth chunk."""

    killed: list[str] = []
    interrupted: list[int] = []

    def run(self, tasks, name):
        for number, found in enumerate(super().run(tasks, name)):
            yield found
            if number in (1, 4):
                self.kill()

    def kill(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            finished = [path.name.split("-") for path in LOG.glob("done-*")]
            running = [
                (chunk, node)
                for chunk, node, when in started()
                if node not in self.killed and not any(int(c) == chunk and int(w) > when for _, c, w in finished)
            ]
            if running:
                _, victim = running[-1]
                node = next(node for node in nodes if node.node_id == victim)
                cluster.remove_node(node, allow_graceful=False)
                done = {int(path.name.split("-")[1]) for path in LOG.glob("done-*")}
                self.interrupted.extend(c for c, n in running if n == victim and c not in done)
                self.killed.append(victim)
                return
            time.sleep(0.02)
        raise AssertionError("nothing ran that could be killed")


LOG.mkdir(parents=True)
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
cluster.wait_for_nodes()
os.environ["RAY_ADDRESS"] = cluster.address
try:
    engine = Deadly()
    engine.task = watched
    one = cell(subset, weights, chunk=1)
    scratch = out.parent / "scratch"
    compute_with_engine(one, weights_record.verified_paths(one.source, weights), out, engine=engine, scratch=scratch)

    file = TensorFile(weights / "fnn2.safetensors")
    tensors = {name: file[name].copy() for name in file.names()}
    tensors[file.names()[-1]][:] = 3e38
    write_tensors(weights / "fnn2.safetensors", tensors, file.metadata)
    bad, refused = cell(subset, weights), ""
    try:
        files = weights_record.verified_paths(bad.source, weights)
        compute_with_engine(bad, files, out.parent / "bad.safetensors", engine=ray_cluster.Ray(), scratch=scratch)
    except UserError as error:
        refused = str(error)
    told = {
        "killed": len(engine.killed),
        "interrupted": engine.interrupted,
        "started": [chunk for chunk, _, _ in started()],
        "refused": refused,
    }
    print(json.dumps(told))
finally:
    ray.shutdown()
    cluster.shutdown()
