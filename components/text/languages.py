"""The language of a text, by py3langid (naive Bayes over byte n-grams; Lui & Baldwin 2012, langid.py). Nothing is
downloaded: the model is in the package, as npz that is read without pickle.
"""

import functools
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from components.errors import StepError

UNKNOWN = "und"  # ISO 639-2 for undetermined
PEOPLE_WRITE = ("web", "prose")  # kinds whose texts are in a language
WINDOW, WINDOWS = 1_000, 3  # characters examined at the start, in the middle and at the end of a longer text
DIGITS = 4  # digits of a probability: the last bits depend on the machine's arithmetic
_PIECE = 256  # bytes that the automaton reads in sequence; it reads all pieces of all texts at once
_AT_ONCE = 1 << 20  # bytes of texts read at once: about 10 MB
_EARLIER = 8  # bytes before a piece where reading starts: more than the longest n-gram of the model
_NEVER = 0xFF  # a byte that UTF-8 never contains, so the automaton forgets the bytes before it


def identify(texts: Sequence[str], among: Sequence[str] = ()) -> list[tuple[str, float]]:
    """ISO 639 code and probability (0 to 1, four digits) of each text; `und` and 0 for a text without evidence.

    Args:
        among: the languages to decide between, at least two; empty = all of the about 140 that the model knows.

    Raises:
        StepError: the model does not know a language of `among`.
    """
    identifier = language_model(tuple(sorted(set(among))))
    nothing = _uniform(identifier.nb_classes)
    found = []
    for content, features, counts in _features([_content(text) for text in texts]):
        scores = _probabilities(identifier, len(content), features, counts)
        best = int(scores.argmax())
        probability = float(scores[best])
        language = identifier.nb_classes[best]
        found.append((language, round(probability, DIGITS)) if probability > nothing else (UNKNOWN, 0.0))
    return found


def _content(text: str) -> bytes:
    """The bytes that are examined, as py3langid encodes them."""
    text = excerpt(text)
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode("utf-8", "surrogatepass")


def _probabilities(identifier: Any, size: int, features: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """float32 (classes,): py3langid's values; `_features` replaces its loop over the bytes, in a tenth of the time."""
    if not len(features):
        return np.full(len(identifier.nb_classes), 1 / len(identifier.nb_classes), dtype=np.float32)
    scores = np.log1p(counts) @ identifier.nb_ptc.take(features, axis=0) + identifier.nb_pc
    scores *= 1.0 / math.sqrt(size)
    np.exp(scores - scores.max(), out=scores)
    scores /= scores.sum()
    for earlier, column in _second_scripts(identifier):
        scores[earlier] += scores[column]
        scores[column] = 0.0
    return scores


@functools.cache
def _second_scripts(identifier: Any) -> list[tuple[int, int]]:
    """The first column of each language that has columns for several scripts, with each of the others."""
    names = identifier.nb_classes
    return [(names.index(name), column) for column, name in enumerate(names) if names.index(name) != column]


def _features(contents: Sequence[bytes]) -> Iterator[tuple[bytes, np.ndarray, np.ndarray]]:
    """Each text with its features (the byte n-grams that the model's automaton recognises), in the order of their first
    occurrence (the last bits of a sum depend on it), and their counts (float32).
    """
    start = size = 0
    for end, content in enumerate(contents):
        size += len(content) + 1
        if size > _AT_ONCE or end + 1 == len(contents):
            block = contents[start : end + 1]
            yield from zip(block, *_counted(block), strict=True)
            start, size = end + 1, 0


def _counted(block: Sequence[bytes]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    found = _automaton().features(bytes([_NEVER]).join(block))
    ends = np.cumsum([len(content) + 1 for content in block])
    places = np.flatnonzero(found >= 0)
    keys = np.searchsorted(ends, places, side="right") << 42 | found[places].astype(np.int64) << 24 | places
    keys.sort()  # by text, feature and place
    first = np.flatnonzero(np.append(True, keys[1:] >> 24 != keys[:-1] >> 24)[: len(keys)])
    counts = np.diff(np.append(first, len(keys))).astype(np.float32)
    places = keys[first] & (1 << 24) - 1
    order = np.argsort(places)
    borders = np.searchsorted(places[order], ends[:-1])
    features = keys[first] >> 24 & (1 << 18) - 1
    return np.split(features[order], borders), np.split(counts[order], borders)


class _Automaton:
    """py3langid's automaton (Aho and Corasick 1975), as arrays. Its state depends only on the last few bytes, so a text can
    be cut into pieces, each read from a few bytes earlier.
    """

    def __init__(self, identifier: Any) -> None:
        self._moves = np.frombuffer(identifier.tk_nextmove, dtype=np.uint32).view(np.int32)
        self._rows = np.asarray(identifier.tk_row).astype(np.int32) << 8
        self._outputs = np.asarray(identifier.tk_output, dtype=np.int32)

    def features(self, content: bytes) -> np.ndarray:
        """int32 (bytes,): the feature that each byte completes, or -1."""
        earlier = _EARLIER
        while (found := self._read(content, earlier)) is None:
            earlier *= 2
        return self._outputs.take(found)

    def _read(self, content: bytes, earlier: int) -> np.ndarray | None:
        """int32 (bytes,): the state after each byte; None if a piece must be read from an earlier byte."""
        pieces = max(1, -(-len(content) // _PIECE))
        padded = bytes([_NEVER]) * earlier + content + bytes(pieces * _PIECE - len(content))
        windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(padded, np.uint8), earlier + _PIECE)[::_PIECE]
        states = np.zeros(pieces, dtype=np.int32)
        found = np.empty((_PIECE + 1, pieces), dtype=np.int32)
        for place, letters in enumerate(np.ascontiguousarray(windows.T), start=1 - earlier):
            states = self._moves.take(self._rows.take(states) + letters)
            if place >= 0:
                found[place] = states
        same = (found[-1, :-1] == found[0, 1:]).all() and not found[0, 0]  # each begins as the one before it ends
        return found[1:].T.ravel()[: len(content)] if same else None


@functools.cache
def _automaton() -> _Automaton:
    return _Automaton(language_model(()))


def _uniform(columns: list[str]) -> float:
    """The highest probability of a language for a text without a known n-gram; a language in two scripts has two columns."""
    return 1.001 * max(Counter(columns).values()) / len(columns)


def excerpt(text: str) -> str:
    """The part of a text that is examined."""
    if len(text) <= WINDOW * WINDOWS:
        return text
    starts = (0, (len(text) - WINDOW) // 2, len(text) - WINDOW)
    return "\n".join(text[start : start + WINDOW] for start in starts)


@functools.cache
def language_model(among: tuple[str, ...]) -> Any:
    """py3langid's model, for some languages or all that it knows."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if among:
        try:
            identifier.set_languages(among)
        except ValueError as error:
            raise StepError(f"curation.language.among: {error}; see py3langid's list of languages") from error
    identifier.nb_ptc = identifier.nb_ptc.astype(np.float32)  # once, not for the rows of each text
    return identifier
