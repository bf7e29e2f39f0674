"""Educational value: who labels the sample, what the classifier must reach, which documents stay."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from components.params.data import Kind
from components.params.section import API_KEY, Fraction, Section, Variable


class AnnotatorEndpointParams(Section):
    """The model that labels by the rubric, where annotator is openai."""

    base_url: str = Field(
        "",
        description=(
            "Address of the annotator's API, such as http://127.0.0.1:8000/v1 (vLLM, Ollama, OpenAI); empty only "
            "without an annotator model"
        ),
    )
    model: str = Field(
        "", description="Name of the annotator model at its endpoint; empty only without an annotator model"
    )
    api_key_env: Variable = Field("OPENAI_API_KEY", min_length=1, description=API_KEY)
    max_chars: int = Field(
        6_000,
        ge=200,
        description="Maximum number of characters of a document that are shown to the annotator, from its start",
    )
    max_tokens: int = Field(512, ge=16, description="Maximum number of tokens per answer; longer answers are rejected")
    structured: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema", description="How JSON is requested from the endpoint; none = by the prompt alone"
    )
    request: dict[str, Any] = Field(
        {},
        description="Extra fields of each request, named as the endpoint names them; null removes one that is sent by default",
    )
    concurrency: int = Field(
        64, ge=1, le=4096, description="Maximum concurrent requests; backs off when the server throttles"
    )
    timeout_s: float = Field(
        300.0, gt=0, description="Maximum seconds to wait for one answer; reduced once latencies are known"
    )
    patience_s: float = Field(
        120.0, gt=0, description="Seconds of continuous endpoint failure after which the step stops; it can be resumed"
    )
    attempts: int = Field(
        4, ge=1, le=100, description="Maximum number of requests per document until its label is usable"
    )
    max_failed: Fraction = Field(0.05, description="Maximum share of the sample that may remain without a label")
    second_pass: int = Field(
        100,
        ge=0,
        description="Number of documents that are labelled twice, to measure the annotator's agreement with itself; 0 = none",
    )
    budget_tokens: int = Field(
        0, ge=0, description="Maximum tokens spent on annotation calls, over all resumes; 0 = no limit"
    )
    budget_money: float = Field(
        0.0,
        ge=0,
        description="Maximum spend on annotation calls, in the currency of the prices, which it needs; 0 = no limit",
    )
    price_input: float | None = Field(None, ge=0, description="Price per million prompt tokens; empty = unknown")
    price_output: float | None = Field(None, ge=0, description="Price per million answer tokens; empty = unknown")

    @model_validator(mode="after")
    def _prices_belong_together(self) -> "AnnotatorEndpointParams":
        if (self.price_input is None) != (self.price_output is None):
            raise ValueError("price_input and price_output are given together or not at all")
        if self.budget_money and self.price_input is None:
            raise ValueError("budget_money needs price_input and price_output: a cost is never guessed")
        return self


class EducationParams(Section):
    annotator: Literal["heuristic", "openai"] = Field(
        "heuristic",
        description="What labels the sample by the rubric: counts and patterns (heuristic), or a model behind an API (openai)",
    )
    sample: int = Field(
        2_000,
        ge=100,
        le=1_000_000,
        description="Number of documents to label, stratified; a classifier trained on them scores the rest",
    )
    min_value: dict[Kind, Annotated[float, Field(ge=0, le=5)]] = Field(
        {"web": 1.0, "prose": 0.2, "code": 0.4},
        description=(
            "Drop documents of a kind whose educational value (0 to 5) is below this; a kind that is not named is not"
            " filtered"
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
            if not self.endpoint.base_url.startswith(("http://", "https://")):
                raise ValueError(
                    f"endpoint.base_url {self.endpoint.base_url!r} is not an address; annotator openai needs one "
                    "such as http://HOST:PORT/v1"
                )
            if not self.endpoint.model:
                raise ValueError("endpoint.model is empty; annotator openai needs it")
        return self
