"""C4's rules (Raffel et al. 2020, arXiv 1910.10683, section 2.2) remove lines that are not prose, and pages of few sentences.

Lines are removed as by datatrove's filter, in its order: a word that is too long, a citation mark, no terminal punctuation, few
words, "javascript", a policy's phrases. A page with "lorem ipsum" or a curly bracket in such a line is dropped as a whole.
A sentence ends at terminal punctuation before a blank and an upper-case letter or a digit, which opening marks may precede. The
list of bad words is not used. Fenced parts are not changed, and each of their lines counts as a sentence.
"""

from collections.abc import Sequence

import polars as pl

from components.curation.filters.fenced import fenced_lines
from components.params.web_rules import C4Params

POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_CITATION = r"\[\d*\]|\[edit\]|\[citation needed\]"
_ENDS = r"""[.?!"']$"""
SENTENCE = r"""[.!?…]+["'\p{Pe}\p{Pf}]*\s+["'\p{Ps}\p{Pi}]*[\p{Lu}\p{Nd}]"""
_FENCED = "\x00"  # marks lines that are not changed; normalised text never contains it
_LINE_ENDS = "[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"  # line ends of Python's splitlines besides \n


def lines_kept(frame: pl.DataFrame, params: C4Params) -> pl.DataFrame:
    """For a frame of `row` and `text` (as `mark_fenced` returns it), one row per text: `text` (of the kept lines), `sentences` in
    it, `removed` (number of non-empty lines removed), and `lorem_ipsum` and `curly_bracket` (lines with them).
    """
    lines = frame.select("row", pl.col("text").str.replace_all(_LINE_ENDS, "\n").str.split("\n").alias("line"))
    lines = lines.explode("line").with_columns(pl.col("line").str.strip_chars()).filter(pl.col("line") != "")
    line, fenced = pl.col("line"), pl.col("line").str.starts_with(_FENCED)
    lines = lines.select(
        "row",
        _without_citations(line, fenced).alias("line") if params.remove_citations else line,
        line.str.count_matches(r"\S+").alias("words"),
        _short_words(lines["line"], params.max_word_length).alias("stays"),
    )
    stays = pl.col("stays") & (pl.col("words") >= params.min_words_per_line)
    if params.filter_no_terminal_punct:
        stays = stays & line.str.contains(_ENDS) & ~line.str.ends_with("...")
    none = pl.lit(False)
    lorem = stays & _says(("lorem ipsum",)) if params.filter_lorem_ipsum else none
    if params.filter_javascript:
        stays = stays & ~_says(("javascript",))
    bracket = stays & line.str.contains("{", literal=True) if params.filter_curly_bracket else none
    if params.filter_policy:
        stays = stays & ~_says(POLICIES)
    lines = lines.select(
        "row",
        line.str.strip_prefix(_FENCED),
        (stays | fenced).alias("stays"),
        (lorem & ~fenced).alias("lorem"),
        (bracket & ~fenced).alias("bracket"),
    )
    kept = pl.col("line").filter("stays")
    by_text = lines.group_by("row").agg(
        kept.str.join("\n").str.strip_chars().alias("text"),
        (kept.str.count_matches(SENTENCE) + 1).sum().alias("sentences"),
        (~pl.col("stays")).sum().alias("removed"),
        pl.col("lorem").sum().alias("lorem_ipsum"),
        pl.col("bracket").sum().alias("curly_bracket"),
    )
    return (
        frame.select("row")
        .join(by_text, on="row", how="left", maintain_order="left")
        .with_columns(pl.col("text").fill_null(""), pl.exclude("text").fill_null(0))
    )


def mark_fenced(text: str) -> str:
    """The text with a mark before each line of a fenced part."""
    inside = fenced_lines(text)
    if inside is None:
        return text
    return "\n".join(
        f"{_FENCED}{line}" if fenced else line for line, fenced in zip(text.split("\n"), inside, strict=True)
    )


def _without_citations(line: pl.Expr, fenced: pl.Expr) -> pl.Expr:
    return pl.when(fenced).then(line).otherwise(line.str.replace_all(_CITATION, ""))


def _says(phrases: Sequence[str]) -> pl.Expr:
    return pl.col("line").str.contains_any(list(phrases), ascii_case_insensitive=True)


def _short_words(lines: pl.Series, longest: int) -> pl.Series:
    """Whether no word of a line has more than `longest` characters; -1 = no limit. Few lines are long enough to check."""
    if longest == -1:
        return pl.repeat(True, len(lines), eager=True)
    short = (lines.str.len_chars() <= longest).to_numpy().copy()
    for index in (~short).nonzero()[0].tolist():
        short[index] = max(map(len, lines[index].split())) <= longest
    return pl.Series(short)
