"""Decontamination: what of a benchmark may not stand in a document."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.params.data import Kind
from components.params.section import Fraction, Section, refuse_repeats

Suite = Annotated[str, Field(min_length=1)]


class DecontaminationParams(Section):
    suites: list[Suite] = Field(
        ["phi2", "olmes"],
        description="Suites whose benchmarks are looked for, where their data is at hand: names, or YAML files",
    )
    kinds: list[Kind] = Field(
        ["web", "prose", "code", "textbook", "exercise"], description="Kinds of documents that are checked"
    )
    ngram: int = Field(13, ge=5, le=32, description="Words in a row that a document may not share with an item (GPT-3)")
    candidate_ngram: int = Field(
        10, ge=5, le=32, description="Words in a row that make a document a candidate (Cosmopedia)"
    )
    min_match_ratio: Fraction = Field(
        0.5, description="Share of an item's words that a candidate matches, above which it is a hit (Cosmopedia)"
    )
    min_words: int = Field(8, ge=4, le=32, description="A shorter item is not looked for: its words stand anywhere")
    min_code_nodes: int = Field(
        30, ge=1, description="Nodes of a function's syntax tree; a smaller one is everybody's, and is not looked for"
    )
    frequent: int = Field(3, ge=1, description="Documents; items found in more are listed, as perhaps everyday words")
    action: Literal["drop", "report"] = Field("drop", description="What becomes of a document with a hit")

    @model_validator(mode="after")
    def _candidates_are_wider(self) -> "DecontaminationParams":
        refuse_repeats(self, "suites", "kinds")
        if self.candidate_ngram > self.ngram:
            raise ValueError(
                f"candidate_ngram {self.candidate_ngram} is more than ngram {self.ngram}, so it would find nothing more"
            )
        return self
