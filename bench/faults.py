"""Faults on purpose: the shipped pipeline, small, under the whole platform, while things die beneath it.

    python -m bench.faults [--rounds 40] [--seed 1] [--victims flow stage ...] [--folder FOLDER]

First an undisturbed run. Then each round forgets the results of a stage, starts a run, strikes at a moment of that stage,
waits until the platform has settled, and runs again. A minute after the end of each of these runs nothing of it may be left:
no process, no taken slot, no run that counts as under way in Prefect or MLflow. After the second, dvc.lock and all outputs must
be those of the undisturbed run, byte for byte. Stages and moments follow from the seed.

A full disk needs a file system of its own, which only root can mount; without it that victim is left out.
Exit status: 0 nothing was wrong in any round, 1 something was.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil

from components.files import sha256_file
from flows.graph import load_graph
from tests.e2e.project import SMALL, make_project
from tests.flows import running

ROOT = Path(__file__).parents[1]
DISK_MB = 1500  # of the file system that gets full
SETTLED_S = 60  # from the end of a run until nothing of it may be left
STUCK_S = 3600  # a run that takes longer will not end
POLL_S = 0.5
SHOWN = 3  # of the outputs that differ
FULL_S = 30  # for which the disk stays full, unless the run ends before

# Processes that die, by words of their command line.
PROCESSES = {
    "flow": "prefect.engine",
    "stage": "-m components.",
    "dvc": "dvc --wait-for-lock repro",
    "worker": "flows.worker",
    "prefect": "flows.serve prefect",
    "mlflow": "flows.serve mlflow",
}
VICTIMS = (*PROCESSES, "platform", "disk", "cache")
OF_A_RUN = tuple(PROCESSES[name] for name in ("flow", "stage", "dvc"))

SMALLER = SMALL | {
    "engine.kind": "serial",
    "ingestion.sources": [{"path": "texts/docs", "license": "Apache-2.0"}],
    "synthesis.chapters": 30,
    "synthesis.exercises": 400,
    "tokenization.vocab_size": 500,
    "training.batch_tokens": 512,
    "training.validations": 2,
    "training.validation_tokens": 2048,
    "training.checkpoint_steps": 5,
    "small.tokens": 10_240,
    "large.tokens": 10_240,
    "transfer.threads": 1,
}


@dataclass(frozen=True)
class Fault:
    """The fault of a round: the victim, the stage, and the time as a share of the stage's duration."""

    number: int
    victim: str
    stage: str
    moment: float


@dataclass
class Round:
    """The outcome of a fault."""

    fault: Fault
    outcome: str  # how the run ended that was struck
    wrong: list[str]
    seconds: float

    def row(self, seed: int) -> str:
        fault = self.fault
        verdict = "; ".join(self.wrong) or "right"
        return f"{fault.number:>5} {seed:>5} {fault.victim:<9} {fault.stage:<20} {self.outcome:<10} {self.seconds:>7.0f}  {verdict}"


HEAD = f"{'round':>5} {'seed':>5} {'victim':<9} {'stage':<20} {'outcome':<10} {'seconds':>7}  after the rerun"


def faults(rounds: int, seed: int, victims: Sequence[str], stages: Sequence[str]) -> Iterator[Fault]:
    """The faults of a seed. Each victim has its turn, in an order of its own, before one is struck again."""
    chance = random.Random(seed)
    order: list[str] = []
    for number in range(1, rounds + 1):
        order = order or chance.sample(list(victims), len(victims))
        yield Fault(number, order.pop(), chance.choice(stages), chance.random())


class Project:
    """The shipped project, small, in a folder, and the platform that runs it."""

    def __init__(self, folder: Path) -> None:
        self.root = make_project(ROOT, folder / "a project", SMALLER)
        self.ballast = folder / "ballast"
        self.stages = load_graph(self.root)
        self.up = running.start(self.root, panel=False)
        self.seconds: dict[str, float] = {}
        self.undisturbed: dict[str, str] = {}

    def run_undisturbed(self) -> None:
        """Run once, and store the outcome and the seconds of each stage."""
        run = self.up.launch()
        state = self.up.finished(run, STUCK_S)
        if wrong := [f"{state['type']}: {state['message']}"] * (state["type"] != "COMPLETED") + self.left():
            raise SystemExit(f"the undisturbed run went wrong: {'; '.join(wrong)}")
        self.seconds = {
            task["name"]: task["total_run_time"] for task in self.tasks({"flow_runs": {"id": {"any_": [run]}}})
        }
        self.undisturbed = self.outputs()

    def play(self, fault: Fault) -> Round:
        """One round."""
        started = time.monotonic()
        self.forget(fault.stage)
        run = self.up.launch()
        self.wait_for_stage(run, fault.stage)
        time.sleep(fault.moment * self.seconds[fault.stage])
        hit = self.strike(fault, run)
        outcome = self.end_of(run) if hit else "missed"
        wrong = [f"after the fault: {left}" for left in self.left()]
        rerun = self.up.launch()
        again = self.end_of(rerun)
        if again != "completed":
            wrong.append(f"the rerun {again}: {self.up.state(rerun)['message']}")
        wrong += self.left() + self.different()
        return Round(fault, outcome, wrong, time.monotonic() - started)

    def end_of(self, run: str) -> str:
        """How a run ended."""
        try:
            return self.up.finished(run, STUCK_S)["type"].lower()
        except AssertionError:
            return "stuck"

    def forget(self, name: str) -> None:
        """Make the next run execute a stage: remove its outputs and everything that would restore or shorten them."""
        from dvc.utils.serialize import modify_yaml

        with modify_yaml(str(self.root / "dvc.lock")) as lock:
            lock["stages"].pop(name, None)
        [stage] = [stage for stage in self.stages if stage.name == name]
        for path in stage.outs:
            remove(self.root / path)
        remove(self.root / ".dvc" / "cache" / "runs")
        for folder in ("training", "curation", "benchmarking"):
            remove(self.root / ".phiforge" / folder)

    def wait_for_stage(self, run: str, name: str) -> None:
        """Return when a stage's process exists, or its run has ended."""
        while not any(words_of(process).endswith(f" {name}") for process in self.processes(PROCESSES["dvc"])):
            if self.ended(run):
                return
            time.sleep(POLL_S)

    def strike(self, fault: Fault, run: str) -> bool:
        """Do the damage; False if the run ended before its victim could be found."""
        if fault.victim == "platform":
            running.kill(self.processes(""))
            self.up = running.start(self.root, panel=False)
            return True
        if fault.victim == "disk":
            self.fill_disk(run)
            return True
        if fault.victim == "cache":
            return spoil(random.Random(f"{fault}").choice(cached_objects(self.root)))
        while not (found := self.processes(PROCESSES[fault.victim])):
            if self.ended(run):
                return False
            time.sleep(POLL_S)
        running.kill(found)
        return True

    def fill_disk(self, run: str) -> None:
        """Leave no byte free until the run has ended, for half a minute at most."""
        with open(self.ballast, "wb") as file, contextlib.suppress(OSError):
            for size in (2**24, 2**20, 2**12):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
        deadline = time.monotonic() + FULL_S
        while time.monotonic() < deadline and not self.ended(run):
            time.sleep(POLL_S)
        self.ballast.unlink()

    def ended(self, run: str) -> bool:
        with contextlib.suppress(httpx.HTTPError):  # the server may be the victim
            return self.up.state(run)["type"] in running.ENDED
        return False

    def left(self) -> list[str]:
        """Remains of runs after a minute."""
        deadline = time.monotonic() + SETTLED_S
        while left := self.left_now():
            if time.monotonic() > deadline:
                return left
            time.sleep(1)
        return []

    def left_now(self) -> list[str]:
        try:
            return [*self.processes_left(), *self.slots_left(), *self.runs_left()]
        except httpx.HTTPError as error:  # it is being started again
            return [f"the server does not answer: {error}"]

    def processes_left(self) -> list[str]:
        below = {
            self.up.process.pid,
            *(child.pid for child in psutil.Process(self.up.process.pid).children(recursive=True)),
        }
        found = self.processes("")
        of_runs = [process for process in found if any(words in words_of(process) for words in OF_A_RUN)]
        orphans = [process for process in found if process.pid not in below]
        return [f"process {words_of(process)[:80]}" for process in {*of_runs, *orphans}]

    def slots_left(self) -> list[str]:
        with self.up.operator() as client:
            found = client.get(f"/deployments/{self.up.deployment()}").raise_for_status().json()
        taken = found["global_concurrency_limit"]["active_slots"]
        return [f"{taken} slots taken"] if taken else []

    def runs_left(self) -> list[str]:
        states = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
        with self.up.operator() as client:
            flows = client.post("/flow_runs/filter", json={"flow_runs": states}).raise_for_status().json()
        found = [f"flow run {run['name']} {run['state_type']}" for run in flows]
        found += [f"task run {task['name']} {task['state_type']}" for task in self.tasks({"task_runs": states})]
        return found + ["a RUNNING run in MLflow"] * ("RUNNING" in running.mlflow_states(self.root))

    def tasks(self, wanted: dict) -> list[dict]:
        with self.up.operator() as client:
            return client.post("/task_runs/filter", json=wanted).raise_for_status().json()

    def outputs(self) -> dict[str, str]:
        """SHA-256 of dvc.lock and of every file of every output."""
        tops = [self.root / "dvc.lock", *(self.root / out for stage in self.stages for out in stage.outs)]
        files = [
            path for top in tops for path in ([top] if top.is_file() else sorted(top.rglob("*"))) if path.is_file()
        ]
        return {str(path.relative_to(self.root)): sha256_file(path) for path in files}

    def different(self) -> list[str]:
        now = self.outputs()
        differing = [
            path for path in now.keys() | self.undisturbed.keys() if now.get(path) != self.undisturbed.get(path)
        ]
        more = [f"{len(differing) - SHOWN} more files differ"] * (len(differing) > SHOWN)
        return [f"{path} differs" for path in sorted(differing)[:SHOWN]] + more

    def processes(self, words: str) -> list[psutil.Process]:
        """Processes of this project with these words in their command line."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and self.is_ours(process) and words in words_of(process):
                    found.append(process)
        return found

    def is_ours(self, process: psutil.Process) -> bool:
        named = process.environ().get("PHIFORGE_HOME") == str(self.root)
        return named or Path(process.cwd()).is_relative_to(self.root)  # generated code runs with an empty environment


def words_of(process: psutil.Process) -> str:
    """A command line; empty for an ended process."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def cached_objects(root: Path) -> list[Path]:
    """The non-empty files of DVC's cache."""
    folder = root / ".dvc" / "cache" / "files" / "md5"
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)


def spoil(path: Path) -> bool:
    """Change a byte of a file in place, and leave its mode as it was."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    with open(path, "r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    path.chmod(mode)
    return True


@contextlib.contextmanager
def file_system(given: Path | None) -> Iterator[tuple[Path, bool]]:
    """A folder to work in, and whether it is a file system of its own, which may get full."""
    with tempfile.TemporaryDirectory(dir=given, prefix="faults-") as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "phiforge-faults", name]
        own = shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        try:
            yield Path(name), bool(own)
        finally:
            if own:
                subprocess.run(["umount", "--lazy", name], check=False)


def play(
    rounds: int, seed: int, victims: Sequence[str], folder: Path | None, say: Callable[[str], None]
) -> list[Round]:
    """Play rounds, and report the row of each."""
    played = []
    with file_system(folder) as (place, own):
        if not own:
            victims = [victim for victim in victims if victim != "disk"]
            say("no file system could be mounted: the full disk is left out")
        project = Project(place)
        try:
            project.run_undisturbed()
            say(f"undisturbed: {sum(project.seconds.values()):.0f} s in {len(project.seconds)} stages\n{HEAD}")
            names = [stage.name for stage in project.stages if not stage.always_changed]
            for fault in faults(rounds, seed, victims, names):
                played.append(project.play(fault))
                say(played[-1].row(seed))
        finally:
            running.stop(project.up)
    return played


def main(argv: Sequence[str] | None = None) -> int:
    """Play the rounds of the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40, help="number of faults (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of stages, moments and order (default %(default)s)")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS, help="victims (default: all)")
    parser.add_argument(
        "--folder", type=Path, help="where the project is made (default: the system's temporary folder)"
    )
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the platform is stopped first
    started = time.monotonic()
    say = partial(print, flush=True)
    played = play(arguments.rounds, arguments.seed, arguments.victims, arguments.folder, say)
    wrong = sum(bool(one.wrong) for one in played)
    print(f"{len(played)} rounds in {(time.monotonic() - started) / 60:.0f} minutes; something was wrong in {wrong}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
