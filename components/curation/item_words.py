"""Benchmark items that texts contain in words: their questions, and short questions with their choices.

An item is identified by its question. However choices and answer are printed, the question is in one piece:
- a question of `candidate_ngram` words or more is found by that many in a row, if more than the share `min_match_ratio` of
  the question surrounds them in order, and at least `ngram` words (the thresholds of Cosmopedia and GPT-3 together: either
  alone mistakes a definition or a law that a question quotes for the question);
- a shorter one of at least `min_words` by all of its words;
- one shorter still by all of its words, followed by its right answer or half of its choices, together `min_words`; or of
  ALONE words or more, where it is a line of its own.

What is notable:
- letters, digits or "answer" may separate a question and its choices. A short question is looked up by five words in a row
  of all these forms, so that two lengths of runs are looked up in a text whatever the items are.
- sequences of counting words (1, 2, 3; one, two, three; a, b, c; months; weekdays) and repeated words are ignored: a question
  or a run needs DISTINCT others.
- a program's task may quote common text. Unless nearly all of the task is there, the name that it asks for must be, too.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice, repeat

import numpy as np

from components.benchmarks.items import GAP, Item
from components.params.decontamination import DecontaminationParams
from components.text.characters import fold
from components.text.counting import distinct
from components.text.ngrams import WORDS, OwnedRuns, all_runs, shared_runs, word_hashes, words_in

ANCHOR = 5  # words in a row by which shorter questions are looked up
OWNERS = 64  # maximum items per run; runs shared by more come from a template
ALONE = 3  # minimum words of a question that is found as a line of its own
DISTINCT = 4  # minimum words of a question or a run, without counting words and repetitions
NEARLY = 0.9  # share of a question that counts as all of it, apart from a misprint
BETWEEN = 6  # maximum words before a choice: "b the right answer is"
TOO_SHORT = f"fewer than {ALONE} words, and than min_words with the choices"
COUNTING = "words that count or repeat"
OF_MANY = "words that many items share"
NO_WORDS = "no question in words"
REASONS = ("", TOO_SHORT, COUNTING, OF_MANY, NO_WORDS)
_PLACES = 8  # maximum places of one item compared per document
_LABEL = re.compile(r"(?:q|question|exercise|problem|goal)?\d*[a-h]?")  # the words before a question on its line


@dataclass(frozen=True)
class Found:
    """An item in a text: its number, the rule, the measured value, the threshold, and the place of its words."""

    item: int
    rule: str
    value: float
    threshold: float
    first: int
    last: int


class ItemWords:
    """The items' words; its arrays can be saved and mapped.

    Attributes:
        arrays: the constructor's argument.
        unsearched: per item, why it is not searched for by words; empty if it is.
        never_alone: per item, whether it is searched for, but its question has too few words to be found by itself.
    """

    def __init__(self, params: DecontaminationParams, arrays: Mapping[str, np.ndarray]) -> None:
        self._own, self.arrays = params, arrays
        self._words, self._ends, self._firsts = arrays["words"], arrays["ends"], arrays["firsts"]
        self._tables = {
            length: OwnedRuns(*(arrays[f"{length}_{part}"] for part in ("runs", "starts", "owners")))
            for length in (ANCHOR, params.candidate_ngram)
            if len(arrays[f"{length}_runs"])
        }
        self._alone = {
            length: OwnedRuns(*(arrays[f"alone_{length}_{part}"] for part in ("runs", "starts", "owners")))
            for length in range(ALONE, params.min_words)
            if len(arrays[f"alone_{length}_runs"])
        }
        self.unsearched = [REASONS[reason] for reason in arrays["reasons"].tolist()]
        asked = np.diff(self._ends)[self._firsts[:-1] + ASKED]
        self.never_alone = ((arrays["reasons"] == 0) & (asked < min(ALONE, params.min_words))).tolist()

    @classmethod
    def build(cls, items: Sequence[Item], params: DecontaminationParams) -> "ItemWords":
        """An index of the items' words to search for."""
        rows = [_pieces(item) for item in items]
        words, owner = word_hashes([piece for row in rows for piece in row])
        counts = np.bincount(owner, minlength=sum(map(len, rows)))
        firsts = np.append(0, np.cumsum([len(row) for row in rows])).astype(np.int64)
        reasons = np.zeros(len(items), dtype=np.int8)
        forms: dict[int, list[tuple[int, str]]] = {ANCHOR: [], params.candidate_ngram: []}
        for number, (item, row) in enumerate(zip(items, rows, strict=True)):
            sizes = counts[firsts[number] : firsts[number + 1]].tolist()
            reasons[number] = _reason(row, sizes, params.min_words)
            if reasons[number]:
                continue
            if sizes[ASKED] < params.candidate_ngram:
                short = sizes[ASKED] < params.min_words
                forms[ANCHOR] += [(number, form) for form in (_printed(item) if short else [row[ASKED]])]
            long = sizes[ASKED] >= params.candidate_ngram
            forms[params.candidate_ngram] += [
                (number, form) for form in (row[ASKED if long else WHOLE], *_filled(item))
            ]
        arrays = {"words": words, "ends": np.append(0, np.cumsum(counts)), "firsts": firsts}
        found = []
        for length, texts in forms.items():
            hashes, of = word_hashes([form for _, form in texts])
            runs, at = all_runs(hashes, of, length)
            owners = np.array([number for number, _ in texts], dtype=np.int32)[of[at]]
            table = OwnedRuns.build(runs, owners, OWNERS if length == ANCHOR else 0)
            arrays |= {f"{length}_{part}": getattr(table, part) for part in ("runs", "starts", "owners")}
            found.append(table.owners)
        lost = np.setdiff1d(np.flatnonzero(reasons == 0), np.concatenate(found))
        reasons[lost] = REASONS.index(OF_MANY)
        for length in range(ALONE, params.min_words):
            alone = [
                (number, row[ASKED])
                for number, row in enumerate(rows)
                if counts[firsts[number]] == length
                and not items[number].code
                and distinct(words_in(row[ASKED])) >= ALONE
            ]
            hashes, of = word_hashes([asked for _, asked in alone])
            owners = np.array([number for number, _ in alone], dtype=np.int32)
            table = OwnedRuns.build(all_runs(hashes, of, length)[0], owners)
            arrays |= {f"alone_{length}_{part}": getattr(table, part) for part in ("runs", "starts", "owners")}
            reasons[owners] = 0
        return cls(params, arrays | {"reasons": reasons})

    def find(self, texts: Sequence[str], hashes: np.ndarray, owner: np.ndarray) -> list[list[Found]]:
        """The items that each text contains, in the order of its words.

        Args:
            hashes, owner: the texts' words, as `word_hashes` returns them.
        """
        begins = np.searchsorted(owner, np.arange(len(texts) + 1)).tolist()
        rows: list[dict[tuple[int, int], list[int]]] = [{} for _ in texts]  # places by run length and item
        for length, first, places in shared_runs(hashes, owner, self._tables):
            run, items = self._tables[length].items(places, OWNERS)
            for at, item in zip(first[run].tolist(), items.tolist(), strict=True):
                text = int(owner[at])
                rows[text].setdefault((length, item), []).append(at - begins[text])
        alone: list[list[tuple[int, int, int]]] = [[] for _ in texts]
        for length, first, places in shared_runs(hashes, owner, self._alone):
            run, items = self._alone[length].items(places, OWNERS)
            for at, item in zip(first[run].tolist(), items.tolist(), strict=True):
                text = int(owner[at])
                alone[text].append((item, at - begins[text], length))
        found: list[list[Found]] = []
        for number, row in enumerate(rows):
            words = hashes[begins[number] : begins[number + 1]]
            hits = {hit.item: hit for hit in self._verified(row, words, texts[number])}
            for item, at, length in alone[number]:
                if item not in hits and _is_line(texts[number], at, length):
                    hits[item] = Found(item, "whole_line", length, ALONE, at, at + length)
            found.append(sorted(hits.values(), key=lambda hit: hit.first))
        return found

    def _verified(self, row: dict[tuple[int, int], list[int]], words: np.ndarray, text: str) -> Iterator[Found]:
        for (length, item), places in row.items():
            look = self._long if length == self._own.candidate_ngram else self._short
            compared, end = 0, -1
            for at in places:
                if at < end or compared == _PLACES:
                    continue
                compared, end = compared + 1, at + length
                if hit := look(item, words, at):
                    if length == ANCHOR or distinct(words_in(text)[at : at + length]) >= DISTINCT:
                        yield hit
                    break

    def _piece(self, item: int, piece: int) -> np.ndarray:
        place = int(self._firsts[item]) + piece
        return self._words[int(self._ends[place]) : int(self._ends[place + 1])]

    def _long(self, item: int, words: np.ndarray, at: int) -> Found | None:
        """A hit if enough of the question, or of a short one and its answer, surrounds a run."""
        own, asked = self._own, self._piece(item, ASKED)
        short = len(asked) < own.candidate_ngram
        compared = self._piece(item, WHOLE) if short else asked
        around = words[max(0, at - len(compared)) : at + own.candidate_ngram + len(compared)]
        least = max(own.min_match_ratio, min(NEARLY, own.ngram / len(compared)))
        share = _matched(around.tolist(), compared.tolist(), least)
        needed = asked if short else self._piece(item, NAME) if share < NEARLY else asked[:0]
        if share <= least or _place(around, needed) is None:
            return None
        return Found(item, f"ngram_{own.candidate_ngram}_ratio", share, least, at, at + own.candidate_ngram)

    def _short(self, item: int, words: np.ndarray, at: int) -> Found | None:
        """A hit if the question surrounds a run, and a very short question is followed by answers."""
        asked, least = self._piece(item, ASKED), self._own.min_words
        choices = [self._piece(item, n) for n in range(CHOICES, int(self._firsts[item + 1] - self._firsts[item]))]
        answer = self._piece(item, ANSWER)
        printed = sum(map(len, choices)) + len(answer) + BETWEEN * (2 + len(choices))
        start = max(0, at - len(asked) - (printed if len(asked) < least else 0))
        place = _place(words[start : at + ANCHOR + len(asked)], asked)
        if place is None:
            return None
        place += start
        if len(asked) >= least:
            return Found(item, "whole_item", len(asked), least, place, place + len(asked))
        behind = words[place + len(asked) : place + len(asked) + printed]
        there = [len(choice) for choice in choices if _place(behind, choice) is not None]
        many = len(there) * 2 > len(choices)
        right = len(answer) and _place(behind[: BETWEEN + len(answer)], answer) is not None
        total = len(asked) + max(sum(there) if many else 0, len(answer) if right else 0)
        if total < least or not (many or right):
            return None
        return Found(item, "whole_item", total, least, place, place + total)


ASKED, WHOLE, ANSWER, NAME, CHOICES = range(5)  # pieces of an item; each choice is a piece


def _pieces(item: Item) -> list[str]:
    asked = GAP.sub(" ", item.asked)
    whole = asked if item.code else item.with_choice(item.answer) if item.answer else item.text
    return [asked, whole, item.answer, item.entry, *item.choices]


def _reason(row: Sequence[str], sizes: Sequence[int], least: int) -> int:
    """The number of the reason why an item is not searched for by words; 0 if it is."""
    if not sizes[ASKED]:
        return REASONS.index(NO_WORDS)
    if sizes[ASKED] + max(sum(sizes[CHOICES:]), sizes[ANSWER]) < least:
        return REASONS.index(TOO_SHORT)
    if distinct(words_in(" ".join(row))) < DISTINCT:
        return REASONS.index(COUNTING)
    return 0


def _is_line(text: str, at: int, length: int) -> bool:
    """Whether some words of a text are all words of a line, except for a label."""
    folded = fold(text)
    words = list(islice(WORDS.finditer(folded), at + length))
    start, end = words[at].start(), words[-1].end()
    label = words_in(folded[folded.rfind("\n", 0, start) + 1 : start])
    return bool(_LABEL.fullmatch("".join(label)) and re.match(r"[\W_]*?(?:\n|$)", folded[end:]))


def _filled(item: Item) -> Iterator[str]:
    if GAP.search(item.asked):
        yield from map(item.with_choice, item.choices)


def _printed(item: Item) -> Iterator[str]:
    """A question with its choices and answer as they are usually printed."""
    for choice in (item.answer, *item.choices):
        yield from (f"{item.asked} {first} {choice}" for first in ("", "a", "1"))
    yield f"{item.asked} answer {item.answer}"
    for labels in (repeat(""), "abcdefghijklmnop", map(str, count(1))):
        yield " ".join(
            [item.asked, *(f"{label} {choice}" for label, choice in zip(labels, item.choices, strict=False))]
        )


def _place(words: np.ndarray, asked: np.ndarray) -> int | None:
    """The first index at which some words occur in a row among others; None if they do not."""
    size = len(asked)
    if not size:
        return 0
    for place in np.flatnonzero(words[: max(0, len(words) - size + 1)] == asked[0]).tolist():
        if np.array_equal(words[place : place + size], asked):
            return place
    return None


def _matched(around: Sequence[int], asked: Sequence[int], least: float) -> float:
    """Share of a question's words in the blocks, in order, that it shares with the words around a run."""
    at_most = (Counter(around) & Counter(asked)).total() / len(asked)
    if at_most <= least:
        return at_most
    blocks = difflib.SequenceMatcher(None, around, asked, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(asked)
