"""The state of a training run on disk: a killed run resumes from it and gives the same bytes.

    .phiforge/training/<key>/          one folder per run, in the project's main folder
        lock                           locked by the process that writes here
        step-00000200/tensors-0.safetensors, state.json
        step-00000400/...
        step-00000600-1.safetensors  on its way: the rows that the second device has

The key is a hash of everything that the result depends on, so only an equal run uses the state. The folder is not an
output of the stage, since DVC deletes outputs before it starts a stage again. A state is written under another name,
flushed to disk and renamed; the two latest are kept; the folder is removed when the run is complete.

Of sharded weights each device writes the rows that it has, and nobody gathers them. Another number of devices can read
them: the rows say where they belong.
"""

import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from components.files import atomic_directory, atomic_file, is_at, save_tensors, sync_directory, write_json
from components.running.locks import try_lock
from components.running.revision import code_sha256

STATE, STATES = "state.json", "step-????????"
FORMAT_VERSION = 2
PATIENCE = 600  # seconds after which a device's rows count as lost
KEPT = 2  # states to keep; the second is used if a failing disk damaged the last
CODE = ("phi/**/*.py", "training/**/*.py", "tokens.py", "params/models.py")
UNUSED = ("card.py", "export.py", "generation.py", "pyfunc_model.py", "find.py", "finders.py")  # not used by training


Place = tuple[int, int]  # the first of a device's rows, and how many rows the whole tensor has


@dataclass(frozen=True)
class State:
    """The state of a run after `step` optimizer steps: tensors by name, and everything else as JSON.

    Attributes:
        places: of tensors of which this device has only some rows.
    """

    step: int
    values: dict[str, Any]
    tensors: Mapping[str, Tensor]
    places: Mapping[str, Place] = field(default_factory=dict)


class Stored(Mapping[str, Tensor]):
    """The tensors of a state's files, whole; each is read when it is asked for.

    Raises:
        ValueError: rows of a tensor are missing.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = []
        self._found: dict[str, list[tuple[Place | None, int]]] = {}  # its rows' places, and the files that have them
        for number, path in enumerate(sorted(files)):
            file = safe_open(path, framework="pt")
            places = json.loads((file.metadata() or {}).get("places", "{}"))
            for name in file.keys():  # noqa: SIM118 - not a mapping
                self._found.setdefault(name, []).append((places.get(name), number))
            self._files.append(file)
        for name, found in self._found.items():
            if found[0][0] is not None:
                found.sort()
                there = sum(self._files[number].get_slice(name).get_shape()[0] for _, number in found)
                if there != found[0][0][1]:
                    raise ValueError(f"{there} rows of {name}, expected {found[0][0][1]}")

    def __getitem__(self, name: str) -> Tensor:
        parts = [self._files[number].get_tensor(name) for _, number in self._found[name]]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class Group(Mapping[str, Tensor]):
    """The tensors of one group of a state, by their names within it."""

    def __init__(self, state: State, name: str) -> None:
        self.tensors, self.prefix = state.tensors, f"{name}."

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[self.prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self.prefix) for name in self.tensors if name.startswith(self.prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


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
        for rows in self.directory.glob("step-*-*.*"):
            rows.unlink()

    def latest(self) -> State | None:
        """The last readable state; an incomplete one is skipped with a message."""
        for path in sorted(self.directory.glob(STATES), reverse=True):
            try:
                return read_state(path)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                print(f"note: {path.name} of the interrupted run cannot be read ({error}); using the previous one")
        return None

    def save(self, state: State, devices: int = 1) -> None:
        """Write a state, completely or not at all, and remove all but the last KEPT.

        Args:
            devices: so many write rows of it, all others with `save_rows`.

        Raises:
            OSError: the disk is full or failing, here or for another device; earlier states are unchanged.
        """
        rows = [self.directory / _name_of_rows(state.step, device) for device in range(1, devices)]
        write_state(state, self.path_of(state.step), rows)
        for old in sorted(self.directory.glob(STATES))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def path_of(self, step: int) -> Path:
        return self.directory / f"step-{step:08d}"

    def clear(self) -> None:
        """Remove the states of a run that has succeeded."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def close(self) -> None:
        os.close(self._lock)


def save_rows(state: State, directory: Path, device: int) -> None:
    """Write the rows of a state that a further device has, or why they cannot be written, for the first one to take."""
    path = directory / _name_of_rows(state.step, device)
    try:
        with atomic_file(path) as partial:
            _save(state, partial)
    except OSError as error:
        with suppress(OSError), atomic_file(path.with_suffix(".failed")) as partial:
            partial.write_text(str(error), encoding="utf-8")


def write_state(state: State, directory: Path, rows: Sequence[Path] = ()) -> None:
    """Write a state's folder, flushed to disk before it gets its name.

    Args:
        rows: files of further devices, which go into the folder as soon as they are there.

    Raises:
        OSError: the disk is full or failing, or a file does not come.
    """
    with atomic_directory(directory) as folder:
        _save(state, folder / _tensors(0))
        for device, path in enumerate(rows, 1):
            _wait_for(path)
            path.replace(folder / _tensors(device))
        checksums = {path.name: _crc32(path) for path in sorted(folder.iterdir())}
        content = {"format_version": FORMAT_VERSION, "step": state.step, "crc32": checksums, "values": state.values}
        write_json(folder / STATE, content)
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
    for name, expected in content["crc32"].items():
        if (checksum := _crc32(directory / name)) != expected:
            raise ValueError(f"checksum {checksum:08x} of {name}, expected {expected:08x}")
    return State(content["step"], content["values"], Stored(directory / name for name in content["crc32"]))


def _save(state: State, path: Path) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    save_tensors(tensors, path, {"places": json.dumps(dict(state.places))} if state.places else None)


def _wait_for(path: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not path.exists():
        failed = path.with_suffix(".failed")
        if failed.exists():
            raise OSError(f"another device: {failed.read_text(encoding='utf-8')}")
        if time.monotonic() > until:
            raise OSError(f"{path.name} of another device did not come within {PATIENCE} s")
        time.sleep(0.05)


def _tensors(device: int) -> str:
    return f"tensors-{device}.safetensors"


def _name_of_rows(step: int, device: int) -> str:
    return f"step-{step:08d}-{device}.safetensors"


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

    def done(self, took: float = 0.0) -> None:
        """A state has been saved, in `took` seconds: the next may come after 20 times as long at the earliest."""
        self._last = time.monotonic() + max(0.0, 20 * took - self.seconds)
