"""Calls to a faulty endpoint measured: how much of the ideal throughput is left, and whether anything is lost or doubled.

    python -m bench.endpoint [--jobs 6400] [--kill-jobs 25600] [--latency 0.2] [--faults 0.05] [--concurrency 64]

`bench.faulty_endpoint` answers in --latency seconds and fails in --faults of the calls: 429 with Retry-After, 500, no reply, a
torn reply, a reply of the wrong form. Ideal is concurrency / latency answers a second, in which a call that fails counts for
nothing. In turn: our dispatcher without faults (what this machine gives, with both ends on it); with faults; with faults and three
SIGKILLs, each followed by a new process, its start counted, which must come to the same data; and for comparison a plain client: a semaphore, one
timeout, every failure tried again at once, nothing kept.
"""

import argparse
import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.endpoint.budget import Budget
from components.endpoint.dispatch import Dispatcher, Policy
from components.endpoint.openai import OpenAIEndpoint, Server
from components.endpoint.request import Reply, Request
from components.endpoint.store import Store

TIMEOUT = 30.0  # seconds, of ours before latencies are known and of the plain client always
KILLS = 3


def requests(jobs: int) -> Iterator[Request]:
    for number in range(jobs):
        prompt = f"Write a tutorial.\nTopic: number {number}"
        yield Request(str(number), (("user", prompt),), {"model": "fake", "max_tokens": 600, "seed": number})


def accept(request: Request, reply: Reply) -> str:
    return "" if reply.text.startswith("# ") else "no heading"


def dispatch(url: str, store: Path, jobs: int, concurrency: int) -> dict:
    """Have all jobs answered; returns what happened."""
    with Store(store) as answers:
        endpoint = OpenAIEndpoint(Server(url, "fake", "OPENAI_API_KEY", ("--url", "--model")))
        policy = Policy(concurrency, 8, 120.0, TIMEOUT)
        dispatcher = Dispatcher(endpoint, answers, "bench", Budget.of(answers, "bench", 0, 0), policy, accept)
        started, used = time.monotonic(), time.process_time()
        tally = dispatcher.run(requests(jobs))
        seconds, used = time.monotonic() - started, time.process_time() - used
        lost = sum(1 for _ in answers.missing(requests(jobs)))
        digest = hashlib.sha256(repr([answers.get(request.key) for request in requests(jobs)]).encode()).hexdigest()
        spent = answers.spent("bench")
    counted = {"lost": lost, "answers": spent.calls - spent.unusable, "paid": spent.calls, "data": digest}
    return counted | {"seconds": seconds, "cpu": used, "faults": dict(tally.faults)}


def killed(url: str, store: Path, jobs: int, concurrency: int) -> dict:
    """The same in a process that is killed three times and started again."""
    command = [sys.executable, "-m", "bench.endpoint", "--worker", url, str(store), str(jobs), str(concurrency)]
    started = time.monotonic()
    for kill in range(1, KILLS + 1):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while stats(url).get("answered", 0) < jobs * kill // (KILLS + 1):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout) | {"seconds": time.monotonic() - started}


async def plain(url: str, jobs: int, concurrency: int) -> float:
    """The usual few lines: seconds until all jobs have an answer."""
    import aiohttp

    slots = asyncio.Semaphore(concurrency)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=concurrency)) as client:

        async def one(request: Request) -> None:
            body = {"model": "fake", "messages": [{"role": "user", "content": request.messages[0][1]}]}
            async with slots:
                while True:
                    try:
                        async with client.post(f"{url}/chat/completions", json=body) as got:
                            content = (
                                (await got.json())["choices"][0]["message"]["content"] if got.status == 200 else ""
                            )
                        if content.startswith("# "):
                            return
                    except (aiohttp.ClientError, TimeoutError, ValueError):
                        continue

        started = time.monotonic()
        await asyncio.gather(*(one(request) for request in requests(jobs)))
        return time.monotonic() - started


@contextmanager
def served(latency: float, faults: float) -> Iterator[str]:
    """The address of a fresh endpoint in a process of its own."""
    command = [sys.executable, "-m", "bench.faulty_endpoint", "--latency", str(latency), "--faults", str(faults)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def stats(url: str) -> dict:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{url}/stats") as got:
        return json.load(got)


def measure(jobs: int, kill_jobs: int, latency: float, faults: float, concurrency: int) -> None:
    """Ours without faults, with faults, with kills; the plain client."""
    print(f"endpoint: {latency * 1e3:g} ms, {faults:.0%} faults, concurrency {concurrency}")
    print(f"          ideal {concurrency / latency:.0f} answers a second")
    cases = (
        ("no faults", jobs, 0.0, dispatch),
        ("faults", jobs, faults, dispatch),
        ("faults", kill_jobs, faults, dispatch),
        (f"{KILLS} kills", kill_jobs, faults, killed),
    )
    data: dict[int, set[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, count, share, way) in enumerate(cases):
            ideal = count * latency / concurrency
            with served(latency, share) as url:
                result = way(url, Path(folder) / f"{number}.sqlite", count, concurrency)
                twice = stats(url)["answered_again"]
            data.setdefault(count, set()).add(result["data"])
            print(
                f"          ours, {name:9}, {count:6,} jobs: {result['seconds']:6.1f} s, {ideal / result['seconds']:6.1%} "
                f"of ideal, {result['lost']} lost, {result['answers'] - count} doubled in the store, {twice} asked again "
                f"after an answer, {result['paid'] - result['answers']} unusable, {result['cpu']:.1f} CPU s",
                flush=True,
            )
        alike = all(len(digests) == 1 for digests in data.values())
        print(f"          the answers, in the order of the jobs: {'the same bytes' if alike else 'DIFFERENT'}")
        with served(latency, faults) as url:
            seconds = asyncio.run(plain(url, jobs, concurrency))
        print(
            f"          plain client, {jobs:,} jobs: {seconds:.1f} s, {jobs * latency / concurrency / seconds:.1%} of ideal"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=6_400)
    parser.add_argument("--kill-jobs", type=int, default=25_600, help="jobs of the run that is killed")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--worker", nargs=4, metavar=("URL", "STORE", "JOBS", "CONCURRENCY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        url, store, jobs, concurrency = given.worker
        print(json.dumps(dispatch(url, Path(store), int(jobs), int(concurrency))))
        return
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    measure(given.jobs, given.kill_jobs, given.latency, given.faults, given.concurrency)


if __name__ == "__main__":
    main()
