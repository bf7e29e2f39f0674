"""Section `synthesis`: textbooks, exercises and who writes them."""

from typing import Any, Literal

from pydantic import Field, model_validator

from components.params.section import API_KEY, Fraction, Section, Variable


class TeacherParams(Section):
    """Who writes the chapters: our generators, a model behind an endpoint, or a local checkpoint."""

    kind: Literal["procedural", "openai", "transformers"] = Field(
        "procedural",
        description=(
            "Who writes the text: built-in generators (procedural, no network), an OpenAI-compatible API (openai), or"
            " a local checkpoint (transformers)"
        ),
    )
    endpoint: str = Field(
        "",
        description=(
            "Address of the teacher's API, such as http://127.0.0.1:8000/v1 (vLLM, Ollama, llama.cpp, OpenAI); empty "
            "unless `kind` is openai"
        ),
    )
    model: str = Field(
        "",
        description=(
            "Name of the teacher model at its endpoint (openai), or folder of its checkpoint (transformers); empty if"
            " `kind` is procedural"
        ),
    )
    api_key_env: Variable = Field("OPENAI_API_KEY", min_length=1, description=API_KEY)
    temperature: float = Field(0.8, ge=0, le=2, description="Sampling temperature of the teacher; 0 = greedy decoding")
    top_p: float = Field(
        0.95, gt=0, le=1, description="Share of the probability mass that the teacher's tokens are sampled from"
    )
    max_tokens: int = Field(
        2048, ge=16, le=1_000_000, description="Maximum number of tokens per answer; longer answers are rejected"
    )
    structured: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema", description="How JSON exercises are requested from the endpoint; none = by the prompt alone"
    )
    request: dict[str, Any] = Field(
        {},
        description="Extra fields of each request, named as the endpoint names them; null removes one that is sent by default",
    )
    license: str = Field("unknown", min_length=1, description="SPDX identifier of the licence of the teacher's text")
    concurrency: int = Field(
        64, ge=1, le=4096, description="Maximum concurrent requests; backs off when the server throttles"
    )
    timeout_s: float = Field(
        300.0, gt=0, description="Maximum seconds to wait for one answer; reduced once latencies are known"
    )
    patience_s: float = Field(
        120.0, gt=0, description="Seconds of continuous endpoint failure after which the run stops; it can be resumed"
    )
    attempts: int = Field(4, ge=1, le=100, description="Maximum number of requests per job until its answer is usable")
    batch_size: int = Field(
        8, ge=1, le=4096, description="Number of prompts per batch of a local checkpoint (transformers)"
    )
    budget_tokens: int = Field(0, ge=0, description="Maximum tokens spent on a plan, over all resumes; 0 = no limit")
    budget_money: float = Field(
        0.0, ge=0, description="Maximum spend on a plan, in the currency of the prices, which it needs; 0 = no limit"
    )
    price_input: float | None = Field(None, ge=0, description="Price per million prompt tokens; empty = unknown")
    price_output: float | None = Field(None, ge=0, description="Price per million answer tokens; empty = unknown")
    price_source: str = Field(
        "", description="Currency of the prices, and where and when they were read; empty = unknown"
    )
    traces: int = Field(
        100,
        ge=0,
        le=100_000,
        description=(
            "Number of teacher calls traced in MLflow: the first that were answered, and the first that failed; 0 = "
            "none"
        ),
    )

    @model_validator(mode="after")
    def _teacher_is_complete(self) -> "TeacherParams":
        if self.kind == "openai" and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError(
                f"endpoint {self.endpoint!r} is not an address; kind openai needs one such as http://HOST:PORT/v1"
            )
        if self.kind != "procedural" and not self.model:
            raise ValueError(f"model is empty; kind {self.kind} needs it")
        if (self.price_input is None) != (self.price_output is None):
            raise ValueError("price_input and price_output are given together or not at all")
        if self.budget_money and self.price_input is None:
            raise ValueError("budget_money needs price_input and price_output: a cost is never guessed")
        return self


class SynthesisParams(Section):
    chapters: int = Field(900, ge=1, le=1_000_000, description="Number of textbook chapters to write")
    exercises: int = Field(
        24_000, ge=10, le=50_000_000, description="Number of practice exercises to keep after verification"
    )
    tasks: Literal["core", "all"] = Field(
        "core", description="Families of exercises: core, which a small model can learn, or all (docs/synthesis.md)"
    )
    exam_examples: int = Field(100, ge=10, le=100_000, description="Number of held-out examples per exam task")
    exam_fraction: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Share of all questions, chosen by hash, that is reserved for the exam and never trained on",
    )
    transfer_examples: int = Field(
        40,
        ge=0,
        le=100_000,
        description="Number of exam examples per task in wordings that training never contains; 0 = none",
    )
    curriculum: str = Field(
        "", description="YAML file with subjects and topics to add to the built-in curriculum; empty = none"
    )
    max_gzip_ratio: float = Field(
        6.0,
        ge=1,
        description="Fail the run if gzip compresses the textbooks by more than this factor, since they repeat templates",
    )
    max_near_duplicates: Fraction = Field(
        0.01,
        description="Fail the run if more than this share of documents resemble an earlier or a curated one (MinHash, 0.7)",
    )
    max_template_share: float = Field(
        0.05, gt=0, le=1, description="Fail the run if one template makes up more than this share of the exercises"
    )
    min_distinct_3: Fraction = Field(
        0.1, description="Fail the run if less than this share of the runs of three words are distinct"
    )
    teacher: TeacherParams = TeacherParams()
