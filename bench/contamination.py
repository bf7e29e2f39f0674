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

import argparse
import gzip
import json
import random
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from bench.common import plain_table
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
        with gzip.open(data_dir / "gsm8k" / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        return [Example("gsm8k", str(i), f"{row['question']} {row['answer']}") for i, row in enumerate(rows)]
    draw = random.Random(1)
    words = [f"word{i}" for i in range(5_000)]
    return [Example("random", str(i), " ".join(draw.choices(words, k=80))) for i in range(1_300)]


def corpus(megabytes: float, planted: list[Example]) -> tuple[list[str], set[str]]:
    """Documents, and the ids of the examples that stand in them."""
    texts: list[str] = []
    found: set[str] = set()
    size = 0
    while size < megabytes * 1e6:
        for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
            text = path.read_text(encoding="utf-8", errors="replace")
            for start in range(0, len(text), CHUNK):
                texts.append(text[start : start + CHUNK])
                size += len(texts[-1])
                if planted and len(texts) % 100 == 0:
                    example = planted[len(texts) // 100 % len(planted)]
                    texts[-1] += f"\n{example.text}\n"
                    found.add(example.id)
            if size >= megabytes * 1e6:
                break
    return texts, found


def ours(questions: list[Example], texts: list[str]) -> tuple[float, set[str]]:
    """(CPU seconds of the corpus, ids of the dirty examples)."""
    index = RunIndex(questions)
    began = time.process_time()
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        index.see([str(start + i) for i in range(len(part))], part)
    seconds = time.process_time() - began
    return seconds, {q.id for q, overlap in zip(questions, index.overlaps(), strict=True) if overlap.dirty}


def lm_eval(questions: list[Example], texts: list[str]) -> tuple[float, set[str]]:
    """The same by lm-eval's own functions."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from lm_eval.decontamination.janitor import Janitor, word_ngrams

    janitor = Janitor()
    owners: dict[str, set[str]] = {}
    for question in questions:
        for run in word_ngrams(janitor.normalize_string(question.text), WORDS):
            owners.setdefault(run, set()).add(question.id)
    dirty: set[str] = set()
    began = time.process_time()
    for text in texts:
        for run in word_ngrams(janitor.normalize_string(text), WORDS):
            if run in owners:
                dirty |= owners[run]
    return time.process_time() - began, dirty


def curation(data_dir: Path, documents: Path | None, megabytes: float, repeats: int) -> None:
    """Print the rates of curation's decontamination."""
    began = time.process_time()
    index = BenchmarkIndex.build(data_dir, DecontaminationParams())
    built = time.process_time() - began
    long = [number for number, words in enumerate(index.words.tolist()) if words >= WORDS]
    questions = [
        Example(index.items[n].benchmark, f"{index.items[n].benchmark} {index.items[n].id}", index.items[n].text)
        for n in long
    ]
    if documents:
        rows = [row for batch in read_batches(documents, columns=["text", "kind"]) for row in batch.to_pylist()]
        texts, kinds = [row["text"] for row in rows], [row["kind"] for row in rows]
        clean = len(texts)
        planted = {q.id for q in questions[:: len(questions) // 50]}
        texts += [question.text for question in questions if question.id in planted]
    else:
        texts, _ = corpus(megabytes, [])
        clean = len(texts)
        planted, kinds = set(), []
    kinds += ["code"] * (len(texts) - len(kinds))

    def found(kinds: list[str]) -> tuple[float, set[str]]:
        began, hits = time.process_time(), []
        for start in range(0, len(texts), BATCH):
            hits += index.find(texts[start : start + BATCH], kinds[start : start + BATCH])
        seconds = time.process_time() - began
        counts["documents hit"] = sum(map(bool, hits[:clean]))
        return seconds, {f"{hit.benchmark} {hit.item}" for row in hits for hit in row}

    counts: dict[str, int] = {}
    ways = {
        "ours, words": lambda: found(["web"] * len(texts)),
        "ours, all rules": lambda: found(kinds),
        "lm-eval, 13 words": lambda: lm_eval(questions, texts),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            spent, dirty = way()
            seconds[name].append(spent)
            # Of items that share a run ours names the first.
            if len(planted & dirty) < 0.8 * len(planted):
                sys.exit(f"{name} misses {len(planted - dirty)} of the {len(planted)} planted items")
    size = sum(map(len, texts)) / 1e6
    print(
        f"\ncuration: {len(index.items):,} items of {len({i.benchmark for i in index.items})} benchmarks, indexed in {built:.1f} CPU s;"
    )
    print(
        f"{clean:,} documents, {size:.1f} MB, of which {counts['documents hit']} have a hit; {len(planted)} items planted beside them"
    )
    rows = [[name, f"{size / statistics.median(spent):.1f}"] for name, spent in seconds.items()]
    print("\n".join(plain_table(["", "MB per CPU second"], rows)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=8.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--documents", type=Path, help="documents in which curation looks, instead of the same text")
    given = parser.parse_args()
    questions = examples(given.data_dir)
    texts, planted = corpus(given.megabytes, questions)
    size = sum(map(len, texts)) / 1e6
    ways: dict[str, Callable[[list[Example], list[str]], tuple[float, set[str]]]] = {"ours": ours, "lm-eval": lm_eval}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.repeats):
        for name, way in ways.items():
            spent, dirty = way(questions, texts)
            seconds[name].append(spent)
            if not planted <= dirty:
                sys.exit(f"{name} misses {len(planted - dirty)} of the {len(planted)} planted examples")
    rates = {name: size / statistics.median(spent) for name, spent in seconds.items()}
    print(f"{size:.1f} MB, {len(questions):,} examples of which {len(planted)} planted and found by both; one thread")
    for name, rate in rates.items():
        print(f"{name:8} {rate:7.1f} MB per CPU second")
    print(f"ratio {rates['ours'] / rates['lm-eval']:.1f}")
    if given.data_dir:
        curation(given.data_dir, given.documents, given.megabytes, given.repeats)


if __name__ == "__main__":
    main()
