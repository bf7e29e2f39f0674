"""Asks the playground's worker (flows/playground.py), and starts it when somebody asks."""

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from components.errors import StepError
from flows.models import known_models
from flows.settings import project_root, state_folder

__all__ = ["Playground", "known_models"]
PATIENCE_S = 120  # for the next event; a large model takes that long to load
LOG = "playground.log"
CODE = Path(__file__).resolve().parents[2]


class Playground:
    """The worker, shared by all who look. It is started by the first question, and again after it has ended."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or project_root()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}

    def ask(self, do: str, **given: Any) -> Iterator[dict[str, Any]]:
        """The events of a request, as they come. Closing the iterator ends the request.

        Raises:
            StepError: the request is refused, or the worker has ended.
        """
        number, events = next(self._numbers), queue.SimpleQueue[dict[str, Any]]()
        self._waiting[number] = events
        ended = False
        try:
            self._send({"id": number, "do": do, "given": given})
            while True:
                try:
                    event = events.get(timeout=PATIENCE_S)
                except queue.Empty:
                    raise StepError(f"the playground's worker has said nothing for {PATIENCE_S} s; ask again") from None
                if ended := "error" in event or "end" in event:
                    if "error" in event:
                        raise StepError(event["error"])
                    return
                yield event
        finally:
            del self._waiting[number]
            if not ended:
                self._send({"id": number, "do": "stop"})

    def one(self, do: str, **given: Any) -> dict[str, Any]:
        """All events of a request as one."""
        found: dict[str, Any] = {}
        for event in self.ask(do, **given):
            found |= event
        return found

    def close(self) -> None:
        """End the worker."""
        with self._lock:
            if self._process is not None:
                assert self._process.stdin is not None
                self._process.stdin.close()
                self._process.wait()
                self._process = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def _send(self, request: dict[str, Any]) -> None:
        line = (json.dumps(request) + "\n").encode()
        with self._lock:
            for attempt in (0, 1):
                process = self._running(start=request["do"] != "stop")
                if process is None:
                    return
                assert process.stdin is not None
                try:
                    process.stdin.write(line)
                    process.stdin.flush()
                    return
                except OSError:  # it has ended since the last look
                    if attempt:
                        raise StepError(
                            f"the playground's worker ends at once; see {state_folder(self.root) / LOG}"
                        ) from None

    def _running(self, start: bool) -> "subprocess.Popen[bytes] | None":
        if self._process is not None and self._process.poll() is None:
            return self._process
        if not start:
            return None
        with open(state_folder(self.root) / LOG, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "flows.playground"],  # this code, whatever lies in the project
                env=os.environ | {"PHIFORGE_HOME": str(self.root), "PYTHONPATH": str(CODE)},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=self.root,
            )  # fmt: skip
        threading.Thread(target=self._listen, args=(self._process,), daemon=True, name="playground").start()
        return self._process

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        out: IO[bytes] | None = process.stdout
        assert out is not None
        for line in out:
            event = json.loads(line)
            if waiting := self._waiting.get(event.pop("id")):
                waiting.put(event)
        status = process.wait()
        if status:  # an idle one ends with 0, and nobody waits for it
            for waiting in list(self._waiting.values()):
                said = f"the playground's worker has ended with status {status}; ask again, or see {state_folder(self.root) / LOG}"
                waiting.put({"error": said})
