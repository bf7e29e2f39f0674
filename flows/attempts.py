"""Limits the requests of visitors who come through a proxy: failed logins, and all requests of one address."""

import time
from collections import OrderedDict

FAILURES, WINDOW_S = 10, 60.0  # wrong credentials of one address within this time
RATE, BURST = 50.0, 500.0  # requests per second of one address in the long run, and at once
ADDRESSES = 10_000  # remembered; the one that was quiet longest is forgotten first


class Attempts:
    """What the addresses have done lately."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[float, float, list[float]]] = OrderedDict()

    def refuses(self, address: str) -> bool:
        """Count a request; whether it is one too many."""
        now = time.monotonic()
        left, before, failures = self._seen.pop(address, (BURST, now, []))
        left = min(BURST, left + (now - before) * RATE)
        failures = [failed for failed in failures if now - failed < WINDOW_S]
        refused = left < 1 or len(failures) >= FAILURES
        self._seen[address] = (left if refused else left - 1, now, failures)
        if len(self._seen) > ADDRESSES:
            self._seen.popitem(last=False)
        return refused

    def failed(self, address: str) -> None:
        """Count wrong credentials."""
        if address in self._seen:
            self._seen[address][2].append(time.monotonic())
