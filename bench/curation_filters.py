"""Our web rules beside datatrove's chain of the same filters: MB per CPU second of one thread, in turn in one process.

    make bench-setup                # once: spaCy, the words of datatrove's default chain
    python -m bench.curation_filters [--rounds 3] [--documents FILE.jsonl.gz ...]

The chain is FineWeb's: Gopher's rules on repetition and on quality, C4's without its rule on terminal punctuation, FineWeb's. Both
drop a text at its first failure. datatrove is measured with its default tokenizer, spaCy's, and with a regular expression
instead. Ours uses the words and thresholds of the latter for the comparison of verdicts, and is also measured with its defaults.
Without files the texts are the reference pages and docstrings of the running Python.
"""

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import itertools
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.common import Report, add_peers, in_turn, machine, missing_peer, parser, rate_rows
from bench.texts import docstrings, reference, rows


def corpus(paths: Sequence[Path]) -> list[str]:
    from components.curation.text import repair

    texts = [row["text"] for path in paths for row in rows(path)] or [*reference().values(), *docstrings()]
    return [repair(text, "web") for text in texts]


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
    """datatrove's chain with a tokenizer: a WordTokenizer, or a language, for which it uses spaCy's."""
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


def main() -> int:
    options = parser(__doc__, rounds=3)
    options.add_argument("--documents", type=Path, nargs="*", default=[], metavar="FILE")
    given = options.parse_args()
    add_peers()
    texts = corpus(given.documents)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    report = Report("Rules for web text", machine(1) | {"rounds": given.rounds})
    contenders = {
        "ours": ours,
        "ours, as the papers count": partial(ours, as_datatrove=False),
        "datatrove, regular expression": theirs(fast_words()),
    }
    if missing := missing_peer("spacy"):
        report.note(missing)
    else:
        contenders["datatrove, spaCy (its default)"] = theirs("en")
    for judge in contenders.values():
        judge(texts[:50])  # warms up: tables, tokenizers
    seconds, kept = in_turn({name: partial(judge, texts) for name, judge in contenders.items()}, given.rounds)
    report.measurements = rate_rows(seconds, megabytes)
    table = [
        [name, *rate, sum(kept[name]), sum(a != b for a, b in zip(kept["ours"], kept[name], strict=True))]
        for name, rate in report.measurements.items()
    ]
    columns = ["", "MB/CPU s", "ours is x", "kept", "other verdict"]
    report.table(f"{len(texts):,} documents, {megabytes:.1f} MB", columns, table)
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
