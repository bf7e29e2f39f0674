"""Outputs are whole or absent."""

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from components import files
from components.errors import StepError
from components.files import (
    atomic_directory,
    atomic_file,
    private_directory,
    read_json,
    read_text,
    save_array,
    save_tensors,
    write_json,
)


def test_a_directory_replaces_the_old_one_only_when_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_directory(target) as partial:
        (partial / "a").write_text("1")
    with pytest.raises(FileNotFoundError), atomic_directory(target) as partial:
        (partial / "b").write_text((partial / "missing").read_text())
    assert [path.name for path in target.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with atomic_directory(target) as partial:
        (partial / "c").write_text("3")
    assert [path.name for path in target.iterdir()] == ["c"]


def test_a_file_is_written_whole_or_not(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "x.json"
    write_json(target, {"b": 1, "a": "é"})
    assert target.read_text() == '{\n  "a": "é",\n  "b": 1\n}\n'
    with pytest.raises(FileNotFoundError), atomic_file(target):
        (tmp_path / "missing").read_text()
    assert target.read_text().startswith("{")
    assert [path.name for path in target.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize("whole", [atomic_file, atomic_directory])
def test_threads_that_write_one_place_at_once_all_write_it_whole(whole, tmp_path: Path) -> None:
    both_write = threading.Barrier(2)

    def write(text: str) -> None:
        with whole(tmp_path / "out") as partial:
            (partial / "a" if partial.is_dir() else partial).write_text(text)
            both_write.wait(10)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ["one", "two"]))
    (written,) = tmp_path.iterdir()
    assert (written / "a" if written.is_dir() else written).read_text() in ("one", "two")


HOLDER = """
import sys, time
from pathlib import Path
from components.files import atomic_directory
with atomic_directory(Path(sys.argv[1])) as partial:
    print(partial, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_removed_and_a_living_one_keeps_its_own(tmp_path: Path) -> None:
    """Also if another process here has its number, as in a container: nothing depends on process ids."""
    holders = [
        subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        killed, living = (Path(holder.stdout.readline().strip()) for holder in holders)
        holders[0].kill()
        holders[0].wait()
        assert killed.is_dir()
        with atomic_directory(tmp_path / "out") as partial:
            (partial / "a").write_text("1")
        assert sorted(tmp_path.iterdir()) == sorted([living, tmp_path / "out"])
    finally:
        holders[1].kill()
        holders[1].wait()


def test_a_directory_that_is_taken_away_before_it_is_held_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def lock(descriptor: int, operation: int) -> None:
        if not taken:  # another process looks for what was left, in the moment between making and holding
            taken.extend(tmp_path.glob(".out.*.partial"))
            taken[0].rmdir()

    monkeypatch.setattr(files.fcntl, "flock", lock)
    with files.atomic_directory(tmp_path / "out") as partial:
        (partial / "a").write_text("1")
        assert partial != taken[0]
    assert (tmp_path / "out" / "a").read_text() == "1"


def test_an_array_is_written_as_numpy_does(tmp_path: Path) -> None:
    import numpy as np

    for array in (np.arange(12, dtype=np.float32).reshape(3, 4).T, np.zeros((0, 5), np.uint64), np.array([True])):
        save_array(tmp_path / "a.npy", array)
        read = np.load(tmp_path / "a.npy", allow_pickle=False)
        assert (read.dtype, read.shape, read.tolist()) == (array.dtype, array.shape, array.tolist())


def test_tensors_for_which_the_disk_has_no_room_are_an_error_of_the_system(tmp_path: Path) -> None:
    """With a real limit: the library raises an error of its own kind, which no handler of full disks would see."""
    program = f"""
import resource, sys, torch
from pathlib import Path
from components.files import save_tensors
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_tensors({{"a": torch.zeros(4096)}}, Path({str(tmp_path)!r}) / "t.safetensors")
except OSError as error:
    print(error.errno, error.strerror)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{errno.EFBIG} {os.strerror(errno.EFBIG)}\n"
    save_tensors({"a": torch.zeros(2)}, tmp_path / "t.safetensors")
    assert (tmp_path / "t.safetensors").stat().st_mode & 0o777 == 0o644


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o007])
def test_what_is_written_has_the_mode_of_the_umask(tmp_path: Path, umask: Callable[[int], int], mask: int) -> None:
    umask(mask)
    write_json(tmp_path / "a.json", {})
    save_tensors({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with atomic_directory(tmp_path / "folder") as folder:
        (folder / "b").touch()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    files, folders = 0o666 & ~mask, 0o777 & ~mask
    assert modes == {"a.json": files, "a.safetensors": files, "folder": folders, "b": files}


def test_a_private_directory_is_closed_to_others_also_where_it_was_open(
    tmp_path: Path, umask: Callable[[int], int]
) -> None:
    umask(0)
    (tmp_path / "old").mkdir()
    for name in ("new", "old"):
        assert stat.S_IMODE(private_directory(tmp_path / name).stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["pipe", "folder", "large", "device", "socket"])
def test_what_is_not_a_file_to_read_is_refused_at_once(name: str, hostile_places: dict[str, Path]) -> None:
    started = time.process_time()
    with pytest.raises(StepError, match=r"cannot be read as JSON: .*(is a|longer than 64,000,000 bytes)"):
        read_json(hostile_places[name], "expected another")
    assert time.process_time() - started < 3


def test_a_file_that_takes_its_length_from_being_read_is_read(tmp_path: Path) -> None:
    assert read_text(Path("/proc/self/status")).startswith("Name:")  # its size is 0


JSON_BOMBS = {
    "lists": ("[" * 100_000, "too deep"),
    "objects": ('{"a":' * 100_000, "too deep"),
    "digits": ('{"a": ' + "9" * 100_000 + "}", "digits"),
    "a key twice": ('{"a": 1, "b": 2, "a": 3}', "the key 'a' occurs twice"),
    "a huge key twice": (f'{{"{"k" * 10_000_000}": 1, "{"k" * 10_000_000}": 2}}', "occurs twice"),
    "not a number": ('{"a": NaN}', "NaN"),
}


@pytest.mark.parametrize("name", JSON_BOMBS)
def test_a_bomb_of_json_is_refused_in_a_line(name: str, tmp_path: Path) -> None:
    text, words = JSON_BOMBS[name]
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(StepError, match=words) as refused:
        read_json(tmp_path / "a.json", "expected another", finite=True)
    assert len(str(refused.value)) < 400
