"""Educational value: who labels the sample, what the classifier must reach, which documents are kept."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from components.params.endpoint import EndpointParams
from components.params.section import Fraction, Section

if TYPE_CHECKING:
    Judged = str  # the same as in a document, whose reader checks it
    Text = str
else:
    Judged = Literal["web", "prose", "code", "textbook"]
    Text = Literal["web", "prose"]


class AnnotatorEndpointParams(EndpointParams):
    """The model that labels by the rubric if `annotator` is openai."""

    max_tokens: int = Field(
        512, ge=16, le=1_000_000, description="Maximum number of tokens per answer; longer answers are rejected"
    )
    max_chars: int = Field(
        6_000,
        ge=200,
        description="Maximum number of characters of a document shown to the annotator, from its start",
    )
    max_failed: Fraction = Field(0.05, description="Maximum share of the sample that may remain without a label")
    second_pass: int = Field(
        100,
        ge=0,
        description=("Number of documents labelled twice, to measure the annotator's agreement with itself; 0 = none"),
    )


class EducationParams(Section):
    annotator: Literal["builtin", "openai"] = Field(
        "builtin",
        description=(
            "What the classifier learns from: reference texts, and a heuristic for code (builtin), or labels by a model"
            " behind an API (openai)"
        ),
    )
    good: list[str] = Field(
        [],
        description="Patterns of sources, such as docs/*, of documents to learn from as good text; empty = none",
    )
    bad: list[str] = Field(
        [],
        description="Patterns of sources, such as ads/*, of documents to learn from as bad text; empty = none",
    )
    sample: int = Field(
        2_000,
        ge=100,
        le=1_000_000,
        description="Number of documents to label, stratified",
    )
    min_value: dict[Judged, Annotated[float, Field(ge=0, le=5)]] = Field(
        {"web": 2.85, "prose": 1.95, "code": 0.4},
        description="Drop documents of a kind whose educational value (0 to 5) is below this; not named = not filtered",
    )
    max_drop: dict[Text, Fraction] = Field(
        {"web": 0.9, "prose": 0.1},
        description="Maximum share of a kind's documents that educational value drops; not named = no limit",
    )
    allowance: float = Field(
        0.25,
        ge=0,
        le=5,
        description=("Largest share of code's educational value that comments and docstrings may add"),
    )
    ridge: float = Field(
        0.1, gt=0, le=1e6, description="Strength of the ridge penalty of models that learn from labels (no unit)"
    )
    min_f1: Fraction = Field(
        0.7,
        description=("Least held-out macro F1 score of the classifier; a kind with less is not filtered"),
    )
    min_spearman: float = Field(
        0.5,
        ge=-1,
        le=1,
        description=(
            "Least held-out rank correlation of the classifier with the labels; a kind with less is not filtered"
        ),
    )
    max_calibration_error: float = Field(
        0.5,
        ge=0,
        le=5,
        description=(
            "Largest mean held-out distance of the classifier from the labels, in points; a kind with more "
            "is not filtered"
        ),
    )
    endpoint: AnnotatorEndpointParams = AnnotatorEndpointParams()

    @model_validator(mode="after")
    def _annotator_is_complete(self) -> "EducationParams":
        if self.annotator == "openai":
            self.endpoint.check_address("endpoint.", "annotator openai")
        return self
