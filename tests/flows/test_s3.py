"""Results shared through S3: what one person pushes, a colleague's clone restores without computing anything."""

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
def test_a_colleagues_clone_restores_every_stage_without_computing(toy, tmp_path, s3):
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
    toy.dvc(colleague, "pull")
    outs = [Path(out) for stage in stages for out in stage.outs]
    files = [
        file.relative_to(mine) for out in outs for file in [mine / out, *(mine / out).rglob("*")] if file.is_file()
    ]
    assert len(files) >= len(outs)
    assert all((colleague / file).read_bytes() == (mine / file).read_bytes() for file in files)
    assert [stage.name for stage in stages if not graph.is_current(colleague, stage)] == [
        "inventory"
    ]  # it always looks
