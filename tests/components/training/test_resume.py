"""A run that is killed and started again ends with the bits of one that was not."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.errors import StepError
from components.phi.model import Phi
from components.training import resume, train
from components.training.resume import State, StateFolder, read_state, run_key, write_state
from components.training.start import OPTIMIZER

Call = Callable[..., dict[str, Any]]

# Runs the step's command, and kills itself with no warning where the environment says so: after an optimizer step, or
# within the writing of a state, or within that of the final checkpoint.
KILLED = """
import os, signal, sys
from components.training.__main__ import COMMAND
from components.running.cli import main
from components.training import callbacks, resume, train

where, _, number = os.environ["KILL"].partition(":")
die = lambda: os.kill(os.getpid(), signal.SIGKILL)

def at(function, when):
    def wrapped(*arguments, **named):
        if when(arguments):
            die()
        return function(*arguments, **named)
    return wrapped

if where == "step":
    on_step = callbacks.KeepState.on_step
    def killed(self, trainer, module, step):
        if step == int(number):
            die()
        on_step(self, trainer, module, step)
    callbacks.KeepState.on_step = killed
elif where == "saving":  # the tensors are written, their description is not
    resume.write_json = at(resume.write_json, lambda a: a[1]["step"] == int(number))
elif where == "naming":  # all is written, and has no name yet
    resume.sync_directory = at(resume.sync_directory, lambda a: f".step-{int(number):08d}" in str(a[0]))
elif where == "checkpoint":
    train.checkpoint.save = at(train.checkpoint.save, lambda a: True)
main(COMMAND, sys.argv[1:])
"""


@pytest.fixture
def command(settings: dict[str, Any], tokens: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """command(name, kill="step:3") trains into tmp_path/name in a process of its own, killed where asked."""

    def run(name: str, kill: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "params.yaml").write_text(json.dumps(settings))
        words = ["--model", "small", "--tokens", str(tokens), "--params", str(tmp_path / "params.yaml")]
        words += ["--output", str(tmp_path / name), "--curves", str(tmp_path / f"{name}.csv")]
        words += ["--summary", str(tmp_path / f"{name}.json"), "--state", str(tmp_path / "states")]
        done = subprocess.run(
            [sys.executable, "-c", KILLED, *words], env=os.environ | {"KILL": kill}, capture_output=True, text=True
        )
        assert done.returncode == (-signal.SIGKILL if kill else 0), done.stderr
        return done

    return run


def outputs(tmp_path: Path, name: str) -> dict[str, bytes]:
    files = [*(tmp_path / name).iterdir(), tmp_path / f"{name}.csv", tmp_path / f"{name}.json"]
    return {path.suffix if path.stem == name else path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("optimizer", ["muon", pytest.param("adamw", marks=pytest.mark.slow)])
def test_killed_anywhere_the_result_is_the_undisturbed_one(
    command: Any, call: Call, settings: dict[str, Any], tmp_path: Path, optimizer: str
) -> None:
    """Killed six times on the way: before any state, after steps, within two kinds of half-written states, at the end."""
    settings["training"] |= {"optimizer": optimizer, "checkpoint_steps": 3, "ema_decay": 0.9, "precision": "bfloat16"}
    expected = command("undisturbed")
    assert not list((tmp_path / "states").glob("*"))  # a run that has ended leaves none
    said = []
    for kill in ("step:2", "step:5", "saving:6", "naming:6", "step:11", "checkpoint:"):
        said.append(command("killed", kill).stdout)
        assert not (tmp_path / "killed").exists()
    said.append(command("killed").stdout)
    went_on = [int(text.split("resuming after step ")[1].split(",")[0]) if "resuming" in text else 0 for text in said]
    assert went_on == [0, 0, 3, 3, 3, 9, 9]
    assert outputs(tmp_path, "killed") == outputs(tmp_path, "undisturbed")
    assert not list((tmp_path / "states").glob("*"))
    assert "resuming" not in expected.stdout


def test_a_run_may_go_on_with_other_threads_and_says_so(
    call: Call, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    loss, calls = Phi.loss, []

    def stop(self: Phi, *arguments: Any, **named: Any) -> Any:
        calls.append(None)
        if len(calls) == 9:
            signal.raise_signal(signal.SIGTERM)
        return loss(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Phi, "loss", stop)
        with pytest.raises(SystemExit):
            call("run")
    before = settings["training"]["threads"]
    settings["training"] |= {"threads": before + 1, "recompute": True}
    summary = call("run")
    assert f"note: threads {before} is {before + 1} now; the result may differ by rounding" in capsys.readouterr().out
    assert [(each["step"] > 0, each["threads"]) for each in summary["executions"]] == [
        (False, before),
        (True, before + 1),
    ]


@pytest.mark.parametrize("at", [0, 1, 6])
def test_a_run_stopped_within_a_validation_goes_on_to_the_same_bits(
    call: Call, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, at: int
) -> None:
    """The stop is that of a cluster that takes the machine back: SIGTERM, then little time."""
    settings["training"] |= {"validations": 12, "ema_decay": 0.5}
    expected = call("whole")
    rows = (tmp_path / "whole.csv").read_bytes()
    losses = Phi.token_losses

    def stop(self: Phi, *arguments: Any) -> Any:
        done.append(None)
        if len(done) == 1 + at * batches:
            signal.raise_signal(signal.SIGTERM)
        return losses(self, *arguments)

    done: list[None] = []
    with monkeypatch.context() as patch:
        patch.setattr(Phi, "token_losses", lambda self, *a: (done.append(None), losses(self, *a))[1])
        call("counted")
    batches, done = len(done) // 13, []
    assert batches > 1
    with monkeypatch.context() as patch:
        patch.setattr(Phi, "token_losses", stop)
        with pytest.raises(SystemExit) as ended:
            call("broken")
    assert ended.value.code == 128 + signal.SIGTERM
    assert f"stopped after step {at} of 12" in capsys.readouterr().out
    assert call("broken") == expected
    assert f"resuming after step {at}," in capsys.readouterr().out
    assert (tmp_path / "broken.csv").read_bytes() == rows


def test_what_was_taken_up_is_not_held_for_the_whole_run(
    call: Call, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two, a state and the start's optimizer, takes as much memory as the run's own tensors."""
    settings["training"]["keep_optimizer"] = True
    call("start")
    loss, latest, open_start, calls = Phi.loss, StateFolder.latest, train.open_start, []
    taken: list[Any] = []

    def stop(self: Phi, *arguments: Any, **named: Any) -> Any:
        calls.append(None)
        if len(calls) == 9:
            signal.raise_signal(signal.SIGTERM)
        return loss(self, *arguments, **named)

    def remember(value: Any) -> Any:
        taken.append(value)
        return value

    monkeypatch.setattr(Phi, "loss", stop)
    monkeypatch.setattr(StateFolder, "latest", lambda self: remember(latest(self)))
    monkeypatch.setattr(train, "open_start", lambda *given: remember(open_start(*given)))
    with pytest.raises(SystemExit):
        call("warm", initial=tmp_path / "start")
    call("warm", initial=tmp_path / "start")
    first, none, second, state = taken
    assert none is None
    assert first.optimizer == second.optimizer == {}
    assert isinstance(state.tensors, resume.Stored)  # which reads a tensor when it is asked for
    assert state.step > 0


def test_a_state_belongs_to_one_run_only(call: Call, settings: dict[str, Any], tmp_path: Path) -> None:
    """Other parameters, another seed, another start: each begins anew."""
    settings["training"]["checkpoint_steps"] = 2
    keys = set()
    save = StateFolder.save

    def spy(self: StateFolder, *state: Any) -> None:
        keys.add(self.directory.name)
        save(self, *state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StateFolder, "save", spy)
        call("one")
        settings["training"]["checkpoint_steps"] = 4  # how often states are kept changes no result
        call("two")
        assert len(keys) == 1
        settings["seed"] += 1
        call("three")
        settings["small"]["learning_rate"] *= 2
        call("four")
        call("five", initial=tmp_path / "one")
        settings["training"]["keep_optimizer"] = True
        call("six", initial=tmp_path / "one")
        call("seven", initial=tmp_path / "six")  # takes up the optimizer's state that lies beside the weights
        assert len(keys) == 6
        other = shutil.copytree(tmp_path / "six", tmp_path / "other") / OPTIMIZER
        save_file({name: tensor * 2 for name, tensor in load_file(other).items()}, other)
        call("eight", initial=tmp_path / "other")
    assert len(keys) == 7


def test_rows_of_several_devices_are_one_state(tmp_path: Path) -> None:
    """Three devices, the last without a row, and what only the first one has."""
    x, y = torch.randn(5, 3), torch.randn(2)
    rows = [(0, 3), (3, 5), (5, 5)]
    folder = StateFolder(tmp_path, "run")
    first, *others = [State(4, {"a": 1}, {"x": x[a:b]} | ({"y": y} if a == 0 else {}), {"x": (a, 5)}) for a, b in rows]
    for device, part in enumerate(others, 1):
        resume.save_rows(part, folder.directory, device)
    folder.save(first, devices=3)
    found = folder.latest()
    assert found is not None
    assert torch.equal(found.tensors["x"], x)
    assert torch.equal(found.tensors["y"], y)
    (folder.path_of(4) / "tensors-1.safetensors").unlink()
    with pytest.raises(OSError, match="tensors-1"):
        read_state(folder.path_of(4))
    folder.close()


def test_rows_that_a_device_cannot_write_cost_only_this_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = StateFolder(tmp_path, "run")
    folder.save(state(3))
    with monkeypatch.context() as patch:
        patch.setattr(resume, "_save", raise_(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        resume.save_rows(state(6), folder.directory, 1)
    with pytest.raises(OSError, match=r"another device: .*No space left on device"):
        folder.save(state(6), devices=2)
    monkeypatch.setattr(resume, "PATIENCE", 0)
    with pytest.raises(OSError, match=r"step-00000009-1\.safetensors of another device did not come within 0 s"):
        folder.save(state(9), devices=2)
    found = folder.latest()
    assert found is not None
    assert found.step == 3
    folder.close()


def raise_(error: Exception) -> Callable[..., None]:
    def fail(*arguments: Any) -> None:
        raise error

    return fail


def test_the_key_depends_on_every_fact() -> None:
    assert run_key({"a": 1, "b": 2}) == run_key({"b": 2, "a": 1}) != run_key({"a": 1, "b": 3})


def state(step: int) -> State:
    return State(step, {"rows": [{"loss": 0.1 + 0.2}], "none": [float("nan")]}, {"x": torch.randn(5, 3)})


@pytest.mark.parametrize("damage", ["cut", "bit", "no tensors", "no state", "empty state", "version"])
def test_a_torn_state_is_passed_over(tmp_path: Path, damage: str, capsys: Any) -> None:
    folder = StateFolder(tmp_path, "run")
    good, torn = state(100), state(200)
    folder.save(good)
    folder.save(torn)
    path = folder.path_of(200)
    weights, description = path / "tensors-0.safetensors", path / resume.STATE
    if damage == "cut":
        os.truncate(weights, weights.stat().st_size - 7)
    elif damage == "bit":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    elif damage == "no tensors":
        weights.unlink()
    elif damage == "no state":
        description.unlink()
    elif damage == "empty state":
        description.write_text("")
    else:
        description.write_text(description.read_text().replace('"format_version": 2', '"format_version": 9'))
    found = folder.latest()
    assert found is not None
    assert found.step == 100
    assert torch.equal(found.tensors["x"], good.tensors["x"])
    assert found.values["rows"] == good.values["rows"]
    assert "step-00000200 of the interrupted run cannot be read" in capsys.readouterr().out
    folder.close()


def test_the_last_two_states_are_kept_and_none_after_the_end(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, "run")
    assert folder.latest() is None
    for step in (1, 2, 10, 11):
        folder.save(state(step))
    assert sorted(p.name for p in folder.directory.glob("step-*")) == ["step-00000010", "step-00000011"]
    folder.clear()
    folder.close()
    assert not list(tmp_path.iterdir())


def test_what_a_kill_within_a_state_leaves_is_removed(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, "run")
    folder.close()
    (folder.directory / f".step-00000003.{os.getpid()}.partial").mkdir()  # a process id may come again
    folder = StateFolder(tmp_path, "run")
    assert [path.name for path in folder.directory.iterdir()] == ["lock"]
    folder.close()


def test_two_runs_at_once_never_share_a_folder(tmp_path: Path) -> None:
    one, two = StateFolder(tmp_path, "run"), StateFolder(tmp_path, "run")
    assert one.directory != two.directory
    one.save(state(1))
    assert two.latest() is None
    one.close()
    three = StateFolder(tmp_path, "run")
    assert three.directory == one.directory
    assert three.latest() is not None
    two.close()
    three.close()


def test_a_full_disk_while_keeping_a_state_stops_nothing(
    call: Call, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    settings["training"]["checkpoint_steps"] = 3
    expected = call("free")
    written = []

    def full(value: State, *where: Any) -> None:
        written.append(value.step)
        if value.step > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_state(value, *where)

    monkeypatch.setattr(resume, "write_state", full)
    assert call("full") == expected
    assert written == [3, 6, 9]
    assert "the state after step 6 was not saved: [Errno 28] No space left on device" in capsys.readouterr().out


def test_a_full_disk_at_the_end_is_said_and_nothing_is_lost(
    call: Call, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from components.phi import checkpoint

    settings["training"]["checkpoint_steps"] = 3
    expected = call("free")
    write_state = checkpoint.write_state

    def full(*arguments: Any, **named: Any) -> None:
        write_state(*arguments, **named)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_state", full)
        with pytest.raises(StepError, match=r"could not be written to .*: No space left on device; free some space"):
            call("full")
    assert not (tmp_path / "full").exists()
    assert call("full") == expected
    assert "resuming after step 9" in capsys.readouterr().out


def test_a_state_reads_back_as_it_was(tmp_path: Path) -> None:
    before = state(7)
    write_state(before, tmp_path / "s")
    after = read_state(tmp_path / "s")
    assert after.step == 7
    assert after.values["rows"] == before.values["rows"]
    assert after.values["none"][0] != after.values["none"][0]
    assert torch.equal(after.tensors["x"], before.tensors["x"])
