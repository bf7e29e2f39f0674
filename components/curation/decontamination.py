"""Which documents hold an item of a benchmark, by which rule, and the report of it.

Words are compared without case and punctuation, in the ordinary forms of their characters (components.text.ngrams). A
document is hit by an item if it holds
- any 13 words in a row of it (`ngram_13`: Brown et al. 2020, arXiv 2005.14165, appendix C; phi-1, Gunasekar et al. 2023,
  arXiv 2306.11644);
- 10 words in a row of it, and around them more than half of the item's words, by difflib.SequenceMatcher, whose blocks
  are in order (`ngram_10_ratio`: Cosmopedia's rule);
- the whole of an item of fewer than 10 words, at least 8 (`whole_item`); a shorter one is not looked for, and counted;
- a function whose syntax tree is that of the item's solution, names and notes aside (`code_ast`; phi-1 compared trees too).

What is notable:
- only the benchmarks are held, as hashes in NumPy arrays, which workers can map from files; documents stream past.
- runs are compared as 64-bit hashes: a billion words meet a million runs by chance with a probability of 1 in 18,000.
  Shares are counted over the words themselves.
- nothing to compare with is a state of its own in the report, `nothing checked`, never a clean result.
"""

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from components.benchmarks.items import EXAM, Item, read_items
from components.curation.code_identity import functions, identity, opening
from components.errors import StepError
from components.files import save_array
from components.params.decontamination import DecontaminationParams
from components.text.ngrams import RunSet, all_runs, shared_runs, word_hashes, words_in

FORMAT = 1
EXAMPLES = 5  # hits that a report shows of a benchmark
OWNERS = 64  # items that one run is held against; runs of more are a template's
_PLACES = 8  # of one item in one document that are compared
_NOT_CHECKED = {EXAM: "made after curation, from questions that are held out"}


@dataclass(frozen=True)
class Hit:
    """An item that a document holds.

    Attributes:
        benchmark, item: whose, and its id.
        rule: ngram_13, ngram_10_ratio (with the lengths that are set), whole_item or code_ast.
        value, threshold: words in a row, share of the item's words, or nodes of the tree, and what of it makes a hit.
        excerpt: the words of the document, or the name of the function.
    """

    benchmark: str
    item: str
    rule: str
    value: float
    threshold: float
    excerpt: str


class _Runs(RunSet):
    """Runs of one length, and the items that hold each: `owners[starts[i]:starts[i + 1]]`."""

    def __init__(self, runs: np.ndarray, starts: np.ndarray, owners: np.ndarray) -> None:
        super().__init__(runs)
        self.starts, self.owners = starts, owners

    def items(self, place: int) -> list[int]:
        start = int(self.starts[place])
        return self.owners[start : min(int(self.starts[place + 1]), start + OWNERS)].tolist()


class BenchmarkIndex:
    """The items of benchmarks, ready to be looked for. `build` reads them, `save` and `load` hand them to workers.

    Attributes:
        items: of all benchmarks, in the order of their suites.
        missing: by benchmark, why it has none here.
        skipped: by suite, why it has none at all.
    """

    def __init__(
        self,
        items: Sequence[Item],
        params: DecontaminationParams,
        missing: dict[str, str] | None = None,
        skipped: dict[str, str] | None = None,
    ) -> None:
        self.items, self.params = list(items), params
        self.missing, self.skipped = missing or {}, skipped or {}
        self._texts = [item.text for item in self.items]
        hashes, owner = word_hashes(self._texts)
        self.words = np.bincount(owner, minlength=len(self.items)).astype(np.int64)
        self._tables = {
            length: table for length in self._lengths() if len((table := self._table(hashes, owner, length)).runs)
        }
        self._programs: dict[str, int] = {}
        self._shapes: set[str] = set()
        self._openings: frozenset[str] = frozenset()
        self._index_programs()

    @classmethod
    def build(cls, data_dir: Path | None, params: DecontaminationParams, suite: str = "") -> "BenchmarkIndex":
        """The index of the suites that `params` names.

        Args:
            data_dir: folder of the benchmarks' files (docs/benchmarking.md); None where there is none.
            suite: the run's own, which is looked for, too, unless it is the exam.

        Raises:
            StepError: the folder is not there, a suite is unknown, or a file is damaged.
        """
        if data_dir is not None and not Path(data_dir).is_dir():
            raise StepError(f"the folder of the benchmarks' data {data_dir} is not there; see benchmarking.data_dir")
        if suite not in ("", EXAM, *params.suites):
            params = params.model_copy(update={"suites": [*params.suites, suite]})
        items, missing = read_items(data_dir, params.suites)
        return cls(items, params, missing, {name: why for name, why in _NOT_CHECKED.items() if name in params.suites})

    def save(self, folder: Path) -> None:
        """Write the index to an empty or new folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for length, table in self._tables.items():
            for name in ("runs", "starts", "owners"):
                save_array(folder / f"{name}-{length}.npy", getattr(table, name))
        save_array(folder / "words.npy", self.words)
        content = {
            "format": FORMAT,
            "params": self.params.model_dump(),
            "lengths": list(self._tables),
            "programs": self._programs,
            "shapes": sorted(self._shapes),
            "openings": sorted(self._openings),
            "missing": self.missing,
            "skipped": self.skipped,
            "items": [asdict(item) for item in self.items],
        }
        (folder / "index.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "BenchmarkIndex":
        """An index that `save` wrote; its arrays stay in their files, which all workers of a machine share.

        Raises:
            StepError: the folder holds no such index.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}, expected {FORMAT}")
            index = cls.__new__(cls)
            index.items = [Item(**item) for item in content["items"]]
            index.params = DecontaminationParams(**content["params"])
            index.missing, index.skipped = content["missing"], content["skipped"]
            index._texts = [item.text for item in index.items]
            index.words = np.load(folder / "words.npy", allow_pickle=False)
            index._tables = {length: _Runs(*_mapped(folder, length)) for length in content["lengths"]}
            index._programs = content["programs"]
            index._openings = frozenset(content["openings"])
            index._shapes = set(content["shapes"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StepError(f"{folder} has no index of benchmarks ({error}); build it again") from error
        return index

    def _lengths(self) -> list[int]:
        own = self.params
        whole = np.unique(self.words[(self.words >= own.min_words) & (self.words < own.candidate_ngram)]).tolist()
        return sorted({own.ngram, own.candidate_ngram, *whole})

    def _table(self, hashes: np.ndarray, owner: np.ndarray, length: int) -> _Runs:
        """The runs of a length; below a candidate's length only those that are a whole item."""
        runs, first = all_runs(hashes, owner, length)
        owners = owner[first]
        if length < self.params.candidate_ngram:
            whole = self.words[owners] == length
            runs, owners = runs[whole], owners[whole]
        order = np.argsort(runs, kind="stable")  # of equal runs the first item comes first
        runs, owners = runs[order], owners[order]
        fresh = np.ones(len(runs), dtype=bool)
        fresh[1:] = (runs[1:] != runs[:-1]) | (owners[1:] != owners[:-1])
        runs, owners = runs[fresh], owners[fresh]
        distinct, starts = np.unique(runs, return_index=True)
        return _Runs(distinct, np.append(starts, len(runs)).astype(np.int64), owners.astype(np.int32))

    def _index_programs(self) -> None:
        for number, item in enumerate(self.items):
            if not item.code:
                continue
            found = list(functions(item.code.replace("\r\n", "\n"), "code"))
            asked = [f for f in found if f.name == item.entry] or [f for f in found if not f.node.col_offset]
            for function in asked:
                digest, nodes = identity(function)
                if nodes >= self.params.min_code_nodes:
                    self._programs.setdefault(digest, number)
                    self._shapes.add(function.shape)
                    self._openings |= {opening(function)}

    def find(self, texts: Sequence[str], kinds: Sequence[str]) -> list[list[Hit]]:
        """All hits of each document, one an item: by words in the order of the document, then by code.

        A run of words that several items share counts for the first of them alone.
        """
        checked = [kind in self.params.kinds for kind in kinds]
        found: list[dict[int, Hit]] = [{} for _ in texts]
        runs: list[dict[int, list[tuple[int, int]]]] = [
            {} for _ in texts
        ]  # by length: (first word, place in the table)
        for document, length, word, place in self._shared(
            [t if c else "" for t, c in zip(texts, checked, strict=True)]
        ):
            runs[document].setdefault(length, []).append((word, place))
        for number, shared in enumerate(runs):
            if shared:
                found[number] = self._of_words(texts[number], shared)
        if self._programs:
            for number, text in enumerate(texts):
                if checked[number]:
                    self._of_code(text, kinds[number], found[number])
        return [list(hits.values()) for hits in found]

    def _shared(self, texts: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
        """Every run of the texts that an item has: (document, length, number of its first word, place in the table)."""
        hashes, owner = word_hashes(texts)
        begins = np.searchsorted(owner, np.arange(len(texts)))
        for length, first, places in shared_runs(hashes, owner, self._tables):
            documents = owner[first]
            rows = zip(documents, first - begins[documents], places, strict=True)
            yield from ((int(document), length, int(word), int(place)) for document, word, place in rows)

    def _of_words(self, text: str, shared: dict[int, list[tuple[int, int]]]) -> dict[int, Hit]:
        words = words_in(text)
        own = self.params
        found: dict[int, Hit] = {}
        for length, places in sorted(shared.items(), reverse=True):
            table = self._tables[length]
            if length == own.candidate_ngram and length != own.ngram:
                self._of_candidates(words, places, found)
                continue
            rule, threshold = (f"ngram_{length}", length) if length == own.ngram else ("whole_item", own.min_words)
            for word, place in places:
                item = table.items(place)[0]
                excerpt = " ".join(words[word : word + length])
                found.setdefault(item, self._hit(item, rule, length, threshold, excerpt))
        return found

    def _of_candidates(self, words: Sequence[str], places: Sequence[tuple[int, int]], found: dict[int, Hit]) -> None:
        """Add the items of which more than the share that is asked stands around a run."""
        length, least = self.params.candidate_ngram, self.params.min_match_ratio
        by_item: dict[int, list[int]] = {}
        for word, place in places:
            for item in self._tables[length].items(place):
                if item not in found:
                    by_item.setdefault(item, []).append(word)
        for item, at in by_item.items():
            asked = words_in(self._texts[item])
            compared, end = 0, -1
            for word in at:
                if word < end or compared == _PLACES:
                    continue
                compared, end = compared + 1, word + length
                around = words[max(0, word - len(asked)) : word + length + len(asked)]
                ratio = _matched(around, asked, least)
                if ratio > least:
                    excerpt = " ".join(words[word : word + length])
                    found[item] = self._hit(item, f"ngram_{length}_ratio", ratio, least, excerpt)
                    break

    def _of_code(self, text: str, kind: str, found: dict[int, Hit]) -> None:
        for function in functions(text, kind, self._openings):
            if function.shape not in self._shapes:
                continue
            digest, nodes = identity(function)
            item = self._programs.get(digest)
            if item is not None:
                found.setdefault(item, self._hit(item, "code_ast", nodes, self.params.min_code_nodes, function.name))

    def _hit(self, item: int, rule: str, value: float, threshold: float, excerpt: str) -> Hit:
        return Hit(self.items[item].benchmark, self.items[item].id, rule, float(value), float(threshold), excerpt)

    def report(self, documents: int, hits: Iterable[tuple[str, Sequence[Hit]]]) -> dict[str, Any]:
        """What is published of the check, as JSON takes it.

        Args:
            documents: how many were checked.
            hits: id and hits of each document that has some; of equal documents each.

        Returns:
            `state`: checked, checked in part (some benchmark's data is missing) or nothing checked, with `reason`;
            `documents`, `documents_hit`, `params`, `missing`, `skipped`; and by benchmark `items`, `too_short` (not
            looked for), `items_hit`, `documents_hit`, `by_rule` (hits), `examples`, and `frequent`: items in many
            documents, which may be everyday words.
        """
        tally: dict[str, _Tally] = {item.benchmark: _Tally() for item in self.items}
        hit_documents = 0
        for document, found in hits:
            hit_documents += bool(found)
            for benchmark in {hit.benchmark for hit in found}:
                tally[benchmark].documents += 1
            for hit in found:
                tally[hit.benchmark].add(document, hit)
        sizes = Counter(item.benchmark for item in self.items)
        short = Counter(
            item.benchmark
            for item, words in zip(self.items, self.words.tolist(), strict=True)
            if words < self.params.min_words
        )
        return self._state() | {
            "documents": documents,
            "documents_hit": hit_documents,
            "params": self.params.model_dump(),
            "missing": self.missing,
            "skipped": self.skipped,
            "benchmarks": {
                name: {"items": sizes[name], "too_short": short[name], **one.record(self.params.frequent)}
                for name, one in sorted(tally.items())
            },
        }

    def _state(self) -> dict[str, str]:
        if not self.items:
            return {"state": "nothing checked", "reason": "no benchmark data found: nothing checked"}
        if self.missing:
            return {"state": "checked in part", "reason": f"no data for {', '.join(sorted(self.missing))}"}
        return {"state": "checked", "reason": ""}


@dataclass
class _Tally:
    """What was found of one benchmark."""

    documents: int = 0
    items: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def add(self, document: str, hit: Hit) -> None:
        self.items[hit.item] += 1
        self.rules[hit.rule] += 1
        if len(self.examples) < EXAMPLES:
            shown = {name: value for name, value in asdict(hit).items() if name != "benchmark"}
            self.examples.append({"document": document, **shown})

    def record(self, frequent: int) -> dict[str, Any]:
        often = sorted(((n, item) for item, n in self.items.items() if n > frequent), key=lambda row: (-row[0], row[1]))
        return {
            "items_hit": len(self.items),
            "documents_hit": self.documents,
            "by_rule": dict(sorted(self.rules.items())),
            "examples": self.examples,
            "frequent": [{"item": item, "documents": n} for n, item in often],
        }


def shown(hits: Sequence[Hit], redacted: str) -> list[Hit]:
    """The hits as they may be written down.

    Args:
        redacted: the document, with placeholders for personal data. An excerpt that no longer stands there had some: its own
            words, without their signs, would not be known as such.
    """
    words = _spaced(redacted)
    return [hit if _spaced(hit.excerpt) in words else replace(hit, excerpt="(redacted)") for hit in hits]


def _spaced(text: str) -> str:
    return f" {' '.join(words_in(text))} "


def _matched(around: Sequence[str], asked: Sequence[str], least: float) -> float:
    """Share of the item's words in the blocks that it has in common with the words around a run, in order."""
    at_most = (Counter(around) & Counter(asked)).total() / len(asked)
    if at_most <= least:
        return at_most
    blocks = difflib.SequenceMatcher(None, around, asked, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(asked)


def _mapped(folder: Path, length: int) -> Iterator[np.ndarray]:
    for name in ("runs", "starts", "owners"):
        yield np.load(folder / f"{name}-{length}.npy", mmap_mode="r", allow_pickle=False)
