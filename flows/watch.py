"""Start a run when the text has changed: `python -m flows.watch`, which `make up` runs if PHIFORGE_WATCH_MINUTES is
set. PHIFORGE_WATCH_FLOW is the flow to run.

A check lists the sources of params.yaml by the command of the pipeline's first stage, which hashes a file again only
if its size or time has changed. Files that are not read, such as hidden ones, do not count. A changed list starts a run
when the next check finds the same list, so that copying can finish first. The state is in .phiforge/watch, so changes
between two starts of the platform count too.
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
from flows.client import Launch, Runs
from flows.definitions import PIPELINE

WAITING = {"SCHEDULED", "PENDING"}
GRACE = 1.0  # seconds from the request to stop a listing until the kill


@dataclass(frozen=True)
class Seen:
    """State of earlier checks, with hashes of lists of files.

    Attributes:
        done: the list of the last started run, or the first list.
        new: another list that the last check found for the first time; empty without one.
        started: number of changes so far that started a run or found a waiting run.
    """

    done: str = ""
    new: str = ""
    started: int = 0


def step(seen: Seen, found: str, start: Callable[[str], None]) -> Seen:
    """The state after a check that found a list.

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
            StepError: the sources cannot be listed, or the server does not accept a run; the next check tries again.
        """
        seen = self.seen()
        after = step(seen, self.listing(), self.start)
        if after != seen:
            write_json(self.file, asdict(after))

    def seen(self) -> Seen:
        """The state of earlier checks."""
        return Seen(**json.loads(self.file.read_text(encoding="utf-8"))) if self.file.exists() else Seen()

    def listing(self) -> str:
        """Hash of the list of the sources' files and their hashes."""
        output = self.folder / "inventory.json"
        only_files = ("--set", "ingestion.incremental=false")  # without the times of arrival
        step = ("components.ingestion.inventory", "--output", str(output), *only_files)
        status, printed = processes.run(
            processes.guarded(*step, tree=True),
            GRACE,
            cwd=self.home,
            env=settings.stage_environment(self.home) | processes.CODE,
        )
        if status:
            raise StepError(f"the sources could not be listed: {processes.last_line(status, printed)}")
        sources = json.loads(output.read_text(encoding="utf-8"))["sources"]
        read = [{key: value for key, value in source.items() if key != "not_read"} for source in sources]
        return hashlib.sha256(json.dumps(read).encode()).hexdigest()

    def start(self, key: str) -> None:
        """Start a run of the flow, unless a run with the same sources is waiting."""
        for run in self.runs.recent():
            if run.flow == self.flow and run.kind in WAITING and not (run.overrides or run.profile or run.text):
                print(f"the text has changed; run {run.name} is already waiting", flush=True)
                return
        started = self.runs.launch(Launch(flow=self.flow), key)
        print(f"the text has changed; started run {started.name}", flush=True)


def main() -> int:
    """Check every PHIFORGE_WATCH_MINUTES until the process is stopped; returns 1 if they are 0."""
    home, minutes = settings.project_root(), settings.watch_minutes()
    settings.configure(home)
    if not minutes:
        print(f"error: {settings.WATCH}: 0 or nothing was given; expected minutes between two checks, such as 10")
        return 1
    os.nice(10)  # runs are more important
    try:
        watch, shown = Watch(home, Runs(), settings.watch_flow()), ""
    except StepError as error:
        print(f"error: {error}")
        return 1
    while True:
        try:
            watch.check()
            shown = ""
        except StepError as error:
            if str(error) != shown:
                print(error, flush=True)
            shown = str(error)
        time.sleep(60 * minutes)


if __name__ == "__main__":
    sys.exit(main())
