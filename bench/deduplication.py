"""Exact and near-duplicates: ours compared with rensa and datasketch end to end, on the same text, in the same run.

    python -m bench.deduplication [--documents 20000] [--repeats 3] [--texts DIR] [--memory-at 1000000 2500000]

The text is functions and docstrings of the running interpreter's library, or with --texts the documents of the jsonl.gz
files under a folder; a tenth of them also have a copy with up to every twelfth word changed. All contenders get the documents in
one order, best first, and drop documents with the text of a better one, or with a Jaccard similarity of at least 0.7 to it
(runs of five words, 128 permutations). The peers make runs as in their examples: `re`, `join`, a set of strings. Ours
includes its files of sketches on disk. Rates are per CPU second of this process with one thread; contenders take turns, and
the result is the median after one round of warming up.

The truth is the Jaccard similarity of all pairs, by a sparse product, and the rule to drop a document if a kept one is at
least as similar as that. Precision and recall are those of the dropped documents; `left` is the share of pairs at 0.7 or
more with both documents kept.

--memory-at measures the decision alone, in a separate process, with invented sketches of so many documents, a fifth of them
near-duplicates.
"""

import ast
import hashlib
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # one thread for every contender

import numpy as np

from bench.common import Report, Row, in_a_process, in_turn, machine, parse, parser, peak_megabytes, rate_rows
from bench.texts import definitions, rows, sources
from components.curation.duplicates.clusters import find
from components.curation.duplicates.ids import pack
from components.curation.duplicates.sketches import SketchFiles, save_sketches
from components.documents import document_id
from components.params import DuplicatesParams
from components.text.shingles import sketch

THRESHOLD, PERMUTATIONS, RUN = 0.7, 128, 5
SHARD = 20_000
WORD = re.compile(r"\w+")


def corpus(documents: int, folder: Path | None) -> list[str]:
    """Texts, a tenth of them nearly as another."""
    rng = random.Random(1)
    found = list(dict.fromkeys(of_files(folder) if folder else of_library()))
    rng.shuffle(found)
    found = found[:documents]
    copies = []
    for text in rng.sample(found, len(found) // 10):
        words = text.split(" ")
        for _ in range(rng.randrange(1 + len(words) // 12)):
            words[rng.randrange(len(words))] = rng.choice(("nothing", "other", "1"))
        copies.append(" ".join(words))
    found += copies + rng.sample(found, len(found) // 50)  # and a fiftieth exactly
    return sorted(found, key=document_id)


def of_library() -> Iterator[str]:
    for node, text in (pair for source in sources(deep=True) for pair in definitions(source)):
        yield from (doc for doc in (ast.get_docstring(node) or "",) if len(doc) >= 100)
        if isinstance(node, ast.FunctionDef) and len(text) >= 100:
            yield text


def of_files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.jsonl.gz")):
        yield from (text for row in rows(path) if len(text := row.get("text", "")) >= 100)


def ours(texts: list[str]) -> list[bool]:
    params = DuplicatesParams(permutations=PERMUTATIONS)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for start in range(0, len(texts), SHARD):
            paths.append(Path(folder) / f"{start}.npy")
            save_sketches(paths[-1], sketch(texts[start : start + SHARD], params.permutations))
        found = find(
            SketchFiles(paths),
            pack(map(document_id, texts)),
            np.ones(len(texts), dtype=np.int8),
            np.zeros(len(texts), dtype=np.float32),  # so the smallest id stays: the first
            lambda positions: (texts[position] for position in positions),
            params,
            Path(folder),
        )
    return found.kept.tolist()


def token_sets(texts: list[str]) -> Iterator[tuple[int, set[str]]]:
    """Of texts that are not exactly as an earlier one, the runs of words."""
    seen = set()
    for number, text in enumerate(texts):
        digest = hashlib.sha256(text.encode()).digest()
        if digest not in seen:
            seen.add(digest)
            yield number, runs_of(text)


def runs_of(text: str) -> set[str]:
    words = WORD.findall(text.lower())
    return {" ".join(words[i : i + RUN]) for i in range(max(1, len(words) - RUN + 1))}


def rensa(texts: list[str], bands: int | None = None) -> list[bool]:
    from rensa import RMinHashDeduplicator

    index = RMinHashDeduplicator(THRESHOLD, PERMUTATIONS, True, bands)
    kept = [False] * len(texts)
    block: list[tuple[str, set[str]]] = []

    def flush() -> None:
        for (number, _), new in zip(block, index.add_pairs(block), strict=True):
            kept[int(number)] = new
        block.clear()

    for number, tokens in token_sets(texts):
        block.append((str(number), tokens))
        if len(block) == 1_000:
            flush()
    flush()
    return kept


def datasketch(texts: list[str]) -> list[bool]:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    kept, sketches = [False] * len(texts), {}
    for number, tokens in token_sets(texts):
        own = MinHash(num_perm=PERMUTATIONS)
        own.update_batch([token.encode() for token in tokens])
        if all(own.jaccard(sketches[other]) < THRESHOLD for other in index.query(own)):
            index.insert(number, own)
            sketches[number] = own
            kept[number] = True
    return kept


def truth(texts: list[str]) -> tuple[np.ndarray, list[bool]]:
    """Pairs at the threshold, (pairs, 2), the better first; and who stays by the rule."""
    from scipy.sparse import csr_matrix

    vocabulary: dict[str, int] = {}
    columns: list[int] = []
    starts = [0]
    for text in texts:
        columns += [vocabulary.setdefault(run, len(vocabulary)) for run in runs_of(text)]
        starts.append(len(columns))
    matrix = csr_matrix((np.ones(len(columns), dtype=np.int32), columns, starts), (len(texts), len(vocabulary)))
    sizes, transposed, pairs = np.diff(starts), matrix.T.tocsc().tocsr(), []
    for start in range(0, len(texts), 1_000):
        common = (matrix[start : start + 1_000] @ transposed).tocoo()
        left, right, both = common.row + start, common.col, common.data
        alike = (left < right) & (both >= THRESHOLD * (sizes[left] + sizes[right] - both))
        pairs.append(np.stack([left[alike], right[alike]], axis=1))
    found = np.concatenate(pairs)
    stays = [True] * len(texts)
    for better, lesser in found[np.argsort(found[:, 1], kind="stable")].tolist():
        stays[lesser] &= not stays[better]
    return found, stays


def decide_alone(spec: Row) -> Row:
    """Peak memory and CPU time of the decision over made-up sketches."""
    documents = spec["documents"]
    words = np.array([f"w{n}" for n in range(5_000)])

    def texts(positions: np.ndarray) -> Iterator[str]:
        for position in positions.tolist():
            copy = position % 5 == 4
            drawn = words[np.random.default_rng(position - 4 * copy).integers(0, len(words), 100)].tolist()
            yield " ".join([*drawn[:50], "changed", *drawn[51:]] if copy else drawn)

    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for start in range(0, documents, SHARD):
            rng = np.random.default_rng(start)
            made = rng.integers(0, 2**32, (min(SHARD, documents - start), PERMUTATIONS), dtype=np.uint32)
            copies = np.arange(4, len(made), 5)
            made[copies] = made[copies - 4] ^ (rng.random((len(copies), PERMUTATIONS)) < 0.1)
            paths.append(Path(folder) / f"{start}.npy")
            save_sketches(paths[-1], made)
        rng, before = np.random.default_rng(0), peak_megabytes()
        ids = rng.integers(0, 2**64, (documents, 2), dtype=np.uint64)
        kinds, scores = np.ones(documents, dtype=np.int8), rng.random(documents, dtype=np.float32)
        began = time.process_time()
        found = find(SketchFiles(paths), ids, kinds, scores, texts, DuplicatesParams(), Path(folder))
        seconds = time.process_time() - began
    return {"peak": peak_megabytes(), "before": before, "cpu": seconds, "dropped": int((~found.kept).sum())}


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--documents", type=int, default=20_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--texts", type=Path, help="folder with jsonl.gz files, rows with `text`")
    options.add_argument("--memory-at", type=int, nargs="*", default=[], help="numbers of documents")
    given = parse(options, decide_alone)
    texts = corpus(given.documents, given.texts)
    size = sum(len(text.encode()) for text in texts) / 1e6
    pairs, stays = truth(texts)
    gone = ~np.array(stays)
    report = Report("Deduplication", machine(1))
    report.note(f"{len(pairs):,} pairs at {THRESHOLD} or more, {gone.sum():,} documents to drop")
    contenders: dict[str, Callable[[list[str]], list[bool]]] = {"ours": ours, "rensa": rensa}
    contenders |= {"rensa, 32 bands": partial(rensa, bands=32), "datasketch": datasketch}
    for way in contenders.values():
        way(texts[:2_000])
    seconds, stayed = in_turn({name: partial(way, texts) for name, way in contenders.items()}, given.repeats)
    found: dict[str, Row] = {}
    for name, (rate, times) in rate_rows(seconds, size).items():
        kept = np.array(stayed[name])
        right = (~kept & gone).sum()
        found[name] = {"documents": rate / size * len(texts), "rate": rate, "times": times}
        found[name] |= {"precision": right / (~kept).sum(), "recall": right / gone.sum()}
        found[name] |= {"left": f"{kept[pairs].all(axis=1).mean():.2%}"}
    columns = {"documents": "documents/CPU s", "rate": "MB/CPU s", "times": "ours is x", "precision": "precision"}
    report.table_of(f"{len(texts):,} documents, {size:.1f} MB", columns | {"recall": "recall", "left": "left"}, found)
    alone = {f"{n:,} sketches": in_a_process("bench.deduplication", {"documents": n}) for n in given.memory_at}
    columns = {"peak": "peak MB", "before": "MB before", "cpu": "CPU s", "dropped": "dropped"}
    if alone:
        report.table_of("The decision alone", columns, alone)
    report.measurements = {"contenders": found, "alone": alone}
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
