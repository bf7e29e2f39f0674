"""Section `synthesis`: textbooks, exercises and who writes them."""

from typing import Any, Literal

from pydantic import Field, model_validator

from components.params.section import API_KEY, Fraction, Section, Variable


class TeacherParams(Section):
    """Who writes the chapters: our generators, a model behind an endpoint, or a local checkpoint."""

    kind: Literal["procedural", "openai", "transformers"] = Field(
        "procedural",
        description="procedural: generators, no network; openai: any endpoint of that API; transformers: a checkpoint",
    )
    endpoint: str = Field(
        "", description="openai: address of the API, such as http://127.0.0.1:8000/v1 (vLLM, Ollama, llama.cpp, OpenAI)"
    )
    model: str = Field("", description="openai: the model's name there; transformers: folder of the checkpoint")
    api_key_env: Variable = Field("OPENAI_API_KEY", min_length=1, description=API_KEY)
    temperature: float = Field(0.8, ge=0, le=2, description="0 takes the likeliest token")
    top_p: float = Field(0.95, gt=0, le=1, description="Share of the probability that tokens are drawn from")
    max_tokens: int = Field(
        2048, ge=16, le=1_000_000, description="Tokens an answer, at most; a longer one is no answer"
    )
    structured: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema", description="How the endpoint is asked for exercises as JSON; none: by the prompt alone"
    )
    request: dict[str, Any] = Field(
        {}, description="Further fields of each request, as the endpoint names them; null leaves one of ours out"
    )
    license: str = Field("unknown", min_length=1, description="SPDX identifier of what the model writes")
    concurrency: int = Field(64, ge=1, le=4096, description="Requests at once, at most; adapts to what is borne")
    timeout_s: float = Field(300.0, gt=0, description="Longest wait for one answer; shorter once latencies are known")
    patience_s: float = Field(
        120.0, gt=0, description="The run stops, to be resumed, when an endpoint fails for so long"
    )
    attempts: int = Field(4, ge=1, le=100, description="Times that a job is asked for until its answer is usable")
    batch_size: int = Field(8, ge=1, le=4096, description="transformers: prompts at once")
    budget_tokens: int = Field(0, ge=0, description="Tokens that a plan may cost over all its resumes; 0: no limit")
    budget_money: float = Field(0.0, ge=0, description="Money that a plan may cost; needs the prices; 0: no limit")
    price_input: float | None = Field(None, ge=0, description="Price of a million prompt tokens; unknown if empty")
    price_output: float | None = Field(None, ge=0, description="Price of a million answer tokens; unknown if empty")
    price_source: str = Field("", description="Currency of the prices, where they were read and when")
    traces: int = Field(
        100,
        ge=0,
        le=100_000,
        description="openai: calls traced in MLflow: the first so many answered, and not answered",
    )

    @model_validator(mode="after")
    def _teacher_is_complete(self) -> "TeacherParams":
        if self.kind == "openai" and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError(
                f"endpoint {self.endpoint!r} is no address; kind openai needs one such as http://HOST:PORT/v1"
            )
        if self.kind != "procedural" and not self.model:
            raise ValueError(f"model is empty; kind {self.kind} needs it")
        if (self.price_input is None) != (self.price_output is None):
            raise ValueError("price_input and price_output are given together or not at all")
        if self.budget_money and self.price_input is None:
            raise ValueError("budget_money needs price_input and price_output: a cost is never guessed")
        return self


class SynthesisParams(Section):
    chapters: int = Field(900, ge=1, le=1_000_000, description="Textbook chapters to write")
    exercises: int = Field(24_000, ge=10, le=50_000_000, description="Practice exercises to keep, after verification")
    tasks: Literal["core", "all"] = Field(
        "core", description="Families of exercises: core, which a small model can learn, or all; docs/synthesis.md"
    )
    exam_examples: int = Field(100, ge=10, le=100_000, description="Held-out examples a task of the exam")
    exam_fraction: float = Field(
        0.1, gt=0, le=0.5, description="Share of all questions, by hash, that belong to the exam and never to training"
    )
    transfer_examples: int = Field(
        40, ge=0, le=100_000, description="Examples of each task in wordings that training never has; 0: none held out"
    )
    curriculum: str = Field("", description="YAML file whose subjects and topics are added to the built-in curriculum")
    max_gzip_ratio: float = Field(6.0, ge=1, description="Diversity gate: textbooks that compress better are templates")
    max_near_duplicates: Fraction = Field(
        0.01, description="Diversity gate: share of documents that resemble an earlier or a curated one (MinHash, 0.7)"
    )
    max_template_share: float = Field(
        0.05, gt=0, le=1, description="Diversity gate: share of the exercises that one template may have"
    )
    min_distinct_3: Fraction = Field(
        0.1, description="Diversity gate: share of the runs of three words that are distinct, at least"
    )
    teacher: TeacherParams = TeacherParams()
