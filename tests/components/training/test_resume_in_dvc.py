"""A stage that was killed together with DVC resumes when DVC starts it again, although DVC has deleted its outputs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path.cwd()
STAGE = """
stages:
  train:
    cmd: >-
      {python} -m components.training --model small --tokens tokens --output model --curves curve.csv
    deps: [tokens/manifest.json]
    params: [small, training]
    outs: [model, curve.csv]
"""


@pytest.fixture
def repository(settings: dict[str, Any], tokens: Path, tmp_path: Path) -> Path:
    """A git and DVC repository with one stage that trains for some seconds."""
    settings["small"]["tokens"] = 400 * 256
    settings["training"] |= {"checkpoint_steps": 20, "validations": 1, "micro_batch_tokens": 256}
    (tmp_path / "params.yaml").write_text(json.dumps(settings))
    (tmp_path / "dvc.yaml").write_text(STAGE.format(python=json.dumps(sys.executable)))
    (tmp_path / "tokens").symlink_to(tokens)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def repro(repository: Path, **arguments: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "MLFLOW_TRACKING_URI": f"sqlite:///{repository}/mlflow.db"}
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=repository,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **arguments,
    )


@pytest.mark.slow
def test_dvc_restarts_where_the_run_stood(repository: Path) -> None:
    undisturbed = repro(repository)
    said, _ = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, said
    lock = (repository / "dvc.lock").read_bytes()
    (repository / "dvc.lock").unlink()
    subprocess.run(["rm", "-rf", ".dvc/cache", "model", "curve.csv"], cwd=repository, check=True)

    killed = repro(repository)
    states = repository / ".phiforge" / "training"
    deadline = time.monotonic() + 120
    while not list(states.glob("*/step-*/state.json")):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(30)
    assert not (repository / "dvc.lock").exists()

    again = repro(repository)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert "resuming after step" in said
    assert (repository / "dvc.lock").read_bytes() == lock
    assert not list(states.glob("*"))
