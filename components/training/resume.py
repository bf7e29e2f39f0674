"""The state of a training run on disk: a killed run resumes from it and gives the same bytes.

    .phiforge/training/<key>/          one folder per run, in the project's main folder
        lock                           locked by the process that writes here
        step-00000200/tensors.safetensors, state.json
        step-00000400/...

The key is a hash of everything that the result depends on, so only an equal run uses the state. The folder is not an
output of the stage, since DVC deletes outputs before it starts a stage again. A state is written under another name,
flushed to disk and renamed; the two latest are kept; the folder is removed when the run is complete.
"""

import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from components.files import atomic_directory, is_at, save_tensors, sync_directory, write_json
from components.running.locks import try_lock
from components.running.revision import code_sha256

TENSORS, STATE = "tensors.safetensors", "state.json"
FORMAT_VERSION = 1
KEPT = 2  # states to keep; the second is used if a failing disk damaged the last
CODE = ("phi/**/*.py", "training/**/*.py", "tokens.py", "params/models.py")
UNUSED = ("card.py", "export.py", "generation.py", "pyfunc_model.py", "find.py", "finders.py")  # not used by training


@dataclass(frozen=True)
class State:
    """The state of a run after `step` optimizer steps: tensors by name, and everything else as JSON."""

    step: int
    values: dict[str, Any]
    tensors: dict[str, Tensor]


def run_key(facts: Mapping[str, Any]) -> str:
    """The name of a run's folder: a hash of `facts`, of the training code and of the torch version."""
    named = json.dumps([dict(facts), code_sha256(CODE, UNUSED), torch.__version__], sort_keys=True)
    return hashlib.sha256(named.encode()).hexdigest()[:20]


class StateFolder:
    """The states of one run. It locks the folder until it is closed or the process ends."""

    def __init__(self, base: Path, key: str) -> None:
        base.mkdir(parents=True, exist_ok=True)
        self.directory, self._lock = _lock_first_free(base, key)
        for partial in self.directory.glob(".step-*.partial"):  # of a process that was killed while writing
            shutil.rmtree(partial, ignore_errors=True)

    def latest(self) -> State | None:
        """The last readable state; an incomplete one is skipped with a message."""
        for path in sorted(self.directory.glob("step-*"), reverse=True):
            try:
                return read_state(path)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                print(f"note: {path.name} of the interrupted run cannot be read ({error}); using the previous one")
        return None

    def save(self, state: State) -> None:
        """Write a state, completely or not at all, and remove all but the last KEPT.

        Raises:
            OSError: the disk is full or failing; earlier states are unchanged.
        """
        write_state(state, self.path_of(state.step))
        for old in sorted(self.directory.glob("step-*"))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def path_of(self, step: int) -> Path:
        return self.directory / f"step-{step:08d}"

    def clear(self) -> None:
        """Remove the states of a run that has succeeded."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def close(self) -> None:
        os.close(self._lock)


def write_state(state: State, directory: Path) -> None:
    """Write a state's folder, flushed to disk before it gets its name."""
    with atomic_directory(directory) as folder:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
        save_tensors(tensors, folder / TENSORS)
        content = {"format_version": FORMAT_VERSION, "step": state.step, "crc32": _crc32(folder / TENSORS)}
        write_json(folder / STATE, content | {"values": state.values})
        sync_directory(folder)
    sync_directory(directory.parent)  # flushes the folder's name


def read_state(directory: Path) -> State:
    """Read a state's folder.

    Raises:
        OSError, ValueError, KeyError, SafetensorError: the folder is incomplete or of another format.
    """
    content = json.loads((directory / STATE).read_text(encoding="utf-8"))
    if content["format_version"] != FORMAT_VERSION:
        raise ValueError(f"format version {content['format_version']}, expected {FORMAT_VERSION}")
    if (checksum := _crc32(directory / TENSORS)) != content["crc32"]:
        raise ValueError(f"checksum {checksum:08x} of the tensors, expected {content['crc32']:08x}")
    with safe_open(directory / TENSORS, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    return State(content["step"], content["values"], tensors)


def random_state() -> dict[str, Tensor]:
    """The states of torch's generators. Training a Phi does not use them; a model with dropout would."""
    states = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"random.cuda{i}": value for i, value in enumerate(torch.cuda.get_rng_state_all())}
    return states


def restore_random_state(tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random.cpu"])
    for number in range(torch.cuda.device_count()):
        if f"random.cuda{number}" in tensors:
            torch.cuda.set_rng_state(tensors[f"random.cuda{number}"], number)


def _lock_first_free(base: Path, key: str) -> tuple[Path, int]:
    """The run's folder and its lock; a numbered folder while another process trains the same run."""
    for number in range(1, 1000):
        directory = base / (key if number == 1 else f"{key}-{number}")
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if try_lock(lock) and is_at(lock, directory / "lock"):  # else its last owner has just removed the folder
            return directory, lock
        os.close(lock)
    raise RuntimeError(f"{base} has 999 locked folders of the run {key}")


def _crc32(path: Path) -> int:
    value = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


class Due:
    """Decides when to save the next state: after some minutes, some steps, or both. 0 = off."""

    def __init__(self, minutes: float, steps: int) -> None:
        self.seconds, self.steps = minutes * 60, steps
        self._last = time.monotonic()

    def now(self, step: int) -> bool:
        by_time = self.seconds > 0 and time.monotonic() - self._last >= self.seconds
        return by_time or (self.steps > 0 and step % self.steps == 0)

    def done(self) -> None:
        self._last = time.monotonic()
