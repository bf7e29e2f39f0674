"""Synthesis measured: how fast exercises are made and verified, and how well calls to a faulty endpoint go.

    python -m bench.synthesis [--jobs 6400] [--latency 0.2] [--faults 0.05] [--concurrency 64] [--only NAME]
    python -m bench.synthesis --exam data/exam --benchmark reports/benchmark_small.json

Exercises: each task draws, verifies and places drafts as the step does (`Collector`), the processes that run programs
included; drafts a CPU second, averaged over all tasks, none left out. Beside it the step as a whole.

Endpoint: `bench.faulty_endpoint` answers in --latency seconds and fails in --faults of the calls: 429 with Retry-After,
500, no reply, a torn reply, a reply of the wrong form. Ideal is concurrency / latency answers a second. In turn: our
dispatcher without faults (what this machine gives, with both ends on it), ours with faults, ours with faults and three
SIGKILLs, which must come to the same data, and for comparison a plain client: a semaphore, one timeout, every failure tried again at once, nothing kept.
"""

import argparse
import asyncio
import hashlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from components.endpoint.budget import Budget
from components.endpoint.dispatch import Dispatcher, Policy
from components.endpoint.openai import OpenAIEndpoint, Server
from components.endpoint.request import Reply, Request
from components.endpoint.store import Store
from components.params import SynthesisParams
from components.synthesis.curriculum import load_lexicon
from components.synthesis.generators import all_tasks
from components.synthesis.questions import Collector

TIMEOUT = 30.0  # seconds, of ours before latencies are known and of the plain client always
KILLS = 3
WIDE = 0.15  # a margin over the baselines that counts


def cpu() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def exercises(count: int) -> None:
    """Drafts a CPU second, task by task and over all."""
    lexicon, rates, drafts = load_lexicon(), {}, 0
    begun = cpu()
    for name, task in all_tasks().items():
        start = cpu()
        pool = Collector({name: task}, lexicon, 1, 10, 0.1).collect(count)
        kept = len(pool.training[name]) + len(pool.exam[name])
        rates[name] = kept / (cpu() - start)
        drafts += kept
    seconds = cpu() - begun
    slow = sorted(rates, key=rates.__getitem__)[:5]
    print(f"exercises: {len(rates)} tasks, mean {sum(rates.values()) / len(rates):,.0f} verified a CPU second a task")
    print(f"           {drafts:,} in {seconds:.1f} CPU s over all: {drafts / seconds:,.0f} a CPU second")
    print("           slowest: " + ", ".join(f"{name} {rates[name]:,.0f}" for name in slow))


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
        data = hashlib.sha256(repr([answers.get(request.key) for request in requests(jobs)]).encode()).hexdigest()
        spent = answers.spent("bench")
    counted = {"lost": lost, "answers": spent.calls - spent.unusable, "paid": spent.calls, "data": data}
    return counted | {"seconds": seconds, "cpu": used, "faults": dict(tally.faults)}


async def plain(url: str, jobs: int, concurrency: int) -> float:
    """The usual few lines: seconds until all jobs have an answer."""
    slots = asyncio.Semaphore(concurrency)
    async with httpx.AsyncClient(timeout=TIMEOUT, limits=httpx.Limits(max_connections=concurrency)) as client:

        async def one(request: Request) -> None:
            body = {"model": "fake", "messages": [{"role": "user", "content": request.messages[0][1]}]}
            async with slots:
                while True:
                    try:
                        got = await client.post(f"{url}/chat/completions", json=body)
                        if got.status_code == 200 and got.json()["choices"][0]["message"]["content"].startswith("# "):
                            return
                    except (httpx.TransportError, ValueError):
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
    return httpx.get(f"{url}/stats", trust_env=False).json()


def killed(url: str, store: Path, jobs: int, concurrency: int) -> dict:
    """The same in a process that is killed three times and started again."""
    command = [sys.executable, "-m", "bench.synthesis", "--worker", url, str(store), str(jobs), str(concurrency)]
    started = time.monotonic()
    for kill in range(1, KILLS + 1):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while stats(url).get("answered", 0) < jobs * kill // (KILLS + 1):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout) | {"seconds": time.monotonic() - started}


def endpoint(jobs: int, latency: float, faults: float, concurrency: int) -> None:
    """Ours without faults, with faults, with kills; the plain client."""
    ideal = jobs * latency / concurrency
    print(f"endpoint: {jobs:,} jobs, {latency * 1e3:g} ms, {faults:.0%} faults, concurrency {concurrency}")
    print(f"          ideal {ideal:.1f} s, {jobs / ideal:.0f} answers a second")
    cases = (("no faults", 0.0, dispatch), ("faults", faults, dispatch), (f"{KILLS} kills", faults, killed))
    data = set()
    with tempfile.TemporaryDirectory() as folder:
        for name, share, way in cases:
            with served(latency, share) as url:
                result = way(url, Path(folder) / f"{name}.sqlite", jobs, concurrency)
                twice = stats(url)["answered_again"]
            data.add(result["data"])
            print(
                f"          ours, {name:9}: {result['seconds']:6.1f} s, {ideal / result['seconds']:6.1%} of ideal, "
                f"{result['lost']} lost, {result['answers'] - jobs} doubled in the store, {twice} asked again after an "
                f"answer, {result['paid'] - result['answers']} unusable, {result['cpu']:.1f} CPU s"
            )
        print(f"          the answers, in the order of the jobs: {'the same bytes' if len(data) == 1 else 'DIFFERENT'}")
        with served(latency, faults) as url:
            seconds = asyncio.run(plain(url, jobs, concurrency))
        print(f"          plain client   : {seconds:6.1f} s, {ideal / seconds:6.1%} of ideal")


def step() -> None:
    """The step as it runs by default, if there is a curated corpus."""
    seeds = Path("data/curated")
    if not seeds.is_dir():
        print("step: no data/curated here; run the pipeline first")
        return
    from components.synthesis.synthesize import synthesize

    with tempfile.TemporaryDirectory() as folder:
        root, started = Path(folder), cpu()
        names = ("textbooks", "exam", "ledger.parquet")
        summary = synthesize(seeds, *(root / name for name in names), SynthesisParams(), 1, page=root / "page.html")
        seconds = cpu() - started
    diversity = summary["diversity"]
    print(
        f"step: {sum(summary['documents'].values()):,} documents, {summary['questions']['exercises']:,} exercises in "
        f"{seconds:.1f} CPU s; compression {diversity['gzip_ratio']}, near-duplicates "
        f"{diversity['near_duplicates']['share']:.2%}, {diversity['templates']['distinct']} templates"
    )


def baselines(exam: Path, benchmark: Path) -> None:
    """A model's accuracy in each family of the exam beside the two baselines that need no look at the question.

    `p` is the chance that whoever knows the better baseline alone does as well (exact binomial, one-sided). A family
    counts where the margin over the better baseline is 15 points or more and p is under 0.05 over the number of families
    (Bonferroni).
    """
    about = json.loads((exam / "exam.json").read_text())["tasks"]
    scores = json.loads(benchmark.read_text())["exam"]["tasks"]
    rows = []
    for name, task in about.items():
        n, better = task["examples"], max(task["majority"], task["chance"])
        right = round(scores[name] * n)
        p = sum(math.comb(n, k) * better**k * (1 - better) ** (n - k) for k in range(right, n + 1))
        rows.append((scores[name] - better, name, task, scores[name], p))
    print("| family | category | n | majority | chance | accuracy | margin, points | p |")
    print("|---|---|---|---|---|---|---|---|")
    for margin, name, task, accuracy, p in sorted(rows, reverse=True):
        figures = f"{task['majority']:.3f} | {task['chance']:.3f} | {accuracy:.3f} | {100 * margin:+.1f} | {p:.1g}"
        print(f"| {name} | {task['category']} | {task['examples']} | {figures} |")
    wide = sum(margin >= WIDE and p < 0.05 / len(rows) for margin, *_, p in rows)
    print(
        f"\n{wide} of {len(rows)} families are {100 * WIDE:.0f} points or more, and significantly, over both baselines"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=6_400)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--exercises", type=int, default=400, help="a task")
    parser.add_argument("--only", choices=("exercises", "endpoint", "step"))
    parser.add_argument("--exam", type=Path, help="folder of the exam: prints a model's scores beside the baselines")
    parser.add_argument("--benchmark", type=Path, default=Path("reports/benchmark_small.json"), help="with --exam")
    parser.add_argument("--worker", nargs=4, metavar=("URL", "STORE", "JOBS", "CONCURRENCY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        url, store, jobs, concurrency = given.worker
        print(json.dumps(dispatch(url, Path(store), int(jobs), int(concurrency))))
        return
    if given.exam:
        baselines(given.exam, given.benchmark)
        return
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if given.only in (None, "exercises"):
        exercises(given.exercises)
    if given.only in (None, "step"):
        step()
    if given.only in (None, "endpoint"):
        endpoint(given.jobs, given.latency, given.faults, given.concurrency)


if __name__ == "__main__":
    main()
