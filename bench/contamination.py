"""Looking for a benchmark in a training corpus: ours beside lm-eval's n-grams, on the same text, in the same run.

    python -m bench.contamination [--megabytes 8] [--repeats 3] [--data-dir DIR] [--documents DIR]

The peer is what lm-eval's `decontamination` does in Python: a text without punctuation and in lower case
(`Janitor.normalize_string`), its runs of 13 words (`word_ngrams`), each looked up in the set of the benchmark's. Its C++ module
is not part of its wheel. Ours looks for the runs of every length that the benchmark's tasks ask for, and counts coverage and
documents as well.

The text is the running interpreter's library; every hundredth document has an example of the benchmark planted in it. With
--data-dir the benchmark is GSM8K, else 1,300 random questions. A rate is megabytes a CPU second of this process; the two take
turns, and the median counts. Both must find what was planted.

With --data-dir there is a second part, curation's decontamination: every benchmark of the suites phi2 and olmes whose data is there is
looked for, in the documents of --documents or else the same text, by words alone and by all rules, which parse all code, beside the
peer's runs of 13 words of the same items. All must find what was planted.
"""

import contextlib
import io
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.common import BenchError, Report, Row, in_turn, machine, parser, rate_rows
from bench.texts import chunks, rows
from components.benchmarking.contamination import Example, RunIndex
from components.curation.decontamination import BenchmarkIndex
from components.documents import read_batches
from components.params.decontamination import DecontaminationParams

WORDS = 13
CHUNK = 3_000  # characters per document
BATCH = 2_048  # documents at once, as they are read


def examples(data_dir: Path | None) -> list[Example]:
    """GSM8K's test, or random questions as long."""
    if data_dir:
        items = enumerate(rows(data_dir / "gsm8k" / "test.jsonl.gz"))
        return [Example("gsm8k", str(i), f"{row['question']} {row['answer']}") for i, row in items]
    draw = random.Random(1)
    words = [f"word{i}" for i in range(5_000)]
    return [Example("random", str(i), " ".join(draw.choices(words, k=80))) for i in range(1_300)]


def corpus(megabytes: float, planted: list[Example]) -> tuple[list[str], set[str]]:
    """Documents, and the ids of the examples that stand in them."""
    texts: list[str] = []
    found: set[str] = set()
    size = 0
    for text in chunks(CHUNK):
        texts.append(text)
        size += len(text)
        if planted and len(texts) % 100 == 0:
            example = planted[len(texts) // 100 % len(planted)]
            texts[-1] += f"\n{example.text}\n"
            found.add(example.id)
        if size >= megabytes * 1e6:
            break
    return texts, found


def ours(questions: list[Example], texts: list[str]) -> Callable[[], set[str]]:
    """Finds the ids of the dirty examples."""

    def way() -> set[str]:
        index = RunIndex(questions)
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            index.see([str(start + i) for i in range(len(part))], part)
        return {q.id for q, overlap in zip(questions, index.overlaps(), strict=True) if overlap.dirty}

    return way


def lm_eval(questions: list[Example], texts: list[str]) -> Callable[[], set[str]]:
    """The same by lm-eval's own functions."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from lm_eval.decontamination.janitor import Janitor, word_ngrams

    janitor = Janitor()
    owners: dict[str, set[str]] = {}
    for question in questions:
        for run in word_ngrams(janitor.normalize_string(question.text), WORDS):
            owners.setdefault(run, set()).add(question.id)

    def way() -> set[str]:
        runs = (run for text in texts for run in word_ngrams(janitor.normalize_string(text), WORDS))
        return {owner for run in runs if run in owners for owner in owners[run]}

    return way


def compare(
    report: Report, caption: str, ways: dict[str, Callable[[], set[str]]], texts: list[str], planted: set[str],
    least: float, repeats: int,
) -> Row:  # fmt: skip
    """Measure ways that look for the same, and check that each finds at least a share of what was planted."""
    size = sum(map(len, texts)) / 1e6
    seconds, dirty = in_turn(ways, repeats)
    for name, found in dirty.items():
        if len(planted & found) < least * len(planted):
            raise BenchError(f"{name} misses {len(planted - found)} of the {len(planted)} planted items")
    rates = rate_rows(seconds, size)
    caption += f"; {size:.1f} MB, {len(planted)} planted"
    report.table(caption, ["", "MB per CPU second", "ours is x"], [[name, *rate] for name, rate in rates.items()])
    return rates


def curation(data_dir: Path, documents: Path | None, megabytes: float, repeats: int, report: Report) -> Row:
    """The rates of curation's decontamination."""
    began = time.process_time()
    index = BenchmarkIndex.build(data_dir, DecontaminationParams())
    built = time.process_time() - began
    items = [item for item, words in zip(index.items, index.words.tolist(), strict=True) if words >= WORDS]
    questions = [Example(item.benchmark, f"{item.benchmark} {item.id}", item.text) for item in items]
    planted: set[str] = set()
    if documents:
        read = [row for batch in read_batches(documents, columns=["text", "kind"]) for row in batch.to_pylist()]
        texts, kinds = [row["text"] for row in read], [row["kind"] for row in read]
        chosen = questions[:: len(questions) // 50]
        planted = {question.id for question in chosen}
        texts += [question.text for question in chosen]
    else:
        texts, kinds = corpus(megabytes, [])[0], []
    clean = len(texts) - len(planted)
    kinds += ["code"] * (len(texts) - len(kinds))
    hit_documents: list[int] = []

    def found(kinds: list[str]) -> set[str]:
        starts = range(0, len(texts), BATCH)
        hits = [hit for at in starts for hit in index.find(texts[at : at + BATCH], kinds[at : at + BATCH])]
        hit_documents.append(sum(map(bool, hits[:clean])))
        return {f"{hit.benchmark} {hit.item}" for row in hits for hit in row}

    ways = {
        "ours, words": lambda: found(["web"] * len(texts)),
        "ours, all rules": lambda: found(kinds),
        "lm-eval, 13 words": lm_eval(questions, texts),
    }
    caption = f"Curation: {len(index.items):,} items of {len({i.benchmark for i in index.items})} benchmarks"
    # Of items that share a run ours names the first.
    rates = compare(report, caption, ways, texts, planted, 0.8, repeats)
    report.note(f"Indexed in {built:.1f} CPU s; of {clean:,} documents {hit_documents[-1]} have a hit by all rules.")
    return rates


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--megabytes", type=float, default=8.0)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--data-dir", type=Path)
    options.add_argument("--documents", type=Path, help="documents in which curation looks, instead of the same text")
    given = options.parse_args()
    report = Report("Contamination", machine(1))
    questions = examples(given.data_dir)
    texts, planted = corpus(given.megabytes, questions)
    ways = {"ours": ours(questions, texts), "lm-eval": lm_eval(questions, texts)}
    caption = f"The exam's search: {len(questions):,} examples"
    report.measurements = {"exam": compare(report, caption, ways, texts, planted, 1.0, given.repeats)}
    if given.data_dir:
        found = curation(given.data_dir, given.documents, given.megabytes, given.repeats, report)
        report.measurements["curation"] = found
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
