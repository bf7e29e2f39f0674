"""The rules of curation, and which of them a normalised text fails first.

Pure functions of one text. Rules on lines and characters follow Gopher (Rae et al. 2021, arXiv 2112.11446, appendix
A1); prose and code have their own thresholds, since web rules would drop good code. Rules for prose skip fenced code and
displayed formulas.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from components.curation.filters.fenced import prose_of
from components.params import CurationParams
from components.text.ngrams import BLANK, LETTER, count_classes

SHORT = 3  # words; shorter lines are marks, brackets or names of speakers


@dataclass(frozen=True)
class Failure:
    """The first rule that a text fails: its name, the measured value, the threshold and the sentence for the ledger."""

    rule: str
    value: float
    threshold: float
    detail: str


@dataclass(frozen=True)
class Check:
    """A rule applied to a text. `least`: whether the threshold is the lowest or the highest value that passes."""

    rule: str
    value: float
    threshold: float
    least: bool
    detail: str

    @property
    def passed(self) -> bool:
        return self.value >= self.threshold if self.least else self.value <= self.threshold


def first_failure(text: str, kind: str, params: CurationParams) -> Failure | None:
    """The first rule that the normalised text fails, cheapest rules first; None if it passes all."""
    return next(
        (Failure(c.rule, c.value, c.threshold, c.detail) for c in checks(text, kind, params) if not c.passed), None
    )


def checks(text: str, kind: str, params: CurationParams) -> Iterator[Check]:
    """Every rule for texts of the kind, in the order in which they are applied."""
    chars = len(text)
    yield Check("min_chars", chars, params.min_chars, True, f"{chars} characters")
    if kind in params.max_chars:
        yield Check("max_chars", chars, params.max_chars[kind], False, f"{chars:,} characters")
    prose = text if kind == "code" else prose_of(text)
    if kind == "code":
        longest = max(map(len, text.splitlines()), default=0)
        yield Check("max_line_chars", longest, params.max_line_chars, False, f"a line of {longest:,} characters")
    minimum = params.min_alpha_fraction_code if kind == "code" else params.min_alpha_fraction
    alpha = alpha_fraction(prose if prose.strip() else text)
    yield Check("min_alpha_fraction", alpha, minimum, True, f"{alpha:.0%} of the non-blank characters are letters")
    if kind != "code":
        repeated = duplicate_line_fraction(prose, text)
        detail = f"{repeated:.0%} of the text is in lines that repeat earlier ones"
        yield Check("max_duplicate_line_fraction", repeated, params.max_duplicate_line_fraction, False, detail)


def alpha_fraction(text: str) -> float:
    """Share of letters among the non-blank characters, 0 to 1."""
    counts = count_classes(text)
    return counts[LETTER] / max(1, len(text) - counts[BLANK])


def duplicate_line_fraction(prose: str, text: str) -> float:
    """Share of the characters of a text that are in lines of its prose that repeat an earlier one, 0 to 1. Lines of fewer than
    SHORT words are not counted as repeated.

    Characters are counted, not lines: closing brackets are many lines of a technical text, but few of its characters. Fenced code
    counts as text that does not repeat, so that the few lines between long examples do not decide.
    """
    said = [line for line in map(str.strip, prose.splitlines()) if len(line.split(None, SHORT)) >= SHORT]
    repeated = sum(map(len, said)) - sum(map(len, set(said)))
    return repeated / sum(len(line.strip()) for line in text.splitlines()) if repeated else 0.0
