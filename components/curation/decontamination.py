"""Which documents contain a benchmark item, by which rule, and the report on them.

Words are compared without case and punctuation, in the ordinary forms of their characters (components.text.ngrams). A
document is hit by an item if it contains
- its question, of ten words or more, by ten in a row and most of the rest in order (`ngram_10_ratio`), a shorter one as a whole,
  or with choices behind it (`whole_item`), one of a few words as a line of its own (`whole_line`; components.curation.item_words);
- its question in other words (`paraphrase`; components.text.paraphrases);
- a function with the syntax tree of the item's solution, apart from variables and comments (`code_ast`; phi-1, Gunasekar et
  al. 2023, arXiv 2306.11644, also compared trees). The words of a solution are not compared, since any loop has them. A
  small solution must also have the same name, of several words.

What is notable:
- only the benchmarks are in memory, as hashes in NumPy arrays that workers can map from files; documents are streamed.
- runs are compared as 64-bit hashes: a billion words match one of a million runs by chance with probability 1 in 18,000.
  Shares are counted over the words themselves.
- without data to compare with, the report has the state `nothing checked`, never a clean result; and items that a rule does
  not search for are counted by reason.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from components.benchmarks.items import EXAM, Item, read_items
from components.curation.code_identity import Function, functions, identity, keywords
from components.curation.item_words import ALONE, NEARLY, ItemWords
from components.errors import StepError
from components.files import save_array
from components.params.decontamination import DecontaminationParams
from components.text.ngrams import beginnings, words_in
from components.text.paraphrases import STEM, Paraphrases

FORMAT = 3
EXAMPLES = 5  # hits that a report shows per benchmark
TELLING = 2  # minimum words in the name of a small function that is searched for
SMALL = "fewer nodes than min_code_nodes, and a name of a single word"
NO_FUNCTION = "not a Python function"
FEW = "too few distinctive words"
NOWHERE = "by any rule"
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,500}>")
_NAME = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_NOT_CHECKED = {EXAM: "made after curation, from questions that are held out"}


@dataclass(frozen=True)
class Hit:
    """An item that a document contains.

    Attributes:
        benchmark, item: the benchmark's name and the item's id.
        rule: ngram_10_ratio (with the configured length), whole_item, whole_line, paraphrase or code_ast.
        value, threshold: words in a row, share of the item's words, or nodes of the tree; and the least that is a hit.
        excerpt: the words of the document, or the name of the function.
    """

    benchmark: str
    item: str
    rule: str
    value: float
    threshold: float
    excerpt: str


class BenchmarkIndex:
    """An index of benchmark items to search for. `build` reads the items, `save` and `load` pass the index to workers.

    Attributes:
        items: of all benchmarks, in the order of their suites.
        missing: by benchmark, why its data was not found.
        skipped: by suite, why it has no items to search for.
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
        self._words = ItemWords.build(self.items, params)
        # A head and a few words describe programs that anyone may write.
        self._paraphrases = Paraphrases.build(
            ["" if item.asked.startswith("def ") else item.asked for item in self.items]
        )
        self._programs: dict[str, int] = {}
        self._named: dict[str, dict[str, int]] = {}  # small functions by name
        self._outlines: set[str] = set()
        self._shapes: set[str] = set()
        self._keywords: frozenset[str] = frozenset()
        self._uncompared: dict[int, str] = {}
        self._index_programs()

    @classmethod
    def build(cls, data_dir: Path | None, params: DecontaminationParams, suite: str = "") -> "BenchmarkIndex":
        """The index of the suites that `params` names.

        Args:
            data_dir: folder of the benchmarks' files (docs/benchmarking.md); None = no folder.
            suite: the run's own suite, which is searched for too unless it is the exam.

        Raises:
            StepError: the folder does not exist, a suite is unknown, or a file is damaged.
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
        for part in (self._words, self._paraphrases):
            for name, array in part.arrays.items():
                save_array(folder / f"{type(part).__name__}-{name}.npy", array)
        content = {
            "format": FORMAT,
            "params": self.params.model_dump(),
            "programs": self._programs,
            "named": self._named,
            "outlines": sorted(self._outlines),
            "shapes": sorted(self._shapes),
            "keywords": sorted(self._keywords),
            "uncompared": list(self._uncompared.items()),
            "missing": self.missing,
            "skipped": self.skipped,
            "items": [asdict(item) for item in self.items],
        }
        (folder / "index.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "BenchmarkIndex":
        """An index that `save` wrote; its arrays stay in their files, which all workers of a machine share.

        Raises:
            StepError: the folder does not contain such an index.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}, expected {FORMAT}")
            index = cls.__new__(cls)
            index.items = [Item(**item | {"choices": tuple(item["choices"])}) for item in content["items"]]
            index.params = DecontaminationParams(**content["params"])
            index.missing, index.skipped = content["missing"], content["skipped"]
            index._words = ItemWords(index.params, _mapped(folder, ItemWords))
            index._paraphrases = Paraphrases(_mapped(folder, Paraphrases))
            index._programs = content["programs"]
            index._keywords = frozenset(content["keywords"])
            index._named = content["named"]
            index._outlines = set(content["outlines"])
            index._shapes = set(content["shapes"])
            index._uncompared = dict(content["uncompared"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StepError(f"{folder} has no index of benchmarks ({error}); build it again") from error
        return index

    def _index_programs(self) -> None:
        for number, item in enumerate(self.items):
            if not item.code:
                continue
            found = list(functions(item.code.replace("\r\n", "\n"), "code"))
            asked = [f for f in found if f.name == item.entry] or [f for f in found if not f.node.col_offset]
            if not sum(self._add_program(function, number) for function in asked):
                self._uncompared[number] = SMALL if asked else NO_FUNCTION

    def _add_program(self, function: Function, number: int) -> bool:
        """Add a solution to compare with; False for a small function with a one-word name, which is left out."""
        digest, nodes = identity(function)
        if nodes >= self.params.min_code_nodes:
            self._programs.setdefault(digest, number)
            self._outlines.add(function.outline)
            self._shapes.add(function.shape)
            self._keywords |= {keywords(function)}
        elif len(_NAME.findall(function.name)) >= TELLING:
            self._named.setdefault(function.name, {}).setdefault(digest, number)
        else:
            return False
        return True

    def find(self, texts: Sequence[str], kinds: Sequence[str]) -> list[list[Hit]]:
        """All hits of each document, one per item: by words in document order, then by code, then by paraphrase."""
        checked = [number for number, kind in enumerate(kinds) if kind in self.params.kinds]
        found: list[dict[int, Hit]] = [{} for _ in texts]
        some = [_TAG.sub(" ", texts[n]) if "</" in texts[n] and kinds[n] != "code" else texts[n] for n in checked]
        (words, stems), owner = beginnings(some, [None, STEM])
        for number, text, hits in zip(checked, some, self._words.find(some, words, owner), strict=True):
            said = words_in(text) if hits else []
            for hit in hits:
                excerpt = " ".join(said[hit.first : hit.last])
                found[number][hit.item] = self._hit(hit.item, hit.rule, hit.value, hit.threshold, excerpt)
            if self._keywords or self._named:
                self._of_code(texts[number], kinds[number], found[number])
        least = self.params.min_paraphrase
        for asked in self._paraphrases.find(some, stems, owner, least) if least else ():
            words_there = words_in(some[asked.text])[asked.first : asked.last + 1]
            known = asked.question in found[checked[asked.text]]
            if not known and (asked.share >= NEARLY or self._names(asked.question, words_there)):
                said_so = self._hit(asked.question, "paraphrase", asked.share, least, " ".join(words_there))
                found[checked[asked.text]][asked.question] = said_so
        return [list(hits.values()) for hits in found]

    def _names(self, item: int, words: Sequence[str]) -> bool:
        """Whether the words contain the name of the function that a task asks for, since the task may quote common text."""
        return not self.items[item].code or f" {' '.join(words_in(self.items[item].entry))} " in f" {' '.join(words)} "

    def _of_code(self, text: str, kind: str, found: dict[int, Hit]) -> None:
        for function in functions(text, kind, self._keywords, self._named):
            named = self._named.get(function.name, {})
            if named or (function.outline in self._outlines and function.shape in self._shapes):
                digest, nodes = identity(function)
                least = self.params.min_code_nodes
                item = self._programs.get(digest) if nodes >= least else named.get(digest)
                if item is not None:
                    found.setdefault(item, self._hit(item, "code_ast", nodes, min(nodes, least), function.name))

    def _hit(self, item: int, rule: str, value: float, threshold: float, excerpt: str) -> Hit:
        return Hit(self.items[item].benchmark, self.items[item].id, rule, float(value), float(threshold), excerpt)

    def report(self, documents: int, hits: Iterable[tuple[str, Sequence[Hit]]]) -> dict[str, Any]:
        """The published report of the check, as JSON values.

        Args:
            documents: how many were checked.
            hits: id and hits of each document with hits, equal documents listed separately.

        Returns:
            `state`: checked, checked in part (some benchmark's data is missing) or nothing checked, with `reason`;
            `documents`, `documents_hit`, `params`, `missing`, `skipped`; and by benchmark `items`, `not_searched`
            (items by rule and reason), `items_hit`, `documents_hit`, `by_rule` (hits), `examples`, and `frequent`: items
            in many documents, which may be everyday words.
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
        unsearched = self._unsearched()
        return self._state() | {
            "documents": documents,
            "documents_hit": hit_documents,
            "params": self.params.model_dump(),
            "missing": self.missing,
            "skipped": self.skipped,
            "benchmarks": {
                name: {"items": sizes[name], "not_searched": unsearched[name], **one.record(self.params.frequent)}
                for name, one in sorted(tally.items())
            },
        }

    def _unsearched(self) -> dict[str, dict[str, int]]:
        """Numbers of items that are not searched for, by benchmark, rule and reason."""
        found: dict[str, Counter[str]] = {item.benchmark: Counter() for item in self.items}
        for number, item in enumerate(self.items):
            words = self._words.unsearched[number]
            program = self._uncompared.get(number, "") if item.code else "no program"
            paraphrase = "" if self.params.min_paraphrase and self._paraphrases.searched[number] else FEW
            said = [f"by words: {words}"] * bool(words) + [f"as a program: {program}"] * bool(item.code and program)
            said += [f"question alone: fewer than {ALONE} words"] * self._words.never_alone[number]
            said += [f"in other words: {paraphrase}"] * bool(paraphrase)
            said += [NOWHERE] * bool(words and program and paraphrase)
            found[item.benchmark].update(said)
        return {name: dict(sorted(counts.items())) for name, counts in found.items()}

    def _state(self) -> dict[str, str]:
        if not self.items:
            return {"state": "nothing checked", "reason": "no benchmark data found: nothing checked"}
        if self.missing:
            return {"state": "checked in part", "reason": f"no data for {', '.join(sorted(self.missing))}"}
        return {"state": "checked", "reason": ""}


@dataclass
class _Tally:
    """Counts and examples of the hits of one benchmark."""

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
    """The hits with excerpts that may be published.

    Args:
        redacted: the document, with placeholders for personal data. An excerpt that it no longer contains had some, which
            redaction would not recognise in the excerpt, since that has no punctuation.
    """
    words = _spaced(redacted)
    return [hit if _spaced(hit.excerpt) in words else replace(hit, excerpt="(redacted)") for hit in hits]


def _spaced(text: str) -> str:
    return f" {' '.join(words_in(text))} "


def _mapped(folder: Path, part: type) -> dict[str, np.ndarray]:
    """The arrays of a part of an index, in their files."""
    prefix = f"{part.__name__}-"
    return {
        path.stem.removeprefix(prefix): np.load(path, mmap_mode="r", allow_pickle=False)
        for path in sorted(folder.glob(f"{prefix}*.npy"))
    }
