"""Get every request answered: many at once, with retries if they can help.

A request ends in one of two ways here: its answer is in the store, or it is given up with a reason (its answers were
unusable `attempts` times, or the endpoint refused it). Trouble of the endpoint itself (429, 5xx, no connection, no
reply, a torn one) never ends a request: it is asked again after a pause that grows and is random, or as long as
Retry-After says. If nothing gets through for `patience` seconds, the run stops and can be resumed.
"""

import asyncio
import heapq
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from components.endpoint.budget import Budget
from components.endpoint.limiter import Limiter
from components.endpoint.request import CONTENT, Accept, Fault, Halt, Reply, Request
from components.endpoint.store import Store
from components.errors import StepError
from components.params.endpoint import EndpointParams

BACKOFF, LONGEST_PAUSE = 0.25, 60.0  # seconds: maximum of the first pause, and of any pause
COMMIT_AFTER, COMMIT_COUNT = 0.05, 16  # maximum seconds until an answer is committed, and maximum waiting answers
HOPELESS = 8  # stop after so many requests were given up and none was answered


class Endpoint(Protocol):
    """Anything that answers one request at a time."""

    async def __aenter__(self) -> "Endpoint": ...

    async def __aexit__(self, *_: object) -> None: ...

    async def ask(self, request: Request, attempt: int) -> Reply:
        """Raises: Fault, or Halt where nothing that is tried later can succeed."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits on retries. `patience` and `timeout` in seconds; `section`: of the parameters, for messages."""

    concurrency: int
    attempts: int
    patience: float
    timeout: float
    section: str

    @classmethod
    def of(cls, params: EndpointParams, section: str) -> "Policy":
        return cls(params.concurrency, params.attempts, params.patience_s, params.timeout_s, section)


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A request that has no answer, and why: the last fault's kind and detail."""

    job: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Call:
    """One finished call, for tracing: times in nanoseconds since 1970, outcome `answered` or a fault."""

    request: Request
    outcome: str
    reply: Reply | None
    start_ns: int
    end_ns: int


Watch = Callable[[Call], None]


@dataclass(slots=True)
class _Item:
    """A request on its way: how often its content and its transport failed."""

    request: Request
    unusable: int = 0
    troubles: int = 0
    timeouts: int = 0


@dataclass(slots=True)
class Tally:
    """Counts for the log; they depend on the endpoint and so are in no output."""

    answered: int = 0
    given_up: list[GivenUp] = field(default_factory=list)
    faults: Counter = field(default_factory=Counter)


class Dispatcher:
    """Runs the requests of one plan against one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        store: Store,
        plan: str,
        budget: Budget,
        policy: Policy,
        accept: Accept,
        watch: Watch | None = None,
        progress: Callable[[Tally], None] | None = None,
    ) -> None:
        self.endpoint, self.store, self.plan, self.budget, self.policy = endpoint, store, plan, budget, policy
        self.accept, self.watch, self.progress = accept, watch, progress
        self.tally = Tally()
        self._limiter = Limiter(policy.concurrency, policy.timeout)
        self._later: list[tuple[float, int, _Item]] = []  # (when, tie-break, item)
        self._number = 0
        self._random = random.Random()  # jitter; no result depends on it
        self._failure: BaseException | None = None
        self._fresh: list[tuple[Request, Reply, float]] = []  # answers to be committed
        self._oldest = 0.0  # when the first of them came
        self._woken = asyncio.Event()  # a call has ended
        self._timers: dict[int, tuple[asyncio.Timeout, float, _Item]] = {}
        self._shortest = policy.timeout  # deadline that the timers were set by
        self._healthy = 0.0  # when the endpoint last did anything right

    def run(self, requests: Iterable[Request]) -> Tally:
        """Get all `requests` answered or given up.

        Raises:
            StepError: nothing that is tried later can succeed, the endpoint is gone, or the budget is spent. Earlier
                answers are in the store; the same call resumes from there.
        """
        asyncio.run(self._run(self.store.missing(requests)))
        return self.tally

    async def _run(self, fresh: Iterator[Request]) -> None:
        tasks: set[asyncio.Task] = set()
        self._healthy = time.monotonic()
        async with self.endpoint:
            try:
                while self._failure is None:
                    item, pause = self._next(fresh)
                    if item is None and pause is None and not tasks:
                        return
                    if item is not None and self._start(item, tasks):
                        continue
                    if item is not None and not tasks:
                        raise StepError(self._budget_spent())
                    await self._wait(self._commit_when_due(pause))
            finally:
                self._commit()
                for task in tasks:  # none where the work ended or the budget did; else they would only fail as well
                    task.cancel()
        if isinstance(self._failure, Halt):
            raise StepError(str(self._failure))
        raise self._failure

    def _commit_when_due(self, pause: float | None) -> float | None:
        """Commit the answers that have waited long enough, or shorten a pause until then. A commit costs as much CPU as
        a third of a call, so several answers share one. Until then an answer counts as in flight: a kill loses it."""
        if not self._fresh:
            return pause
        left = COMMIT_AFTER - (time.monotonic() - self._oldest)
        if left <= 0 or len(self._fresh) >= COMMIT_COUNT:
            self._commit()
            return pause
        return left if pause is None else min(left, pause)

    def _commit(self) -> None:
        if self._fresh:
            self.store.keep(self.plan, self._fresh)
            self._fresh = []

    def _next(self, fresh: Iterator[Request]) -> tuple[_Item | None, float | None]:
        """The next request to start, or None with the seconds until there may be one (None: when a call ends)."""
        now = time.monotonic()
        room = self._limiter.wait(now)
        if room != 0.0:
            return None, room if room is not None else LONGEST_PAUSE
        if self._later and self._later[0][0] <= now:
            return heapq.heappop(self._later)[2], None
        request = next(fresh, None)
        if request is not None:
            return _Item(request), None
        return None, self._later[0][0] - now if self._later else None

    def _start(self, item: _Item, tasks: set[asyncio.Task]) -> bool:
        """Send a request; False, and it waits, if the budget has no room for it now."""
        if not self.budget.reserve(item.request):
            self._again(item, 0.0)
            return False
        number = self._limiter.start(time.monotonic())
        task = asyncio.create_task(self._call(item, number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: self._woken.set())
        return True

    async def _wait(self, pause: float | None) -> None:
        """Until a call ends, or for `pause` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._woken.wait()
        self._woken.clear()

    async def _call(self, item: _Item, number: int) -> None:
        limiter, request = self._limiter, item.request
        start, start_ns = time.monotonic(), time.time_ns()
        fault: Fault | None = None
        reply: Reply | None = None
        try:
            async with asyncio.timeout_at(start + self._deadline(item)) as timer:
                self._timers[number] = (timer, start, item)
                reply = await self.endpoint.ask(request, item.unusable)
            fault = self._unusable(request, reply)
        except TimeoutError:
            fault = Fault("timeout", f"no reply within {time.monotonic() - start:.3g} s")
            item.timeouts += 1
        except Fault as raised:
            fault, reply = raised, raised.reply
        except BaseException as error:  # noqa: BLE001 - carried out of the task, to be raised by `run`
            limiter.end(number, time.monotonic(), congested=False, answered=False)
            self.budget.settle(request, None)
            if not isinstance(error, asyncio.CancelledError):
                self._failure = self._failure or error
            return
        finally:
            self._timers.pop(number, None)
        now = time.monotonic()
        congested = fault is not None and fault.kind in ("throttled", "server_error", "timeout")
        answered = fault is None or fault.kind in CONTENT
        limiter.end(number, now, congested, answered, fault.retry_after if fault else None)
        self._shorten_waits(now)
        try:
            self.budget.settle(request, reply)
            self._place(item, reply, fault, now, now - start)
        except BaseException as error:  # noqa: BLE001 - carried out of the task, to be raised by `run`
            self._failure = self._failure or error
        if self.watch:
            self.watch(Call(request, fault.kind if fault else "answered", reply, start_ns, time.time_ns()))

    def _deadline(self, item: _Item) -> float:
        """Seconds that a request may take; twice as long each time it took longer."""
        return min(self.policy.timeout, self._limiter.deadline() * 2**item.timeouts)

    def _shorten_waits(self, now: float) -> None:
        """Apply what was learned of the latency to the calls that wait already, so that none of them hangs for long."""
        deadline = self._limiter.deadline()
        if deadline < 0.8 * self._shortest:
            self._shortest = deadline
            for timer, start, item in self._timers.values():
                if not timer.expired():
                    timer.reschedule(max(now, start + self._deadline(item)))

    def _unusable(self, request: Request, reply: Reply) -> Fault | None:
        """The fault of a reply that arrived whole but is not an answer."""
        if reply.finish_reason == "length":
            return Fault("truncated", f"cut at {reply.completion_tokens or 'max'} tokens", reply=reply)
        if reply.finish_reason == "content_filter":
            return Fault("filtered", "blocked by the endpoint's content filter", reply=reply)
        if not reply.text.strip():
            return Fault("empty", f"nothing was returned (finish reason {reply.finish_reason!r})", reply=reply)
        if wrong := self.accept(request, reply):
            return Fault("format", wrong, reply=reply)
        return None

    def _place(self, item: _Item, reply: Reply | None, fault: Fault | None, now: float, seconds: float) -> None:
        """Store the answer, or decide whether the request is retried."""
        request = item.request
        if fault is None:
            assert reply is not None  # every call without a fault has brought one
            self._healthy = now
            self._oldest = self._oldest if self._fresh else now
            self._fresh.append((request, reply, seconds))
            self.tally.answered += 1
            if self.progress:
                self.progress(self.tally)
            return
        self.tally.faults[fault.kind] += 1
        if reply is not None:
            self.store.count_unusable(self.plan, request, reply, fault.kind, seconds)
        if fault.kind in CONTENT:
            self._healthy = now
            item.unusable += 1
            if item.unusable < self.policy.attempts:
                self._again(item, 0.0)
            else:
                self._give_up(item, fault)
        elif fault.kind == "refused":
            self._healthy = now
            self._give_up(item, fault)
        else:
            if now - self._healthy > self.policy.patience:
                raise StepError(
                    f"the endpoint has answered nothing for {self.policy.patience:g} s (last: {fault}); "
                    f"{self.tally.answered} answers of this run are kept; run again when it works, or raise {self.policy.section}.patience_s"
                )
            pause = min(LONGEST_PAUSE, BACKOFF * 2**item.troubles)
            item.troubles += 1
            self._again(item, fault.retry_after or self._random.uniform(0.0, pause))

    def _give_up(self, item: _Item, fault: Fault) -> None:
        self.tally.given_up.append(GivenUp(item.request.job, fault.kind, fault.detail))
        if self.progress:
            self.progress(self.tally)
        if self.tally.answered == 0 and len(self.tally.given_up) >= HOPELESS:
            reasons = Counter(given_up.kind for given_up in self.tally.given_up)
            (kind, count), *_ = reasons.most_common(1)
            raise StepError(_hopeless(kind, count, len(self.tally.given_up), fault, self.policy.section))

    def _again(self, item: _Item, pause: float) -> None:
        self._number += 1
        heapq.heappush(self._later, (time.monotonic() + pause, self._number, item))

    def _budget_spent(self) -> str:
        return self.budget.stop or (
            f"the budget of this plan is spent ({self.budget.says()}; the next request could cost more than is left): "
            f"{self.tally.answered} answers of this run are kept; raise {self.policy.section}.budget_tokens or budget_money "
            "and run again to resume"
        )


_REMEDIES = {
    "empty": "the model returned nothing; see whether it is a chat model with a template, whether its thinking uses up "
    "{section}.max_tokens, and what the server's log says",
    "truncated": "raise {section}.max_tokens",
    "filtered": "the endpoint blocks its answers; choose another model or curriculum",
    "format": "the model does not keep to the format; use a stronger one, or another {section}.structured",
    "refused": "see {section}.request, structured and max_tokens: the endpoint may not know one of them",
}


def _hopeless(kind: str, count: int, total: int, fault: Fault, section: str) -> str:
    remedy = _REMEDIES[kind].format(section=section)
    return f"none of the first {total} requests was answered ({count} times {kind}; last {fault}): {remedy}"
