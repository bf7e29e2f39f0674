"""Section `synthesis`: textbooks, exercises and their writer."""

from typing import Literal

from pydantic import Field, model_validator

from components.params.endpoint import EndpointParams
from components.params.section import Fraction, Section, refuse_repeats


class _Writer(Section):
    """A base class, so that `kind` comes before the endpoint's fields: it decides which of them apply."""

    kind: Literal["procedural", "openai", "transformers"] = Field(
        "procedural",
        description=(
            "Who writes the text: built-in generators (procedural, no network), an OpenAI-compatible API (openai), or"
            " a local checkpoint (transformers)"
        ),
    )


class TeacherParams(EndpointParams, _Writer):
    """The writer of the chapters: built-in generators, a model behind an endpoint, or a local checkpoint."""

    model: str = Field(
        "",
        description=(
            "Name of the teacher model at its endpoint (openai), or folder of its checkpoint (transformers); empty if"
            " `kind` is procedural"
        ),
    )
    temperature: float = Field(0.8, ge=0, le=2, description="Sampling temperature of the teacher; 0 = greedy decoding")
    top_p: float = Field(
        0.95, gt=0, le=1, description="Share of the probability mass that the teacher's tokens are sampled from"
    )
    license: str = Field("unknown", min_length=1, description="SPDX identifier of the licence of the teacher's text")
    batch_size: int = Field(
        8, ge=1, le=4096, description="Number of prompts per batch of a local checkpoint (transformers)"
    )

    @model_validator(mode="after")
    def _teacher_is_complete(self) -> "TeacherParams":
        if self.kind == "openai":
            self.check_address("", "kind openai")
        if self.kind == "transformers" and not self.model:
            raise ValueError("model is empty; kind transformers needs it")
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
    reworded_examples: int = Field(
        40,
        ge=0,
        le=100_000,
        description="Number of exam examples per task in wordings that training never contains; 0 = none",
    )
    curriculum: str = Field(
        "", description="YAML file with subjects and topics to add to the built-in curriculum; empty = none"
    )
    rephrase: int = Field(
        0,
        ge=0,
        le=200_000,
        description="Number of rewrites of passages of the curated documents, which need a model as teacher; 0 = none",
    )
    rephrase_formats: list[Literal["faq", "table", "tutorial", "worked"]] = Field(
        ["faq", "table", "tutorial", "worked"],
        min_length=1,
        description=(
            "Formats of the rewrites, in turn: questions and answers, a table, a tutorial, problems with solutions (worked)"
        ),
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

    @model_validator(mode="after")
    def _rewrites_have_a_writer(self) -> "SynthesisParams":
        refuse_repeats(self, "rephrase_formats")
        if self.rephrase and self.teacher.kind == "procedural":
            raise ValueError(
                f"rephrase {self.rephrase} needs a model as teacher, and teacher.kind is procedural; set teacher.kind to "
                "openai or transformers, or rephrase to 0"
            )
        return self
