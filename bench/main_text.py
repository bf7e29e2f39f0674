"""The main text of web pages compared with text that people have marked: F1, precision, recall and CPU time by extractor.

    python -m bench.main_text FOLDER [FOLDER ...] [--every 1]

A folder is a clone of one of two sets, and each is scored by the method of its repository:

    github.com/scrapinghub/article-extraction-benchmark   181 articles with their whole text: runs of four words in common
    github.com/adbar/trafilatura                          990 pages, each with some passages that belong and some that do not

Contenders are our extractors (plain text; Markdown with `auto`), resiliparse with and without alternative texts, and
trafilatura with and without its fallbacks. All read the same decoded text, page by page in turn, so that other load affects
all equally. The time of an extractor is that within its process. "x resiliparse" compares whole readers: the extractors with
the measured time of our reader for decoding and for the way to the parser's process and back.
"""

import contextlib
import gzip
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.common import Report, machine, parser
from components.ingestion.parsing import Refusal
from components.ingestion.readers.base import NotText, Refused
from components.ingestion.readers.decoding import decode

Counts = tuple[float, float, float]  # right, wrong, missing
Extractor = Callable[[str], str]
SHINGLE = 4  # words
_WORD, _BLANKS = re.compile(r"\w+"), re.compile(r"\s+")


@dataclass
class GoldSet:
    """Pages with the text that people have marked.

    Attributes:
        pages: bytes of each, and the reference for its text.
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
            f"{folder} has neither ground-truth.json nor tests/evaldata.json; expected a clone of one of the two sets"
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
    """Counts as in eval_common.py of trafilatura: passages, without regard to blanks."""
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
        ALONE: partial(resiliparse, alt_texts=True),
        "resiliparse without alt texts": partial(resiliparse, alt_texts=False),
        FAST: partial(ours, extractor="fast"),
        "ours: auto": partial(ours, extractor="auto"),
        "ours: auto, as Markdown": partial(ours, extractor="auto", markdown=True),
        "ours: careful": partial(ours, extractor="careful"),
        "trafilatura fast": partial(trafilatura, fast=True),
        "trafilatura": partial(trafilatura, fast=False),
    }


FAST = "ours: fast"
ALONE = "resiliparse with alt texts"


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


def reading(gold: GoldSet, every: int) -> float:
    """CPU seconds of our reader with its fast extractor, in this process and in the parser's."""
    import psutil

    from components.ingestion.readers import isolation
    from components.ingestion.readers.pages import read_page

    read_page(b"<p>one page, so that the process exists")
    child = psutil.Process(isolation.parser()._process.pid)
    before, started = sum(child.cpu_times()[:2]), time.process_time()
    for page, _ in gold.pages[::every]:
        with contextlib.suppress(NotText, Refused):
            read_page(page, extractor="fast", markdown=False)
    return time.process_time() - started + sum(child.cpu_times()[:2]) - before


def rows(scores: dict[str, Score], gold: GoldSet, around: float) -> dict[str, dict[str, Any]]:
    alone = scores[ALONE].seconds + around
    found = {}
    for name, score in scores.items():
        f1, precision, recall = gold.total(score.counts)
        found[name] = {
            "f1": f1,
            "precision": precision,
            "recall": recall,
            "cpu_ms": 1e3 * score.seconds / len(score.counts),
            "times": (score.seconds + around) / alone,
            "empty": score.empty,
        }
    return found


def main() -> int:
    options = parser(__doc__)
    options.add_argument("folders", type=Path, nargs="+", help="clones of the sets")
    options.add_argument("--every", type=int, default=1, help="take every n-th page")
    given = options.parse_args()
    report = Report("Main text of web pages", machine())
    report.measurements = {}
    columns = {"f1": "F1", "precision": "precision", "recall": "recall", "cpu_ms": "CPU ms", "times": "x resiliparse"}
    for folder in given.folders:
        gold = read_gold(folder)
        scores = measure(gold, extractors(), given.every)
        around = max(0.0, reading(gold, given.every) - scores[FAST].seconds)
        found = rows(scores, gold, around)
        pages = len(gold.pages[:: given.every])
        caption = f"{gold.name}: {pages} pages of {folder.name}; the reader adds {1e3 * around / pages:.2f} ms to each"
        report.table_of(caption, columns | {"empty": "without text"}, found)
        report.measurements[gold.name] = found
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
