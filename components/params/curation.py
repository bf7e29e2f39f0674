"""Section `curation`: which documents stay."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.params.code_gates import CodeRulesParams
from components.params.data import Kind
from components.params.decontamination import DecontaminationParams
from components.params.education import EducationParams
from components.params.gates import WebRulesParams
from components.params.privacy import PrivacyParams
from components.params.section import Fraction, Section

Language = Annotated[str, Field(pattern="^[a-z]{2,3}$")]  # ISO 639


class LanguageParams(Section):
    keep: list[Language] = Field(
        [],
        description="ISO 639 codes of the languages to keep, such as [en, de]; empty keeps the corpus's main languages",
    )
    min_share: Fraction = Field(
        0.2,
        description="Share of the text's bytes that makes a language one of the corpus's main languages; 0 keeps every "
        "language. Only used where keep is empty",
    )
    min_probability: Fraction = Field(0.65, description="Probability of that language, at least, as FineWeb asks")
    kinds: list[Literal["web", "prose", "textbook"]] = Field(
        ["web"], description="Kinds that are judged; code never is"
    )
    min_chars: int = Field(100, ge=0, description="A shorter text gets no verdict, and stays")
    among: list[Language] = Field([], description="Languages to decide between; empty: all that the model knows")

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
        128, ge=16, le=1024, description="MinHash: values a sketch; the error falls with the root"
    )
    thresholds: dict[Kind, Annotated[float, Field(ge=0.5, le=1)]] = Field(
        {"web": 0.7, "prose": 0.7, "code": 0.7, "textbook": 0.7, "exercise": 0.7},
        description="Jaccard similarity of word 5-grams to a better document from which one goes; 1: equal words only",
    )
    earlier: str = Field("", description="Index of what earlier runs have kept, whose duplicates go; empty: none")


class CurationParams(Section):
    min_chars: int = Field(80, ge=0, description="A shorter document teaches nothing")
    max_chars: dict[Kind, Annotated[int, Field(ge=100)]] = Field(
        {"web": 1_000_000, "prose": 1_000_000, "code": 100_000},
        description="By kind, the characters over which a document is a dump; a kind not named may have any length",
    )
    min_alpha_fraction: Fraction = Field(0.5, description="Letters among non-blank characters, at least (prose)")
    min_alpha_fraction_code: Fraction = Field(0.4, description="Letters among non-blank characters, at least (code)")
    max_line_chars: int = Field(400, ge=80, description="A longer line is data, not text")
    max_duplicate_line_fraction: Fraction = Field(
        0.3, description="Share of a text's characters in lines that repeat earlier ones, at most (prose)"
    )
    language: LanguageParams = LanguageParams()
    web: WebRulesParams = WebRulesParams()
    code: CodeRulesParams = CodeRulesParams()
    decontamination: DecontaminationParams = DecontaminationParams()
    privacy: PrivacyParams = PrivacyParams()
    education: EducationParams = EducationParams()
    duplicates: DuplicatesParams = DuplicatesParams()
