"""Our web rules beside datatrove's chain of the same filters: MB per CPU second, one thread, each in turn in one process.

    make bench-setup                # once: spaCy, the words of datatrove's default chain
    python -m bench.curation_filters [--rounds 3] [--documents FILE.jsonl.gz ...]

The chain is FineWeb's: Gopher's rules on repetition and on quality, C4's without its rule on terminal punctuation, FineWeb's. A text
goes at its first failure in both. datatrove is measured with its default tokenizer, spaCy's, and with a regular expression in
its place, whose words and thresholds ours take for the comparison of verdicts; ours also runs with its defaults. Without files the texts are the reference pages and
docstrings of the running Python.
"""

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import gzip
import itertools
import json
import re
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from pydoc_data import topics

from bench.common import add_peers, in_turn, missing_peer, plain_parser


def corpus(paths: Sequence[Path]) -> list[str]:
    from components.curation.text import repair

    if paths:
        lines = itertools.chain.from_iterable(gzip.decompress(path.read_bytes()).splitlines() for path in paths)
        return [repair(json.loads(line)["text"], "web") for line in lines]
    folder = Path(os.__file__).parent
    docs = [
        doc for path in sorted(folder.glob("*.py")) for doc in re.findall(r'"""(.{40,}?)"""', path.read_text(), re.S)
    ]
    return [repair(text, "web") for text in [*topics.topics.values(), *docs]]


def ours(texts: Sequence[str], as_datatrove: bool = True) -> list[bool]:
    from components.curation.clean import CHARACTERS
    from components.curation.duplicates.similarity import blocks
    from components.curation.filters import web
    from components.params.web_rules import WebRulesParams

    options = {"c4": {"filter_curly_bracket": True}, "fineweb": {"char_duplicates_ratio": 0.01}} | {
        "definitions": "datatrove"
    }
    params = WebRulesParams(**options) if as_datatrove else WebRulesParams()
    return [not verdict.failure for batch in blocks(texts, CHARACTERS) for verdict in web.judge(batch, params)]


def theirs(words: object) -> Callable[[Sequence[str]], list[bool]]:
    """datatrove's chain with a tokenizer: an object of its kind, or a language, for which it takes spaCy's."""
    from datatrove.data import Document
    from datatrove.pipeline import filters

    chain = (
        filters.GopherRepetitionFilter(language=words),
        filters.GopherQualityFilter(language=words),
        filters.C4QualityFilter(filter_no_terminal_punct=False, language=words),
        filters.FineWebQualityFilter(language=words),
    )

    def judge(texts: Sequence[str]) -> list[bool]:
        documents = (Document(text=text, id="") for text in texts)
        return [all(step.filter(document) is True for step in chain) for document in documents]

    return judge


def fast_words() -> object:
    import regex
    from datatrove.utils.word_tokenizers import WordTokenizer

    from components.curation.filters.c4 import SENTENCE

    word, sentence = re.compile(r"\w+|[^\w\s]+"), regex.compile(SENTENCE)

    class Words(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return word.findall(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            borders = [0, *(found.end() - 1 for found in sentence.finditer(text)), len(text)]
            return list(itertools.pairwise(borders))

    return Words()


def main() -> None:
    options = plain_parser(__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--documents", type=Path, nargs="*", default=[], metavar="FILE")
    given = options.parse_args()
    add_peers()
    texts = corpus(given.documents)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    contenders = {
        "ours": ours,
        "ours, as the papers count": partial(ours, as_datatrove=False),
        "datatrove, regular expression": theirs(fast_words()),
    }
    if missing := missing_peer("spacy"):
        print(missing)
    else:
        contenders["datatrove, spaCy (its default)"] = theirs("en")
    for judge in contenders.values():
        judge(texts[:50])  # warms up: tables, tokenizers
    seconds, kept = in_turn({name: partial(judge, texts) for name, judge in contenders.items()}, given.rounds)
    rates = {name: [megabytes / spent for spent in of] for name, of in seconds.items()}
    print(f"{len(texts):,} documents, {megabytes:.1f} MB; medians of {given.rounds} rounds")
    print(f"{'':<32}{'MB/CPU s':>10}{'ours is':>10}{'kept':>9}{'other verdict':>15}")
    for name, found in rates.items():
        ratio = statistics.median(own / other for own, other in zip(rates["ours"], found, strict=True))
        other = sum(a != b for a, b in zip(kept["ours"], kept[name], strict=True))
        print(f"{name:<32}{statistics.median(found):>10.2f}{ratio:>9.1f}x{sum(kept[name]):>9,}{other:>15,}")


if __name__ == "__main__":
    main()
