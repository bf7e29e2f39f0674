"""The ledger of tries: an append-only file of JSON lines, and the lab book that is written from it.

Each line has the hash of the line before it, so that a changed or removed line is noticed. The files belong in git:
`studies/tries/ledger.jsonl` and `studies/tries/book.md`.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import atomic_file
from components.running.locks import exclusive

FOLDER = Path("studies/tries")
REGISTERED, SEED, SEALED, VERDICT = "registered", "seed", "sealed", "verdict"
CONFIRMED, NOT_CONFIRMED = "confirmed", "not confirmed"
NOT_COMPARABLE, CLOSED = "not comparable", "closed"


@dataclass
class Try:
    """One try: what was registered, its paired seeds in order, its re-test, and its verdict if there is one."""

    number: int
    registered: dict[str, Any]
    seeds: list[dict[str, Any]] = field(default_factory=list)
    sealed: list[dict[str, Any]] = field(default_factory=list)
    verdict: dict[str, Any] | None = None

    @property
    def question(self) -> dict[str, Any]:
        return self.registered["question"]

    def record(self) -> dict[str, Any]:
        """As JSON, for programs."""
        fields = ("number", "registered", "seeds", "sealed", "verdict")
        return {name: getattr(self, name) for name in fields}


class Ledger:
    """The ledger of a project.

    Args:
        folder: with `ledger.jsonl` and `book.md`.
        lock: file of the lock that one writer holds at a time.
    """

    def __init__(self, folder: Path, lock: Path) -> None:
        self.path, self.book, self.lock = Path(folder) / "ledger.jsonl", Path(folder) / "book.md", lock

    def tries(self) -> list[Try]:
        """All tries, by number.

        Raises:
            StepError: a line was changed or removed.
        """
        return tries_of(self._entries())

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer during the block."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(self.lock):
            yield

    def append(self, number: int, event: str, **facts: Any) -> None:
        """Add a line, and write the lab book again; call it within `writing`."""
        entries = self._entries()
        last = entries[-1]["_hash"] if entries else ""
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        line = json.dumps(
            {"try": number, "event": event, "at": now, **facts, "previous": last}, sort_keys=True, ensure_ascii=False
        )
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        with atomic_file(self.book) as partial:
            partial.write_text(lab_book(self.tries()), encoding="utf-8")

    def _entries(self) -> list[dict[str, Any]]:
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        entries, before = [], ""
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], 1):  # texts may have U+2028
            try:
                entry = json.loads(line)
                known = entry["previous"] == before and {"try", "event", "at"} <= entry.keys()
            except (ValueError, KeyError, TypeError):
                known = False
            if not known:
                raise StepError(
                    f"{self.path}, line {number}: the line or the one before it was changed, removed or broken off; a "
                    "ledger is only appended to; restore it from git"
                )
            before = hashlib.sha256(line.encode()).hexdigest()
            entries.append(entry | {"_hash": before})
        return entries


def tries_of(entries: list[dict[str, Any]]) -> list[Try]:
    found: dict[int, Try] = {}
    for entry in entries:
        facts = {key: value for key, value in entry.items() if key not in ("_hash", "previous", "try", "event")}
        if entry["event"] == REGISTERED:
            found[entry["try"]] = Try(entry["try"], facts)
            continue
        one = found[entry["try"]]
        if entry["event"] == VERDICT:
            one.verdict = facts
        else:
            (one.seeds if entry["event"] == SEED else one.sealed).append(facts)
    return [found[number] for number in sorted(found)]


def lab_book(tries: list[Try]) -> str:
    """The tries as a lab book in Markdown, in their order."""
    confirmed = sum((one.verdict or {}).get("outcome") == CONFIRMED for one in tries)
    head = [
        "# Tries",
        "",
        "Written from `ledger.jsonl` after each event; do not edit. "
        f"Tries: {len(tries)}; confirmed: {confirmed}. docs/experiments.md explains the terms.",
    ]
    return "\n".join([*head, *(line for one in tries for line in ["", *page(one)])]) + "\n"


def page(one: Try) -> list[str]:
    """A try as a page of the lab book."""
    asked, registered = one.question, one.registered
    changes = ", ".join(f"`{key} = {json.dumps(value)}`" for key, value in asked["set"].items())
    lines = [
        f"## {one.number}. {asked['hypothesis']}",
        "",
        f"Registered {registered['at']} by {registered['by']}, before any run: {changes} makes `{asked['metric']}` "
        f"{asked['direction']} by {asked['smallest']:g} or more. At most {asked['most']} seeds; level {registered['level']:.4g}. "
        f"Source {registered['source']['description']}, tree `{registered['source']['tree'][:12]}`.",
    ]
    if base := {**({"profile": asked["profile"]} if asked["profile"] else {}), **asked["base"]}:
        lines += [
            "",
            "Both arms with " + ", ".join(f"`{key} = {json.dumps(value)}`" for key, value in base.items()) + ".",
        ]
    if one.seeds:
        lines += [
            "",
            "| seed | as it is | tried | improvement | mean | evidence | against |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
    for row in one.seeds:
        found = row["judgement"]
        cells = [row["base"], row["ours"], row["improvement"], found["mean"]]
        figures = [*(f"{cell:.4f}" for cell in cells), *(f"{found[key]:.3g}" for key in ("evidence", "against"))]
        lines.append(f"| {row['seed']} | {' | '.join(figures)} |")
    if one.sealed:
        again = ", ".join(f"seed {row['seed']} {row['improvement']:+.4f}" for row in one.sealed)
        lines += ["", f"On the sealed half of the exam, `{one.sealed[0]['metric']}` improves by: {again}."]
    verdict = f"**{one.verdict['outcome'].capitalize()}.** {one.verdict['text']}" if one.verdict else "Not finished."
    return [*lines, "", verdict]
