"""Educational value: who labels the sample, what the classifier must reach, which documents stay."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.params.data import Kind
from components.params.endpoint import EndpointParams
from components.params.section import Fraction, Section


class AnnotatorEndpointParams(EndpointParams):
    """The model that labels by the rubric, where annotator is openai."""

    max_tokens: int = Field(
        512, ge=16, le=1_000_000, description="Maximum number of tokens per answer; longer answers are rejected"
    )
    max_chars: int = Field(
        6_000,
        ge=200,
        description="Maximum number of characters of a document that are shown to the annotator, from its start",
    )
    max_failed: Fraction = Field(0.05, description="Maximum share of the sample that may remain without a label")
    second_pass: int = Field(
        100,
        ge=0,
        description=(
            "Number of documents that are labelled twice, to measure the annotator's agreement with itself; 0 = none"
        ),
    )


class EducationParams(Section):
    annotator: Literal["builtin", "openai"] = Field(
        "builtin",
        description=(
            "What the classifier learns from: reference texts and, for code, counts and patterns (builtin), or a sample"
            " that a model behind an API labels by the rubric (openai)"
        ),
    )
    good: list[str] = Field(
        [],
        description="Patterns of sources, such as docs/*, whose documents join the reference texts that teach",
    )
    bad: list[str] = Field(
        [],
        description="Patterns of sources, such as *.example.com/*, whose documents join the reference texts that teach little",
    )
    sample: int = Field(
        2_000,
        ge=100,
        le=1_000_000,
        description="Number of documents to label, stratified; a classifier trained on them scores the rest",
    )
    min_value: dict[Kind, Annotated[float, Field(ge=0, le=5)]] = Field(
        {"web": 2.5, "prose": 2.0, "code": 0.4},
        description=(
            "Drop documents of a kind whose educational value (0 to 5) is below this; a kind that is not named is not"
            " filtered"
        ),
    )
    max_drop: dict[Kind, Fraction] = Field(
        {"web": 0.5, "prose": 0.1},
        description=(
            "Largest share of a kind's documents that educational value may drop, the least valuable first; its "
            "threshold is lowered to that quantile. A kind that is not named has no limit"
        ),
    )
    allowance: float = Field(
        0.25,
        ge=0,
        le=5,
        description=(
            "Maximum that comments and docstrings may add to code's educational value, as a share of the value "
            "without them"
        ),
    )
    ridge: float = Field(0.1, gt=0, le=1e6, description="Strength of the classifier's ridge penalty (no unit)")
    min_f1: Fraction = Field(
        0.7,
        description=(
            "Least held-out F1 score of the classifier, mean of kept and dropped documents; a kind with less is not "
            "filtered by educational value"
        ),
    )
    min_spearman: float = Field(
        0.5,
        ge=-1,
        le=1,
        description=(
            "Least held-out rank correlation of the classifier with the labels; a kind with less is not filtered by "
            "educational value"
        ),
    )
    max_calibration_error: float = Field(
        0.5,
        ge=0,
        le=5,
        description=(
            "Largest mean held-out distance of the classifier from the labels, in points (0 to 5); a kind with more "
            "is not filtered by educational value"
        ),
    )
    endpoint: AnnotatorEndpointParams = AnnotatorEndpointParams()

    @model_validator(mode="after")
    def _annotator_is_complete(self) -> "EducationParams":
        if self.annotator == "openai":
            self.endpoint.check_address("endpoint.", "annotator openai")
        return self
