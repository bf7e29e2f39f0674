"""Curation on a Ray cluster of two nodes, one of which is lost while it works: the same bytes as in one process."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="ray is not installed")

PROGRAM = """
import os, sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster
from components.params import EngineParams
from tests.components.curation.test_curation import curate, document, essays, CurationParams, DocumentWriter, Params, Tracker, UNGATED

root = Path(sys.argv[1])
with DocumentWriter(root / "raw", rows_per_shard=4) as writer:
    for number, text in enumerate(essays(160)):
        writer.write(document(text, source=str(number)))


def curated(name, engine):
    params = Params(engine=engine, curation=CurationParams(education=UNGATED))
    outputs = {"output": root / name, "ledger": root / f"{name}.parquet"}
    curate.run({"documents": root / "raw", "work": root / f"work-{name}"}, outputs, params, Tracker())


def results():
    return len(list((root / "work-ray").glob("clean-*/[!.]*")))


def lose_a_node():
    while results() < 6:
        time.sleep(0.05)
    cluster.remove_node(lost, allow_graceful=False)
    print("lost after", results(), flush=True)


curated("serial", EngineParams(kind="serial"))
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
os.environ["RAY_ADDRESS"] = cluster.address
lost = cluster.add_node(num_cpus=1)
thread = threading.Thread(target=lose_a_node, daemon=True)
thread.start()
curated("ray", EngineParams(kind="ray", ray_address=cluster.address, workers=2))
thread.join(30)
for name in ("serial/part-00000.parquet", "serial.parquet"):
    assert (root / name).read_bytes() == (root / name.replace("serial", "ray")).read_bytes(), name
cluster.shutdown()
print("the same bytes")
"""


@pytest.mark.slow
def test_a_node_that_is_lost_changes_nothing(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same bytes" in done.stdout
    lost_after = int(done.stdout.partition("lost after ")[2].split()[0])
    assert lost_after < 40  # of 40 results of the first phase
