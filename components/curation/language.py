"""The language of a text, by py3langid (naive Bayes over byte n-grams; Lui & Baldwin 2012, langid.py), without a
download: its model lies in the package, as npz that is read without pickle. And what depends on it: rules that only make
sense in some languages.
"""

import functools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from components.errors import StepError
from components.params import LanguageParams
from components.params.gates import WebRulesParams

UNKNOWN = "und"  # ISO 639-2 for undetermined
ENGLISH = "en"
PEOPLE_WRITE = ("web", "prose")  # kinds whose texts are in a language
# Scripts without upper case, where a sentence's end cannot be told as C4 does.
CASELESS = frozenset((
    "am", "ar", "bn", "dv", "fa", "gu", "he", "hi", "ka", "kn", "ko", "ml", "mr", "ne", "or", "pa", "ps", "sa", "sd", "si", "ta",
    "te", "ti", "ug", "ur", "yi",
))  # fmt: skip
# Scripts without blanks between words, so that words cannot be counted.
UNSPACED = frozenset(("bo", "dz", "ja", "km", "lo", "my", "th", "zh"))
WINDOW, WINDOWS = 1_000, 3  # characters looked at, at the start, in the middle and at the end of a longer text
DIGITS = 4  # of a probability: the last bits depend on the machine's arithmetic


def verdicts(texts: Sequence[str], kinds: Sequence[str], params: LanguageParams) -> list[tuple[str, float] | None]:
    """Language and probability of each text that is looked at; None for the others.

    These are texts of `params.kinds` with `params.min_chars` characters or more, and prose too unless English alone is kept;
    code never is.
    """
    looked_at = params.kinds if params.keep == [ENGLISH] else {*params.kinds, *PEOPLE_WRITE}
    judged = [kind in looked_at and len(text) >= params.min_chars for text, kind in zip(texts, kinds, strict=True)]
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


def of(verdict: tuple[str, float] | None) -> str:
    """The language of a verdict; English where there is none."""
    return verdict[0] if verdict else ENGLISH


def is_foreign(code: str | None) -> bool:
    """Whether a language is another one than English."""
    return code not in (None, ENGLISH, UNKNOWN)


def web_rules(params: WebRulesParams, code: str) -> WebRulesParams:
    """The rules for web text in a language: those that are made for English, or for a script, step aside elsewhere."""
    if not is_foreign(code):
        return params
    quality: dict[str, Any] = {"min_stop_words": 0}
    c4: dict[str, Any] = {"filter_policy": False}
    fineweb: dict[str, Any] = {}
    repetition: dict[str, Any] = {}
    if code in UNSPACED:
        repetition |= {"top_n_grams": {}, "dup_n_grams": {}}
        quality |= {"min_doc_words": 0, "max_avg_word_length": math.inf, "max_non_alpha_words_ratio": 0.0}
        c4 |= {"min_words_per_line": 0}
        fineweb |= {"short_line_thr": 1.0, "new_line_ratio": math.inf}
    if code in CASELESS | UNSPACED:
        c4 |= {"min_num_sentences": 0}
    return params.model_copy(
        update={
            "gopher_repetition": params.gopher_repetition.model_copy(update=repetition),
            "gopher_quality": params.gopher_quality.model_copy(update=quality),
            "c4": params.c4.model_copy(update=c4),
            "fineweb": params.fineweb.model_copy(update=fineweb),
        }
    )


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
