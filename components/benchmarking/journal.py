"""Stores the model's answers by content, so that an interrupted or repeated run reuses them.

An entry belongs to one batch. Its key covers everything that the answer depends on: the weights, every settings file of
the checkpoint, the dtype, the device, the number of threads, the code that computes it, the task's definition and rows
(`identity`), and every token of every row in the batch. So entries cannot be confused, and a stored answer equals a
computed one bit for bit.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CODE = (  # the code that computes answers
    "phi/*.py",
    *(f"benchmarking/{name}.py" for name in ("checkpoint", "scorer", "layout", "shared_cache")),
    "foreign/tokenizer_file.py",
)


class Journal:
    """Answers of one identity, one JSON line each, appended as they come; an incomplete last line is skipped.

    Args:
        folder: folder of the journals; None stores nothing.
        identity: everything that the answers depend on besides the batch; its hash is the file's name.
    """

    def __init__(self, folder: Path | None, identity: Mapping[str, Any]) -> None:
        name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self.path = None if folder is None else Path(folder) / f"{name}.jsonl"
        self.reused = 0
        self._known: dict[str, Any] = {}
        if self.path is not None and self.path.is_file():
            os.utime(self.path)  # marks the file as in use
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    key, answer = json.loads(line)
                except ValueError:
                    continue  # a process was killed while writing
                self._known[key] = answer

    @staticmethod
    def key(*content: Any) -> str:
        return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()

    def get(self, key: str) -> Any | None:
        answer = self._known.get(key)
        self.reused += answer is not None
        return answer

    def put(self, key: str, answer: Any) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = ("\n" if self._torn(self.path) else "") + json.dumps([key, answer], separators=(",", ":")) + "\n"
        # One write of a whole line: two processes that append do not mix theirs.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
        self._known[key] = answer

    @staticmethod
    def _torn(path: Path) -> bool:
        """Whether the file ends within a line."""
        if not path.is_file() or not path.stat().st_size:
            return False
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
