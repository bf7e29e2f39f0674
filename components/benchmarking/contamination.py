"""Measures how much of a benchmark occurs in the training corpus, and scores the rest.

The rule is GPT-3's (Brown et al. 2020, arXiv 2005.14165, appendix C): words are compared without case and punctuation;
an example is dirty if any of its n-grams of N words occurs in a document of the corpus, where N is the 5th percentile
of the examples' lengths, at least 8 and at most 13; a shorter example is dirty if all of it occurs. An example is its
question and its correct answer, without a prompt's worked examples and passages (`texts_of`). Each example
also has its coverage: the share of its words that lie in such an n-gram, as Llama 2 counts tokens (Touvron et al. 2023,
arXiv 2307.09288, appendix A.6), but without skip-grams.

What is notable:
- only the benchmark's n-grams are in memory, as 64-bit hashes; the corpus is streamed once.
- one pass finds n-grams of all lengths, without a loop over words (components.text.ngrams).
- verdicts do not depend on the order of the documents or on the batches.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.benchmarking.records import first_samples
from components.documents import ROWS_PER_GROUP, count_documents, read_batches
from components.foreign.tokenizer_file import open_tokenizer
from components.results.statistics import all_or_none, mean
from components.running.progress import Progress
from components.text.ngrams import RunSet, all_runs, beginnings, shared_runs, word_hashes, words_in
from components.text.paraphrases import STEM, Paraphrases
from components.tokens import INDEX, MANIFEST, Manifest, Tokens

SHORTEST, LONGEST, PERCENTILE = 8, 13, 5
PASSAGE = 100  # words; a longer context of a question is a passage
EVIDENCE = 3  # examples per task that are shown with their document


@dataclass(frozen=True)
class Example:
    """One example of a benchmark: its task, its id, and its words in the form that is compared."""

    task: str
    id: str
    text: str


@dataclass(frozen=True)
class Overlap:
    """The overlap of one example with the corpus.

    Attributes:
        dirty: whether an n-gram of the example occurs in the corpus; None if it has no word to compare.
        coverage: share of its words that lie in such an n-gram, 0 to 1.
        document: id of the first document, in the order of the corpus, that contains one.
        run: the first such n-gram, in the example's own words.
        reworded: id of the first document that asks the example in other words; None if there is none or none was sought.
    """

    dirty: bool | None
    coverage: float
    document: str | None = None
    run: str | None = None
    reworded: str | None = None


@dataclass(frozen=True)
class Report:
    """The examples' overlaps in the order given, N by task, the corpus, and the examples searched for in other words."""

    overlaps: list[Overlap]
    n: dict[str, int]
    corpus: dict[str, Any]
    rewordable: Sequence[bool]


_ASKS, _ANSWERS = (
    re.compile(r"^\s*(?:question|q|problem|goal)\s*:\s*", re.I),
    re.compile(r"\n[ \t]*(?:answer|a)\s*:[^\n]*\s*$", re.I),
)


def texts_of(built: Any, samples: Sequence[Mapping[str, Any]]) -> list[str]:
    """The text to search for, one per example of a task, in the order of their numbers: question and correct answer.

    The passage that a question is about, and the prompt's words around it, are left out: a passage that occurs in the
    corpus does not reveal the answer, as GPT-3's authors found for reading comprehension.

    Args:
        built: lm-eval's task.
        samples: as lm-eval logs them.
    """
    return [_text(built, sample) for sample in first_samples(samples)]


def _text(built: Any, sample: Mapping[str, Any]) -> str:
    doc, target = sample["doc"], sample["target"]
    if "canonical_solution" in doc:  # the target of a program is its tests
        return f"{doc.get('prompt', '')}{doc['canonical_solution']}"
    if "test_list" in doc and "code" in doc:
        return f"{doc.get('text', '')} {doc['code']}"
    if built.OUTPUT_TYPE == "multiple_choice":
        choices = built.doc_to_choice(doc)
        if built.multiple_input:  # the choices are different beginnings with one ending
            return f"{choices[built.doc_to_text(doc)]} {target}"
        target = _choice(doc, choices, target)
    asked = doc.get("question")
    if not isinstance(asked, str):
        asked = _ANSWERS.sub("", _ASKS.sub("", str(built.doc_to_text(doc))))
    elif isinstance(doc.get("context"), str) and len(doc["context"].split()) <= PASSAGE:
        asked = f"{doc['context']} {asked}"
    return f"{asked} {target}"


def _choice(doc: Mapping[str, Any], choices: Sequence[str], gold: Any) -> Any:
    """The text of the correct choice, even if the model scores its letter."""
    if not isinstance(gold, int) or not 0 <= gold < len(choices):
        return gold
    texts = doc.get("choices")
    texts = texts.get("text") if isinstance(texts, Mapping) else texts
    lettered = all(len(choice.strip()) == 1 for choice in choices)
    return texts[gold] if lettered and isinstance(texts, list) and len(texts) == len(choices) else choices[gold]


def contamination(asked: Mapping[str, Any], corpus: Sequence[Path]) -> dict[str, Any]:
    """The `contamination` entry of scores.json: the overlap of all tasks with the corpus.

    Args:
        asked: by task, an object with `records` and `texts`, one of each per example; adds `in_corpus` to each record.
    """
    examples, metrics, clusters = [], {}, {}
    for task, found in asked.items():
        rows = zip(found.records, found.texts, strict=True)
        examples += [Example(task, record["id"], text) for record, text in rows]
        names = [name for name in found.scores if name in found.records[0]]
        metrics[task] = {name: [record[name] for record in found.records] for name in names}
        clusters[task] = [record.get("cluster") for record in found.records]
    report = find_overlap(examples, corpus)
    records = [record for found in asked.values() for record in found.records]
    for record, overlap in zip(records, report.overlaps, strict=True):
        record["in_corpus"] = overlap.dirty
    return summarise(examples, report, metrics, clusters)


def find_overlap(examples: Sequence[Example], corpus: Sequence[Path]) -> Report:
    """Search the corpus for the examples.

    Args:
        examples: of any number of tasks.
        corpus: folders of documents, or of tokens, whose training documents are decoded.

    Raises:
        StepError: a folder has neither documents nor tokens, or cannot be read.
    """
    index = RunIndex(examples)
    digest, documents, words = hashlib.sha256(), 0, 0
    progress = Progress(sum(_size(folder) for folder in corpus))
    for folder in corpus:
        for ids, texts in _batches(folder):
            digest.update("".join(ids).encode())
            words += index.see(ids, texts)
            documents += len(ids)
            progress.update(documents, words=words)
    found = {"documents": documents, "words": words, "sha256": digest.hexdigest()}
    return Report(index.overlaps(), dict(index.n), found, index.rewordable)


def summarise(
    examples: Sequence[Example],
    report: Report,
    metrics: Mapping[str, Mapping[str, Sequence[float | None]]],
    clusters: Mapping[str, Sequence[str | None]] | None = None,
) -> dict[str, Any]:
    """The `contamination` entry of scores.json.

    Args:
        examples: the examples that were searched for, grouped by task.
        report: the result of the search.
        metrics: by task, each metric's values in the order of the task's examples; None if an example has none.
        clusters: by task, the cluster of each example; None if an example has none.

    Returns:
        `corpus`, and `tasks`: n (words per n-gram), examples, checked, dirty, overlap (dirty / checked), coverage (mean),
        `clean` (each metric over the examples that are not dirty; absent if there are none), `evidence`, and `reworded`: the
        number of examples that are asked in other words but are not dirty, how many were checked, and `evidence`.
    """
    by_task: dict[str, list[int]] = {}
    for number, example in enumerate(examples):
        by_task.setdefault(example.task, []).append(number)
    tasks = {}
    for task, members in by_task.items():
        found = [report.overlaps[number] for number in members]
        checked = [overlap for overlap in found if overlap.dirty is not None]
        dirty = [overlap for overlap in checked if overlap.dirty]
        clean = {}
        for metric, values in metrics.get(task, {}).items():
            labels = (clusters or {}).get(task) or [None] * len(members)
            rows = zip(values, labels, found, strict=True)
            left = [(value, label) for value, label, overlap in rows if value is not None and not overlap.dirty]
            if left:
                own = all_or_none(label for _, label in left)
                clean[metric] = mean([value for value, _ in left], own).record()
        tasks[task] = {
            "n": report.n[task],
            "examples": len(members),
            "checked": len(checked),
            "dirty": len(dirty),
            "overlap": len(dirty) / len(checked) if checked else None,
            "coverage": sum(overlap.coverage for overlap in checked) / len(checked) if checked else None,
            "clean": clean,
            "evidence": [
                {"id": examples[number].id, "document": overlap.document, "words": overlap.run}
                for number, overlap in zip(members, found, strict=True)
                if overlap.dirty
            ][:EVIDENCE],
            "reworded": _reworded(
                [(examples[number].id, report.overlaps[number]) for number in members if report.rewordable[number]]
            ),
        }
    return {"corpus": report.corpus, "tasks": tasks}


def _reworded(rows: Sequence[tuple[str, Overlap]]) -> dict[str, Any]:
    found = [
        {"id": name, "document": overlap.reworded} for name, overlap in rows if overlap.reworded and not overlap.dirty
    ]
    return {"examples": len(found), "checked": len(rows), "evidence": found[:EVIDENCE]}


class RunIndex:
    """The n-grams of a benchmark and which of them a corpus contains, and its questions in other words.

    It takes about 20 bytes of memory per word of the benchmark, whatever the size of the corpus.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        texts = [example.text for example in examples]
        self._examples, self._texts = examples, texts
        hashes, owner = word_hashes(texts)
        self._starts = np.searchsorted(owner, np.arange(len(examples) + 1))  # where each example's words begin
        self._words = np.diff(self._starts)
        self.n = _run_lengths(examples, self._words)
        self._length = np.minimum([self.n[example.task] for example in examples], self._words).astype(np.int64)
        self._tables: dict[int, _Table] = {}
        self._runs: list[np.ndarray] = [np.empty(0, dtype=np.uint64)] * len(examples)  # each example's, in order
        lengths = np.unique(self._length[self._length > 0]).tolist()
        for length in lengths:
            runs, first = all_runs(hashes, owner, length)
            members = np.flatnonzero(self._length == length)
            kept = np.isin(owner[first], members)
            runs, owners = runs[kept], owner[first[kept]]
            borders = np.searchsorted(owners, np.append(members, len(examples)))
            for i, member in enumerate(members.tolist()):
                self._runs[member] = runs[borders[i] : borders[i + 1]]
            self._tables[length] = _Table(np.unique(runs))
        self._paraphrases = Paraphrases.build(texts)
        self.rewordable: list[bool] = self._paraphrases.searched.tolist()
        self._reworded: dict[int, str] = {}  # the first document, by example

    def see(self, ids: Sequence[str], texts: Sequence[str]) -> int:
        """Search documents. Returns their number of words."""
        (hashes, stems), owner = beginnings(texts, [None, STEM])
        for length, first, places in shared_runs(hashes, owner, self._tables):
            self._tables[length].see(places, owner[first], ids)
        found = [(asked.text, asked.question) for asked in self._paraphrases.find(texts, stems, owner)]
        for text, number in sorted(found):
            self._reworded.setdefault(number, ids[text])
        return len(hashes)

    def overlaps(self) -> list[Overlap]:
        """The overlap of each example so far, in order."""
        return [
            replace(self._overlap(number), reworded=self._reworded.get(number)) for number in range(len(self._examples))
        ]

    def _overlap(self, number: int) -> Overlap:
        words, length = int(self._words[number]), int(self._length[number])
        if not words:
            return Overlap(None, 0.0)
        table = self._tables[length]
        places = np.searchsorted(table.runs, self._runs[number])
        seen = np.flatnonzero(table.seen[places])
        if not len(seen):
            return Overlap(False, 0.0)
        covered = np.zeros(words + 1, dtype=np.int64)
        np.add.at(covered, seen, 1)
        np.add.at(covered, seen + length, -1)
        coverage = float((np.cumsum(covered[:-1]) > 0).mean())
        first = int(seen[0])
        document = table.documents[int(places[first])]
        return Overlap(True, coverage, document, " ".join(words_in(self._texts[number])[first : first + length]))


class _Table(RunSet):
    """N-grams of one length: their hashes, whether each was seen, and the first document that contains it."""

    def __init__(self, runs: np.ndarray) -> None:
        super().__init__(runs)
        self.seen = np.zeros(len(runs), dtype=bool)
        self.documents: dict[int, str] = {}

    def see(self, places: np.ndarray, owners: np.ndarray, ids: Sequence[str]) -> None:
        """Record n-grams of a corpus, each with the number of its document."""
        fresh = ~self.seen[places]
        for place, at in zip(*np.unique(places[fresh], return_index=True), strict=True):
            self.documents[int(place)] = ids[int(owners[fresh][at])]
        self.seen[places[fresh]] = True


def _run_lengths(examples: Sequence[Example], words: np.ndarray) -> dict[str, int]:
    """N by task: the 5th percentile of its examples' lengths, at least 8 and at most 13."""
    by_task: dict[str, list[int]] = {}
    for example, count in zip(examples, words.tolist(), strict=True):
        by_task.setdefault(example.task, []).append(count)
    return {
        task: int(np.clip(np.percentile(counts, PERCENTILE, method="lower"), SHORTEST, LONGEST))
        for task, counts in by_task.items()
    }


def _size(folder: Path) -> int:
    """The number of documents in a folder, from its manifest or footers alone."""
    if (Path(folder) / MANIFEST).is_file():
        return int(Manifest.read(folder).splits["train"]["documents"])
    return count_documents(folder)


def _batches(folder: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Ids and texts of a folder's documents, in order, a few thousand at a time."""
    if (Path(folder) / MANIFEST).is_file():
        yield from _decoded(Tokens.open(folder))
        return
    for batch in read_batches(folder, columns=["id", "text"]):
        yield batch["id"].to_pylist(), batch["text"].to_pylist()


def _decoded(tokens: Tokens) -> Iterator[tuple[list[str], list[str]]]:
    """The documents of the training split as text; repeated documents are repeated."""
    tokenizer = open_tokenizer(tokens.tokenizer_dir / "tokenizer.json")
    split = tokens.split("train")
    with pq.ParquetFile(split.directory / INDEX) as index:
        for batch in index.iter_batches(batch_size=ROWS_PER_GROUP, columns=["id", "start", "length"]):
            starts, lengths = batch["start"].to_pylist(), batch["length"].to_pylist()
            rows = [split.read(start, length).tolist() for start, length in zip(starts, lengths, strict=True)]
            yield batch["id"].to_pylist(), tokenizer.decode_batch(rows, skip_special_tokens=True)
