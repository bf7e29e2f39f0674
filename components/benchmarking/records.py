"""The rows of examples.parquet: the prompt and the answer of each example."""

import hashlib
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from components.benchmarking import answers
from components.benchmarking.aggregate import bits_per_byte
from components.benchmarking.figures import Samples, columns
from components.benchmarking.suites import Task
from components.errors import StepError

LONGEST_LABEL = 64  # characters of a cluster's name; a longer one, such as a passage, is hashed
COLUMNS = (  # besides one column per metric
    "task",
    "id",
    "cluster",
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


def multiple_choice(task: Task, built: Any, samples: Samples, unconditional: Any) -> list[dict[str, Any]]:
    """Rows of a task whose choices were scored.

    Args:
        built: lm-eval's task.
        samples: the samples that lm-eval logs.
        unconditional: computes log-probabilities of (context, continuation) pairs; called for `acc_pmi` only.

    Raises:
        StepError: a row's correct answer is not one of its choices, or its choices have no text, unless the definition
            scores answers by a function of its own.
    """
    records = []
    own = callable(built.config.process_results)
    metrics = columns(built, samples)
    for sample in first_samples(samples):
        doc = sample["doc"]
        choices = list(map(str, built.doc_to_choice(doc)))
        # The values of the choices may be followed by those without the question.
        logprobs, greedy = zip(*((float(p), bool(g)) for p, g in sample["filtered_resps"][: len(choices)]), strict=True)
        golds = _golds(built.doc_to_text(doc) if built.multiple_input else sample["target"], choices)
        if not golds and not own:
            raise StepError(
                f"task {task.name!r}, example {_id(task, sample)}: the answer {sample['target']!r} is not one of the {len(choices)} choices; correct the file in the data folder (--data-dir)"
            )
        record = _record(task, sample) | {
            "question": _question(built, doc),
            "choices": choices,
            "log_probabilities": list(logprobs),
            "greedy": list(greedy),
            "predicted": max(range(len(logprobs)), key=logprobs.__getitem__),
            "answer": None,
        }
        if golds:
            gold = max(golds, key=logprobs.__getitem__)  # the most likely correct answer
            rated = sample["arguments"][gold][1].removeprefix(" ")
            if not rated:
                raise StepError(
                    f"task {task.name!r}, example {_id(task, sample)}: the answer has no text; correct the file in the data folder (--data-dir)"
                )
            record |= {"answer": gold, "bits_per_byte": bits_per_byte(logprobs[gold], rated)}
        records.append(record | _renamed(metrics[sample["doc_id"]]))
    if task.headline == "acc_pmi":
        _add_pmi(records, unconditional)
    return records


def _golds(target: Any, choices: Sequence[str]) -> list[int]:
    """Indices of the correct choices, found by index or by text; empty if that is ambiguous."""
    found = []
    for gold in target if isinstance(target, list) else [target]:
        gold = choices.index(gold) if isinstance(gold, str) and gold in choices else gold
        if isinstance(gold, bool) or not isinstance(gold, Integral) or not 0 <= int(gold) < len(choices):
            return []
        found.append(int(gold))
    return found


def rated(task: Task, built: Any, samples: Samples) -> list[dict[str, Any]]:
    """Rows of a task that asks for the log-probability of one continuation, or of a whole text."""
    metrics = columns(built, samples)
    records = []
    for sample in first_samples(samples):
        found = sample["filtered_resps"]
        pairs = [pair if isinstance(pair, tuple | list) else (pair, None) for pair in found]
        record = _record(task, sample) | {
            "question": _question(built, sample["doc"]),
            "target": str(sample["target"]),
            "log_probabilities": [float(logprob) for logprob, _ in pairs],
        }
        if all(greedy is not None for _, greedy in pairs):
            record["greedy"] = [bool(greedy) for _, greedy in pairs]
        records.append(record | _renamed(metrics[sample["doc_id"]]))
    return records


def referenced(task: Task, built: Any, samples: Samples) -> list[dict[str, Any]]:
    """Rows of a task of which only the correct answer is rated."""
    return [
        _record(task, sample) | {"question": _question(built, sample["doc"]), "target": str(sample["target"])}
        for sample in samples
    ]


def _renamed(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics, renamed where another column has the same name."""
    return {f"{name}_score" if name in COLUMNS else name: value for name, value in metrics.items()}


def _add_pmi(records: Sequence[dict[str, Any]], unconditional: Any) -> None:
    """Add `acc_pmi`, which picks the choice whose probability the question raises most over `Answer:` alone (OLMES)."""
    pairs = [("Answer:", f" {choice}") for record in records for choice in record["choices"]]
    found = iter(unconditional(pairs))
    for record in records:
        gains = [p - next(found) for p in record["log_probabilities"]]
        record["acc_pmi"] = float(max(range(len(gains)), key=gains.__getitem__) == record["answer"])


def generated(task: Task, built: Any, samples: Samples, verdicts: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of a task whose answers were generated.

    Args:
        verdicts: the sandbox's verdicts, one per problem, in order; empty if the sandbox was not used.
    """
    metrics = columns(built, samples)
    records = []
    for number, sample in enumerate(first_samples(samples)):
        completions = sample["resps"][0]
        record = _record(task, sample) | {
            "question": _question(built, sample["doc"]),
            "completion": completions[0],
            "target": str(sample["target"]),
            "extracted": None if verdicts else str(sample["filtered_resps"][0]),
        }
        if task.headline == answers.NAME:
            record[answers.NAME] = _share_right(sample, record["question"])
        record |= _renamed(metrics[sample["doc_id"]])
        if verdicts:
            record |= {"verdict": str(verdicts[number].outcome), "error": verdicts[number].error}
        records.append(record)
    return records


def _share_right(sample: Mapping[str, Any], question: str) -> float:
    """The share of an example's completions with a correct answer, 0 to 1."""
    target = sample["target"]
    golds = [str(gold) for gold in (target if isinstance(target, list) else [target])]
    completions = sample["resps"][0]
    return sum(any(answers.is_right(c, gold, question) for gold in golds) for c in completions) / len(completions)


def first_samples(samples: Samples) -> list[Mapping[str, Any]]:
    """One sample per example, in the order of their numbers: lm-eval logs an example once for each of its filters."""
    first = {sample["doc_id"]: sample for sample in reversed(samples)}
    return [first[number] for number in sorted(first)]


def _record(task: Task, sample: Mapping[str, Any]) -> dict[str, Any]:
    found = {"task": task.name, "id": _id(task, sample), "prompt_sha256": sample["prompt_hash"]}
    return found | ({"cluster": label} if (label := _cluster(task, sample["doc"])) else {})


def _cluster(task: Task, doc: Mapping[str, Any]) -> str:
    """The cluster of a question: its passage or the like, or its task; empty if questions are independent.

    Raises:
        StepError: the row lacks the field that names its cluster.
    """
    if not task.cluster:
        return task.name if task.is_cluster else ""
    if doc.get(task.cluster) is None:
        raise StepError(
            f"task {task.name!r}: a row has no field {task.cluster!r}, which `cluster` of the suite names; the rows have "
            f"{', '.join(sorted(doc))}; correct the suite (--suite)"
        )
    label = str(doc[task.cluster])
    return label if len(label) <= LONGEST_LABEL else hashlib.sha256(label.encode()).hexdigest()[:16]


def _id(task: Task, sample: Mapping[str, Any]) -> str:
    """The row's own id if it has one, otherwise its position."""
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
    """The metrics that the records have, in the order of their first occurrence."""
    return list(dict.fromkeys(name for record in records for name in record if name not in COLUMNS))


def with_all_metrics(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of one task, each with all of the task's metrics; None if an example lacks one."""
    metrics = dict.fromkeys(metrics_of(records))
    return [record | {name: record.get(name) for name in metrics} for record in records]


def write(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as Parquet; equal rows give equal bytes. Columns without any value are left out."""
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
    fields += [(name, pa.float64()) for name in metrics_of(records)]
    table = pa.Table.from_pylist([dict(record) for record in records], schema=pa.schema(fields))
    pq.write_table(table, path, compression="zstd")


def unique_ids(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of one task, with positions as ids if two of them have the same id."""
    if len({record["id"] for record in records}) == len(records):
        return list(records)
    return [record | {"id": str(number)} for number, record in enumerate(records)]
