"""Section `curation.decontamination`: how much of a benchmark a document may contain."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.params.data import Kind
from components.params.section import Fraction, Section, refuse_repeats

Suite = Annotated[str, Field(min_length=1)]


class DecontaminationParams(Section):
    suites: list[Suite] = Field(
        ["phi2", "olmes"],
        description=(
            "Benchmark suites (names or YAML files) whose items are searched for in the documents, if their data is "
            "present"
        ),
    )
    kinds: list[Kind] = Field(
        ["web", "prose", "code", "textbook", "exercise"],
        description="Kinds of documents that are searched for benchmark items",
    )
    ngram: int = Field(
        13,
        ge=5,
        le=32,
        description=(
            "Number of words of a benchmark question, in order around consecutive ones, that a contaminated document has at "
            "least (GPT-3: 13)"
        ),
    )
    candidate_ngram: int = Field(
        10,
        ge=6,
        le=32,
        description=(
            "Number of consecutive words shared with a benchmark question that makes a document a candidate (Cosmopedia: "
            "10)"
        ),
    )
    min_match_ratio: Fraction = Field(
        0.5,
        description="Share of a benchmark question's words above which a candidate document is contaminated (Cosmopedia: 0.5)",
    )
    min_words: int = Field(
        6,
        ge=5,
        le=32,
        description=(
            "Benchmark items of fewer words than this, choices included, are found only as a line of their own, since their "
            "words occur everywhere"
        ),
    )
    min_paraphrase: Fraction = Field(
        0.6,
        description=(
            "Share of a benchmark question's distinctive words, near each other in any order, above which a document asks "
            "it in other words; 0 = do not look for paraphrases"
        ),
    )
    min_code_nodes: int = Field(
        30,
        ge=1,
        description=(
            "Search for a benchmark function of fewer syntax-tree nodes than this only together with its name, if that has "
            "several words"
        ),
    )
    frequent: int = Field(
        3, ge=1, description="List benchmark items found in more documents than this as possibly everyday words"
    )
    action: Literal["drop", "report"] = Field(
        "drop", description="What happens to contaminated documents: they are dropped, or only reported"
    )

    @model_validator(mode="after")
    def _candidates_are_wider(self) -> "DecontaminationParams":
        refuse_repeats(self, "suites", "kinds")
        if self.candidate_ngram > self.ngram:
            raise ValueError(
                f"candidate_ngram {self.candidate_ngram} is more than ngram {self.ngram}, so it would find nothing more"
            )
        return self
