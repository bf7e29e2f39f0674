"""The sandbox for its users: a context manager that runs programs and returns verdicts."""

import queue
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from components.errors import StepError
from components.sandbox import client, selftest
from components.sandbox.types import LAYERS, Job, Limits, Verdict


class Sandbox:
    """Runs untrusted Python programs, each in a separate process without privileges.

        with Sandbox() as sandbox:
            verdict = sandbox.run("def add(a, b): return a + b", "assert add(1, 2) == 3")

    Args:
        limits: resources of one program.
        allow_unisolated_execution: run programs even if this machine cannot isolate them. Then they have the rights of this
            process.
        without: layers to leave out (of `types.LAYERS`), to measure their effect.

    Raises:
        StepError: isolation is missing and `allow_unisolated_execution` was not given; then no program has run.

    Threads may share a sandbox; it starts a server for each program that runs at the same time.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        allow_unisolated_execution: bool = False,
        without: Iterable[str] = (),
    ) -> None:
        self.limits = limits or Limits()
        self._missing = dict.fromkeys(without, "left out")
        if unknown := set(self._missing) - set(LAYERS):
            raise StepError(f"the sandbox has no layer {', '.join(sorted(unknown))}; it has {', '.join(LAYERS)}")
        self._lock = threading.Lock()
        self._all: list[client.Server] = []
        self._free: queue.SimpleQueue[client.Server] = queue.SimpleQueue()
        first = self._new_server()
        self.report = first.report
        try:
            self.faults = selftest.faults(first)
            if self.faults and not allow_unisolated_execution:
                raise StepError(
                    "generated code cannot be isolated here and is not run: "
                    + "; ".join(self.faults)
                    + ". `python -m components.sandbox` shows what is missing; allow_unisolated_execution runs it anyway"
                )
        except BaseException:
            self.close()
            raise
        self._free.put(first)

    def run(self, program: str, tests: str | None = None, stdin: str = "", names: Iterable[str] = ()) -> Verdict:
        """The verdict on one program; see `types.Job` for the arguments."""
        return self.run_job(Job(program, tests, stdin, tuple(names)))

    def run_job(self, job: Job) -> Verdict:
        try:
            server = self._free.get_nowait()
        except queue.Empty:
            server = self._new_server()
        try:
            return server.run(job)
        finally:
            self._free.put(server)

    def run_many(self, jobs: Iterable[Job], workers: int = 1) -> Iterator[Verdict]:
        """The verdicts in the order of the jobs, with `workers` programs at a time; jobs are read when they are needed."""
        if workers < 1:
            raise StepError(f"the sandbox runs at least 1 program at a time, not {workers}")
        if workers == 1:
            yield from map(self.run_job, jobs)
            return
        with ThreadPoolExecutor(workers, thread_name_prefix="sandbox") as pool:
            pending: queue.SimpleQueue[Future[Verdict]] = queue.SimpleQueue()
            for job in jobs:
                pending.put(pool.submit(self.run_job, job))
                if pending.qsize() >= 4 * workers:
                    yield pending.get().result()
            while not pending.empty():
                yield pending.get().result()

    def close(self) -> None:
        """End all servers."""
        with self._lock:
            servers, self._all = self._all, []
        for server in servers:
            server.close()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _new_server(self) -> client.Server:
        server = client.Server(self.limits, self._missing)
        with self._lock:
            self._all.append(server)
        return server
