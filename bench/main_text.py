"""The main text of web pages against text that people have marked: F1, precision, recall and CPU time of each extractor.

    python -m bench.main_text FOLDER [FOLDER ...] [--every 1]

A folder is a clone of one of two sets, and each is scored as its own repository scores:

    github.com/scrapinghub/article-extraction-benchmark   181 articles with their whole text: runs of four words in common
    github.com/adbar/trafilatura                          990 pages, each with some passages that belong and some that do not

Contenders are our extractors (plain text; Markdown with `auto`), resiliparse as it is with and without alternative texts, and
trafilatura, with and without its fallbacks. All read the same decoded text, page by page in turn, so that other work on the
machine slows all of them alike. "x today" is the CPU time relative to our own extractor before there was a second one:
resiliparse with alternative texts, its parse, title and licences included.
"""

import gzip
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.common import plain_parser
from components.ingestion.parsing import Refusal
from components.ingestion.readers.base import NotText
from components.ingestion.readers.decoding import decode

Counts = tuple[float, float, float]  # of what is right, wrong, missing
Extractor = Callable[[str], str]
SHINGLE = 4  # words
_WORD, _BLANKS = re.compile(r"\w+"), re.compile(r"\s+")


@dataclass
class GoldSet:
    """Pages and what people say of their text.

    Attributes:
        pages: bytes of each, and what its text is held against.
        judge: counts of one text against that.
        total: F1, precision and recall of many counts.
    """

    name: str
    pages: list[tuple[bytes, Any]]
    judge: Callable[[Any, str], Counts]
    total: Callable[[list[Counts]], tuple[float, float, float]]


@dataclass
class Score:
    counts: list[Counts] = field(default_factory=list)
    seconds: float = 0.0
    empty: int = 0


def read_gold(folder: Path) -> GoldSet:
    """The set in a folder, whichever of the two it is."""
    if (truth := folder / "ground-truth.json").is_file():
        found = json.loads(truth.read_text(encoding="utf-8"))
        pages = [(gzip.decompress((folder / "html" / f"{key}.html.gz").read_bytes()), found[key]) for key in found]
        return GoldSet(
            "articles", [(page, gold["articleBody"]) for page, gold in pages], shared_shingles, mean_of_pages
        )
    tests = folder / "tests" if (folder / "tests").is_dir() else folder
    if not (truth := tests / "evaldata.json").is_file():
        sys.exit(
            f"{folder} holds neither ground-truth.json nor tests/evaldata.json; expected a clone of one of the two sets"
        )
    places = [tests / "cache", tests / "eval"]
    passages = json.loads(truth.read_text(encoding="utf-8")).values()
    pages = [
        (next(place / gold["file"] for place in places if (place / gold["file"]).is_file()).read_bytes(), gold)
        for gold in passages
    ]
    return GoldSet("passages", pages, found_passages, sum_of_pages)


def shared_shingles(gold: str, text: str) -> Counts:
    """As evaluate.py of article-extraction-benchmark counts: as shares, so that long texts do not weigh more."""
    wanted, given = shingles(gold), shingles(text)
    right, wrong, missing = (wanted & given).total(), (given - wanted).total(), (wanted - given).total()
    every = right + wrong + missing
    return (right / every, wrong / every, missing / every) if every else (0.0, 0.0, 0.0)


def shingles(text: str) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text)
    found = (tuple(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1)))
    return Counter(shingle for shingle in found if shingle)


def mean_of_pages(counts: list[Counts]) -> tuple[float, float, float]:
    """F1 of the means of the pages' precision and recall."""
    precisions = [ratio(right, wrong, missing) for right, wrong, missing in counts if right + wrong]
    recalls = [ratio(right, missing, wrong) for right, wrong, missing in counts if right + missing]
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 2 * precision * recall / (precision + recall), precision, recall


def ratio(right: float, lost: float, other: float) -> float:
    return 1.0 if not lost and not other else right / (right + lost) if right + lost else 0.0


def found_passages(gold: dict[str, list[str]], text: str) -> Counts:
    """As eval_common.py of trafilatura counts: passages, whatever their blanks."""
    text = squeezed(text)
    right = sum(squeezed(passage) in text for passage in gold["with"])
    wrong = sum(squeezed(passage) in text for passage in gold["without"])
    return right, wrong, len(gold["with"]) - right


def squeezed(text: str) -> str:
    return _BLANKS.sub(" ", text).strip()


def sum_of_pages(counts: list[Counts]) -> tuple[float, float, float]:
    right, wrong, missing = (sum(column) for column in zip(*counts, strict=True))
    return 2 * right / (2 * right + wrong + missing), right / (right + wrong), right / (right + missing)


def extractors() -> dict[str, Extractor]:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree
    from trafilatura import extract

    from components.ingestion.parsing import pages

    def ours(html: str, **options: Any) -> str:
        return pages.parse(html, **options)["text"]

    def resiliparse(html: str, alt_texts: bool) -> str:
        tree = HTMLTree.parse(html)
        _ = tree.title, tree.document and tree.document.query_selector_all("[rel~=license][href]")
        return extract_plain_text(tree, main_content=True, comments=False, post_meta=False, alt_texts=alt_texts)

    def trafilatura(html: str, fast: bool) -> str:
        return extract(html, fast=fast, include_comments=False, include_tables=True, include_formatting=False) or ""

    return {
        TODAY: partial(resiliparse, alt_texts=True),
        "resiliparse without alt texts": partial(resiliparse, alt_texts=False),
        "ours: fast": partial(ours, extractor="fast"),
        "ours: auto": partial(ours, extractor="auto"),
        "ours: auto, as Markdown": partial(ours, extractor="auto", markdown=True),
        "ours: careful": partial(ours, extractor="careful"),
        "trafilatura fast": partial(trafilatura, fast=True),
        "trafilatura": partial(trafilatura, fast=False),
    }


TODAY = "resiliparse with alt texts"


def decoded(page: bytes) -> str:
    try:
        return decode(page, cut_off=True)[0]
    except NotText:
        return page.decode("utf-8", "replace")


def measure(gold: GoldSet, ways: dict[str, Extractor], every: int) -> dict[str, Score]:
    scores = {name: Score() for name in ways}
    for extract in ways.values():
        extract("<p>one page, so that imports are not counted</p>")
    for page, truth in gold.pages[::every]:
        html = decoded(page)
        for name, extract in ways.items():
            started = time.process_time()
            try:
                text = extract(html)
            except Refusal:
                text = ""
            scores[name].seconds += time.process_time() - started
            scores[name].empty += not text.strip()
            scores[name].counts.append(gold.judge(truth, text))
    return scores


def rows(gold: GoldSet, scores: dict[str, Score]) -> Iterable[dict[str, Any]]:
    today = scores[TODAY].seconds
    for name, score in scores.items():
        f1, precision, recall = gold.total(score.counts)
        milliseconds = 1e3 * score.seconds / len(score.counts)
        yield {
            "extractor": name,
            "f1": f1,
            "precision": precision,
            "recall": recall,
            "cpu_ms": milliseconds,
            "times_today": score.seconds / today,
            "empty": score.empty,
        }


def main() -> int:
    made = plain_parser(__doc__)
    made.add_argument("folders", type=Path, nargs="+", help="clones of the sets")
    made.add_argument("--every", type=int, default=1, help="take every n-th page (default: all)")
    made.add_argument("--json", type=Path, help="also write everything measured to this file")
    arguments = made.parse_args()
    measured = {}
    for folder in arguments.folders:
        gold = read_gold(folder)
        scores = measure(gold, extractors(), arguments.every)
        measured[gold.name] = list(rows(gold, scores))
        print(f"\n{gold.name}: {len(gold.pages[:: arguments.every])} pages of {folder}\n")
        print(f"{'extractor':<32}{'F1':>7}{'precision':>11}{'recall':>8}{'CPU ms':>8}{'x today':>9}{'empty':>7}")
        for row in measured[gold.name]:
            print(
                f"{row['extractor']:<32}{row['f1']:>7.4f}{row['precision']:>11.4f}{row['recall']:>8.4f}"
                f"{row['cpu_ms']:>8.2f}{row['times_today']:>9.1f}{row['empty']:>7}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
