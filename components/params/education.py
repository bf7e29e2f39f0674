"""Educational value: who labels the sample, what the classifier must reach, which documents stay."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from components.params.data import Kind
from components.params.section import API_KEY, Fraction, Section, Variable


class AnnotatorEndpointParams(Section):
    """The model that labels by the rubric, where annotator is openai."""

    base_url: str = Field("", description="Address of the API, such as http://127.0.0.1:8000/v1 (vLLM, Ollama, OpenAI)")
    model: str = Field("", description="The model's name there")
    api_key_env: Variable = Field("OPENAI_API_KEY", min_length=1, description=API_KEY)
    max_chars: int = Field(
        6_000, ge=200, description="Characters of a document that the model is shown, from its start"
    )
    max_tokens: int = Field(512, ge=16, description="Tokens an answer, at most; a longer one is no answer")
    structured: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema", description="How the endpoint is asked for JSON; none: by the prompt alone"
    )
    request: dict[str, Any] = Field(
        {}, description="Further fields of each request, as the endpoint names them; null leaves one of ours out"
    )
    concurrency: int = Field(64, ge=1, le=4096, description="Requests at once, at most; adapts to what is borne")
    timeout_s: float = Field(300.0, gt=0, description="Longest wait for one answer; shorter once latencies are known")
    patience_s: float = Field(120.0, gt=0, description="The step stops, to be resumed, when an endpoint fails so long")
    attempts: int = Field(4, ge=1, le=100, description="Times that a document is asked about until it has a label")
    max_failed: Fraction = Field(0.05, description="Share of the sample that may stay without a label")
    second_pass: int = Field(100, ge=0, description="Documents labelled twice, to measure how far the model agrees")
    budget_tokens: int = Field(0, ge=0, description="Tokens that the labels may cost over all resumes; 0: no limit")
    budget_money: float = Field(0.0, ge=0, description="Money that they may cost; needs the prices; 0: no limit")
    price_input: float | None = Field(None, ge=0, description="Price of a million prompt tokens; unknown if empty")
    price_output: float | None = Field(None, ge=0, description="Price of a million answer tokens; unknown if empty")

    @model_validator(mode="after")
    def _prices_belong_together(self) -> "AnnotatorEndpointParams":
        if (self.price_input is None) != (self.price_output is None):
            raise ValueError("price_input and price_output are given together or not at all")
        if self.budget_money and self.price_input is None:
            raise ValueError("budget_money needs price_input and price_output: a cost is never guessed")
        return self


class EducationParams(Section):
    annotator: Literal["heuristic", "openai"] = Field(
        "heuristic", description="Who labels the sample by the rubric: counts and patterns, or a model at endpoint"
    )
    sample: int = Field(2_000, ge=100, le=1_000_000, description="Documents to label, stratified; the rest are scored")
    min_value: dict[Kind, Annotated[float, Field(ge=0, le=5)]] = Field(
        {"web": 1.0, "prose": 0.2, "code": 0.4},
        description="By kind, the educational value, 0 to 5, under which documents go; a kind not named isn't judged",
    )
    allowance: float = Field(
        0.25, ge=0, le=5, description="Code: what comments and docstrings may add, as a share of the value without them"
    )
    ridge: float = Field(0.1, gt=0, le=1e6, description="Penalty of the classifier's weights (ridge regression)")
    min_f1: Fraction = Field(
        0.7,
        description="Least held-out F1 at the threshold, mean of kept and dropped documents; a kind whose classifier reaches "
        "less is not filtered by educational value",
    )
    min_spearman: float = Field(
        0.5,
        ge=-1,
        le=1,
        description="Least held-out rank correlation with the labels; a kind whose classifier reaches less is not filtered by "
        "educational value",
    )
    max_calibration_error: float = Field(
        0.5,
        ge=0,
        le=5,
        description="Largest held-out distance of value and label, mean over half points of the value; a kind whose "
        "classifier has more is not filtered by educational value",
    )
    endpoint: AnnotatorEndpointParams = AnnotatorEndpointParams()

    @model_validator(mode="after")
    def _annotator_is_complete(self) -> "EducationParams":
        if self.annotator == "openai":
            if not self.endpoint.base_url.startswith(("http://", "https://")):
                raise ValueError(
                    f"endpoint.base_url {self.endpoint.base_url!r} is no address; annotator openai needs one "
                    "such as http://HOST:PORT/v1"
                )
            if not self.endpoint.model:
                raise ValueError("endpoint.model is empty; annotator openai needs it")
        return self
