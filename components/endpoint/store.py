"""Answers and usage on disk: one SQLite file in the project's main folder, outside the outputs of stages.

An answer is stored under the hash of its canonical request, so every later run with the same request finds it, in any
workspace. Failures are never stored as answers. Every call that the endpoint answered, usable or not, has one row of
usage under the plan that paid for it. Their sum is the cost of the plan over all its resumes. An answer and its usage
are one transaction, so nothing is counted twice.

Write-ahead logging makes a commit cost some tens of microseconds. A killed process loses nothing that was committed. A
power failure loses at most the commits of the last CHECKPOINT seconds, never the file.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from components.endpoint.judge import fault_of
from components.endpoint.request import Accept, Reply, Request
from components.errors import StepError

FORMAT_VERSION = 1
MANY = 256  # keys per query
SMALL = 256 << 20  # bytes of a file whose keys are read at once
RECENT = 600.0  # seconds for which an endpoint's measured pace stays valid
CHECKPOINT = 5.0  # seconds between flushes to the disk
_REPLY = "text, model, finish_reason, prompt_tokens, completion_tokens"  # the columns of a reply
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, model TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, plan TEXT NOT NULL, key TEXT NOT NULL, outcome TEXT NOT NULL, model TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL, at REAL NOT NULL, seconds REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_of_plan ON calls (plan);
CREATE TABLE IF NOT EXISTS given_up (plan TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (plan, key)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """The cost of the calls of one plan so far, over all its resumes.

    Attributes:
        calls: answered calls, usable or not.
        unknown: calls whose usage the endpoint did not report.
        cost: total of the calls whose price and usage are known, in the currency of the prices; None if no price was
            given.
    """

    calls: int = 0
    unusable: int = 0
    unknown: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Store:
    """Answers by key, and usage by plan. Use as a context manager, from one thread."""

    def __init__(self, path: Path, prices: tuple[float, float] | None = None) -> None:
        """Open or make the file.

        Args:
            prices: price per million prompt tokens and per million answer tokens; None if unknown.

        Raises:
            StepError: the file cannot be opened, is not such a store, or is of another version.
        """
        self.path, self.prices = Path(path), prices
        self._flushed = time.monotonic()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")  # a damaged text is refused later
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, FORMAT_VERSION):
                raise StepError(
                    f"{self.path} has format version {version}; this code reads {FORMAT_VERSION}: move the file away, "
                    "or use the code that wrote it"
                )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA + f"PRAGMA user_version={FORMAT_VERSION};")
        except (sqlite3.Error, OSError) as error:
            raise StepError(
                f"{self.path} cannot be opened as the store of teachers' answers ({error}); check the disk, or move the "
                "file away to ask for everything again"
            ) from error

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def has(self, key: str) -> bool:
        return self._db.execute("SELECT 1 FROM answers WHERE key = ?", (key,)).fetchone() is not None

    def get(self, key: str) -> Reply | None:
        """The answer to a request, if there is one."""
        row = self._db.execute(f"SELECT {_REPLY} FROM answers WHERE key = ?", (key,)).fetchone()
        return Reply(*row) if row else None

    def forget_unusable(self, requests: Iterable[Request], accept: Accept) -> int:
        """Remove stored answers that today's rules refuse, so that they are requested again; their cost stays counted.

        Returns:
            The number of removed answers.
        """
        waiting, removed = iter(requests), 0
        while block := list(islice(waiting, MANY)):
            holes = ", ".join("?" * len(block))
            rows = self._db.execute(
                f"SELECT key, {_REPLY} FROM answers WHERE key IN ({holes})", [request.key for request in block]
            )
            stored = {key: Reply(*row) for key, *row in rows}
            bad = [(r.key,) for r in block if r.key in stored and fault_of(r, stored[r.key], accept) is not None]
            removed += len(bad)
            self._db.executemany("DELETE FROM answers WHERE key = ?", bad)
        return removed

    def give_up(self, plan: str, request: Request) -> None:
        """Record that a request was given up."""
        self._db.execute("INSERT OR IGNORE INTO given_up VALUES (?, ?)", (plan, request.key))

    def given_up(self, plan: str) -> set[str]:
        """Keys of the requests that any run of a plan gave up."""
        return {key for (key,) in self._db.execute("SELECT key FROM given_up WHERE plan = ?", (plan,))}

    def missing(self, requests: Iterable[Request]) -> Iterator[Request]:
        """The requests that have no answer yet, each key once.

        A resumed run skips every answered request before its first call, so all keys of a file up to SMALL are read at
        once; those of a larger file are queried MANY at a time.
        """
        small = self.path.stat().st_size <= SMALL
        seen = {key for (key,) in self._db.execute("SELECT key FROM answers")} if small else set()
        waiting = iter(requests)
        while block := list(islice(waiting, MANY)):
            keys = [request.key for request in block]
            if not small:
                holes = ", ".join("?" * len(keys))
                rows = self._db.execute(f"SELECT key FROM answers WHERE key IN ({holes})", keys)
                seen.update(key for (key,) in rows)
            for request, key in zip(block, keys, strict=True):
                if key not in seen:
                    seen.add(key)
                    yield request

    def keep(self, plan: str, answers: Iterable[tuple[Request, Reply, float]]) -> None:
        """Store answers, each with its seconds and its cost, in one transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for request, r, seconds in answers:
                row = (request.key, r.text, r.model, r.finish_reason, r.prompt_tokens, r.completion_tokens)
                self._db.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)
                self._count(plan, request, r, "answered", seconds)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._flush_when_due()

    def count_unusable(self, plan: str, request: Request, reply: Reply, outcome: str, seconds: float) -> None:
        """Count the usage of an unusable reply, which may have to be paid for; the reply itself is not stored."""
        self._count(plan, request, reply, outcome, seconds)

    def spent(self, plan: str) -> Spent:
        """The cost of a plan so far."""
        row = self._db.execute(
            "SELECT COUNT(*), COALESCE(SUM(outcome != 'answered'), 0),"
            " COALESCE(SUM(prompt_tokens IS NULL OR completion_tokens IS NULL), 0),"
            " COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), 0), SUM(cost)"
            " FROM calls WHERE plan = ?",
            (plan,),
        ).fetchone()
        return Spent(*row)

    def pace(self, plan: str) -> tuple[list[float], float]:
        """Seconds that each of a plan's latest calls (within RECENT seconds) took, and the mean number in flight: by Little's
        law, seconds of calls per second."""
        last = self._db.execute(
            "SELECT at, seconds FROM calls WHERE plan = ? AND at > ? ORDER BY id DESC LIMIT 256",
            (plan, time.time() - RECENT),
        ).fetchall()
        if len(last) < 2:
            return [], 0.0
        took = [seconds for _, seconds in reversed(last)]
        return took, sum(took) / max(last[0][0] - last[-1][0], max(took))

    def unusable(self, plan: str) -> dict[str, int]:
        """The number of unusable replies to a plan's requests, by kind."""
        rows = self._db.execute(
            "SELECT outcome, COUNT(*) FROM calls WHERE plan = ? AND outcome != 'answered' GROUP BY outcome", (plan,)
        )
        return dict(rows)

    def usage(self, plan: str) -> Iterator[tuple[bool, int | None, int | None]]:
        """(gave an answer, prompt tokens, answer tokens) for each paid call of a plan, in order."""
        yield from self._db.execute(
            "SELECT outcome = 'answered', prompt_tokens, completion_tokens FROM calls WHERE plan = ? ORDER BY id",
            (plan,),
        )

    def cost(self, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
        """Cost of a call at the given prices, or None if a price or a count is unknown."""
        if self.prices is None or prompt_tokens is None or completion_tokens is None:
            return None
        return (prompt_tokens * self.prices[0] + completion_tokens * self.prices[1]) / 1e6

    def _count(self, plan: str, request: Request, reply: Reply, outcome: str, seconds: float) -> None:
        cost = self.cost(reply.prompt_tokens, reply.completion_tokens)
        row = (plan, request.key, outcome, reply.model, reply.prompt_tokens, reply.completion_tokens, cost)
        self._db.execute(
            "INSERT INTO calls (plan, key, outcome, model, prompt_tokens, completion_tokens, cost, at, seconds)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, time.time(), seconds),
        )

    def _flush_when_due(self) -> None:
        if time.monotonic() - self._flushed >= CHECKPOINT:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._flushed = time.monotonic()
