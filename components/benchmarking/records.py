"""Prompts and answers, example by example: the rows of examples.parquet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.benchmarking import answers
from components.benchmarking.aggregate import bits_per_byte
from components.benchmarking.suites import Task
from components.errors import StepError

COLUMNS = (  # beside these, one column per metric
    "task",
    "id",
    "prompt_sha256",
    "question",
    "choices",
    "answer",
    "log_probabilities",
    "greedy",
    "predicted",
    "completion",
    "target",
    "extracted",
    "verdict",
    "error",
    "perplexity",
    "in_corpus",
)


def multiple_choice(
    task: Task, built: Any, samples: Sequence[Mapping[str, Any]], unconditional: Any
) -> list[dict[str, Any]]:
    """Rows of a task whose choices were scored.

    Args:
        built: lm-eval's task.
        samples: as lm-eval logs them.
        unconditional: log-probabilities of (context, continuation) pairs; asked for `acc_pmi` only.

    Raises:
        StepError: a row's correct answer is not one of its choices, or its choices have no text.
    """
    records = []
    for sample in sorted(samples, key=lambda s: s["doc_id"]):
        doc = sample["doc"]
        logprobs, greedy = zip(*((float(p), bool(g)) for p, g in sample["filtered_resps"]), strict=True)
        choices = list(built.doc_to_choice(doc))
        gold = built.doc_to_text(doc) if built.multiple_input else sample["target"]
        gold = choices.index(gold) if isinstance(gold, str) and gold in choices else gold
        if not isinstance(gold, int) or not 0 <= gold < len(choices):
            raise StepError(
                f"task {task.name!r}, example {_id(task, sample)}: the answer {gold!r} is none of {len(choices)} choices; correct the file in the data folder (--data-dir)"
            )
        rated = sample["arguments"][gold][1].removeprefix(" ")
        if not rated:
            raise StepError(
                f"task {task.name!r}, example {_id(task, sample)}: the answer has no text; correct the file in the data folder (--data-dir)"
            )
        record = _record(task, sample) | {
            "question": _question(built, doc),
            "choices": choices,
            "answer": gold,
            "log_probabilities": list(logprobs),
            "greedy": list(greedy),
            "predicted": max(range(len(logprobs)), key=logprobs.__getitem__),
            "bits_per_byte": bits_per_byte(logprobs[gold], rated),
        }
        records.append(record | {metric: float(sample[metric]) for metric in sample["metrics"]})
    if task.headline == "acc_pmi":
        _add_pmi(records, unconditional)
    return records


def _add_pmi(records: Sequence[dict[str, Any]], unconditional: Any) -> None:
    """Right by the choice whose probability the question raises most, against `Answer:` alone (OLMES)."""
    pairs = [("Answer:", f" {choice}") for record in records for choice in record["choices"]]
    found = iter(unconditional(pairs))
    for record in records:
        gains = [p - next(found) for p in record["log_probabilities"]]
        record["acc_pmi"] = float(max(range(len(gains)), key=gains.__getitem__) == record["answer"])


def generated(
    task: Task, built: Any, samples: Sequence[Mapping[str, Any]], verdicts: Sequence[Any]
) -> list[dict[str, Any]]:
    """Rows of a task whose answers were generated; a metric under a second filter has the filter's name behind its own.

    Args:
        verdicts: of the sandbox, one a problem in order; empty where none was asked.
    """
    by_doc: dict[int, list[Mapping[str, Any]]] = {}
    for sample in samples:
        by_doc.setdefault(sample["doc_id"], []).append(sample)
    records = []
    for number, doc_id in enumerate(sorted(by_doc)):
        first, *others = by_doc[doc_id]
        record = _record(task, first) | {
            "question": _question(built, first["doc"]),
            "completion": first["resps"][0][0],
            "target": str(first["target"]),
            "extracted": None if verdicts else str(first["filtered_resps"][0]),
        }
        if task.headline == answers.NAME:
            record[answers.NAME] = _share_right(first, record["question"])
        record |= {metric: float(first[metric]) for metric in first["metrics"]}
        for other in others:
            record |= {f"{m}_{other['filter'].replace('-', '_')}": float(other[m]) for m in other["metrics"]}
        if verdicts:
            record |= {"verdict": str(verdicts[number].outcome), "error": verdicts[number].error}
        records.append(record)
    return records


def _share_right(sample: Mapping[str, Any], question: str) -> float:
    """The share of an example's completions whose answer is right, or one of the right ones."""
    target = sample["target"]
    golds = [str(gold) for gold in (target if isinstance(target, list) else [target])]
    completions = sample["resps"][0]
    return sum(any(answers.is_right(c, gold, question) for gold in golds) for c in completions) / len(completions)


def first_samples(samples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One sample per example, in the order of their numbers: lm-eval logs an example once for each of its filters."""
    first = {sample["doc_id"]: sample for sample in reversed(samples)}
    return [first[number] for number in sorted(first)]


def _record(task: Task, sample: Mapping[str, Any]) -> dict[str, Any]:
    return {"task": task.name, "id": _id(task, sample), "prompt_sha256": sample["prompt_hash"]}


def _id(task: Task, sample: Mapping[str, Any]) -> str:
    """The row's own id where it has one, else its place."""
    doc = sample["doc"]
    for name in ("id", "task_id", "ind"):
        if isinstance(doc.get(name), str | int):
            return str(doc[name])
    return str(sample["doc_id"])


def _question(built: Any, doc: Mapping[str, Any]) -> str:
    """The question, without worked examples."""
    if "question" in doc and isinstance(doc["question"], str):
        return doc["question"]
    text = built.doc_to_text(doc)
    return built.doc_to_choice(doc)[0] + " ..." if isinstance(text, int) else str(text)


def metrics_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The metrics that the records have, in the order of the first."""
    return [name for name in records[0] if name not in COLUMNS]


def write(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as Parquet: equal rows give equal bytes. A column that no row fills is left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = {
        "choices": pa.list_(pa.string()),
        "log_probabilities": pa.list_(pa.float64()),
        "greedy": pa.list_(pa.bool_()),
    }
    plain = {"answer": pa.int32(), "predicted": pa.int32(), "perplexity": pa.float64(), "in_corpus": pa.bool_()}
    present = {name for record in records for name, value in record.items() if value is not None}
    fields = [(name, lists.get(name) or plain.get(name) or pa.string()) for name in COLUMNS if name in present]
    metrics = dict.fromkeys(name for record in records for name in metrics_of([record]))
    fields += [(name, pa.float64()) for name in metrics]
    table = pa.Table.from_pylist([dict(record) for record in records], schema=pa.schema(fields))
    pq.write_table(table, path, compression="zstd")


def unique_ids(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of one task, with places for ids where two have the same."""
    if len({record["id"] for record in records}) == len(records):
        return list(records)
    return [record | {"id": str(number)} for number, record in enumerate(records)]
