"""The heuristic annotator of code: the rubric's five points by counts and patterns, each from 0 to 1, so that a verdict is
explained by its points.

It does not understand meaning. It is used if no model is configured, and the provenance of every label records that.
"""

import re
from dataclasses import dataclass

from components.curation.education.guard import without_comments

POINTS = ("substance", "independence", "explanation", "readability", "teaching")
LONGEST = 50_000  # characters examined from the start

_WORD = re.compile(r"[^\W\d_]+")
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
        points: contribution of each point of the rubric, 0 to 1.
    """

    value: float
    points: dict[str, float]


def judge(text: str) -> Judgement:
    """The rubric's points of a program. Points 2 to 5 are multiplied by point 1, substance."""
    shares = _code(text[:LONGEST])
    points = {
        name: round(share * (shares[0] if place else 1.0), 4)
        for place, (name, share) in enumerate(zip(POINTS, shares, strict=True))
    }
    return Judgement(round(sum(points.values()), 4), points)


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, linear in between; falling if high < low."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


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
    """How descriptive names are: the share of distinct ones with at least four letters that are not all upper case."""
    distinct = set(names)
    return _ramp(sum(len(name) > 3 and not name.isupper() for name in distinct) / max(len(distinct), 1), 0.3, 0.8)
