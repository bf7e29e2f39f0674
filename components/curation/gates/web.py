"""Rules for web text, as columns of figures: one pass of Polars over a batch, no loop over words in Python.

Rules and thresholds: Gopher (Rae et al. 2021, arXiv 2112.11446, table A1 and section A.1) and FineWeb (Penedo et al.
2024, arXiv 2406.17557). A word is a run of letters, digits and underscores, or a run of anything else that is not
blank. Gopher's rules on repeated n-grams and C4's rules are not here. Every regular expression is one of Rust's, which
takes time linear in the text.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from components.curation.rules import Check, Failure
from components.params.gates import WebRulesParams

_WORD = r"[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]+"
_SOLID_WORD = r"_*[\p{L}\p{N}][\p{L}\p{N}_]*"  # a word that is more than punctuation
_ALPHA_WORD = r"[\p{N}_]*\p{L}[\p{L}\p{N}_]*"
_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_NOT_WORD = r"[^\p{L}\p{N}_]"


@dataclass(frozen=True)
class Rule:
    """A rule: its name, the column of its figure, its threshold, whether that is the least or the most allowed."""

    name: str
    figure: str
    threshold: float
    least: bool
    meaning: str


# (section, parameter, column of the figure, whether the threshold is the least, meaning), in the order of the checks
_RULES = (
    ("gopher_repetition", "dup_para_frac", "dup_para", False, "paragraphs that repeat earlier ones"),
    ("gopher_repetition", "dup_para_char_frac", "dup_para_char", False, "characters in such paragraphs"),
    ("gopher_repetition", "dup_line_frac", "dup_line", False, "lines that repeat earlier ones"),
    ("gopher_repetition", "dup_line_char_frac", "dup_line_char", False, "characters in such lines"),
    ("gopher_quality", "min_doc_words", "solid_words", True, "words that are more than punctuation"),
    ("gopher_quality", "max_doc_words", "solid_words", False, "words that are more than punctuation"),
    ("gopher_quality", "min_avg_word_length", "word_length", True, "mean characters of those words"),
    ("gopher_quality", "max_avg_word_length", "word_length", False, "mean characters of those words"),
    ("gopher_quality", "max_symbol_word_ratio", "hashes", False, "hash signs a word"),
    ("gopher_quality", "max_symbol_word_ratio", "ellipses", False, "ellipses a word"),
    ("gopher_quality", "max_bullet_lines_ratio", "bullet_lines", False, "lines that start with a bullet"),
    ("gopher_quality", "max_ellipsis_lines_ratio", "ellipsis_lines", False, "lines that end in an ellipsis"),
    ("gopher_quality", "max_non_alpha_words_ratio", "alpha_words", True, "words with a letter"),
    ("gopher_quality", "min_stop_words", "stop_words", True, "different stop words"),
    ("fineweb", "line_punct_thr", "line_punct", True, "lines that end in terminal punctuation"),
    ("fineweb", "short_line_thr", "short_lines", False, "lines of at most 30 characters"),
    ("fineweb", "char_duplicates_ratio", "dup_char", False, "characters in lines that repeat earlier ones"),
    ("fineweb", "new_line_ratio", "new_lines", False, "line ends a word"),
)


def rules_of(params: WebRulesParams) -> tuple[Rule, ...]:
    """The rules with their thresholds, in the order in which the first failure is looked for."""
    return tuple(
        Rule(f"{section}.{name}", figure, getattr(getattr(params, section), name), least, meaning)
        for section, name, figure, least, meaning in _RULES
    )


RULES = rules_of(WebRulesParams())  # the papers' thresholds


def judge(texts: Sequence[str], rules: Sequence[Rule] = RULES) -> list[Failure | None]:
    """The first rule that each text fails, in the order of `rules`; None where it passes all."""
    rows = figures(texts)
    failed = [
        (operator.lt if rule.least else operator.gt)(rows[rule.figure], rule.threshold).fill_null(rule.least)
        for rule in rules
    ]
    first: list[Failure | None] = [None] * len(texts)
    for rule, fails in reversed(list(zip(rules, failed, strict=True))):
        for index in fails.arg_true().to_list():
            value = rows[rule.figure][index] or 0.0
            detail = f"{value:.4g} {rule.meaning}; at {'least' if rule.least else 'most'} {rule.threshold:g} pass"
            first[index] = Failure(rule.name, value, rule.threshold, detail)
    return first


def explain(text: str, rules: Sequence[Rule] = RULES) -> list[Check]:
    """Every rule with its figure for one text, in the order of `rules`."""
    row = figures([text]).row(0, named=True)
    return [
        Check(rule.name, row[rule.figure] or 0.0, rule.threshold, rule.least, rule.meaning)
        for rule in rules
        if row[rule.figure] is not None or rule.least
    ]


def figures(texts: Sequence[str]) -> pl.DataFrame:
    """The figure of every rule, a column each, a row a text; null where it has no meaning, as in an empty text."""
    safe = [text.encode("utf-8", "replace").decode() for text in texts]  # a lone surrogate has no UTF-8
    frame = pl.DataFrame({"text": pl.Series(safe, dtype=pl.String)}).with_row_index("row")
    parts = [
        _repeated(frame, pl.col("text").str.replace_all(r"\n+", "\n").str.split("\n"), "dup_line"),
        _repeated(
            frame,
            pl.col("text").str.strip_chars().str.replace_all(r"\n\n+", "\n\n").str.split("\n\n"),
            "dup_para",
        ),
        _repeated(frame, pl.col("text").str.split("\n"), "dup", solid=True),
    ]
    text = pl.col("text")
    chars, breaks = text.str.len_chars(), text.str.count_matches("\n", literal=True)
    counted = frame.select(
        "row",
        chars.alias("chars"),
        breaks.alias("breaks"),
        (breaks + (~text.str.ends_with("\n")).cast(pl.UInt32)).alias("lines"),
        text.str.count_matches(_WORD).alias("words"),
        text.str.count_matches(_SOLID_WORD).alias("solid_words"),
        (chars - text.str.replace_all(_SOLID_WORD, "").str.len_chars()).alias("solid_chars"),
        text.str.count_matches(_ALPHA_WORD).alias("alpha"),
        text.str.count_matches("#", literal=True).alias("hash"),
        text.str.count_matches(r"\.\.\.|…").alias("ellipsis"),
        text.str.count_matches(r"(?m)^[^\S\n]*[•-]").alias("bullets"),
        text.str.count_matches(r"(?m)(?:\.\.\.|…)[^\S\n]*$").alias("trailing"),
        text.str.count_matches(r"(?m)\S[^\n]*$").alias("solid_lines"),
        text.str.count_matches("(?m)[.!?\u3002\uff01\uff1f]$").alias("ended"),
        text.str.count_matches(r"(?m)^[^\n]{31,}$").alias("long"),
        pl.sum_horizontal(
            text.str.contains(f"(?:^|{_NOT_WORD}){word}(?:$|{_NOT_WORD})").cast(pl.UInt32) for word in _STOP_WORDS
        ).alias("stop_words"),
    )
    for part in parts:
        counted = counted.join(part, on="row", how="left", maintain_order="left")
    return counted.select(
        pl.col("solid_words").cast(pl.Float64),
        _share("solid_chars", "solid_words", "word_length"),
        _share("hash", "words", "hashes"),
        _share("ellipsis", "words", "ellipses"),
        _share("bullets", "lines", "bullet_lines"),
        _share("trailing", "lines", "ellipsis_lines"),
        _share("alpha", "words", "alpha_words"),
        pl.col("stop_words").cast(pl.Float64),
        _share("ended", "solid_lines", "line_punct"),
        (1 - _share("long", "solid_lines", "short_lines")).alias("short_lines"),
        _share("breaks", "words", "new_lines"),
        pl.col("dup_line"),
        _share("dup_line_chars", "chars", "dup_line_char"),
        pl.col("dup_para"),
        _share("dup_para_chars", "chars", "dup_para_char"),
        (pl.col("dup_chars") / (pl.col("chars") - pl.col("breaks").cast(pl.Int64))).fill_nan(None).alias("dup_char"),
    )


def _share(part: str, whole: str, name: str) -> pl.Expr:
    return (pl.col(part) / pl.col(whole)).fill_nan(None).alias(name)


def _repeated(frame: pl.DataFrame, pieces: pl.Expr, name: str, solid: bool = False) -> pl.DataFrame:
    """Share of each text's pieces that repeat an earlier one, and the characters in them."""
    long = frame.select("row", pieces.alias("piece")).explode("piece")
    if solid:
        long = long.filter(pl.col("piece").str.contains(r"\S"))
    again = ~pl.struct("row", "piece").is_first_distinct()
    return (
        long.with_columns(again.alias("again"))
        .group_by("row")
        .agg(
            pl.col("again").mean().alias(name),
            pl.col("piece").filter("again").str.len_chars().sum().alias(f"{name}_chars"),
        )
    )
