"""A stand-in for a model behind OpenAI's API that answers late and fails on purpose, on 127.0.0.1.

    python -m bench.faulty_endpoint [--port 0] [--latency 0.2] [--faults 0.05] [--seed 1] [--mode NAME]

Each call fails with the probability `--faults`, in one of five ways at random: 429 with Retry-After, 500, no reply at
all, a reply cut in the middle, and a whole reply whose content has the wrong form. What it writes is a function of the
prompt alone, so a data set made with it can be compared byte by byte. `GET /stats` counts what happened, by kind, and
how many prompts were answered more than once. Modes: `unauthorized`, `no_usage`, `silent` (empty answers),
`truncated`, `refusing` (400), `throttling` (429 for all beyond 16 at once), `same` (one text for each format).
"""

import argparse
import asyncio
import hashlib
import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("throttled", "server_error", "hang", "cut", "wrong_form")
RETRY_AFTER = 0.5  # seconds
NOUNS = [
    "river",
    "lantern",
    "bridge",
    "orchard",
    "clock",
    "valley",
    "teacher",
    "window",
    "market",
    "harbour",
    "pencil",
    "mountain",
    "garden",
    "letter",
]
VERBS = [
    "measures",
    "compares",
    "carries",
    "explains",
    "counts",
    "divides",
    "follows",
    "repairs",
    "draws",
    "weighs",
    "gathers",
    "remembers",
]
ADJECTIVES = [
    "quiet",
    "heavy",
    "narrow",
    "bright",
    "early",
    "simple",
    "careful",
    "distant",
    "round",
    "gentle",
    "curious",
    "steady",
]
FRAMES = (
    "The {a} {n} {v} what the {m} needs, and so the {o} is easy to find.",
    "When a {n} {v} the {a} {m}, we can see why the {o} was there first.",
    "It is not the {n} that {v} here, but the {a} {m} with its {o}.",
    "One way to see it is that each {n} {v} a {m} as {a} as the {o}.",
    "If the {m} is {a}, then the {n} {v} it before it comes to the {o}.",
)


def write(prompt: str) -> str:
    """A text in the form that a prompt of ours asks for; equal prompts have equal texts."""
    draw = random.Random(int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big"))
    if '"exercises"' in prompt:
        return _exercises(draw)
    if found := re.search(r"^Rewrite the text below .*?<text>\n(.*)\n</text>", prompt, re.S | re.M):
        return _rewrite(draw, prompt, len(found[1]))
    title = f"# The {draw.choice(ADJECTIVES)} {draw.choice(NOUNS)} of {draw.randrange(10**6)}"
    parts = {
        "Write a tutorial": lambda: [_paragraph(draw, 4) for _ in range(5)],
        "Write questions": lambda: [f"Q: {_paragraph(draw, 1)}\nA: {_paragraph(draw, 3)}" for _ in range(4)],
        "Write a chapter": lambda: [_paragraph(draw, 4), _table(draw), _paragraph(draw, 4)],
        "Write worked": lambda: [
            f"Problem: {_paragraph(draw, 2)}\n\nSolution: {_paragraph(draw, 3)}\n\nAnswer: {draw.randrange(99)}"
            for _ in range(3)
        ],
        "Write a dialogue": lambda: [f"{('Mia', 'Leo')[i % 2]}: {_paragraph(draw, 2)}" for i in range(8)],
    }
    form = next((make for begin, make in parts.items() if begin in prompt), parts["Write a tutorial"])
    return "\n\n".join([title, *form()])


def _rewrite(draw: random.Random, prompt: str, chars: int) -> str:
    """A rewrite of a passage of so many characters; one in six has a number that no passage has."""
    more = " It has 987654321 parts." * (draw.random() < 1 / 6)
    sentences = max(2, chars // 1_000)
    parts = {
        "questions and": lambda: [f"Q: {_paragraph(draw, 1)}\nA: {_paragraph(draw, sentences)}" for _ in range(5)],
        "around a table": lambda: [
            _paragraph(draw, 2 * sentences),
            _words_table(draw),
            _paragraph(draw, 2 * sentences),
        ],
        "as a tutorial": lambda: [_paragraph(draw, sentences) for _ in range(5)],
        "as problems": lambda: [
            f"Problem: {_paragraph(draw, 1)}\n\nSolution: {_paragraph(draw, sentences)}\n\nAnswer: {_paragraph(draw, 1)}"
            for _ in range(3)
        ],
    }
    form = next(make for words, make in parts.items() if words in prompt)
    return "\n\n".join([f"# The {draw.choice(ADJECTIVES)} {draw.choice(NOUNS)}", *form()]) + more


def _words_table(draw: random.Random) -> str:
    rows = [f"| {draw.choice(NOUNS)} | {draw.choice(ADJECTIVES)} |" for _ in range(5)]
    return "\n".join(["| thing | kind |", "| --- | --- |", *rows])


def _paragraph(draw: random.Random, sentences: int) -> str:
    def one() -> str:
        n, m, o = draw.sample(NOUNS, 3)
        return draw.choice(FRAMES).format(n=n, m=m, o=o, v=draw.choice(VERBS), a=draw.choice(ADJECTIVES))

    return " ".join(one() for _ in range(sentences))


def _table(draw: random.Random) -> str:
    rows = [f"| {draw.choice(NOUNS)} | {draw.randrange(1000)} |" for _ in range(5)]
    return "\n".join(["| thing | count |", "| --- | --- |", *rows])


def _exercises(draw: random.Random) -> str:
    items = []
    for number in range(8):
        a, b, c = (draw.randrange(2, 10**4) for _ in range(3))
        wrong = number == 7 and draw.random() < 0.5
        question = f"A {draw.choice(NOUNS)} holds {a} boxes of {b} coins, and {c} more. How many coins are there?"
        answer = a * b + c + wrong
        items.append({"question": question, "answer": str(answer), "code": "", "expression": f"{a} * {b} + {c}"})
    return json.dumps({"title": "Counting", "exercises": items})


@dataclass
class Endpoint:
    """The server. `serve` runs it inside a test; the command runs it alone."""

    latency: float = 0.2
    faults: float = 0.05
    seed: int = 1
    mode: str = ""
    counts: Counter = field(default_factory=Counter)
    answered: Counter = field(default_factory=Counter)
    in_flight: int = 0
    most: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def serve(self, port: int = 0) -> asyncio.Server:
        return await asyncio.start_server(self._connection, "127.0.0.1", port)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = next((int(h[15:]) for h in head.split("\r\n") if h.lower().startswith("content-length:")), 0)
                body = await reader.readexactly(length)
                if not await self._handle(head, body, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _handle(self, head: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False closes the connection."""
        path = head.split(" ", 2)[1]
        if self.mode == "unauthorized":
            return await _send(writer, 401, {"error": {"message": "Incorrect API key provided"}})
        if path.endswith("/models"):
            return await _send(writer, 200, {"object": "list", "data": [{"id": "fake"}]})
        if path.endswith("/stats"):
            more = sum(count - 1 for count in self.answered.values())
            stats = {"answered_again": more, "prompts": len(self.answered), "most_at_once": self.most}
            return await _send(writer, 200, dict(self.counts) | stats)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            return await self._complete(json.loads(body), writer)
        finally:
            self.in_flight -= 1

    async def _complete(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        self.counts["calls"] += 1
        fault = self._random.choice(FAULTS) if self._random.random() < self.faults else ""
        if self.mode == "throttling" and self.in_flight > 16:
            fault = "throttled"
        if fault:
            self.counts[fault] += 1
        if fault == "throttled":
            error = {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}
            return await _send(writer, 429, error, f"Retry-After: {RETRY_AFTER}\r\n")
        if fault == "hang":
            await asyncio.sleep(3600)
        await asyncio.sleep(self.latency)
        if fault == "server_error":
            return await _send(writer, 500, {"error": {"message": "internal error"}})
        if self.mode == "refusing":
            return await _send(writer, 400, {"error": {"message": "unknown field 'seed'"}})
        prompt = asked["messages"][-1]["content"]
        told = prompt.partition("\n")[0] + '"exercises"' * ('"exercises"' in prompt) if self.mode == "same" else prompt
        content = "{}" if fault == "wrong_form" else "" if self.mode == "silent" else write(told)
        reply = _completion(asked["model"], content, self.mode)
        if fault == "cut":
            return await _send(writer, 200, reply, cut=True)
        if not fault:
            self.counts["answered"] += 1
            self.answered[hashlib.sha256(prompt.encode()).hexdigest()] += 1
        return await _send(writer, 200, reply)


def _completion(model: str, content: str, mode: str) -> dict[str, Any]:
    reason = "length" if mode == "truncated" else "stop"
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": reason}
    usage = {"prompt_tokens": 100, "completion_tokens": len(content) // 4}
    return {"id": "x", "model": f"{model}-2026", "choices": [choice]} | ({} if mode == "no_usage" else {"usage": usage})


async def _send(
    writer: asyncio.StreamWriter, status: int, value: dict[str, Any], headers: str = "", cut: bool = False
) -> bool:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    writer.write(head.encode() + (body[: len(body) // 2] if cut else body))
    await writer.drain()
    return not cut


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", default="")
    given = parser.parse_args()
    endpoint = Endpoint(given.latency, given.faults, given.seed, given.mode)
    server = await endpoint.serve(given.port)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
