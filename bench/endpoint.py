"""Calls to a faulty endpoint measured: how much of the ideal throughput is left, and whether anything is lost or doubled.

    python -m bench.endpoint [--jobs 1280] [--kill-jobs 12800] [--latency 1.0] [--faults 0.05] [--concurrency 64]

`bench.faulty_endpoint` answers in --latency seconds and fails in --faults of the calls: 429 with Retry-After, 500, no reply, a
torn reply, a reply of the wrong form. Ideal is concurrency / latency answers per second, in which a call that fails counts for
nothing. In turn: our dispatcher without faults (what this machine gives, with both ends on it); with faults; with faults and three
SIGKILLs, each followed by a new process, its start counted, which must come to the same data; and for comparison a plain
client: a semaphore, one timeout, every failure tried again at once, nothing kept.

Below each run stands where its places went (--concurrency times its seconds): answers at their latency, what they took longer
(CPU of both ends, or a wait for it), replies of no use, waits for replies that never came, and places that were empty:
until all were first taken, from the last call's start on, and between. Negative where calls that stall hold places beyond the
limit. "With the faults' own tries": the ideal in which each fault but a 429 also takes one latency, the least in which one
can know of it.
"""

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
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.common import parse, parser
from components.endpoint.budget import Budget
from components.endpoint.dispatch import Call, Dispatcher, Policy
from components.endpoint.openai import OpenAIEndpoint, Server
from components.endpoint.request import Reply, Request
from components.endpoint.store import Store

KINDS = ("answers", "longer", "no use", "no reply", "start", "end", "between")
TIMEOUT = 30.0  # seconds, of ours before latencies are known and of the plain client always
KILLS = 3


def requests(jobs: int) -> Iterator[Request]:
    for number in range(jobs):
        prompt = f"Write a tutorial.\nTopic: number {number}"
        yield Request(str(number), (("user", prompt),), {"model": "fake", "max_tokens": 600, "seed": number})


def accept(request: Request, reply: Reply) -> str:
    return "" if reply.text.startswith("# ") else "no heading"


def places(
    spans: list[tuple[int, int, str]], start: int, end: int, latency: float, concurrency: int
) -> dict[str, float]:
    """Where the places of a run went, as shares that add up to one.

    Args:
        spans: start, end and outcome of each call; as `start` and `end` of the run in nanoseconds.
    """
    whole = concurrency * (end - start)
    seconds = Counter()
    for began, ended, outcome in spans:
        kind = {"answered": "longer", "timeout": "no reply"}.get(outcome, "no use")
        seconds[kind] += ended - began
        if outcome == "answered":
            seconds["answers"] += int(latency * 1e9)
            seconds["longer"] -= int(latency * 1e9)
    last = max(began for began, _, _ in spans)
    taken, before, filling = 0, start, True
    for moment, change in sorted([(began, 1) for began, _, _ in spans] + [(ended, -1) for _, ended, _ in spans]):
        where = "start" if filling else "end" if moment > last else "between"
        seconds[where] += (concurrency - taken) * (moment - before)
        taken, before = taken + change, moment
        filling = filling and taken < concurrency
    seconds["end"] += (concurrency - taken) * (end - before)
    return {kind: seconds[kind] / whole for kind in KINDS}


def dispatch(url: str, store: Path | str, jobs: int, concurrency: int, latency: float) -> dict:
    """Have all jobs answered; returns what happened."""
    spans: list[tuple[int, int, str]] = []

    def watch(call: Call) -> None:
        spans.append((call.start_ns, call.end_ns, call.outcome))

    with Store(Path(store)) as answers:
        endpoint = OpenAIEndpoint(Server(url, "fake", "OPENAI_API_KEY", "bench"))
        policy = Policy(concurrency, 8, 120.0, TIMEOUT, "bench")
        dispatcher = Dispatcher(endpoint, answers, "bench", Budget.of(answers, "bench", 0, 0), policy, accept, watch)
        started, used = time.time_ns(), time.process_time()
        tally = dispatcher.run(requests(jobs))
        ended, used = time.time_ns(), time.process_time() - used
        lost = sum(1 for _ in answers.missing(requests(jobs)))
        digest = hashlib.sha256(repr([answers.get(request.key) for request in requests(jobs)]).encode()).hexdigest()
        spent = answers.spent("bench")
    counted = {"lost": lost, "answers": spent.calls - spent.unusable, "paid": spent.calls, "data": digest}
    went = places(spans, started, ended, latency, concurrency)
    took = {"seconds": (ended - started) / 1e9, "cpu": used, "calls": len(spans)}
    return counted | took | {"faults": dict(tally.faults), "places": went}


def killed(url: str, store: Path, jobs: int, concurrency: int, latency: float) -> dict:
    """The same in a process that is killed three times and started again."""
    spec = {"url": url, "store": str(store), "jobs": jobs, "concurrency": concurrency, "latency": latency}
    command = [sys.executable, "-m", "bench.endpoint", "--child", json.dumps(spec)]
    started, starts = time.monotonic(), []
    for kill in range(1, KILLS + 2):
        begun, before = time.monotonic(), stats(url).get("calls", 0)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while stats(url).get("calls", 0) == before and process.poll() is None:
            time.sleep(0.02)
        starts.append(time.monotonic() - begun)
        if kill > KILLS:
            break
        while stats(url).get("answered", 0) < jobs * kill // (KILLS + 1) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the last process of the killed run ended with status {process.returncode}; see above")
    return json.loads(said) | {"seconds": time.monotonic() - started, "starts": starts, "places": None}


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
    print(f"          ideal {concurrency / latency:.0f} answers per second")
    cases = (
        ("no faults", jobs, 0.0, dispatch),
        ("faults", jobs, faults, dispatch),
        ("faults", kill_jobs, faults, dispatch),
        (f"{KILLS} kills", kill_jobs, faults, killed),
    )
    data: dict[int, set[str]] = {}
    uncut: dict[int, float] = {}  # seconds of the run with faults and without kills
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, count, share, way) in enumerate(cases):
            ideal = count * latency / concurrency
            with served(latency, share) as url:
                result = way(url, Path(folder) / f"{number}.sqlite", count, concurrency, latency)
                seen = stats(url)
            data.setdefault(count, set()).add(result["data"])
            print(
                f"          ours, {name:9}, {count:6,} jobs: {result['seconds']:6.1f} s, {ideal / result['seconds']:6.1%} "
                f"of ideal, {result['lost']} lost, {result['answers'] - count} doubled in the store, {seen['answered_again']} asked "
                f"again after an answer, {result['paid'] - result['answers']} unusable",
                flush=True,
            )
            tries = sum(seen.get(kind, 0) for kind in ("server_error", "hang", "cut", "wrong_form"))
            own = ideal * (1 + tries / count)
            if result["places"]:
                went = ", ".join(f"{kind} {result['places'][kind]:.1%}" for kind in KINDS)
                print(f"            places: {went}; {1e3 * result['cpu'] / result['calls']:.2f} CPU ms per call")
            print(f"            {own / result['seconds']:.1%} of the ideal with the faults' own tries ({own:.1f} s)")
            if "starts" in result:
                first = ", ".join(f"{seconds:.2f}" for seconds in result["starts"])
                lost = (result["seconds"] - uncut[count]) / (KILLS + 1)
                print(f"            from a start to its first call: {first} s; {lost:.2f} s lost a start, all in all")
            elif share:
                uncut[count] = result["seconds"]
        alike = all(len(digests) == 1 for digests in data.values())
        print(f"          the answers, in the order of the jobs: {'the same bytes' if alike else 'DIFFERENT'}")
        with served(latency, faults) as url:
            seconds = asyncio.run(plain(url, jobs, concurrency))
        print(
            f"          plain client, {jobs:,} jobs: {seconds:.1f} s, {jobs * latency / concurrency / seconds:.1%} of ideal"
        )


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=1_280)
    options.add_argument("--kill-jobs", type=int, default=12_800, help="jobs of the run that is killed")
    options.add_argument("--latency", type=float, default=1.0, help="seconds; short ones measure the processor")
    options.add_argument("--faults", type=float, default=0.05)
    options.add_argument("--concurrency", type=int, default=64)
    given = parse(options, lambda spec: dispatch(**spec))
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    measure(given.jobs, given.kill_jobs, given.latency, given.faults, given.concurrency)


if __name__ == "__main__":
    main()
