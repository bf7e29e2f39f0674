"""Our web rules beside datatrove's filters with a regular expression as word tokenizer: MB per CPU second, one thread.

    python -m bench.curation_gates [--rounds 3]

Both apply the same rules (Gopher quality, repeated lines and paragraphs, FineWeb) to the same text, the reference pages
and docstrings of the running Python, several times over. datatrove stops at a document's first failure; ours computes
every figure. Rules on n-grams and C4's are in neither. datatrove's default tokenizer, spaCy, is not measured here.
"""

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import argparse
import re
import statistics
import time
from pathlib import Path
from pydoc_data import topics

from bench.common import add_peers


def corpus() -> list[str]:
    folder = Path(os.__file__).parent
    docs = [
        doc for path in sorted(folder.glob("*.py")) for doc in re.findall(r'"""(.{40,}?)"""', path.read_text(), re.S)
    ]
    return [*topics.topics.values(), *docs] * 3


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    rounds = options.parse_args().rounds
    add_peers()
    from datatrove.data import Document
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.utils.word_tokenizers import WordTokenizer

    from components.curation.gates import web

    class Words(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return re.findall(r"\w+|[^\w\s]+", text)

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    words = Words()
    chain = (
        GopherRepetitionFilter(top_n_grams=(), dup_n_grams=(), language=words),
        GopherQualityFilter(language=words),
        FineWebQualityFilter(language=words),
    )
    texts = corpus()
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    documents = [Document(text=text, id="") for text in texts]
    rates: dict[str, list[float]] = {"ours": [], "datatrove": []}
    for _ in range(rounds + 1):  # the first warms up
        start = time.process_time()
        ours = [failure is None for failure in web.judge(texts)]
        middle = time.process_time()
        theirs = [all(step.filter(document) is True for step in chain) for document in documents]
        end = time.process_time()
        rates["ours"].append(megabytes / (middle - start))
        rates["datatrove"].append(megabytes / (end - middle))
    medians = {name: statistics.median(found[1:]) for name, found in rates.items()}
    ratio = statistics.median(a / b for a, b in zip(*(found[1:] for found in rates.values()), strict=True))
    print(f"{len(texts):,} documents, {megabytes:.1f} MB, kept by ours {sum(ours):,}, by datatrove {sum(theirs):,}")
    print(f"different verdicts: {sum(a != b for a, b in zip(ours, theirs, strict=True)):,}")
    print(", ".join(f"{name} {rate:.2f} MB per CPU second" for name, rate in medians.items()), f"; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
