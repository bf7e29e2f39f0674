"""Turns on a device: first come, first served, whoever dies meanwhile."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.running.locks import WaitStopped
from flows import settings
from flows.processes import wait_until
from flows.turns import turn

REPOSITORY = Path(__file__).parents[2]
WORK = """
import sys, threading, time
from pathlib import Path
from flows.turns import turn

folder, log, run, stages, seconds = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
for number in range(stages):
    with turn(folder, run, f"train_{number}", lambda text: print(text, flush=True), threading.Event()):
        with open(log, "a") as file:
            file.write(f"+{run}\\n")
        time.sleep(seconds)
        with open(log, "a") as file:
            file.write(f"-{run}\\n")
"""


@pytest.fixture
def runs(tmp_path):
    """Start processes that take turns; what is left of them at the end is killed."""
    started = []

    def start(run: str, stages: int, seconds: float) -> subprocess.Popen:
        command = [sys.executable, "-c", WORK, tmp_path / "device", tmp_path / "log", run, str(stages), str(seconds)]
        started.append(subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def entries(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return log.read_text().split() if log.exists() else []


def test_two_runs_alternate_and_say_what_they_wait_for(tmp_path, runs):
    first = runs("calm-otter", 4, 0.5)
    assert wait_until(lambda: entries(tmp_path), 30)
    second = runs("wild-heron", 3, 0.5)
    assert wait_until(lambda: len(list((tmp_path / "device").glob("*.ticket"))) == 2, 30)
    assert first.wait(60) == second.wait(60) == 0
    log = entries(tmp_path)
    assert log[::2] == ["+" + entry[1:] for entry in log[1::2]]  # one at a time
    order = [entry[1:] for entry in log[::2]]
    begin = order.index("wild-heron")
    assert order[begin:].count("wild-heron") == 3
    both = order[begin : begin + 2 * order[begin:].count("calm-otter")]
    assert all(one != other for one, other in itertools.pairwise(both))
    said = second.stdout.readline()
    assert "stage train_" in said
    assert f"of run calm-otter (process {first.pid})" in said
    assert said.startswith("waiting since ")


def test_a_killed_holder_and_a_killed_waiter_hold_nobody_up(tmp_path, runs):
    holder = runs("holder", 1, 600)
    assert wait_until(lambda: entries(tmp_path) == ["+holder"], 30)
    waiter = runs("waiter", 1, 600)
    assert waiter.stdout.readline()
    last = runs("last", 1, 0)
    assert "and 1 more before this stage" in last.stdout.readline()
    waiter.send_signal(signal.SIGKILL)
    waiter.wait()
    assert "more before" not in last.stdout.readline()
    holder.send_signal(signal.SIGKILL)
    assert last.wait(30) == 0
    assert entries(tmp_path) == ["+holder", "+last", "-last"]


def test_a_stopped_run_gives_its_ticket_up(tmp_path, runs):
    runs("holder", 1, 600)
    assert wait_until(lambda: entries(tmp_path), 30)
    stopped, said = threading.Event(), []

    def tell(text: str) -> None:
        said.append(text)
        stopped.set()

    with pytest.raises(WaitStopped), turn(tmp_path / "device", "mine", "train", tell, stopped):
        pytest.fail("it was not our turn")
    assert len(said) == 1
    assert len(list((tmp_path / "device").glob("*.ticket"))) == 1


def test_scoring_for_a_promotion_takes_its_turn_on_the_device(tmp_path):
    from flows.evidence import Evidence

    stopped, said = threading.Event(), []

    def tell(text: str) -> None:
        said.append(text)
        stopped.set()

    runner, lineage = SimpleNamespace(stopped=stopped), SimpleNamespace(name="mine")
    place = SimpleNamespace(root=tmp_path)
    run = SimpleNamespace(home=tmp_path, place=place, runner=runner, lineage=lineage, log=tell)
    device = settings.turns_folder(tmp_path, "device")
    with turn(device, "other", "train_large", str, threading.Event()), pytest.raises(WaitStopped):
        Evidence(run, None, None, tmp_path)._score("components.benchmarking")
    assert "for stage train_large of run other" in said[0]


def test_stages_of_one_process_take_turns_too(tmp_path):
    inside, most = [0], [0]

    def work() -> None:
        with turn(tmp_path / "device", "run", "stage", lambda _: None, threading.Event()):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.05)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert os.listdir(tmp_path / "device") == ["guard"]
