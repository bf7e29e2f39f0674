"""Rules for web text, named as in datatrove and the papers: Gopher (Rae et al. 2021, arXiv 2112.11446), C4 (Raffel et al. 2020,
arXiv 1910.10683) and FineWeb (Penedo et al. 2024, arXiv 2406.17557).
"""

from typing import Annotated

from pydantic import Field

from components.params.data import Kind
from components.params.section import Fraction, Section

RunLength = Annotated[int, Field(ge=2, le=32, strict=False)]  # a key of JSON is a string


class GopherRepetitionParams(Section):
    dup_para_frac: Fraction = Field(0.3, description="Paragraphs that repeat earlier ones, at most")
    dup_para_char_frac: Fraction = Field(0.2, description="Characters in such paragraphs, at most")
    dup_line_frac: Fraction = Field(0.3, description="Lines that repeat earlier ones, at most")
    dup_line_char_frac: Fraction = Field(0.2, description="Characters in such lines, at most")
    top_n_grams: dict[RunLength, Fraction] = Field(
        {2: 0.2, 3: 0.18, 4: 0.16},
        description="By n, characters in the most frequent run of n words, at most; a length not named isn't looked at",
    )
    dup_n_grams: dict[RunLength, Fraction] = Field(
        {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1},
        description="By n, characters in runs of n words that repeat earlier ones, at most",
    )


class GopherQualityParams(Section):
    min_doc_words: int = Field(50, ge=0, description="Words that are more than punctuation, at least")
    max_doc_words: int = Field(100_000, ge=1, description="Such words, at most")
    min_avg_word_length: float = Field(3.0, ge=0, description="Mean characters of those words, at least")
    max_avg_word_length: float = Field(10.0, ge=0, description="Mean characters of those words, at most")
    max_symbol_word_ratio: float = Field(0.1, ge=0, description="Hash signs a word, and ellipses a word, at most")
    max_bullet_lines_ratio: Fraction = Field(0.9, description="Lines that start with a bullet, at most")
    max_ellipsis_lines_ratio: Fraction = Field(0.3, description="Lines that end in an ellipsis, at most")
    max_non_alpha_words_ratio: Fraction = Field(
        0.8, description="Words with a letter, at least, though datatrove, whose name this is, calls it the most"
    )
    min_stop_words: int = Field(2, ge=0, le=8, description="Different stop words of eight, at least")


class C4Params(Section):
    remove_citations: bool = Field(True, description="Take marks such as [12] and [edit] out")
    filter_no_terminal_punct: bool = Field(
        False, description="Lines that end in no terminal punctuation go, as in C4; FineWeb leaves them"
    )
    min_words_per_line: int = Field(3, ge=-1, description="Words of a line, at least; other lines go")
    max_word_length: int = Field(1_000, ge=-1, description="Characters of a word; lines with a longer one go; -1: none")
    filter_lorem_ipsum: bool = Field(True, description="Pages that say lorem ipsum go")
    filter_javascript: bool = Field(True, description="Lines that say javascript go")
    filter_curly_bracket: bool = Field(True, description="Pages with a curly bracket go")
    filter_policy: bool = Field(True, description="Lines on cookies, privacy policies and terms of use go")
    min_num_sentences: int = Field(5, ge=-1, description="Sentences in the lines that stay, at least")


class FineWebParams(Section):
    line_punct_thr: Fraction = Field(0.12, description="Lines that end in terminal punctuation, at least")
    short_line_thr: Fraction = Field(0.67, description="Lines of at most 30 characters, at most")
    char_duplicates_ratio: Fraction = Field(0.01, description="Characters in lines that repeat earlier ones, at most")
    new_line_ratio: float = Field(0.3, ge=0, description="Line ends a word, at most")


class WebRulesParams(Section):
    kinds: list[Kind] = Field(["web"], description="Kinds that see these rules; they destroy code")
    gopher_repetition: GopherRepetitionParams = GopherRepetitionParams()
    gopher_quality: GopherQualityParams = GopherQualityParams()
    c4: C4Params = C4Params()
    fineweb: FineWebParams = FineWebParams()
