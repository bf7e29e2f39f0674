"""The language of a text, by py3langid (naive Bayes over byte n-grams; Lui & Baldwin 2012, langid.py), without a
download: its model is in the package, as npz that is read without pickle.
"""

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from components.errors import StepError

UNKNOWN = "und"  # ISO 639-2 for undetermined
PEOPLE_WRITE = ("web", "prose")  # kinds whose texts are in a language
WINDOW, WINDOWS = 1_000, 3  # characters looked at, at the start, in the middle and at the end of a longer text
DIGITS = 4  # digits of a probability: the last bits depend on the machine's arithmetic


def identify(texts: Sequence[str], among: Sequence[str] = ()) -> list[tuple[str, float]]:
    """ISO 639 code and probability (0 to 1, four digits) of each text; `und` and 0 if the text gives no evidence.

    Args:
        among: the languages to decide between, at least two; empty = all of about 140 that the model knows.

    Raises:
        StepError: the model does not know a language of `among`.
    """
    identifier = language_model(tuple(sorted(set(among))))
    nothing = _uniform(identifier.nb_classes)
    found = []
    for text in texts:
        language, probability = identifier.classify(excerpt(text))
        found.append((language, round(probability, DIGITS)) if probability > nothing else (UNKNOWN, 0.0))
    return found


def _uniform(columns: list[str]) -> float:
    """What a language may get of a text without a known n-gram, each column the same; one in two scripts has two."""
    return 1.001 * max(Counter(columns).values()) / len(columns)


def excerpt(text: str) -> str:
    """The part of a text that is examined."""
    if len(text) <= WINDOW * WINDOWS:
        return text
    starts = (0, (len(text) - WINDOW) // 2, len(text) - WINDOW)
    return "\n".join(text[start : start + WINDOW] for start in starts)


@functools.cache
def language_model(among: tuple[str, ...]) -> Any:
    """py3langid's model, to decide between some languages or all that it knows."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if among:
        try:
            identifier.set_languages(among)
        except ValueError as error:
            raise StepError(f"curation.language.among: {error}; see py3langid's list of languages") from error
    return identifier
