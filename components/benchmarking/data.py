"""Prepares a data set's rows for a suite: samples, cleans and hashes them."""

import hashlib
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.benchmarks.data import Place, Rows


def sample(rows: Sequence[dict[str, Any]], above: int, count: int, seed: int) -> Rows:
    """The rows, or `count` of them if there are more than `above`, drawn without replacement by Python's generator, as in OLMES."""
    return random.Random(seed).sample(list(rows), min(count, len(rows))) if len(rows) > above else list(rows)


def take_evenly(rows: Sequence[dict[str, Any]], field: str, count: int) -> Rows:
    """At most `count` rows (0 = all) per value of a field, evenly spaced over the file, because its order is meaningful."""
    if not count:
        return list(rows)
    of_value: dict[Any, list[int]] = {}
    for index, row in enumerate(rows):
        of_value.setdefault(row.get(field), []).append(index)
    kept = {own[i * len(own) // min(count, len(own))] for own in of_value.values() for i in range(min(count, len(own)))}
    return [rows[index] for index in sorted(kept)]


def hash_rows(splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Hex SHA-256 of the rows, independent of the file or server that they came from."""
    digest = hashlib.sha256()
    for split, rows in sorted(splits.items()):
        digest.update(f"{split}\n".encode())
        for row in rows:
            digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False, default=str).encode() + b"\n")
    return digest.hexdigest()


def boolq(row: dict[str, Any]) -> dict[str, Any]:
    """BoolQ's own files have a truth value `answer`; SuperGLUE's a `label`, 0 or 1."""
    return row if "label" in row else {**row, "label": int(row["answer"])}


def hellaswag(row: dict[str, Any]) -> dict[str, Any]:
    """HellaSwag's raw rows cleaned as in OLMES: WikiHow's markers are removed, a title ends with one full stop."""
    if "query" in row:
        return row
    import re

    def clean(text: str) -> str:
        text = re.sub(r"\.? \[title\]", ". ", text.strip())
        # Only up to the closing bracket: searching the end of each of many open ones would take quadratic time.
        parts = (line.rpartition("]") for line in text.split("\n"))
        lines = (re.sub(r"\[.*?\]", "", head + closed) + tail for head, closed, tail in parts)
        return "\n".join(lines).replace("  ", " ")

    return {
        "ind": row["ind"],
        "query": clean(f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"),
        "choices": [clean(ending) for ending in row["endings"]],
        "gold": int(row["label"]),
    }


def answerable(row: dict[str, Any]) -> dict[str, Any] | None:
    """SQuAD 2.0's questions that have an answer."""
    return row if row["answers"]["text"] else None


PREPARATIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {  # None leaves the row out
    "boolq": boolq,
    "hellaswag": hellaswag,
    "answerable": answerable,
}


def offline(place: Place) -> None:
    """Keep libraries from calling a hub, unless the user allows it. Called before `datasets` is imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # the step prints its own progress
    os.environ.setdefault("HF_EVALUATE_OFFLINE", "1")  # the hub's metrics are programs, not allowed here
    if not place.hub:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
            os.environ.setdefault(name, "1")
