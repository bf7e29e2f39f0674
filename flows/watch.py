"""Starts a run when the text has changed: `python -m flows.watch`, which `make up` runs if PHIFORGE_WATCH_MINUTES is
set. PHIFORGE_WATCH_FLOW names the flow to run.

A check lists the sources of params.yaml by the command of the pipeline's first stage, which hashes a file again only
when its size or time has changed. Files that are not read, such as hidden ones, do not count. A check that finds no
change makes no run. A changed list starts one when the next check finds it unchanged, so that text that is still being
copied has time to arrive. The state is in .phiforge/watch, so changes between two starts of the platform count as well.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from components.errors import StepError
from components.files import write_json
from flows import processes, settings
from flows.client import Runs
from flows.definitions import PIPELINE

WAITING = {"SCHEDULED", "PENDING"}
GRACE = 1.0  # seconds from asking a listing to stop until it is killed


@dataclass(frozen=True)
class Seen:
    """What earlier checks found; each list of files is represented by its hash.

    Attributes:
        done: the list that the last run was started for, or the first one.
        new: another one, which the last check found for the first time; empty if it found none.
        started: changes so far that started a run or found one waiting.
    """

    done: str = ""
    new: str = ""
    started: int = 0


def step(seen: Seen, found: str, start: Callable[[str], None]) -> Seen:
    """The state after a check that found this list.

    Args:
        start: starts a run, once per key.
    """
    if not seen.done:
        return Seen(found)
    if found == seen.done:
        return replace(seen, new="")
    if found != seen.new:
        return replace(seen, new=found)
    start(f"watch-{seen.started}-{found}")
    return Seen(found, "", seen.started + 1)


class Watch:
    """Checks the sources of one project."""

    def __init__(self, home: Path, runs: Runs, flow: str = PIPELINE.flow) -> None:
        self.home, self.runs, self.flow = home, runs, flow
        self.folder = settings.state_folder(home) / "watch"
        self.folder.mkdir(exist_ok=True)
        self.file = self.folder / "seen.json"

    def check(self) -> None:
        """Check once, and start a run if needed.

        Raises:
            StepError: the sources cannot be listed, or the server does not take a run; the next check tries again.
        """
        seen = self.seen()
        after = step(seen, self.listing(), self.start)
        if after != seen:
            write_json(self.file, asdict(after))

    def seen(self) -> Seen:
        """What earlier checks found."""
        return Seen(**json.loads(self.file.read_text(encoding="utf-8"))) if self.file.exists() else Seen()

    def listing(self) -> str:
        """Hash of the list of files that are read from the sources, with their hashes."""
        output = self.folder / "inventory.json"
        only_files = ("--set", "ingestion.incremental=false")  # when a file arrived does not count
        step = ("components.ingestion.inventory", "--output", str(output), *only_files)
        status, said = processes.run(
            processes.guarded(*step, tree=True),
            GRACE,
            cwd=self.home,
            env=settings.stage_environment(self.home) | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )
        if status:
            last = (said.strip().splitlines() or [f"ended with status {status}"])[-1]
            raise StepError(f"the sources could not be listed: {last}")
        sources = json.loads(output.read_text(encoding="utf-8"))["sources"]
        read = [{key: value for key, value in source.items() if key != "not_read"} for source in sources]
        return hashlib.sha256(json.dumps(read).encode()).hexdigest()

    def start(self, key: str) -> None:
        """Start a run of the flow, unless one that will read the same sources is waiting."""
        for run in self.runs.recent():
            if run.flow == self.flow and run.kind in WAITING and not (run.overrides or run.profile or run.text):
                print(f"the text has changed; run {run.name} is already waiting", flush=True)
                return
        started = self.runs.launch({}, flow=self.flow, key=key)
        print(f"the text has changed; started run {started.name}", flush=True)


def main() -> int:
    """Check every PHIFORGE_WATCH_MINUTES until stopped; returns 1 if that is 0."""
    home, minutes = settings.project_root(), settings.watch_minutes()
    settings.configure(home)
    if not minutes:
        print(f"error: {settings.WATCH}: 0 or nothing was given; expected minutes between two checks, such as 10")
        return 1
    os.nice(10)  # a run has precedence
    try:
        watch, said = Watch(home, Runs(), settings.watch_flow()), ""
    except StepError as error:
        print(f"error: {error}")
        return 1
    while True:
        try:
            watch.check()
            said = ""
        except StepError as error:
            if str(error) != said:
                print(error, flush=True)
            said = str(error)
        time.sleep(60 * minutes)


if __name__ == "__main__":
    sys.exit(main())
