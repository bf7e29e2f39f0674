"""Language-dependent curation: which texts are judged by language, and rules that only make sense in some languages."""

import math
from collections.abc import Sequence
from typing import Any

from components.errors import StepError
from components.params import LanguageParams
from components.params.web_rules import WebRulesParams
from components.text.languages import PEOPLE_WRITE, UNKNOWN, identify, language_model

ENGLISH = "en"
# Scripts without upper case, where C4's test for the end of a sentence fails.
CASELESS = frozenset((
    "am", "ar", "bn", "dv", "fa", "gu", "he", "hi", "ka", "kn", "ko", "ml", "mr", "ne", "or", "pa", "ps", "sa", "sd", "si", "ta",
    "te", "ti", "ug", "ur", "yi",
))  # fmt: skip
# Scripts without blanks between words, so that words cannot be counted.
UNSPACED = frozenset(("bo", "dz", "ja", "km", "lo", "my", "th", "zh"))


def verdicts(texts: Sequence[str], kinds: Sequence[str], params: LanguageParams) -> list[tuple[str, float] | None]:
    """Language and probability of each examined text; None for the others.

    Texts of `params.kinds` with at least `params.min_chars` characters are examined, and prose too unless only English is
    kept. Code is never examined.
    """
    looked_at = params.kinds if params.keep == [ENGLISH] else {*params.kinds, *PEOPLE_WRITE}
    judged = [kind in looked_at and len(text) >= params.min_chars for text, kind in zip(texts, kinds, strict=True)]
    found = iter(identify([text for text, is_judged in zip(texts, judged, strict=True) if is_judged], params.among))
    return [next(found) if is_judged else None for is_judged in judged]


def of(verdict: tuple[str, float] | None) -> str:
    """The language of a verdict; English if the verdict is None."""
    return verdict[0] if verdict else ENGLISH


def is_foreign(code: str | None) -> bool:
    """Whether a language is known and is not English."""
    return code not in (None, ENGLISH, UNKNOWN)


def web_rules(params: WebRulesParams, code: str) -> WebRulesParams:
    """The rules for web text in a language, without rules made for English or for another script."""
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
        StepError: a code is unknown; names the code and the parameter.
    """
    for name in ("keep", "among"):
        named = set(getattr(params, name))
        if named and (unknown := sorted(named - set(known := language_model(()).labels))):
            raise StepError(
                f"curation.language.{name} names {', '.join(unknown)}, which py3langid does not know; "
                f"it knows {', '.join(sorted(known))}"
            )
