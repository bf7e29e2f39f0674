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
from components.tokens import Tokens
from components.training.data import BatchLoader

# The step's command; with KILL=n the first process ends without a warning after step n. With POISON the loss of the second
# device's second micro-batch is NaN from the fourth step on. With STOP=n the first gets SIGTERM before its n-th micro-batch.
# Says who opens a run in MLflow.
CODE = """
import os, signal, sys
from components.training.__main__ import COMMAND
from components.running import cli
from components.running.cli import main
from components.phi.model import Phi
from components.training import callbacks

track, loss, calls = cli.track, Phi.loss, []
def told(*arguments):
    print("tracked by", os.environ.get("LOCAL_RANK", "0"), file=sys.stderr)
    return track(*arguments)
cli.track = told
def poisoned(self, *arguments, **named):
    calls.append(None)
    if os.environ["STOP"] == str(len(calls)) and os.environ.get("LOCAL_RANK", "0") == "0":
        os.kill(os.getpid(), signal.SIGTERM)
    bad = "POISON" in os.environ and os.environ.get("LOCAL_RANK") == "1" and len(calls) == 2 * 3 + 2
    return loss(self, *arguments, **named) * (float("nan") if bad else 1)
Phi.loss = poisoned

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

    def run(name: str, kill: str = "", poison: bool = False, stop: str = "", **changes: Any) -> dict[str, Any]:
        values = settings | {"training": settings["training"] | changes}
        (tmp_path / "params.yaml").write_text(json.dumps(values))
        words = ["--model", "small", "--tokens", str(tokens), "--params", str(tmp_path / "params.yaml")]
        words += ["--output", str(tmp_path / name), "--summary", str(tmp_path / f"{name}.json")]
        words += ["--state", str(tmp_path / "states"), "--curves", str(tmp_path / f"{name}.csv")]
        environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")}
        environment |= {"KILL": kill, "STOP": stop, "PYTHONPATH": str(Path.cwd())} | ({"POISON": "1"} if poison else {})
        done = subprocess.run(
            [sys.executable, str(program), *words], env=environment, capture_output=True, text=True, timeout=300
        )
        if poison or stop:
            return {"status": done.returncode, "said": done.stdout if stop else done.stderr}
        assert done.returncode == (-signal.SIGKILL if kill else 0), done.stderr + done.stdout
        assert done.stderr.count("tracked by") == done.stderr.count("tracked by 0") == 1
        assert done.stdout.count("memory per device") == 1
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


@pytest.mark.parametrize("strategy", [pytest.param("ddp", marks=slow), "fsdp2"])
def test_two_devices_stop_together_and_go_on(
    train: Callable[..., dict[str, Any]], tmp_path: Path, strategy: str
) -> None:
    """SIGTERM reaches the first process, within a step."""
    common = {"devices": 2, "strategy": strategy, "micro_batch_tokens": 64, "optimizer": "muon", "ema_decay": 0.5}
    expected = train("whole", **common)
    stopped = train("broken", stop=str(2 * 6 + 2), **common)
    assert stopped["status"] == 128 + signal.SIGTERM
    assert "stopped after step 7 of 12; the same command resumes there" in stopped["said"]
    assert train("broken", **common) == expected
    assert (tmp_path / "broken.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@slow
def test_a_sharded_run_goes_on_with_another_number_of_devices(
    train: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Two devices, each of which writes its own rows while training goes on; then one, then three."""
    common = {"micro_batch_tokens": 64, "optimizer": "adamw", "ema_decay": 0.5, "strategy": "fsdp2"}
    common |= {"batch_tokens": 192 * 2, "checkpoint_steps": 2}
    expected = train("whole", devices=1, **common)
    train("broken", kill="4", devices=2, **common)
    (state,) = (tmp_path / "states").glob("*/step-00000002")
    sizes = [(state / f"tensors-{device}.safetensors").stat().st_size for device in range(2)]
    assert max(sizes) < 0.6 * sum(sizes)
    train("broken", kill="8", devices=1, **common)
    summary = train("broken", devices=3, **common)
    assert [each["devices"] for each in summary["executions"]] == [2, 1, 3]
    assert summary["validation_loss"] == pytest.approx(expected["validation_loss"], abs=1e-5)
    a, b = (checkpoint.load(tmp_path / name) for name in ("whole", "broken"))
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-2, atol=2e-4)


def test_a_nan_is_blamed_on_the_documents_of_its_own_device(
    train: Callable[..., dict[str, Any]], settings: dict[str, Any], tokens: Path
) -> None:
    """Of the fourth step's two micro-batches on two devices, one is bad: all others are not to be named."""
    said = train("bad", poison=True, devices=2, micro_batch_tokens=64)
    assert said["status"] == 3
    split = Tokens.open(tokens).split("train")
    loader = BatchLoader(split, 32, 2, 2 * 12, settings["seed"], devices=2)
    guilty = [split.locate(int(number) * 32)["source"] for number in loader.numbers(2 * 3 + 1)[2:]]
    assert f"in a batch that begins in: {', '.join(dict.fromkeys(guilty))};" in said["said"]
