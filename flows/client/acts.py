"""Who did what and when: an act per line of `.phiforge/acts.jsonl`, which only its owner can read."""

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.settings import state_folder

FILE = "acts.jsonl"
TAIL = 1 << 20  # bytes at the end of the file that are read


@dataclass(frozen=True)
class Act:
    """One act: `launch`, `cancel`, `promote`, `delete` ...; by whom; of which run or version; and in words."""

    at: str  # UTC, ISO 8601
    by: str
    what: str
    of: str
    text: str = ""

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.at)


def record(root: Path, by: str, what: str, of: str, text: str = "", name: str = FILE) -> None:
    """Add an act of this moment."""
    act = Act(datetime.now(UTC).isoformat(timespec="seconds"), by, what, of, text)
    line = json.dumps(asdict(act), ensure_ascii=False) + "\n"
    handle = os.open(state_folder(root) / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with open(handle, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(line)


def latest(root: Path, name: str = FILE) -> Iterator[Act]:
    """The acts, newest first; lines that are not acts are left out."""
    path = state_folder(root) / name
    if not path.is_file():
        return
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        lines = file.read().decode("utf-8", errors="replace").split("\n")  # texts may have U+2028
    for line in reversed(lines):
        try:
            act = Act(**json.loads(line))
            act.time  # noqa: B018 - a line with another time is not an act
        except (ValueError, TypeError):
            continue
        yield act
