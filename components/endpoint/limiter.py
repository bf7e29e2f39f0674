"""Adapts the number of concurrent requests, and the wait for an answer, to the endpoint.

The algorithm is additive increase, multiplicative decrease, with two changes that keep a few stray faults from costing
throughput. First, a "too many requests" reply slows down its own request only. The limit falls when more than TOLERANCE
of the last WINDOW replies, and at least FEW, were of that kind; it falls at most once per as many replies as are in
flight. Second, the limit doubles each round until it falls for the first time, as in TCP's slow start.

Starts are paced, a little faster than the limit could keep up. Otherwise all requests that once began together would
also end together, and both sides would alternate between idle and overloaded.

Once enough latencies are known, the wait for an answer is bounded, as by TCP's retransmission timer (RFC 6298): by the
95th percentile of the latencies plus DEVIATIONS times its distance from the median. The bound is at least SLOWEST times
the slowest of the last answers, and at most PATIENT times the 95th percentile. So calls that hang on a steady endpoint
are soon retried. A call that takes longer than STALLED times that percentile no longer counts against the limit, so that
a few hanging calls do not hold up the rest.
"""

from collections import deque

START = 32
TOLERANCE, FEW = 0.12, 8
DECREASE = 0.7
WINDOW = 128
PATIENT, STALLED = 4.0, 1.5
DEVIATIONS, SLOWEST = 8.0, 1.5
SHORTEST = 0.5  # seconds; no request gets a shorter deadline
KNOWN = 32  # number of latencies before they are used
PACE, BURST = 0.85, 3  # pause between starts as a share of latency / limit; late starts made up for at once


class Limiter:
    """Decides whether another request may start. Times are seconds of one monotonic clock."""

    def __init__(self, most: int, timeout: float) -> None:
        self.most, self.timeout = most, timeout
        self.limit = float(min(START, most))
        self.paused_until = 0.0
        self._started: dict[int, float] = {}
        self._recent: deque[bool] = deque(maxlen=WINDOW)  # whether each reply reported congestion
        self._latencies: deque[float] = deque(maxlen=256)
        self._usual: float | None = None  # the 95th percentile of the latencies
        self._bound = timeout  # seconds that a request may take, from the latencies
        self._interval = 0.0  # seconds between two starts
        self._next_start = 0.0
        self._slow_start = True
        self._since_change = self._hold = 0
        self._number = 0

    def remember(self, took: list[float], at_once: float) -> None:
        """Start where an earlier run of the same plan ended.

        Args:
            took: seconds per call.
            at_once: mean number of calls in flight.
        """
        self.limit = min(float(self.most), max(self.limit, at_once))
        for seconds in took:
            self._learn(seconds)

    def wait(self, now: float) -> float | None:
        """Seconds until another request may start: 0 for now, None if a running one has to end first."""
        if now < self.paused_until:
            return self.paused_until - now
        if now < self._next_start:
            return self._next_start - now
        if len(self._started) < self.limit:
            return 0.0
        if self._usual is None:
            return None
        stalled, first = self._stalled(now, self._usual)
        if len(self._started) - min(stalled, max(1.0, self.limit / 4)) < self.limit:
            return 0.0
        return first

    def start(self, now: float) -> int:
        """Record the start of a request. Returns its number for `end`."""
        self._number += 1
        self._started[self._number] = now
        self._next_start = max(self._next_start, now - BURST * self._interval) + self._interval
        return self._number

    def end(self, number: int, now: float, congested: bool, answered: bool, retry_after: float | None = None) -> None:
        """Record the end of a request: with an answer, by congestion (too many, overloaded, no reply in time), or otherwise."""
        took = now - self._started.pop(number)
        self._recent.append(congested)
        self._since_change += 1
        if answered:
            self._learn(took)
        if congested:
            self._fall(now, retry_after)
        else:
            self._rise()

    def deadline(self) -> float:
        """Seconds that a request may take."""
        if self._usual is None:
            return self.timeout
        return min(self.timeout, max(SHORTEST, self._bound))

    def _rise(self) -> None:
        step = 1.0 if self._slow_start else 8.0 / self.limit  # doubles, or adds eight, per round of `limit` replies
        self.limit = min(float(self.most), self.limit + step)

    def _fall(self, now: float, retry_after: float | None) -> None:
        if sum(self._recent) < max(FEW, TOLERANCE * len(self._recent)):
            return
        if retry_after:
            self.paused_until = max(self.paused_until, now + retry_after)
        if self._since_change > self._hold:  # the requests in flight at the last fall have ended
            self._hold = len(self._started)
            self.limit = max(1.0, self.limit * DECREASE)
            self._slow_start = False
            self._since_change = 0
            self._recent.clear()

    def _learn(self, took: float) -> None:
        self._latencies.append(took)
        if len(self._latencies) >= KNOWN and (self._usual is None or self._number % 16 == 0):
            ordered = sorted(self._latencies)
            self._usual = ordered[int(0.95 * (len(ordered) - 1))]
            median = ordered[len(ordered) // 2]
            self._interval = PACE * median / self.limit
            even = max(self._usual + DEVIATIONS * (self._usual - median), SLOWEST * ordered[-1])
            self._bound = min(even, PATIENT * self._usual)

    def _stalled(self, now: float, usual: float) -> tuple[int, float | None]:
        """The number of stalled requests, and the seconds until the next one counts as stalled."""
        border = STALLED * usual
        stalled = 0
        for started in self._started.values():  # in order of their start
            if now - started < border:
                return stalled, border - (now - started)
            stalled += 1
        return stalled, None
