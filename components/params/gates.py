"""Rules for web text, named as in datatrove and the papers: Gopher (Rae et al. 2021, arXiv 2112.11446) and FineWeb (Penedo et al.
2024, arXiv 2406.17557).
"""

from pydantic import Field

from components.params.data import Kind
from components.params.section import Fraction, Section


class GopherRepetitionParams(Section):
    dup_para_frac: Fraction = Field(0.3, description="Paragraphs that repeat earlier ones, at most")
    dup_para_char_frac: Fraction = Field(0.2, description="Characters in such paragraphs, at most")
    dup_line_frac: Fraction = Field(0.3, description="Lines that repeat earlier ones, at most")
    dup_line_char_frac: Fraction = Field(0.2, description="Characters in such lines, at most")


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


class FineWebParams(Section):
    line_punct_thr: Fraction = Field(0.12, description="Lines that end in terminal punctuation, at least")
    short_line_thr: Fraction = Field(0.67, description="Lines of at most 30 characters, at most")
    char_duplicates_ratio: Fraction = Field(0.01, description="Characters in lines that repeat earlier ones, at most")
    new_line_ratio: float = Field(0.3, ge=0, description="Line ends a word, at most")


class WebRulesParams(Section):
    kinds: list[Kind] = Field(["web"], description="Kinds that see these rules; they destroy code")
    gopher_repetition: GopherRepetitionParams = GopherRepetitionParams()
    gopher_quality: GopherQualityParams = GopherQualityParams()
    fineweb: FineWebParams = FineWebParams()
