"""Paraphrased questions: which of many questions are in a text, with some words changed and in another order.

Words are compared by their first STEM characters, so that "mixing the sands" equals "mixed sand"; function words, single
digits and single letters are left out. Stems are weighted by inverse document frequency among the questions. Pairs of rare
stems near each other, in either order, are looked up. Where several pairs of one question are close together, the text is
compared with the question: a hit has a sufficient share of the question's stems by weight, within LONGER times its length,
that weighs at least LEAST. The question's question mark must be there, too: a passage that answers it has most of its words.

What is notable:
- a synonym is another stem, so a freely rephrased question is not found (docs/measurements.md has the shares). A static
  embedding model could not separate such a question from a sentence on the same subject; a larger one is too slow for a corpus.
- nothing is learned and nothing is downloaded. NumPy handles many texts at a time, and few are examined one by one.
- questions of too few or too frequent words are not searched for (`searched`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from components.text.counting import distinct
from components.text.ngrams import MIX, OwnedRuns, beginnings, distinct_pairs, passage, words_in

SHARE = 0.6  # of a question's stems; lower values give a false hit in one of 1,000 texts of a field
STEM = 6  # characters of a word
LEAST = 45.0  # minimum total weight in nats of a question's stems in a hit: chance matches weigh less
FEWEST = 6  # minimum stems of a question
WORDS = 4  # minimum different words of a hit, numbers left out
NEAR = 2  # maximum distance, in rare stems, of a pair
RARE, BACKGROUND = 30, 10_000  # maximum questions with a rare stem, out of so many; fewer questions count as so many
OWNERS = 16  # maximum questions that share a pair; a pair of more is from a template or everyday speech
PAIRS, SHARED = 2, 0.2  # minimum number and share of one question's pairs before a text is compared with it
LONGER = 1.5  # maximum words of a paraphrase per word of the question
AFTER = 1 / 3  # share of these words that may come between its last stem and its question mark
_BITS = 22  # of the table of stems: 512 KiB
_FUNCTION_WORDS = """a about after all also am an and any are as at be because been before being both but by can could did do does
each for from given had has have he her here him his how i if in into is it its just many may me more most much must my no not of
on one only or other our out over she should so some such than that the their them then there these they this those to too two under
up us was we were what when where which while who whom whose why will with would you your
b c d e f g h j k l m n o p q r s t u v w x y z 0 1 2 3 4 5 6 7 8 9"""


@dataclass(frozen=True)
class Asked:
    """A question that a text asks in other words.

    Attributes:
        text, question: their numbers.
        share: of the question's stems, by weight.
        first, last: words of the text between which it is.
    """

    text: int
    question: int
    share: float
    first: int
    last: int


class Paraphrases:
    """Questions to search for; its arrays can be saved and mapped.

    Attributes:
        arrays: the constructor's argument.
        searched: bool (questions,): whether the question has enough stems.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = arrays
        self._stems, self._weights, self._starts = arrays["stems"], arrays["weights"], arrays["starts"]
        self._lengths, self._marked = arrays["lengths"], arrays["marked"]
        self._pairs = OwnedRuns(arrays["pairs"], arrays["pair_starts"], arrays["pair_owners"])
        self._needed = arrays["needed"]
        self.searched = np.diff(self._starts) > 0

    @classmethod
    def build(cls, questions: Sequence[str]) -> "Paraphrases":
        (stems,), owner = beginnings(questions, [STEM])
        (function_words,), _ = beginnings([_FUNCTION_WORDS], [STEM])
        lengths = np.bincount(owner, minlength=len(questions))
        kept = ~np.isin(stems, function_words)
        stems, owner = stems[kept], owner[kept]
        asker, own = distinct_pairs(owner, stems)
        known, which, asking = np.unique(own, return_inverse=True, return_counts=True)
        weights = np.log(1 + max(len(questions), BACKGROUND) / asking).astype(np.float32)
        rare = known[asking <= max(RARE, RARE / BACKGROUND * len(questions))]
        kept = np.isin(stems, rare)
        stems, owner = stems[kept], owner[kept]
        pairs, first = zip(*(_near(stems, owner, distance) for distance in range(1, NEAR + 1)), strict=True)
        runs, owners = np.concatenate(pairs), owner[np.concatenate(first)]
        table = OwnedRuns.build(runs, owners, OWNERS)
        counts = np.bincount(table.owners, minlength=len(questions))
        enough = (counts >= PAIRS) & (np.bincount(asker, minlength=len(questions)) >= FEWEST)
        enough &= np.bincount(asker, weights[which], minlength=len(questions)) >= LEAST
        searched = enough[asker]
        table = OwnedRuns.build(runs[enough[owners]], owners[enough[owners]], OWNERS)
        arrays = {
            "stems": own[searched],
            "weights": weights[which[searched]],
            "starts": np.append(0, np.cumsum(np.bincount(asker[searched], minlength=len(questions)))),
            "lengths": lengths,
            "needed": np.maximum(PAIRS, np.ceil(SHARED * counts)).astype(np.int64),
            "marked": np.array(["?" in question for question in questions], dtype=bool),
            "rare": rare,
            "pairs": table.runs,
            "pair_starts": table.starts,
            "pair_owners": table.owners,
        }
        return cls(arrays)

    @cached_property
    def _known(self) -> np.ndarray:
        """Bits of the hash prefixes of known stems."""
        bits = np.zeros(1 << _BITS, dtype=bool)
        bits[self.arrays["rare"] >> np.uint64(64 - _BITS)] = True
        return bits

    def find(self, texts: Sequence[str], stems: np.ndarray, owner: np.ndarray, least: float = SHARE) -> Iterator[Asked]:
        """Each question that a text asks, at the first place with enough of it.

        Args:
            stems, owner: the texts' words by their first STEM characters, as `beginnings` returns them.
            least: minimum share of a question's stems.
        """
        at = np.flatnonzero(self._known.take((stems >> np.uint64(64 - _BITS)).view(np.int64)))
        near, of = stems[at], owner[at]
        hits, asked = [], []
        for distance in range(1, NEAR + 1):
            pairs, first = _near(near, of, distance)
            found, places = self._pairs.found(pairs)
            run, question = self._pairs.items(places, OWNERS)
            hits.append(at[first[found[run]]])
            asked.append(question)
        begins = np.searchsorted(owner, np.arange(len(texts) + 1))
        done: set[tuple[int, int]] = set()
        for number, low, high in self._together(np.concatenate(hits), np.concatenate(asked), owner):
            text = int(owner[low])
            span, begin = int(LONGER * self._lengths[number]), int(begins[text])
            start, end = max(high - span, begin), min(low + span, int(begins[text + 1]))
            share, weight, one, other = self._best(number, stems[start:end], least)
            one, other = one + start - begin, other + start - begin
            if share < least or weight < LEAST or (text, number) in done:
                continue
            if self._asks(number, texts[text], one, other):
                done.add((text, number))
                yield Asked(text, number, min(1.0, share), one, other)

    def _asks(self, question: int, text: str, first: int, last: int) -> bool:
        """Whether there are enough words besides numbers, and a question mark after them if the question has one."""
        said = [word for word in words_in(passage(text, first, last)) if not word.isdecimal()]
        after = int(AFTER * LONGER * self._lengths[question])
        return distinct(said) >= WORDS and (not self._marked[question] or "?" in passage(text, first, last + after))

    def _together(self, places: np.ndarray, questions: np.ndarray, owner: np.ndarray) -> Iterator[tuple[int, int, int]]:
        """(Question, first and last position) where at least PAIRS pairs of a question are within its length in a text."""
        questions, places = distinct_pairs(questions, places)
        last = np.arange(len(places)) + self._needed[questions] - 1
        first = np.flatnonzero(last < len(places))
        last = last[first]
        same = (questions[first] == questions[last]) & (owner[places[first]] == owner[places[last]])
        same &= places[last] - places[first] <= LONGER * self._lengths[questions[first]]
        done: dict[tuple[int, int], int] = {}
        for one, other in zip(first[same].tolist(), last[same].tolist(), strict=True):
            key = int(questions[one]), int(owner[places[one]])
            if places[one] > done.get(key, -1):
                done[key] = int(places[other])
                yield key[0], int(places[one]), int(places[other])

    def _best(self, question: int, stems: np.ndarray, least: float) -> tuple[float, float, int, int]:
        """The highest share and weight of a question's stems in a window of a text, and its first and last word."""
        begin, end = int(self._starts[question]), int(self._starts[question + 1])
        own, weights = self._stems[begin:end], self._weights[begin:end]
        which = own.searchsorted(stems)
        at = (own.take(which, mode="clip") == stems).nonzero()[0]
        total = float(weights.sum())
        there = np.zeros(len(own), dtype=bool)
        there[which[at]] = True
        if weights[there].sum() < max(LEAST, least * total):  # the usual case
            return 0.0, 0.0, 0, 0
        span = LONGER * int(self._lengths[question])
        best, start = (0.0, 0, 0), 0
        counts = np.zeros(len(own), dtype=np.int64)
        weight = 0.0
        for place in at.tolist():
            stem = which[place]
            counts[stem] += 1
            weight += float(weights[stem]) * (counts[stem] == 1)
            while place - at[start] >= span:
                gone = which[at[start]]
                counts[gone] -= 1
                weight -= float(weights[gone]) * (counts[gone] == 0)
                start += 1
            if weight > best[0]:
                best = weight, int(at[start]), place
        return best[0] / total, *best


def _near(stems: np.ndarray, owner: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the unordered pairs of stems at a distance from each other, and the position of each pair's first stem."""
    one, other = stems[:-distance], stems[distance:]
    first = np.flatnonzero((owner[:-distance] == owner[distance:]) & (one != other))
    one, other = one[first], other[first]
    return ((one ^ other) * MIX) ^ (one + other), first
