"""Two processes of the CPU train as one does, by DDP and by FSDP2, and take up a killed run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from components.phi import checkpoint

# The step's command; with KILL=n the first process ends without a warning after step n.
CODE = """
import os, signal, sys
from components.training.__main__ import COMMAND
from components.cli import main
from components.training import callbacks

on_step = callbacks.KeepState.on_step
def killed(self, trainer, module, step):
    if str(step) == os.environ["KILL"] and not trainer.global_rank:
        os.kill(os.getpid(), signal.SIGKILL)
    on_step(self, trainer, module, step)
callbacks.KeepState.on_step = killed
main(COMMAND)
"""


@pytest.fixture
def train(settings: dict[str, Any], tokens: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """train(name, devices=2, strategy="ddp", kill="5", **training) runs the step in processes of their own."""
    program = tmp_path / "program.py"  # a file, since Lightning starts the other processes by its name
    program.write_text(CODE)

    def run(name: str, kill: str = "", **changes: Any) -> dict[str, Any]:
        values = settings | {"training": settings["training"] | changes}
        (tmp_path / "params.yaml").write_text(json.dumps(values))
        words = ["--model", "small", "--tokens", str(tokens), "--params", str(tmp_path / "params.yaml")]
        words += ["--output", str(tmp_path / name), "--summary", str(tmp_path / f"{name}.json")]
        words += ["--state", str(tmp_path / "states"), "--curves", str(tmp_path / f"{name}.csv")]
        environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")}
        environment |= {"KILL": kill, "PYTHONPATH": str(Path.cwd())}
        done = subprocess.run(
            [sys.executable, str(program), *words], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == (-signal.SIGKILL if kill else 0), done.stderr + done.stdout
        return {} if kill else json.loads((tmp_path / f"{name}.json").read_text())

    return run


slow = pytest.mark.slow  # each start of two processes takes seconds


@pytest.mark.parametrize(
    ("strategy", "optimizer"),
    [
        ("ddp", "adamw"),
        ("fsdp2", "muon"),
        pytest.param("ddp", "muon", marks=slow),
        pytest.param("fsdp2", "adamw", marks=slow),
    ],
)
def test_two_devices_train_as_one(
    train: Callable[..., dict[str, Any]], tmp_path: Path, strategy: str, optimizer: str
) -> None:
    common = {"optimizer": optimizer, "micro_batch_tokens": 64, "ema_decay": 0.5}
    one = train("one", devices=1, **common)
    two = train("two", devices=2, strategy=strategy, **common)
    assert two["tokens"] == one["tokens"]
    close = 1e-5 if optimizer == "adamw" else 2e-3  # Muon orthogonalises in bfloat16
    assert two["validation_loss"] == pytest.approx(one["validation_loss"], abs=close)
    assert two["loss"] == pytest.approx(one["loss"], abs=close)
    a, b = (checkpoint.load(tmp_path / name) for name in ("one", "two"))
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-2, atol=2e-4 if optimizer == "adamw" else 1e-2)


@slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_devices_go_on_after_a_kill(train: Callable[..., dict[str, Any]], tmp_path: Path, strategy: str) -> None:
    common = {"devices": 2, "strategy": strategy, "checkpoint_steps": 3, "micro_batch_tokens": 64, "optimizer": "muon"}
    expected = train("whole", **common)
    train("broken", kill="7", **common)
    assert train("broken", **common) == expected
    assert (tmp_path / "broken.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
