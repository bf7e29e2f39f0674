"""Results shared through S3: what one person pushes, a colleague's clone restores without computing anything."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import graph

REPOSITORY = Path(__file__).parents[2]
BUCKET = "results"


@pytest.fixture
def s3(monkeypatch) -> Iterator[str]:
    """Address of an S3 server on this machine, with an empty bucket."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.server", reason="moto is the S3 server of this test; `make setup` installs it")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
    yield address
    server.stop()


@pytest.mark.slow
def test_a_colleagues_clone_restores_every_stage_and_runs_without_computing(toy, tmp_path, s3, prefect_api):
    mine, colleague = toy.make_shipped(REPOSITORY, tmp_path / "mine"), tmp_path / "a colleague"
    stages = graph.load_graph(mine)
    toy.fabricate(mine, stages)
    toy.dvc(mine, "remote", "modify", "local", "url", f"s3://{BUCKET}/phiforge")
    toy.dvc(mine, "remote", "modify", "local", "endpointurl", s3)
    toy.dvc(mine, "push")
    toy.git(mine, "add", "dvc.lock", ".dvc/config")
    toy.git(mine, "commit", "--quiet", "--message", "results")

    toy.git(tmp_path, "clone", "--quiet", str(mine), str(colleague))
    (colleague / "trace").mkdir()
    command(colleague, "flows.pull")
    outs = [Path(out) for stage in stages for out in stage.outs]
    files = [
        file.relative_to(mine) for out in outs for file in [mine / out, *(mine / out).rglob("*")] if file.is_file()
    ]
    assert len(files) >= len(outs)
    assert all((colleague / file).read_bytes() == (mine / file).read_bytes() for file in files)

    everything = f"Everything was cached: {len(stages)} stages"
    assert everything in command(colleague, "flows.run")
    assert everything in command(colleague, "flows.run", PREFECT_API_URL=prefect_api)  # as a flow run
    started = {stage.name: toy.starts(colleague, stage.name) for stage in stages}
    assert started == {stage.name: 2 if stage.always_changed else 0 for stage in stages}  # the inventory always looks
    assert toy.git(colleague, "status", "--porcelain", "dvc.lock") == ""


def command(root: Path, module: str, **variables: str) -> str:
    """What a command of ours prints in a project, when it has ended well."""
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | variables
    environment |= {"PHIFORGE_HOME": str(root), "TOY_TRACE": str(root / "trace"), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
