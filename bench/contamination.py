"""The search for a benchmark in a training corpus: ours beside lm-eval's n-grams, on the same text, in the same run; and the
share of planted items that is found.

    python -m bench.contamination [--megabytes 8] [--repeats 3] [--data-dir DIR] [--documents DIR] [--rows 60]

The peer is the Python part of lm-eval's `decontamination`: it removes punctuation and case (`Janitor.normalize_string`) and
looks up each run of 13 words (`word_ngrams`) in the set of the benchmark's runs. Its C++ module is not part of its wheel. Ours
searches for runs of every length that the benchmark's tasks need, and also counts coverage and documents.

The text is the running interpreter's library; an example of the benchmark is planted in every hundredth document. With
--data-dir the benchmark is GSM8K, else 1,300 random questions. Rates are in megabytes per CPU second of this process; the two
take turns, and the median is reported. Both must find all planted examples.

The second part is curation's decontamination, with every benchmark of the suites phi2 and olmes whose data is in --data-dir:
- its speed on the documents of --documents or else the same text, by words alone and by all rules, which parse code, beside the
  peer's runs of 13 words of the same items. All must find the planted items.
- how many of --rows questions of each benchmark (generated ones without --data-dir) are found in each format of
  bench/planted.py; and how many questions of bench/paraphrases.yaml, which also become items, are found in other words.
- how many of the clean documents have a hit.
"""

import contextlib
import io
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import yaml

from bench.common import BenchError, Report, Row, in_turn, machine, parser, rate_rows
from bench.curation import sentences
from bench.planted import CODE, formats, items, planted, questions
from bench.texts import chunks, documents_of, rows
from components.benchmarking.contamination import Example, RunIndex
from components.benchmarks.items import Item, read_items
from components.curation.decontamination import BenchmarkIndex
from components.params.decontamination import DecontaminationParams
from components.text.ngrams import words_in

Way = Callable[[], Iterable[str]]  # goes over the documents; gives the ids of the dirty examples

WORDS = 13
CHUNK = 3_000  # characters per document
BATCH = 2_048  # documents at once, as they are read


def examples(data_dir: Path | None) -> list[Example]:
    """GSM8K's test, or random questions as long."""
    if data_dir:
        numbered = enumerate(rows(data_dir / "gsm8k" / "test.jsonl.gz"))
        return [Example("gsm8k", str(i), f"{row['question']} {row['answer']}") for i, row in numbered]
    draw = random.Random(1)
    words = [f"word{i}" for i in range(5_000)]
    return [Example("random", str(i), " ".join(draw.choices(words, k=80))) for i in range(1_300)]


def corpus(megabytes: float, planted: list[Example]) -> tuple[list[str], set[str]]:
    """Documents, and the ids of the examples that are planted in them."""
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


def ours(questions: list[Example], texts: list[str]) -> Way:
    """Finds the ids of the dirty examples."""
    index = RunIndex(questions)

    def dirty() -> Iterator[str]:
        yield from (q.id for q, overlap in zip(questions, index.overlaps(), strict=True) if overlap.dirty)

    def way() -> Iterator[str]:
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            index.see([str(start + i) for i in range(len(part))], part)
        return dirty()  # counted when the clock has stopped

    return way


def lm_eval(questions: list[Example], texts: list[str]) -> Way:
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
    report: Report, caption: str, ways: dict[str, Callable[[], Way]], texts: list[str], planted: set[str],
    least: float, repeats: int,
) -> Row:  # fmt: skip
    """Measure ways to search for the same items, and check that each finds at least a share of the planted ones."""
    size = sum(map(len, texts)) / 1e6
    seconds, dirty = in_turn(ways, repeats, prepared=True)
    for name, ids in dirty.items():
        found = set(ids)
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
    long = [item for item in index.items if not item.code and len(words_in(item.asked)) >= WORDS]
    questions = [Example(item.benchmark, f"{item.benchmark} {item.id}", item.asked) for item in long]
    planted: set[str] = set()
    if documents:
        texts, kinds = map(list, zip(*documents_of(documents), strict=True))
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

    ways: dict[str, Callable[[], Way]] = {
        "ours, words": lambda: partial(found, ["web"] * len(texts)),
        "ours, all rules": lambda: partial(found, kinds),
        "lm-eval, 13 words": partial(lm_eval, questions, texts),
    }
    caption = f"Curation: {len(index.items):,} items of {len({i.benchmark for i in index.items})} benchmarks"
    # Ours names only the first of several items that share a run.
    rates = compare(report, caption, ways, texts, planted, 0.8, repeats)
    report.note(f"Indexed in {built:.1f} CPU s; of {clean:,} documents {hit_documents[-1]} have a hit by all rules.")
    return rates


def found_by_format(data_dir: Path | None, some: int, report: Report) -> Row:
    """How many planted questions are found in each format, and how many have too few words for it."""
    draw, pool = random.Random(2), sentences()
    index = BenchmarkIndex.build(data_dir, DecontaminationParams()) if data_dir else None
    measured: Row = {}
    for benchmark, asked in questions(data_dir, some):
        made = [formats(benchmark, one) for one in asked]
        own = index or BenchmarkIndex(items(benchmark, asked), DecontaminationParams())
        for way in dict.fromkeys(way for row in made for way in row):
            plants = [row[way] for row in made if way in row]
            documents, kinds = zip(*(planted(plant, way, draw, pool) for plant in plants), strict=True)
            hits = own.find(documents, kinds)
            short = way not in CODE and sum(len(words_in(plant)) < own.params.min_words for plant in plants)
            measured.setdefault(benchmark, {})[way] = [sum(map(bool, hits)), len(plants), int(short)]
    ways = dict.fromkeys(way for row in measured.values() for way in row)
    shown = [
        [
            name,
            *(
                f"{row[way][0]}/{row[way][1]}" + f" ({row[way][2]} short)" * bool(row[way][2]) if way in row else ""
                for way in ways
            ),
        ]
        for name, row in measured.items()
    ]
    caption = "Found of what was planted (short: fewer words than min_words in this format, some of which are found all the same)"
    report.table(caption, ["", *ways], shown)
    return measured


def found_in_other_words(data_dir: Path | None, clean: Sequence[tuple[str, str]], report: Report) -> Row:
    """How many paraphrases of the sets are found among all items, and how many clean documents have a hit, by share."""
    rows = yaml.safe_load((Path(__file__).parent / "paraphrases.yaml").read_text(encoding="utf-8"))
    own = [Item("own", str(n), row["question"]) for n, row in enumerate(rows)]
    others = read_items(data_dir, DecontaminationParams().suites)[0] if data_dir else []
    draw, pool = random.Random(3), sentences()
    index = BenchmarkIndex([*others, *own], DecontaminationParams())
    measured: Row = {}
    for share in (0, 0.5, 0.6, 0.7):
        index.params = index.params.model_copy(update={"min_paraphrase": share})
        row = measured[f"{share:g}" if share else "off"] = {}
        for name in ("light", "free"):
            texts = [planted(one[name], name, draw, pool)[0] for one in rows]
            hits = index.find(texts, ["web"] * len(texts))
            row[name] = sum(
                any(hit.item == str(n) and hit.benchmark == "own" for hit in of) for n, of in enumerate(hits)
            )
        parts = (clean[at : at + BATCH] for at in range(0, len(clean), BATCH))
        row["clean"] = sum(bool(hits) for part in parts for hits in index.find(*map(list, zip(*part, strict=True))))
    shown = [
        [name, f"{row['light']}/{len(rows)}", f"{row['free']}/{len(rows)}", row["clean"]]
        for name, row in measured.items()
    ]
    caption = f"In other words, among {len(others) + len(own):,} items"
    report.table(caption, ["min_paraphrase", "light", "free", f"hits in {len(clean):,} clean documents"], shown)
    return measured


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--megabytes", type=float, default=8.0)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--data-dir", type=Path)
    options.add_argument("--documents", type=Path, help="documents in which curation looks, instead of the same text")
    options.add_argument("--rows", type=int, default=60, help="questions of each benchmark that are planted")
    given = options.parse_args()
    report = Report("Contamination", machine(1))
    asked = examples(given.data_dir)
    texts, planted = corpus(given.megabytes, asked)
    ways: dict[str, Callable[[], Way]] = {
        "ours": partial(ours, asked, texts),
        "lm-eval": partial(lm_eval, asked, texts),
    }
    caption = f"The exam's search: {len(asked):,} examples"
    report.measurements = {"exam": compare(report, caption, ways, texts, planted, 1.0, given.repeats)}
    report.measurements["formats"] = found_by_format(given.data_dir, given.rows, report)
    if given.documents:
        clean = documents_of(given.documents)
    else:
        clean = [(text, "code") for text in corpus(given.megabytes, [])[0]]
    report.measurements["paraphrases"] = found_in_other_words(given.data_dir, clean, report)
    if given.data_dir:
        found = curation(given.data_dir, given.documents, given.megabytes, given.repeats, report)
        report.measurements["curation"] = found
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
