"""Section `curation`: which documents are kept."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.params.code_rules import CodeRulesParams
from components.params.data import Kind
from components.params.decontamination import DecontaminationParams
from components.params.education import EducationParams
from components.params.privacy import PrivacyParams
from components.params.section import Fraction, Section
from components.params.web_rules import WebRulesParams

Language = Annotated[str, Field(pattern="^[a-z]{2,3}$")]  # ISO 639


class LanguageParams(Section):
    keep: list[Language] = Field(
        [],
        description="ISO 639 codes of the languages to keep, such as [en, de]; empty keeps the corpus's main languages",
    )
    min_share: Fraction = Field(
        0.2,
        description=(
            "Share of the text's bytes that makes a language a main language of the corpus, used if `keep` is empty; "
            "0 keeps every language"
        ),
    )
    min_probability: Fraction = Field(
        0.65,
        description="Drop documents that are in a kept language with a lower probability than this (FineWeb: 0.65)",
    )
    kinds: list[Literal["web", "prose", "textbook"]] = Field(
        ["web"],
        description="Kinds of documents whose language is checked, and prose unless only English is kept; code never is",
    )
    min_chars: int = Field(
        100, ge=0, description="Keep documents shorter than this many characters without a language check"
    )
    among: list[Language] = Field(
        [], description="ISO 639 codes of the languages that the classifier chooses between; empty = all that it knows"
    )

    @model_validator(mode="after")
    def _there_is_a_choice(self) -> "LanguageParams":
        if len(set(self.among)) == 1:
            raise ValueError("among names one language, so every text would be in it; name two or more, or none")
        missing = sorted(set(self.keep) - set(self.among))
        if self.among and missing:
            raise ValueError(
                f"among lacks {', '.join(missing)}, which keep names, so nothing would be found to be in it"
            )
        return self


class DuplicatesParams(Section):
    permutations: int = Field(
        128,
        ge=16,
        le=1024,
        description="Number of hash values per MinHash sketch; its error falls with the square root of the number",
    )
    thresholds: dict[Kind, Annotated[float, Field(ge=0.5, le=1)]] = Field(
        {"web": 0.7, "prose": 0.7, "code": 0.7, "textbook": 0.7, "exercise": 0.7},
        description=(
            "Jaccard similarity of word 5-grams, per kind, at which the worse of two documents is dropped; 1 = equal "
            "words only"
        ),
    )
    containment: Fraction = Field(
        0.0, description="Also drop documents with this share of their 5-grams in a larger one; 0 = off"
    )
    earlier: str = Field(
        "", description="Index of the documents that earlier runs kept, whose duplicates are dropped; empty = none"
    )


class PassagesParams(Section):
    kinds: list[Literal["web", "prose", "textbook"]] = Field(
        ["web"], description="Kinds of documents from which repeated passages are cut; empty = none"
    )
    unit: Literal["lines", "sentences", "words"] = Field(
        "lines", description="What a repeated passage is: a line, three sentences or 50 words"
    )
    documents: int = Field(3, ge=2, description="Cut passages that at least this many documents hold, from all but one")


class CurationParams(Section):
    min_chars: int = Field(80, ge=0, description="Drop documents shorter than this many characters")
    max_chars: dict[Kind, Annotated[int, Field(ge=100)]] = Field(
        {"web": 1_000_000, "prose": 1_000_000, "code": 1_000_000},
        description=(
            "Drop documents of a kind that are longer than this many characters; a kind that is not named has no limit"
        ),
    )
    min_alpha_fraction: Fraction = Field(
        0.5,
        description="Drop documents other than code with less than this share of letters among their non-blank characters",
    )
    min_alpha_fraction_code: Fraction = Field(
        0.4, description="Drop code with less than this share of letters among its non-blank characters"
    )
    max_line_chars: int = Field(
        1_000, ge=80, description="Drop code with a line longer than this many characters, as Codex and The Stack do"
    )
    max_duplicate_line_fraction: Fraction = Field(
        0.3,
        description="Drop documents other than code with more than this share of their characters in repeated lines",
    )
    url_lists: str = Field("", description="Folder of block lists of URLs, such as domains.txt; empty = none")
    language: LanguageParams = LanguageParams()
    web: WebRulesParams = WebRulesParams()
    code: CodeRulesParams = CodeRulesParams()
    passages: PassagesParams = PassagesParams()
    decontamination: DecontaminationParams = DecontaminationParams()
    privacy: PrivacyParams = PrivacyParams()
    education: EducationParams = EducationParams()
    duplicates: DuplicatesParams = DuplicatesParams()
