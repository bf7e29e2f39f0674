"""Tokenization side by side: our step, the tokenizers library alone, and datasets.map, on the same text and tokenizer.

    python -m bench.tokenization [--megabytes 24] [--workers 2] [--repeats 3] [--memory 24 96]

Throughput: each way turns the same Parquet documents into ids on disk in a separate process. The ways take turns, so that other
load affects all equally, and the result is the median. MB per CPU second are valid on a busy machine too. `encode_batch` and
`encode_batch_fast` only encode, with the library's own threads, and keep the ids of one batch in memory, which is the upper
bound of any writer. `datasets.map` reads the Parquet and writes Arrow with `num_proc` processes, as in the library's
documentation. Ours also hashes, plans a mixture, shuffles and writes the index of documents; the encoding alone is shown too.

Memory: peak private memory (RssAnon, so without mapped files) of each process of our step, at several sizes of the corpus. The
text is the running interpreter's own library, cut and marked so that all documents differ.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from pathlib import Path

from bench.common import Report, Row, Watch, in_a_process, machine, parse, parser
from bench.texts import chunks
from components.documents import Document, DocumentWriter, read_batches
from components.params import EngineParams, Params, TokenizationParams

CHUNK = 3_000  # characters per document
BATCH = 330  # documents per call of the library: about 1 MB, as in our step
MODULE = "bench.tokenization"


def make_corpus(directory: Path, megabytes: float) -> None:
    """Documents of CHUNK characters from the interpreter's library, over and over with another mark."""
    size = 0
    with DocumentWriter(directory) as writer:
        for number, text in enumerate(chunks(CHUNK, deep=True)):
            writer.write(Document(f"{number} {text}", "code", f"bench/{number}", "PSF-2.0", "bench"))
            size += len(text)
            if size >= megabytes * 1e6:
                return


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


WAYS: dict[str, tuple[str, Callable[[Path, Path, Path, int], int]]] = {
    "ours": ("our step, whole", ours),
    "ours_encoding": ("our step, encoding to disk", ours_encoding),
    "encode_batch": ("tokenizers encode_batch (ids only)", library),
    "encode_batch_fast": ("tokenizers encode_batch_fast (ids only)", partial(library, fast=True)),
    "datasets_map": ("datasets.map, num_proc", datasets_map),
}


def child(spec: Row) -> Row:
    """One way in this process: tokens, seconds, CPU seconds with children, peak memory of each process."""
    documents, tokenizer = Path(spec["documents"]), Path(spec["tokenizer"])
    with tempfile.TemporaryDirectory(prefix="bench-", dir=documents.parent) as folder, Watch() as watch:
        begin = time.monotonic()
        tokens = WAYS[spec["way"]][1](documents, tokenizer, Path(folder), spec["workers"])
        seconds = time.monotonic() - begin
    return {"tokens": tokens, "seconds": seconds, "cpu": watch.cpu, "peaks": watch.peaks}


def compare(spec: Row, repeats: int, size: int) -> dict[str, Row]:
    """The median run of each way, by seconds; the ways take turns."""
    runs: dict[str, list[Row]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            runs[way].append(in_a_process(MODULE, spec | {"way": way}))
    rows = {way: sorted(found, key=itemgetter("seconds"))[(repeats - 1) // 2] for way, found in runs.items()}
    for row in rows.values():
        row |= {"rate": size / 1e6 / row["seconds"], "cpu_rate": size / 1e6 / row["cpu"]}
        row |= {"times": rows["encode_batch"]["seconds"] / row["seconds"], "peak": sum(row["peaks"]) / 1e6}
    return rows


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--megabytes", type=float, default=24, help="MB of text")
    options.add_argument("--workers", type=int, default=2, help="workers, threads or num_proc")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument(
        "--memory", type=float, nargs="*", default=[24, 96], help="MB of text for the measurement of memory"
    )
    options.add_argument("--vocab-size", type=int, default=2048)
    given = parse(options, child)
    report = Report("Tokenization", machine() | {"workers": given.workers})
    with tempfile.TemporaryDirectory() as name:
        corpora = {size: Path(name) / f"corpus-{size:g}" for size in (given.megabytes, *given.memory)}
        for size, documents in corpora.items():
            make_corpus(documents, size)
        documents, tokenizer = corpora[given.megabytes], Path(name) / "tokenizer"
        make_tokenizer(documents, tokenizer, given.vocab_size)
        lengths = [len(t.encode()) for b in read_batches(documents, columns=["text"]) for t in b["text"].to_pylist()]
        spec = {"documents": str(documents), "tokenizer": str(tokenizer), "workers": given.workers}
        rows = compare(spec, given.repeats, sum(lengths))
        memory = {
            f"{size:g} MB": in_a_process(MODULE, spec | {"way": "ours", "documents": str(corpora[size])})["peaks"]
            for size in given.memory
        }
    columns = {"rate": "MB/s", "cpu_rate": "MB/CPU s", "tokens": "tokens", "times": "encode_batch = 1"}
    caption = f"{sum(lengths) / 1e6:.1f} MB of text in {len(lengths):,} documents"
    columns |= {"peak": "peak MB, all"}
    report.table_of(caption, columns, {WAYS[way][0]: row for way, row in rows.items()})
    peaks = [[size, ", ".join(f"{peak / 1e6:.0f}" for peak in each)] for size, each in memory.items()]
    report.table("Our step, peak private memory of each process in MB", ["text", "MB"], peaks)
    report.measurements = {"ways": rows, "memory": memory}
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
