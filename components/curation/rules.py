"""The rules of curation: which one a normalised text fails first, if any.

Pure functions of one text. Rules on lines and characters follow Gopher (Rae et al. 2021, arXiv 2112.11446, appendix
A1); prose and code have their own thresholds, since web rules destroy code.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from components.params import CurationParams


@dataclass(frozen=True)
class Failure:
    """The first rule that a text fails: its name, the figure, the threshold and the sentence for the ledger."""

    rule: str
    value: float
    threshold: float
    detail: str


def first_failure(text: str, kind: str, params: CurationParams) -> Failure | None:
    """The first rule that the normalised text fails, cheapest rules first; None if it passes all."""
    return next(_failures(text, kind, params), None)


def _failures(text: str, kind: str, params: CurationParams) -> Iterator[Failure]:
    chars = len(text)
    if chars < params.min_chars:
        yield Failure("min_chars", chars, params.min_chars, f"{chars} characters")
    if chars > params.max_chars:
        yield Failure("max_chars", chars, params.max_chars, f"{chars:,} characters")
    lines = text.splitlines()
    longest = max(map(len, lines), default=0)
    if longest > params.max_line_chars and kind == "code":
        yield Failure("max_line_chars", longest, params.max_line_chars, f"a line of {longest:,} characters")
    minimum = params.min_alpha_fraction_code if kind == "code" else params.min_alpha_fraction
    alpha = alpha_fraction(text)
    if alpha < minimum:
        yield Failure("min_alpha_fraction", alpha, minimum, f"{alpha:.0%} of the non-blank characters are letters")
    repeated = duplicate_line_fraction(lines)
    if repeated > params.max_duplicate_line_fraction and kind != "code":
        detail = f"{repeated:.0%} of the lines repeat earlier ones"
        yield Failure("max_duplicate_line_fraction", repeated, params.max_duplicate_line_fraction, detail)


def alpha_fraction(text: str) -> float:
    """Letters among the non-blank characters, 0 to 1."""
    solid = "".join(text.split())
    return sum(map(str.isalpha, solid)) / len(solid) if solid else 0.0


def duplicate_line_fraction(lines: list[str]) -> float:
    """Share of the non-empty lines that repeat an earlier one, 0 to 1."""
    solid = [line for line in map(str.strip, lines) if line]
    return 1 - len(set(solid)) / len(solid) if solid else 0.0
