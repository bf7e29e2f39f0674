"""What tests of several steps share: a faulty endpoint of OpenAI's API."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from bench.faulty_endpoint import Endpoint


class Served:
    """A faulty endpoint (bench.faulty_endpoint) in a thread of its own."""

    def __init__(self, **options: object) -> None:
        self.endpoint = Endpoint(**options)
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(self.endpoint.serve())
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        started.set()
        self._loop.run_forever()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _serving() -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def start(**options: object) -> Served:
        running.append(Served(**{"latency": 0.0, "faults": 0.0} | options))
        return running[-1]

    yield start
    for served in running:
        served.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Start endpoints; they end with the test."""
    yield from _serving()


@pytest.fixture(scope="module")
def serve_for_module() -> Iterator[Callable[..., Served]]:
    """Start endpoints; they end with the module."""
    yield from _serving()
