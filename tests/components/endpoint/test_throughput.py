"""How much of the ideal throughput the dispatcher's decisions leave, on a clock that moves only when nothing else can.

The clock is virtual, so neither the machine's speed nor its load counts: only when calls start, wait and are asked again.
"""

import asyncio
import random
import selectors
from contextlib import suppress
from types import SimpleNamespace

import pytest

from components.endpoint import dispatch
from components.endpoint.budget import Budget
from components.endpoint.dispatch import Dispatcher, Policy
from components.endpoint.request import Fault, Reply, Request
from components.endpoint.store import Store

LATENCY, CONCURRENCY, JOBS = 0.2, 64, 3_200
FAULTS = ("throttled", "server_error", "hang", "malformed", "format")
TICK = 1e-6  # seconds that each look at the clock's loop takes, so that no pause is too short to end


class Selector(selectors.SelectSelector):
    def __init__(self, clock: SimpleNamespace) -> None:
        super().__init__()
        self.clock = clock

    def select(self, timeout=None):
        self.clock.now += max(timeout or 0.0, TICK)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: SimpleNamespace) -> None:
        self.clock = clock
        super().__init__(Selector(clock))

    def time(self) -> float:
        return self.clock.now


class Faulty:
    """Answers after LATENCY and fails as bench.faulty_endpoint does."""

    def __init__(self, faults: float, seed: int) -> None:
        self.faults, self.answered, self._random = faults, [], random.Random(seed)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def ask(self, request, attempt):
        fault = self._random.choice(FAULTS) if self._random.random() < self.faults else ""
        if fault == "throttled":
            raise Fault("throttled", "too many", 0.5)
        await asyncio.sleep(3600.0 if fault == "hang" else LATENCY)
        if fault in ("server_error", "malformed"):
            raise Fault(fault, "of the endpoint")
        if not fault:
            self.answered.append(request.job)
        return Reply("{}" if fault else "# Title", "m", "stop", 10, 10)


START = 0.5  # seconds from a process' start to its first call


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    ("jobs", "faults", "kills", "share"), [(3_200, 0.0, 0, 0.95), (3_200, 0.05, 0, 0.88), (25_600, 0.05, 3, 0.90)]
)
def test_share_of_the_ideal(jobs, faults, kills, share, tmp_path, monkeypatch):
    """The faults alone take 3% (replies that come and are of no use) and 1.5% (those that never come) of the ideal, each kill
    a latency's half and what a process takes to start."""
    clock = SimpleNamespace(now=1000.0)
    stopped = SimpleNamespace(monotonic=lambda: clock.now, time_ns=lambda: int(clock.now * 1e9))
    monkeypatch.setattr(dispatch, "time", stopped)
    asked = [Request(str(n), (("user", str(n)),), {"seed": n, "max_tokens": 10}) for n in range(jobs)]
    endpoint = Faulty(faults, seed=1)

    def kill(_: dispatch.Tally) -> None:
        if len(endpoint.answered) >= jobs * (run + 1) // (kills + 1):
            raise Killed

    for run in range(kills + 1):
        clock.now += START if kills else 0.0
        with Store(tmp_path / "s.sqlite") as store:
            dispatcher = Dispatcher(
                endpoint,
                store,
                "plan",
                Budget.of(store, "plan", 0, 0),
                Policy(CONCURRENCY, 8, 120.0, 30.0, "synthesis.teacher"),
                lambda _, reply: "" if reply.text.startswith("# ") else "no heading",
                progress=kill if run < kills else None,
            )
            dispatcher._random = random.Random(run + 1)  # its pauses; the same ones in every run
            dispatcher._limiter.remember(*store.pace("plan"))
            with suppress(Killed), asyncio.Runner(loop_factory=lambda: Loop(clock)) as runner:
                runner.run(dispatcher._run(store.missing(asked)))
    assert sorted(endpoint.answered) == sorted(request.job for request in asked)
    measured = jobs * LATENCY / CONCURRENCY / (clock.now - 1000.0)
    assert measured > share
    assert measured < 1.0
