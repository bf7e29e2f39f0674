"""A model behind an endpoint: its address, its request settings, and its budget."""

from typing import Any, Literal

from pydantic import Field, model_validator

from components.params.section import API_KEY, Section, Variable


class EndpointParams(Section):
    """The parameters that the teacher and the annotator share."""

    base_url: str = Field(
        "",
        description=(
            "Address of the model's API, such as http://127.0.0.1:8000/v1 (vLLM, Ollama, llama.cpp, OpenAI); empty only "
            "where no endpoint is asked"
        ),
    )
    model: str = Field("", description="Name of the model at its endpoint; empty only where no endpoint is asked")
    api_key_env: Variable = Field("OPENAI_API_KEY", min_length=1, description=API_KEY)
    max_tokens: int = Field(
        2048, ge=16, le=1_000_000, description="Maximum number of tokens per answer; longer answers are rejected"
    )
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
        120.0, gt=0, description="Seconds of continuous endpoint failure after which the run stops; it can be resumed"
    )
    attempts: int = Field(4, ge=1, le=100, description="Maximum number of requests for one answer until it is usable")
    budget_tokens: int = Field(
        0, ge=0, description="Maximum tokens spent at the endpoint, over all resumes; 0 = no limit"
    )
    budget_money: float = Field(
        0.0,
        ge=0,
        description="Maximum spend at the endpoint, in the currency of the prices, which it needs; 0 = no limit",
    )
    price_input: float | None = Field(None, ge=0, description="Price per million prompt tokens; empty = unknown")
    price_output: float | None = Field(None, ge=0, description="Price per million answer tokens; empty = unknown")
    price_source: str = Field(
        "", description="Currency of the prices, and where and when they were read; empty = unknown"
    )

    over_budget: Literal["stop", "spend"] = Field(
        "stop",
        description=(
            "What happens where the calls are expected to cost more than the budget: stop before it is spent, or spend it "
            "and resume with a higher one"
        ),
    )
    traces: int = Field(
        100,
        ge=0,
        le=2_000,
        description="Number of answered and of failed calls that are sampled for traces in MLflow, each; 0 = none",
    )

    @property
    def prices(self) -> tuple[float, float] | None:
        """Prices per million prompt tokens and per million answer tokens; None if they are unknown."""
        if self.price_input is None or self.price_output is None:
            return None
        return self.price_input, self.price_output

    @model_validator(mode="after")
    def _prices_belong_together(self) -> "EndpointParams":
        if (self.price_input is None) != (self.price_output is None):
            raise ValueError("price_input and price_output are given together or not at all")
        if self.budget_money and self.price_input is None:
            raise ValueError("budget_money needs price_input and price_output: a cost is never guessed")
        return self

    def check_address(self, prefix: str, needed_by: str) -> None:
        """Refuse an endpoint that cannot be called.

        Args:
            prefix: prefix of the parameters, for the message.
            needed_by: the setting that needs the endpoint, in words.

        Raises:
            ValueError: the address is not a web address, or the model has no name.
        """
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError(
                f"{prefix}base_url {self.base_url!r} is not a web address; {needed_by} needs one such as http://HOST:PORT/v1"
            )
        if not self.model:
            raise ValueError(f"{prefix}model is empty; {needed_by} needs it")
