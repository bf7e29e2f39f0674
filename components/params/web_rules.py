"""Rules for web text, named as in datatrove and the papers: Gopher (Rae et al. 2021, arXiv 2112.11446), C4 (Raffel et al. 2020,
arXiv 1910.10683) and FineWeb (Penedo et al. 2024, arXiv 2406.17557).
"""

from typing import Annotated, Literal

from pydantic import Field

from components.params.data import Kind
from components.params.section import Fraction, Section

RunLength = Annotated[int, Field(ge=2, le=32, strict=False)]  # a JSON key is a string


class GopherRepetitionParams(Section):
    dup_para_frac: Fraction = Field(0.3, description="Drop documents with more than this share of repeated paragraphs")
    dup_para_char_frac: Fraction = Field(
        0.2,
        description="Drop documents with more than this share of their characters in repeated paragraphs",
    )
    dup_line_frac: Fraction = Field(0.3, description="Drop documents with more than this share of repeated lines")
    dup_line_char_frac: Fraction = Field(
        0.2,
        description="Drop documents with more than this share of their characters in repeated lines",
    )
    top_n_grams: dict[RunLength, Fraction] = Field(
        {2: 0.2, 3: 0.18, 4: 0.16},
        description=(
            "Drop documents with more than this share of their characters in the most frequent run of n words, for each n"
        ),
    )
    dup_n_grams: dict[RunLength, Fraction] = Field(
        {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1},
        description=(
            "Drop documents with more than this share of their characters in repeated runs of n words, for each n"
        ),
    )


class GopherQualityParams(Section):
    min_doc_words: int = Field(50, ge=0, description="Drop documents of fewer words than this, punctuation not counted")
    max_doc_words: int = Field(
        100_000, ge=1, description="Drop documents of more words than this, punctuation not counted"
    )
    min_avg_word_length: float = Field(
        3.0, ge=0, description="Drop documents whose mean word length is below this many characters"
    )
    max_avg_word_length: float = Field(
        10.0, ge=0, description="Drop documents whose mean word length is above this many characters"
    )
    max_symbol_word_ratio: float = Field(
        0.1, ge=0, description="Drop documents with more hash signs, or more ellipses, per word than this"
    )
    max_bullet_lines_ratio: Fraction = Field(
        0.9, description="Drop documents with more than this share of lines that start with a bullet"
    )
    max_ellipsis_lines_ratio: Fraction = Field(
        0.3, description="Drop documents with more than this share of lines that end in an ellipsis"
    )
    max_non_alpha_words_ratio: Fraction = Field(
        0.8,
        description=("Drop documents with less than this share of words that contain a letter (a minimum)"),
    )
    min_stop_words: int = Field(
        2, ge=0, le=8, description="Drop documents with fewer of eight common English stop words than this"
    )


class C4Params(Section):
    remove_citations: bool = Field(True, description="Remove citation marks such as [12] and [edit]")
    filter_no_terminal_punct: bool = Field(
        False, description="Remove lines without terminal punctuation, as C4 does; FineWeb keeps them"
    )
    min_words_per_line: int = Field(3, ge=-1, description="Remove lines of fewer words than this")
    max_word_length: int = Field(
        1_000, ge=-1, description="Remove lines with a word of more characters than this; -1 = no limit"
    )
    filter_lorem_ipsum: bool = Field(True, description="Drop pages that contain `lorem ipsum`")
    filter_javascript: bool = Field(True, description="Remove lines that contain `javascript`")
    filter_curly_bracket: bool = Field(
        False, description="Drop pages with a curly bracket outside fenced code, as C4 and FineWeb do"
    )
    filter_policy: bool = Field(True, description="Remove lines about cookies, privacy policies and terms of use")
    min_num_sentences: int = Field(
        5, ge=-1, description="Drop pages of fewer sentences than this in the lines that remain"
    )


class FineWebParams(Section):
    line_punct_thr: Fraction = Field(
        0.12, description="Drop documents with less than this share of lines that end in terminal punctuation"
    )
    short_line_thr: Fraction = Field(
        0.67, description="Drop documents with more than this share of lines of 30 characters or fewer"
    )
    char_duplicates_ratio: Fraction = Field(
        0.1,
        description="Drop documents with more than this share of their characters in repeated lines (datatrove: 0.01)",
    )
    new_line_ratio: float = Field(0.3, ge=0, description="Drop documents with more line ends per word than this")


class WebRulesParams(Section):
    definitions: Literal["papers", "datatrove"] = Field(
        "papers", description="Whose words and lines the rules for web text count: the papers' or datatrove's"
    )
    kinds: list[Kind] = Field(
        ["web"], description="Kinds of documents that the web rules are applied to; not meant for code; empty = none"
    )
    gopher_repetition: GopherRepetitionParams = GopherRepetitionParams()
    gopher_quality: GopherQualityParams = GopherQualityParams()
    c4: C4Params = C4Params()
    fineweb: FineWebParams = FineWebParams()
