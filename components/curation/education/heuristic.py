"""The heuristic annotator: the rubric's five points by counts and patterns, each from 0 to 1, so that a verdict explains itself.

It knows no meaning. It stands in for a model where none is configured, and is named so in every label's provenance.
"""

import re
from dataclasses import dataclass

from components.curation.education.guard import without_comments

POINTS = {
    "prose": ("substance", "coherence", "explanation", "structure", "teaching"),
    "code": ("substance", "independence", "explanation", "readability", "teaching"),
}
LONGEST = 50_000  # characters that are looked at, from the start

_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)")
_EXPLAINS = re.compile(
    r"\b(?:because|therefore|thus|hence|means|called|defined|defines|example|instance|such as|that is|i\.e|e\.g"
    r"|in other words|consider|suppose|notice|note that|recall|however|whereas|so that|in order to|if and only if|reason"
    r"|due to|leads? to|results? in|depends on|consists? of|refers? to|known as|works by|used to|used for|returns?)\b",
    re.IGNORECASE,
)
_TEACHES = re.compile(
    r">>>|\b(?:exercises?|solutions?|answers?|questions?|problems?|step \d|steps?|first|second|next|finally|examples?"
    r"|let us|let's|summary|chapter|lesson|learn|tutorial|theorem|proof|how to|try)\b",
    re.IGNORECASE,
)
_SELLS = re.compile(
    r"\b(?:click here|sign up|log ?in|subscribe|newsletter|buy now|add to cart|free shipping|cookies?|privacy policy"
    r"|terms of (?:use|service)|all rights reserved|advertisement|sponsored|follow us|share this|promo|discount"
    r"|read more|leave a (?:reply|comment)|copyright)\b",
    re.IGNORECASE,
)
_ORDER = re.compile(r"^[ \t]*(?:[-*\u2022+] |\d+[.)] |#{1,6} |[=*~\-^]{4,}[ \t]*$|>>> |\.\. \w)", re.MULTILINE)
_FLOW = re.compile(r"\b(?:for|while|if|elif|else|return|yield|try|except|with|match|case|switch|lambda)\b")
_ARITHMETIC = re.compile(r"[-+*/%]=?|[<>]=?|==|!=|\b(?:and|or|not|in)\b")
_LITERAL = re.compile(r"\"[^\"\n]{0,400}\"|'[^'\n]{0,400}'|\b\d[\w.]*\b")
_NAME = re.compile(r"\b[A-Za-z_]\w*")
_OUTSIDE = re.compile(r"\b(?:self|cls|this)\._\w+|(?<![\w.])_[a-zA-Z]\w*|\b\w+\.\w+\.\w+|\bimport\b|\bsuper\b")
_CONCEPT = re.compile(
    r"\b(?:for|while|return|yield|sorted|sort|range|append|len|sum|min|max|enumerate|zip|dict|list|set|recursi\w+|stack"
    r"|queue|tree|node|graph|search|assert|print|insert|pop|join|split|map|filter|reduce|iter|next|swap|count)\b|>>>"
)


@dataclass(frozen=True)
class Judgement:
    """A verdict by the rubric.

    Attributes:
        value: 0 to 5.
        points: by the rubric's point, what it added, 0 to 1.
    """

    value: float
    points: dict[str, float]


def judge(text: str, kind: str) -> Judgement:
    """The rubric's points of one text. Points 2 to 5 count as far as point 1, substance, holds.

    Args:
        kind: of the document; all but code is read as prose.
    """
    text = text[:LONGEST]
    names = POINTS["code" if kind == "code" else "prose"]
    shares = _code(text) if kind == "code" else _prose(text)
    points = {
        name: round(share * (shares[0] if place else 1.0), 4)
        for place, (name, share) in enumerate(zip(names, shares, strict=True))
    }
    return Judgement(round(sum(points.values()), 4), points)


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, straight between them; falling where high < low."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _prose(text: str) -> tuple[float, ...]:
    words = _WORD.findall(text)
    count = max(len(words), 1)
    solid = max(len(text) - sum(map(text.count, " \n\t")), 1)
    letters = sum(map(len, words)) / solid
    ends = len(_SENTENCE_END.findall(text))
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    hundreds = max(count, 60) / 100
    substance = _ramp(count, 5, 80) * _ramp(letters, 0.4, 0.75) * _ramp(ends, 0, 3)
    length = count / max(ends, 1)
    coherence = _ramp(length, 3, 9) * _ramp(length, 80, 35) * _ramp(len(set(lines)) / max(len(lines), 1), 0.5, 0.9)
    coherence *= _ramp(len({word.lower() for word in words[:200]}) / min(count, 200), 0.2, 0.45)
    coherence *= _ramp(len(_SELLS.findall(text)) / hundreds, 2.0, 0.2)
    explanation = _ramp(len(_EXPLAINS.findall(text)) / hundreds, 0.2, 2.5)
    structure = 0.7 * _ramp(len(_ORDER.findall(text)) / hundreds, 0, 2) + 0.3 * _ramp(text.count("\n\n"), 0, 4)
    teaching = _ramp(len(_TEACHES.findall(text)) / hundreds, 0, 1.5) * _ramp(count, 40, 250)
    return substance, coherence, explanation, structure, teaching


def _code(text: str) -> tuple[float, ...]:
    bare = without_comments(text)
    lines = [line for line in bare.split("\n") if line.strip()]
    count = max(len(lines), 1)
    names = _NAME.findall(bare)
    flow, concepts = len(_FLOW.findall(bare)), _CONCEPT.findall(bare)
    solid = max(len(bare) - sum(map(bare.count, " \n\t")), 1)
    data = sum(map(len, _LITERAL.findall(bare))) / solid
    substance = (
        _ramp(len(names), 4, 25) * _ramp(flow + 0.2 * len(_ARITHMETIC.findall(bare)), 0, 3) * _ramp(data, 0.7, 0.3)
    )
    independence = _ramp(len(_OUTSIDE.findall(bare)) / max(len(names), 1), 0.35, 0.03)
    said = _WORD.findall(text)
    words = max(len(said) - len(_WORD.findall(bare)), 0)
    explanation = max(_ramp(words, 0, 25) * _ramp(words / max(len(names), 1), 0, 0.3), 0.5 * _telling(names))
    widest = sum(len(line) > 88 for line in lines) / count
    deep = sum(len(line) - len(line.lstrip()) > 20 for line in lines) / count
    readability = 0.4 * _telling(names) + 0.3 * _ramp(widest, 0.2, 0) + 0.3 * _ramp(deep, 0.4, 0.05)
    readability *= 0.3 + 0.7 * _ramp(count, 400, 80)
    teaching = _ramp(len(set(concepts)), 0, 5) * _ramp(count, 2, 8) * _ramp(count, 300, 60)
    return substance, independence, explanation, readability, teaching


def _telling(names: list[str]) -> float:
    """How far names are words: the share of distinct ones of four letters or more that don't shout."""
    distinct = set(names)
    return _ramp(sum(len(name) > 3 and not name.isupper() for name in distinct) / max(len(distinct), 1), 0.3, 0.8)
