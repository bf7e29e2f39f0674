"""Map a function over shards: in this process, in threads, in processes or on a Ray cluster, chosen by one setting.

Results come back in the order of the items whatever the engine and however many workers there are, so that equal
inputs give equal outputs. The work of a lost Ray node is given to another.
"""

import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from components.errors import StepError
from components.params import EngineParams

Item = TypeVar("Item")
Result = TypeVar("Result")


def workers(params: EngineParams) -> int:
    """Number of workers: as set, or one for each core that this process may use."""
    if params.workers:
        return params.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_shards(function: Callable[[Item], Result], items: Iterable[Item], params: EngineParams) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order. At most two items per worker are in progress at once.

    With processes and Ray, `function` must be importable (not a lambda or closure) and items must pickle. The first
    exception of `function` is raised here; what has not started is cancelled.
    """
    items = list(items)
    count = min(workers(params), len(items))
    if params.kind == "ray" and len(items) > 1:
        yield from _map_ray(function, items, params)
    elif params.kind in ("serial", "ray") or count <= 1:
        yield from map(function, items)
    else:
        yield from _map_executor(function, items, params.kind, count)


def _map_executor(function: Callable[[Item], Result], items: list[Item], kind: str, count: int) -> Iterator[Result]:
    pool: Executor
    if kind == "threads":
        pool = ThreadPoolExecutor(count)
    else:
        # A server forked before any thread exists: fork alone deadlocks beside the threads of pyarrow and MLflow.
        context = get_context("forkserver" if os.name == "posix" else "spawn")
        pool = ProcessPoolExecutor(count, mp_context=context, initializer=_end_with_parent)
    waiting = iter(items)
    try:
        under_way: list[Future[Result]] = [pool.submit(function, item) for item in islice(waiting, 2 * count)]
        while under_way:
            yield under_way.pop(0).result()
            under_way += [pool.submit(function, item) for item in islice(waiting, 1)]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """In a worker: end with the parent process, even if that is killed; otherwise it would wait for work forever."""

    def watch(parent: Any) -> None:
        parent.join()
        os._exit(1)

    if parent := parent_process():
        threading.Thread(target=watch, args=(parent,), daemon=True).start()


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


def _close_to_strangers() -> None:
    """Keep a Ray cluster of this process on the loopback, with a token, since Ray runs any code that it receives.

    Ray reads both when it is imported. By default it listens on every interface without authentication.
    """
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if not os.environ.get("RAY_AUTH_TOKEN"):
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _map_ray(function: Callable[[Item], Result], items: list[Item], params: EngineParams) -> Iterator[Result]:
    if not params.ray_address:
        _close_to_strangers()
    elif os.environ.get("RAY_ADDRESS") != params.ray_address:
        raise StepError(
            f"engine.ray_address: {params.ray_address} was given, but whoever runs that cluster can run code on "
            "this machine; expected the address in RAY_ADDRESS; set that variable to it where you start the run"
        )
    import ray

    started_here = not ray.is_initialized()
    if started_here:
        local: dict[str, Any] = {} if params.ray_address else {"num_cpus": workers(params), "include_dashboard": False}
        ray.init(address=params.ray_address or "local", log_to_driver=False, logging_level="ERROR", **local)
    try:
        remote = ray.remote(_call)  # Ray accepts plain functions only, and steps pass partials
        shared = ray.put(function)
        limit = 2 * (params.workers or int(ray.cluster_resources().get("CPU", 1)))  # of all machines
        waiting = iter(items)
        under_way = [remote.remote(shared, item) for item in islice(waiting, limit)]
        while under_way:
            yield ray.get(under_way.pop(0))
            under_way += [remote.remote(shared, item) for item in islice(waiting, 1)]
    finally:
        if started_here:
            ray.shutdown()
