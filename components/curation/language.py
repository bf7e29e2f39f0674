"""The language of a text, by py3langid (naive Bayes over byte n-grams; Lui & Baldwin 2012, langid.py), without a
download: its model lies in the package, as npz that is read without pickle.
"""

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from components.errors import StepError
from components.params import LanguageParams

UNKNOWN = "und"  # ISO 639-2 for undetermined
WINDOW, WINDOWS = 1_000, 3  # characters looked at, at the start, in the middle and at the end of a longer text
DIGITS = 4  # of a probability: the last bits depend on the machine's arithmetic


def verdicts(texts: Sequence[str], kinds: Sequence[str], params: LanguageParams) -> list[tuple[str, float] | None]:
    """Language and probability of each text that is to be judged; None for the others.

    Judged are texts of `params.kinds` with `params.min_chars` characters or more; code never is.
    """
    judged = [kind in params.kinds and len(text) >= params.min_chars for text, kind in zip(texts, kinds, strict=True)]
    found = iter(identify([text for text, is_judged in zip(texts, judged, strict=True) if is_judged], params.among))
    return [next(found) if is_judged else None for is_judged in judged]


def identify(texts: Sequence[str], among: Sequence[str] = ()) -> list[tuple[str, float]]:
    """ISO 639 code and probability (0 to 1, four digits) of each text; `und` and 0 where there is nothing to go by.

    Args:
        among: the languages to decide between, two at least; empty means all 140 or so that the model knows.

    Raises:
        StepError: the model does not know a language of `among`.
    """
    identifier = _identifier(tuple(sorted(set(among))))
    nothing = _uniform(identifier.nb_classes)
    found = []
    for text in texts:
        language, probability = identifier.classify(_sample(text))
        found.append((language, round(probability, DIGITS)) if probability > nothing else (UNKNOWN, 0.0))
    return found


def check_languages(params: LanguageParams) -> None:
    """Refuse codes that the model does not know.

    Raises:
        StepError: with the code and the parameter.
    """
    known = set(_identifier(()).labels)
    for name in ("keep", "among"):
        unknown = sorted(set(getattr(params, name)) - known)
        if unknown:
            raise StepError(
                f"curation.language.{name} names {', '.join(unknown)}, which py3langid does not know; "
                f"it knows {', '.join(sorted(known))}"
            )


def _uniform(columns: list[str]) -> float:
    """What a language may get of a text without a known n-gram, each column the same; one in two scripts has two."""
    return 1.001 * max(Counter(columns).values()) / len(columns)


def _sample(text: str) -> str:
    if len(text) <= WINDOW * WINDOWS:
        return text
    starts = (0, (len(text) - WINDOW) // 2, len(text) - WINDOW)
    return "\n".join(text[start : start + WINDOW] for start in starts)


@functools.cache
def _identifier(among: tuple[str, ...]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if among:
        try:
            identifier.set_languages(among)
        except ValueError as error:
            raise StepError(f"curation.language.among: {error}; see py3langid's list of languages") from error
    return identifier
