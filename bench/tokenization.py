"""Tokenization side by side: our step, the tokenizers library alone, and datasets.map, on the same text and tokenizer.

    python -m bench.tokenization [--megabytes 24] [--workers 2] [--repeats 3] [--memory 24 96]

Throughput: each way turns the same Parquet documents into ids on disk, in a process of its own, in turn, so that all
suffer alike from whatever else the machine does; the median counts. MB per CPU second hold on a busy machine too. `encode_batch` and `encode_batch_fast` only encode,
with the library's own threads, and keep ids in memory a batch at a time: what any writer could reach at most.
`datasets.map` reads the Parquet and writes Arrow with `num_proc` processes, as the library's documentation shows it. Ours
also hashes, plans a mixture, shuffles and writes the index of documents; it is shown with the encoding alone as well.

Memory: peak private memory (RssAnon: not what a file on disk backs) of each process of our step, at several sizes of the
corpus. The text is the running interpreter's own library, cut and marked so that no two documents are equal.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.documents import Document, DocumentWriter, read_batches
from components.params import EngineParams, Params, TokenizationParams

CHUNK = 3_000  # characters per document
BATCH = 330  # documents per call of the library: about 1 MB, as in our step
SAMPLES_A_SECOND = 50


def make_corpus(directory: Path, megabytes: float) -> None:
    """Documents of CHUNK characters from the interpreter's library, over and over with another mark."""
    size = 0
    with DocumentWriter(directory) as writer:
        for number, text in enumerate(_chunks()):
            writer.write(Document(f"{number} {text}", "code", f"bench/{number}", "PSF-2.0", "bench"))
            size += len(text)
            if size >= megabytes * 1e6:
                return


def _chunks() -> Iterator[str]:
    library = Path(sysconfig.get_paths()["stdlib"])
    paths = [path for path in sorted(library.rglob("*.py")) if "site-packages" not in path.parts]
    while True:
        for path in paths:
            text = path.read_text(encoding="utf-8", errors="ignore")
            yield from (text[i : i + CHUNK] for i in range(0, len(text), CHUNK))


def make_tokenizer(documents: Path, directory: Path, vocab_size: int) -> None:
    from components.tokenization import tokenizer

    batches = (batch["text"].to_pylist() for batch in read_batches(documents, columns=["text"]))
    texts = (text for _, batch in zip(range(4), batches, strict=False) for text in batch)
    with tokenizer.all_cores():
        tokenizer.train(texts, vocab_size, directory)


def ours(documents: Path, tokenizer: Path, output: Path, workers: int) -> int:
    """The whole step; returns the tokens that it encoded."""
    from components.tokenization import tokenize
    from components.tracking import Tracker

    given = TokenizationParams(tokenizer=str(tokenizer), epochs={"code": 1})
    params = Params(tokenization=given, engine=EngineParams(workers=workers))
    summary = tokenize.run({"documents": [documents]}, {"output": output / "tokens"}, params, Tracker())
    return summary["train"]["tokens"] + summary["validation"]["tokens"] - summary["documents_read"]


def ours_encoding(documents: Path, tokenizer: Path, output: Path, workers: int) -> int:
    """The part of the step that the others are compared with: Parquet to ids on disk."""
    import numpy as np

    from components.tokenization.corpus import read_corpus
    from components.tokenization.encode import spool

    corpus = read_corpus([documents], output / "names.arrow")
    everything = np.ones(len(corpus), dtype=bool)
    spooled = spool(corpus, everything, tokenizer, np.dtype("<u2"), output, EngineParams(workers=workers))
    return int(spooled.length.sum()) - len(corpus)


def library(documents: Path, tokenizer: Path, output: Path, workers: int, fast: bool = False) -> int:
    """The tokenizers library's own batches and threads; nothing is written."""
    os.environ |= {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": str(workers)}
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    encode = loaded.encode_batch_fast if fast else loaded.encode_batch
    tokens = 0
    for batch in read_batches(documents, columns=["text"], batch_size=BATCH):
        tokens += sum(len(e.ids) for e in encode(batch["text"].to_pylist(), add_special_tokens=False))
    return tokens


def library_fast(documents: Path, tokenizer: Path, output: Path, workers: int) -> int:
    return library(documents, tokenizer, output, workers, fast=True)


def datasets_map(documents: Path, tokenizer: Path, output: Path, workers: int) -> int:
    """datasets.map with num_proc processes and a transformers tokenizer, batched."""
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_DATASETS_CACHE": str(output), "HF_HUB_OFFLINE": "1"}
    from datasets import disable_progress_bars, load_dataset
    from transformers import AutoTokenizer

    disable_progress_bars()
    loaded = AutoTokenizer.from_pretrained(tokenizer, trust_remote_code=False)
    files = [str(path) for path in sorted(documents.glob("*.parquet"))]
    rows = load_dataset("parquet", data_files=files, split="train", columns=["text"])
    done = rows.map(
        lambda batch: {"input_ids": loaded(batch["text"], return_attention_mask=False)["input_ids"]},
        batched=True,
        num_proc=workers,
        remove_columns=["text"],
    )
    return sum(len(column) for batch in done.data.to_batches() for column in [batch["input_ids"].flatten()])


WAYS: dict[str, Callable[[Path, Path, Path, int], int]] = {
    "ours": ours,
    "ours_encoding": ours_encoding,
    "encode_batch": library,
    "encode_batch_fast": library_fast,
    "datasets_map": datasets_map,
}
TITLES = {
    "ours": "our step, whole",
    "ours_encoding": "our step, encoding to disk",
    "encode_batch": "tokenizers encode_batch (ids only)",
    "encode_batch_fast": "tokenizers encode_batch_fast (ids only)",
    "datasets_map": "datasets.map, num_proc",
}


class Watch:
    """Samples this process and all below it: private memory and CPU time. `peaks` in bytes, the largest first."""

    def __enter__(self) -> "Watch":
        self._peaks: dict[int, int] = {}
        self._cpu: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._sample()
        self._stop.set()
        self._thread.join()

    @property
    def peaks(self) -> list[int]:
        return sorted(self._peaks.values(), reverse=True)

    @property
    def cpu(self) -> float:
        """CPU seconds of all; what a process did after its last sample is missing."""
        return sum(self._cpu.values())

    def _watch(self) -> None:
        while not self._stop.wait(1 / SAMPLES_A_SECOND):
            self._sample()

    def _sample(self) -> None:
        for pid in _family(os.getpid()):
            try:
                status = Path(f"/proc/{pid}/status").read_text().splitlines()
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            private = [1024 * int(line.split()[1]) for line in status if line.startswith("RssAnon:")]
            self._peaks[pid] = max(self._peaks.get(pid, 0), *private, 0)
            self._cpu[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        children = [int(child) for task in tasks for child in task.read_text().split()]
    except OSError:
        children = []  # it ended meanwhile
    return [pid] + [below for child in children for below in _family(child)]


def run_one(way: str, documents: Path, tokenizer: Path, workers: int) -> dict[str, Any]:
    """One way in this process: tokens, seconds, CPU seconds of it and its children, peak memory of each process."""
    output = Path(tempfile.mkdtemp(prefix="bench-", dir=documents.parent))
    try:
        with Watch() as watch:
            begin = time.monotonic()
            tokens = WAYS[way](documents, tokenizer, output, workers)
            seconds = time.monotonic() - begin
        return {"tokens": tokens, "seconds": seconds, "cpu": watch.cpu, "peaks": watch.peaks}
    finally:
        shutil.rmtree(output, ignore_errors=True)


def in_a_process(way: str, documents: Path, tokenizer: Path, workers: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.tokenization", "--one", way, str(documents), str(tokenizer), str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(documents: Path, tokenizer: Path, workers: int, repeats: int) -> dict[str, dict[str, Any]]:
    """The median run of each way, by seconds; the ways take turns."""
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            runs[way].append(in_a_process(way, documents, tokenizer, workers))
    medians = {way: statistics.median_low(run["seconds"] for run in found) for way, found in runs.items()}
    return {way: next(r for r in found if r["seconds"] == medians[way]) for way, found in runs.items()}


def show(found: dict[str, dict[str, Any]], size: int, documents: int) -> None:
    print(f"\n{size / 1e6:.1f} MB of text in {documents:,} documents, {found['ours']['tokens']:,} tokens")
    print(f"{'':42}{'MB/s':>8}{'MB/CPU s':>10}{'tokens':>14}{'encode_batch = 1':>18}{'peak MB, all':>14}")
    base = found["encode_batch"]["seconds"]
    for way, run in found.items():
        print(
            f"{TITLES[way]:42}{size / 1e6 / run['seconds']:8.2f}{size / 1e6 / run['cpu']:10.2f}{run['tokens']:14,}"
            f"{base / run['seconds']:18.2f}{sum(run['peaks']) / 1e6:14.0f}"
        )


def show_memory(directory: Path, tokenizer: Path, sizes: list[float], workers: int) -> None:
    print(f"\nour step with {workers} workers, peak private memory in MB")
    for megabytes in sizes:
        documents = directory / f"corpus-{megabytes:g}"
        if not documents.exists():
            make_corpus(documents, megabytes)
        run = in_a_process("ours", documents, tokenizer, workers)
        peaks = ", ".join(f"{peak / 1e6:.0f}" for peak in run["peaks"])
        print(
            f"  {megabytes:g} MB of text: {run['peaks'][0] / 1e6:.0f} in the largest process; each: {peaks}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=24, help="size of the text")
    parser.add_argument("--workers", type=int, default=2, help="workers, threads or num_proc")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=float, nargs="*", default=[24, 96], help="MB of text whose memory is measured")
    parser.add_argument("--vocab-size", type=int, default=2048)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        way, documents, tokenizer, workers = given.one
        print(json.dumps(run_one(way, Path(documents), Path(tokenizer), int(workers))))
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        documents, tokenizer = directory / f"corpus-{given.megabytes:g}", directory / "tokenizer"
        make_corpus(documents, given.megabytes)
        make_tokenizer(documents, tokenizer, given.vocab_size)
        batches = [batch["text"] for batch in read_batches(documents, columns=["text"])]
        size, rows = sum(len(t.as_py().encode()) for b in batches for t in b), sum(map(len, batches))
        del batches
        show(compare(documents, tokenizer, given.workers, given.repeats), size, rows)
        if given.memory:
            show_memory(directory, tokenizer, given.memory, given.workers)


if __name__ == "__main__":
    main()
