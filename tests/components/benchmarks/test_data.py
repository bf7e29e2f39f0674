"""Rows of a benchmark's file: what is not a row, or not a benchmark file at all, is refused in a line."""

import gzip
import json
import os
import time
from pathlib import Path

import pytest

from components.benchmarks import data
from components.benchmarks.data import Place
from components.benchmarks.items import read_items
from components.errors import StepError


def put(folder: Path, content: bytes, name: str = "test.jsonl") -> Place:
    (folder / "set").mkdir(exist_ok=True)
    (folder / "set" / name).write_bytes(content)
    return Place(folder)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"[" * 100_000, "too deep"),
        (b'{"a":' * 100_000, "too deep"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "digits"),
        (b'{"a": 1, "a": 2}', "occurs twice"),
        (b"[" + b"1," * 500_000 + b"1]", "a list; expected a JSON object"),
        (b'{"' + b"k" * 1_000_000, "line 2: cannot be read"),
    ],
    ids=["lists", "objects", "digits", "a key twice", "a list", "a long key"],
)
def test_a_hostile_line_is_named_in_a_line(tmp_path: Path, line: bytes, words: str) -> None:
    place = put(tmp_path, b'{"question": "a"}\n' + line + b"\n")
    with pytest.raises(StepError, match=words) as refused:
        place.file("set/test.jsonl", {})
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("newlines", [True, False])
def test_a_bomb_is_not_unpacked_to_its_end(tmp_path: Path, newlines: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MOST_CHARS", 100_000)
    row = json.dumps({"question": "x" * 1_000}).encode() + b"\n"
    place = put(tmp_path, gzip.compress(row * 200 if newlines else b"x" * 10**7), "test.jsonl.gz")
    with pytest.raises(StepError, match=r"holds more than 100,000 characters|cannot be read as JSON lines"):
        place.file("set/test.jsonl", {})


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    place = put(tmp_path, b"")
    (tmp_path / "set" / "test.jsonl").unlink()
    os.mkfifo(tmp_path / "set" / "test.jsonl")
    assert place.file("set/test.jsonl", {}) is None


def test_a_suite_that_explodes_is_refused_in_a_line(tmp_path: Path) -> None:
    lines = ["a0: &a0 [" + ", ".join(["lol"] * 9) + "]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    suite = tmp_path / "suite.yaml"
    suite.write_text("\n".join([*lines, "tasks: {x: {files: *a8}}"]))
    started = time.process_time()
    with pytest.raises(StepError, match=r"suite\.yaml cannot be read as a suite .*too large") as refused:
        read_items(tmp_path, [str(suite)])
    assert time.process_time() - started < 2
    assert len(str(refused.value)) < 500
