"""Get every request answered: many at once, with retries if they can help.

A request ends in one of two ways: its answer is in the store, or it is given up with a reason (its answers were
unusable `attempts` times, the endpoint refused it, or it alone fails while others are answered). A fault of the endpoint
itself (429, 5xx, no connection, no reply, a truncated one) never ends a request: it is sent again after a random pause
that grows, or after the time in Retry-After.

The run stops, and can be resumed, when continuing would cost money for nothing: no request succeeds for `patience`
seconds; the endpoint asks to wait longer than that; or so many requests in a row are given up that the requests cannot
be the cause.
"""

import asyncio
import heapq
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from components.endpoint.budget import Budget
from components.endpoint.completion import finish
from components.endpoint.judge import fault_of
from components.endpoint.limiter import Limiter
from components.endpoint.request import CONTENT, Accept, Fault, Reply, Request
from components.endpoint.store import Store
from components.errors import StepError

if TYPE_CHECKING:
    from components.params.endpoint import EndpointParams

BACKOFF, LONGEST_PAUSE = 0.25, 60.0  # seconds: maximum of the first pause, and of any pause
COMMIT_AFTER, COMMIT_COUNT = 0.05, 16  # maximum seconds until an answer is committed, and maximum waiting answers
HOPELESS = 8  # stop after this many requests were given up or asked to wait too long, and none was answered
UNBROKEN = 32  # the same in a row once there is an answer; also this many unusable replies without an answer
TROUBLES = 8  # a request that failed this often while others were answered is given up


class Endpoint(Protocol):
    """Anything that answers one request at a time."""

    async def __aenter__(self) -> "Endpoint": ...

    async def __aexit__(self, *_: object) -> None: ...

    async def ask(self, request: Request, attempt: int) -> Reply:
        """The reply to a request; `attempt` counts the unusable ones before it.

        Raises:
            Fault: the call gave no answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits on retries. `patience` and `timeout` are in seconds; `section` of the parameters is for messages."""

    concurrency: int
    attempts: int
    patience: float
    timeout: float
    section: str

    @classmethod
    def of(cls, params: "EndpointParams", section: str) -> "Policy":
        return cls(params.concurrency, params.attempts, params.patience_s, params.timeout_s, section)


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A request without an answer, with the kind and detail of its last fault."""

    job: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Call:
    """One finished call, for tracing. Times are nanoseconds since 1970; the outcome is `answered` or a fault."""

    request: Request
    outcome: str
    reply: Reply | None
    start_ns: int
    end_ns: int


Watch = Callable[[Call], None]


@dataclass(slots=True)
class _Item:
    """A request in progress: how often its content and its transport failed, how many requests had been answered before
    its transport first failed, and the fault by which the endpoint asked it to wait longer than the patience."""

    request: Request
    unusable: int = 0
    troubles: int = 0
    timeouts: int = 0
    answered_before: int = 0
    far: Fault | None = None


@dataclass(slots=True)
class Tally:
    """Counts for the log. They depend on the endpoint, so no output contains them."""

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
        self._oldest = 0.0  # when the first of them arrived
        self._woken = asyncio.Event()  # a call has ended
        self._timers: dict[int, tuple[asyncio.Timeout, float, _Item]] = {}
        self._shortest = policy.timeout  # the deadline that the timers were set from
        self._healthy = 0.0  # when the endpoint last worked
        self._unbroken = self._sent_away = 0  # requests given up, or asked to wait too long, since the last answer
        self._proved = False  # whether an earlier run of the plan got an answer
        self._exhausted = False  # whether each request has been sent
        self._stop = ""  # the message of the last refusal
        self._hopeless_before: set[str] = set()  # keys that an earlier run has given up
        self._said: set[str] = set()  # unknown finish reasons that have been printed

    def run(self, requests: Iterable[Request]) -> Tally:
        """Get all `requests` answered or given up.

        Raises:
            StepError: no later request can succeed, the endpoint does not respond, or the budget is spent. Earlier
                answers are in the store; the same call resumes from there.
        """
        self._hopeless_before = self.store.given_up(self.plan)
        self._limiter.remember(*self.store.pace(self.plan))
        spent = self.store.spent(self.plan)
        self._proved = spent.calls > spent.unusable
        asyncio.run(self._run(self.store.missing(requests)))
        if self._stop and not self.tally.answered and not self._hopeless_before:
            raise StepError(self._stop)
        return self.tally

    async def _run(self, fresh: Iterator[Request]) -> None:
        tasks: set[asyncio.Task] = set()
        self._healthy = time.monotonic()
        async with self.endpoint:
            try:
                while self._failure is None:
                    item, pause = self._next(fresh, tasks)
                    if item is None and pause is None and not tasks:
                        return
                    if item is not None and self._start(item, tasks):
                        continue
                    if item is not None and not tasks:
                        raise StepError(self._budget_spent())
                    await self._wait(self._commit_when_due(pause))
            finally:
                self._commit()
                for task in tasks:  # none if all is done or the budget is spent; the others would only fail too
                    task.cancel()
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

    def _next(self, fresh: Iterator[Request], tasks: set[asyncio.Task]) -> tuple[_Item | None, float | None]:
        """The next request to start, or None with the seconds until there may be one (None: when a call ends).

        Raises:
            StepError: the only requests left are those that the endpoint asked to wait longer than the patience.
        """
        now = time.monotonic()
        room = self._limiter.wait(now)
        if room != 0.0:
            return None, room if room is not None else LONGEST_PAUSE
        if self._later and self._later[0][0] <= now:
            return heapq.heappop(self._later)[2], None
        request = next(fresh, None)
        if request is not None:
            return _Item(request), None
        self._exhausted = True
        if not self._later:
            return None, None
        when, _, item = self._later[0]
        if item.far and not tasks:
            raise StepError(self._come_back(item.far))
        return None, when - now

    def _start(self, item: _Item, tasks: set[asyncio.Task]) -> bool:
        """Send a request. Returns False, and the request waits, if the budget cannot cover it now."""
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
        """Wait until a call ends, or for `pause` seconds."""
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
            fault = fault_of(request, reply, self.accept)
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
        wait = fault.retry_after if fault and (fault.retry_after or 0.0) <= self.policy.patience else None
        limiter.end(number, now, congested, answered, wait)
        self._shorten_waits(now)
        try:
            try:
                self._place(item, reply, fault, now, now - start)  # first, so that a paid answer is always kept
            finally:
                self.budget.settle(request, reply, usable=fault is None)
        except BaseException as error:  # noqa: BLE001 - carried out of the task, to be raised by `run`
            self._failure = self._failure or error
        if self.watch:
            self.watch(Call(request, fault.kind if fault else "answered", reply, start_ns, time.time_ns()))

    def _deadline(self, item: _Item) -> float:
        """Seconds that a request may take; doubled each time it took longer."""
        return min(self.policy.timeout, self._limiter.deadline() * 2**item.timeouts)

    def _shorten_waits(self, now: float) -> None:
        """Apply a shorter deadline to the calls that are already waiting, so that none of them hangs for long."""
        deadline = self._limiter.deadline()
        if deadline < 0.8 * self._shortest:
            self._shortest = deadline
            for timer, start, item in self._timers.values():
                if not timer.expired():
                    timer.reschedule(max(now, start + self._deadline(item)))

    def _place(self, item: _Item, reply: Reply | None, fault: Fault | None, now: float, seconds: float) -> None:
        """Store the answer, or decide whether the request is retried."""
        request = item.request
        if fault is None:
            assert reply is not None  # every call without a fault has a reply
            self._healthy = now
            self._oldest = self._oldest if self._fresh else now
            self._fresh.append((request, reply, seconds))
            self.tally.answered += 1
            self._unbroken = self._sent_away = 0
            if self.progress:
                self.progress(self.tally)
            return
        self.tally.faults[fault.kind] += 1
        if reply is not None:
            self.store.count_unusable(self.plan, request, reply, fault.kind, seconds)
        if fault.kind in CONTENT:
            self._healthy = now
            item.unusable += 1
            self._say_once(fault)
            if item.unusable < self.policy.attempts:
                self._again(item, self._pause(item.unusable) if fault.kind == "foreign" else 0.0)
                if not self.tally.answered and not self._hopeless_before:
                    self._stop_if_hopeless(fault, sum(self.tally.faults[kind] for kind in CONTENT), UNBROKEN)
            else:
                self._give_up(item, fault)
        elif fault.kind == "refused":
            self._healthy = now
            self._give_up(item, fault)
        else:
            self._trouble(item, fault, now)

    def _trouble(self, item: _Item, fault: Fault, now: float) -> None:
        """Handle a fault of the endpoint itself: ask again later, unless that cannot help."""
        if not item.troubles:
            item.answered_before = self.tally.answered
        item.troubles += 1
        broken = fault.kind in ("server_error", "malformed") and item.troubles >= TROUBLES
        late = now - self._healthy > self.policy.patience
        last = self._exhausted and len(self._later) < HOPELESS and (self._proved or self.tally.answered)
        if broken and (self.tally.answered > item.answered_before or (late and last)):  # so the request is at fault
            self._give_up(item, fault)
        elif (fault.retry_after or 0.0) > self.policy.patience:
            item.far = fault
            self._sent_away += 1
            if self._sent_away >= HOPELESS:
                raise StepError(self._come_back(fault))
            self._again(item, fault.retry_after or 0.0)
        elif late:
            raise StepError(
                f"the endpoint has answered nothing for {self.policy.patience:g} s (last: {fault}); "
                f"{self.tally.answered} answers of this run are kept; run again when it works, or raise {self.policy.section}.patience_s"
            )
        else:
            item.far = None
            self._again(item, fault.retry_after or self._pause(item.troubles))

    def _pause(self, failed: int) -> float:
        return self._random.uniform(0.0, min(LONGEST_PAUSE, BACKOFF * 2 ** min(failed - 1, 16)))

    def _give_up(self, item: _Item, fault: Fault) -> None:
        self.tally.given_up.append(GivenUp(item.request.job, fault.kind, fault.detail))
        self.store.give_up(self.plan, item.request)
        if self.progress:
            self.progress(self.tally)
        if item.request.key not in self._hopeless_before:
            self._unbroken += 1
            self._stop = fault.stop
            self._stop_if_hopeless(fault, self._unbroken, UNBROKEN if self.tally.answered else HOPELESS)

    def _stop_if_hopeless(self, fault: Fault, count: int, most: int) -> None:
        if count < most:
            return
        kept = f"; {self.tally.answered} answers of this run are kept" if self.tally.answered else ""
        (kind, most_often), *_ = self.tally.faults.most_common(1)
        requests = f"{self._unbroken} requests" if self._unbroken else f"{count} replies"
        whole = f"none of the {'last' if self.tally.answered else 'first'} {requests} was answered"
        remedy = fault.stop or _REMEDIES.get(kind, _REMEDIES["refused"]).format(section=self.policy.section)
        last = "" if fault.stop else f"; last {fault}"  # the stop message already contains the fault
        raise StepError(f"{whole} ({most_often} times {kind}{last}); {remedy}{kept}")

    def _say_once(self, fault: Fault) -> None:
        """Print an unknown finish reason once: it may be a server's name for a normal end, so a person should see it."""
        reason = fault.reply.finish_reason if fault.reply else ""
        if reason and finish(reason) == "unknown" and reason not in self._said:
            self._said.add(reason)
            print(
                f"{self.policy.section}: an answer {fault.detail}; it counts as incomplete and is requested again",
                flush=True,
            )

    def _come_back(self, fault: Fault) -> str:
        wait = fault.retry_after or 0.0
        when = "later"
        if wait < 1e8:
            when = f"after {datetime.fromtimestamp(time.time() + wait, UTC):%Y-%m-%d %H:%M} UTC"
        return (
            f"the endpoint asks to wait {wait:,.5g} s, which is longer than {self.policy.section}.patience_s "
            f"({self.policy.patience:g} s; last: {fault}); {self.tally.answered} answers of this run are kept; run again {when}"
        )

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
    "empty": "the model returned nothing usable; see whether it is a chat model with a template, whether its thoughts use up "
    "{section}.max_tokens or the server treats its whole answer as thoughts, whether tools are on, and what the server's log says",
    "truncated": "raise {section}.max_tokens, which the model's thoughts use up as well",
    "unfinished": "see the server's log; switch off tools and anything else that ends an answer early",
    "filtered": "the endpoint blocks its answers; choose another model or curriculum",
    "markup": "the server leaves marks of its chat template in the text, or encodes it wrongly; correct its template, or choose "
    "another server",
    "format": "the model does not follow the format; use a stronger one, or another {section}.structured",
    "foreign": "correct {section}.base_url, which usually ends in /v1",
    "refused": "see {section}.request, structured and max_tokens: the endpoint may not know one of them",
}
