"""Rules for web text, computed as columns over many texts at once, without a loop over words in Python.

The rules are those of Gopher (Rae et al. 2021, arXiv 2112.11446, table A1 and section A.1), C4 (`c4.py`) and FineWeb (Penedo et
al. 2024, arXiv 2406.17557), in FineWeb's order: C4's rules remove lines from a text that passes Gopher's, and FineWeb's see the
rest. Fenced parts are not prose: their lines are kept, and count only as words and sentences of the document. All regular
expressions are Rust's, which take time linear in the text.
"""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from components.curation.filters import c4
from components.curation.filters.fenced import prose_of
from components.curation.filters.words import Words, repeated, word_counts, words_of
from components.curation.rules import Check, Failure
from components.params.web_rules import WebRulesParams

# A line that continues in the next one: in wrapped text, unlike in the pages that FineWeb measured, few lines end in punctuation.
# The same is true of rows of a Markdown table and of entries of a glossary.
_GOES_ON = r"\S[^\S\n]*\n[^\S\n]*\p{Ll}"
_TABLE_ROW = r"(?m)^[^\S\n]*\|[^\n]*\|$"
_DEFINITION = r"(?m)^[^\S\n]*[-*•][^\S\n]+[^:\n]{1,60}:\**[^\S\n]+(?:\S+[^\S\n]+){2,}\S*[^\s\p{Sentence_Terminal}]$"
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


@dataclass(frozen=True)
class Rule:
    """A rule: its name, the column of its value, its threshold, and whether that is a minimum or a maximum."""

    name: str
    figure: str
    threshold: float
    least: bool
    meaning: str


@dataclass(frozen=True)
class Verdict:
    """The first rule that a text fails, if any; else the text without removed lines, and the number of these."""

    failure: Failure | None
    text: str
    lines_removed: int = 0


# (section, parameter, column of the value, whether the threshold is a minimum, meaning), in the order of the checks
_LINES = (
    ("gopher_repetition", "dup_para_frac", "dup_para", False, "paragraphs that repeat earlier ones"),
    (
        "gopher_repetition",
        "dup_para_char_frac",
        "dup_para_char",
        False,
        "characters in paragraphs that repeat earlier ones",
    ),
    ("gopher_repetition", "dup_line_frac", "dup_line", False, "lines that repeat earlier ones"),
    ("gopher_repetition", "dup_line_char_frac", "dup_line_char", False, "characters in lines that repeat earlier ones"),
)
_QUALITY = (
    ("gopher_quality", "min_doc_words", "doc_words", True, "words other than punctuation"),
    ("gopher_quality", "max_doc_words", "doc_words", False, "words other than punctuation"),
    ("gopher_quality", "min_avg_word_length", "word_length", True, "mean characters per word"),
    ("gopher_quality", "max_avg_word_length", "word_length", False, "mean characters per word"),
    ("gopher_quality", "max_symbol_word_ratio", "hashes", False, "hash signs per word"),
    ("gopher_quality", "max_symbol_word_ratio", "ellipses", False, "ellipses per word"),
    ("gopher_quality", "max_bullet_lines_ratio", "bullet_lines", False, "lines that start with a bullet"),
    ("gopher_quality", "max_ellipsis_lines_ratio", "ellipsis_lines", False, "lines that end in an ellipsis"),
    ("gopher_quality", "max_non_alpha_words_ratio", "alpha_words", True, "words with a letter"),
    ("gopher_quality", "min_stop_words", "stop_words", True, "different stop words"),
)
_FINEWEB = (
    ("fineweb", "line_punct_thr", "line_punct", True, "lines that end in terminal punctuation"),
    ("fineweb", "short_line_thr", "short_lines", False, "lines of at most 30 characters"),
    ("fineweb", "char_duplicates_ratio", "dup_char", False, "characters in lines that repeat earlier ones"),
    ("fineweb", "new_line_ratio", "new_lines", False, "line ends per word"),
)


def gopher_rules(params: WebRulesParams) -> list[Rule]:
    """Gopher's rules with their thresholds, in the order in which they are checked."""
    runs = params.gopher_repetition
    of_runs = [
        *(("top_n_grams", n, most, "characters in the most frequent run") for n, most in runs.top_n_grams.items()),
        *(("dup_n_grams", n, most, "characters in repeated runs") for n, most in runs.dup_n_grams.items()),
    ]
    return [
        *_rules(_LINES, params),
        *(
            Rule(f"gopher_repetition.{name}.{n}", f"{name}.{n}", most, False, f"{meaning} of {n} words")
            for name, n, most, meaning in of_runs
        ),
        *_rules(_QUALITY, params),
    ]


def c4_rules(params: WebRulesParams) -> list[Rule]:
    """C4's rules on whole texts."""
    own = params.c4
    return [
        *(
            [Rule("c4.filter_lorem_ipsum", "lorem_ipsum", 0, False, "lines that contain lorem ipsum")]
            if own.filter_lorem_ipsum
            else []
        ),
        *(
            [Rule("c4.filter_curly_bracket", "curly_bracket", 0, False, "lines with a curly bracket")]
            if own.filter_curly_bracket
            else []
        ),
        Rule("c4.min_num_sentences", "sentences", own.min_num_sentences, True, "sentences in the remaining lines"),
    ]


def fineweb_rules(params: WebRulesParams) -> list[Rule]:
    """FineWeb's rules with their thresholds."""
    return _rules(_FINEWEB, params)


def _rules(table: Sequence[tuple[str, str, str, bool, str]], params: WebRulesParams) -> list[Rule]:
    return [
        Rule(f"{section}.{name}", figure, getattr(getattr(params, section), name), least, meaning)
        for section, name, figure, least, meaning in table
    ]


def judge(texts: Sequence[str], params: WebRulesParams) -> list[Verdict]:
    """The verdict on each text, by the first rule that it fails."""
    verdicts = [Verdict(None, text) for text in texts]
    for figures, rules in (
        (gopher_figures, gopher_rules(params)),
        (c4_figures, c4_rules(params)),
        (fineweb_figures, fineweb_rules(params)),
    ):
        left = [index for index, verdict in enumerate(verdicts) if not verdict.failure]
        if not left:
            break
        rows = figures([verdicts[index].text for index in left], params)
        edits = list(zip(rows["text"], rows["removed"], strict=True)) if "text" in rows.columns else []
        for place, (index, failure) in enumerate(zip(left, failures(rows, rules), strict=True)):
            if failure:
                verdicts[index] = Verdict(failure, texts[index])
            elif edits:
                verdicts[index] = Verdict(None, *edits[place])
    return verdicts


def failures(rows: pl.DataFrame, rules: Sequence[Rule]) -> list[Failure | None]:
    """The first rule that each row of values fails, in the order of the rules."""
    found: list[Failure | None] = [None] * len(rows)
    for rule in reversed(rules):
        column = rows[rule.figure]
        fails = (operator.lt if rule.least else operator.gt)(column, rule.threshold).fill_null(rule.least)
        for index in fails.arg_true().to_list():
            value = column[index] or 0.0
            detail = f"{value:.4g} {rule.meaning}; at {'least' if rule.least else 'most'} {rule.threshold:g} pass"
            found[index] = Failure(rule.name, value, rule.threshold, detail)
    return found


def explain(texts: Sequence[str], params: WebRulesParams) -> list[list[Check]]:
    """Every rule with its value for each text, in order, also after a rule that it fails."""
    found: list[list[Check]] = [[] for _ in texts]
    if not found:
        return found
    of_c4 = c4_figures(texts, params)
    for figures, rules in (
        (gopher_figures(texts, params), gopher_rules(params)),
        (of_c4, c4_rules(params)),
        (fineweb_figures(of_c4["text"].to_list(), params), fineweb_rules(params)),
    ):
        for checks, row in zip(found, figures.iter_rows(named=True), strict=True):
            checks += (
                Check(rule.name, row[rule.figure] or 0.0, rule.threshold, rule.least, rule.meaning)
                for rule in rules
                if row[rule.figure] is not None or rule.least
            )
    return found


def gopher_figures(texts: Sequence[str], params: WebRulesParams) -> pl.DataFrame:
    """The values of Gopher's rules, one column per rule, one row per text; null if undefined, as for an empty text."""
    whole, texts = texts, [prose_of(text) for text in texts]
    frame, words = _frame(texts), words_of(texts, params.definitions == "datatrove")
    doc_words = words.count(words.solid)  # fenced parts have words, too
    fenced = [place for place, text in enumerate(texts) if text != whole[place]]
    uncut = words_of([whole[place] for place in fenced], params.definitions == "datatrove")
    doc_words[fenced] = uncut.count(uncut.solid)
    text = pl.col("text")
    breaks = text.str.count_matches("\n", literal=True)
    counted = frame.select(
        "row",
        text.str.len_chars().alias("chars"),
        (breaks + (~text.str.ends_with("\n")).cast(pl.UInt32)).alias("lines"),
        text.str.count_matches("#", literal=True).alias("hash"),
        text.str.count_matches(r"\.\.\.|…").alias("ellipsis"),
        text.str.count_matches(r"(?m)^[^\S\n]*[•-]").alias("bullets"),
        text.str.count_matches(r"(?m)(?:\.\.\.|…)[^\S\n]*$").alias("trailing"),
        pl.Series("doc_words", doc_words, dtype=pl.Float64),
        *_word_columns(words, params),
    )
    paragraphs = text.str.strip_chars().str.replace_all(r"\n\n+", "\n\n").str.split("\n\n")
    for part in (
        _repeated(frame, text.str.replace_all(r"\n+", "\n").str.split("\n"), "dup_line"),
        _repeated(frame, paragraphs, "dup_para"),
    ):
        counted = counted.join(part, on="row", how="left", maintain_order="left")
    return counted.select(
        "doc_words",
        "stop_words",
        _share("solid_chars", "solid_words", "word_length"),
        _share("hash", "words", "hashes"),
        _share("ellipsis", "words", "ellipses"),
        _share("bullets", "lines", "bullet_lines"),
        _share("trailing", "lines", "ellipsis_lines"),
        _share("alpha", "words", "alpha_words"),
        "dup_line",
        _share("dup_line_chars", "chars", "dup_line_char"),
        "dup_para",
        _share("dup_para_chars", "chars", "dup_para_char"),
        *(_share(name, "chars", name) for name in counted.columns if "_n_grams." in name),
    )


def _word_columns(words: Words, params: WebRulesParams) -> Iterator[pl.Series]:
    """The values that are counted over words."""
    lengths = np.where(words.solid, np.diff(words.before), 0)
    yield pl.Series("words", np.diff(words.starts))
    yield pl.Series("solid_words", words.count(words.solid), dtype=pl.Float64)
    yield pl.Series("solid_chars", np.bincount(words.owners, lengths, minlength=words.texts))
    yield pl.Series("alpha", words.count(words.alpha))
    stops = (words.count(words.hashes == stop) > 0 for stop in words_of(STOP_WORDS).hashes)
    yield pl.Series("stop_words", sum(found.astype(float) for found in stops))
    runs = params.gopher_repetition
    for (name, n), characters in repeated(words, runs.top_n_grams, runs.dup_n_grams).items():
        yield pl.Series(f"{name}.{n}", characters)


def c4_figures(texts: Sequence[str], params: WebRulesParams) -> pl.DataFrame:
    """The values of C4's rules, one row per text, with `text`, the kept lines, and `removed`, the number of other lines."""
    rows = c4.lines_kept(_frame([c4.mark_fenced(text) for text in texts]), params.c4)
    return rows.with_columns(
        pl.col("sentences", "lorem_ipsum", "curly_bracket").cast(pl.Float64), pl.col("text") + "\n"
    )


def fineweb_figures(texts: Sequence[str], params: WebRulesParams) -> pl.DataFrame:
    """The values of FineWeb's rules, one row per text; null if undefined."""
    texts = [prose_of(text) for text in texts]
    frame = _frame(texts)
    text = pl.col("text")
    ended, go_on = text.str.count_matches(r"(?m)\p{Sentence_Terminal}$"), pl.lit(0)
    if params.definitions == "papers":
        ended, go_on = (
            ended + text.str.count_matches(_DEFINITION),
            text.str.count_matches(_GOES_ON) + text.str.count_matches(_TABLE_ROW),
        )
    counted = frame.select(
        "row",
        text.str.len_chars().cast(pl.Int64).alias("chars"),
        text.str.count_matches("\n", literal=True).cast(pl.Int64).alias("breaks"),
        pl.Series("words", word_counts(texts)),
        text.str.count_matches(r"(?m)\S[^\n]*$").alias("solid_lines"),
        ended.alias("ended"),
        go_on.cast(pl.Int64).alias("go_on"),
        text.str.count_matches(r"(?m)^[^\n]{31,}$").alias("long"),
    )
    again = _repeated(frame, text.str.split("\n"), "dup", solid=True)
    counted = counted.join(again, on="row", how="left", maintain_order="left")
    return counted.select(
        (pl.col("ended") / (pl.col("solid_lines") - pl.col("go_on")).clip(1)).fill_nan(None).alias("line_punct"),
        (1 - _share("long", "solid_lines", "short_lines")).alias("short_lines"),
        (pl.col("dup_chars") / (pl.col("chars") - pl.col("breaks"))).fill_nan(None).alias("dup_char"),
        _share("breaks", "words", "new_lines"),
    )


def _frame(texts: Sequence[str]) -> pl.DataFrame:
    try:
        column = pl.Series("text", list(texts), dtype=pl.String)
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form
        column = pl.Series("text", [text.encode("utf-8", "replace").decode() for text in texts], dtype=pl.String)
    return column.to_frame().with_row_index("row")


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
