"""Which services answer. A service that does not is asked again in the background, and not by every page.

A page that waited for the time-out at each of its reads would be blank for a minute when a server is frozen.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from flows.client import Refused, Unavailable

EVERY_S = 2.0  # between two probes of a service that is away
Value = TypeVar("Value")


@dataclass(frozen=True)
class Away:
    """A service that does not answer: the error, and since when."""

    error: Unavailable
    since: datetime


class Health:
    """The services that are away, by name. Shared by all sessions of the process.

    Args:
        probes: a cheap question to each service.
    """

    def __init__(self, probes: Mapping[str, Callable[[], object]]) -> None:
        self._lock = threading.Lock()
        self._away: dict[str, Away] = {}
        self._probes = probes

    @property
    def away(self) -> dict[str, Away]:
        with self._lock:
            return dict(self._away)

    def ask(self, service: str, question: Callable[[], Value]) -> Value:
        """The answer of a service.

        Raises:
            Unavailable: it does not answer now, or did not a moment ago.
        """
        if known := self.away.get(service):
            raise known.error
        try:
            return question()
        except Refused:
            raise
        except Unavailable as error:
            self._note(service, error)
            raise

    def _note(self, service: str, error: Unavailable) -> None:
        with self._lock:
            known = self._away.get(service)
            self._away[service] = Away(error, known.since if known else datetime.now(UTC))
        if not known:
            threading.Thread(target=self._probe, args=(service,), daemon=True, name=f"probe {service}").start()

    def _probe(self, service: str) -> None:
        """Ask until the service answers, in whatever way."""
        while service in self.away:
            time.sleep(EVERY_S)
            try:
                self._probes[service]()
            except Refused:
                self.forget(service)
            except Unavailable as error:
                with self._lock:
                    if known := self._away.get(service):  # not if someone has heard from it meanwhile
                        self._away[service] = Away(error, known.since)
            except Exception:  # noqa: BLE001 - it has answered; the page that asks next shows what
                self.forget(service)
            else:
                self.forget(service)

    def forget(self, service: str) -> None:
        """Take a service for one that answers."""
        with self._lock:
            self._away.pop(service, None)
