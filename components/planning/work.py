"""What each stage of the pipeline has to do, as amounts that its time and memory are proportional to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from components.params import ModelParams, Params
from components.phi.config import PhiConfig
from components.phi.memory import Memory, estimate

Amounts = Mapping[str, float]
EXERCISE_BYTES, CHAPTER_BYTES = 90, 850  # about 26 and 250 tokens
WHOLE_PASSES, QUESTION_TOKENS = 15, 1500  # of interpretation; tokens of one question of each family with its choices
FORWARD = 1 / 3  # of the FLOPs of a training step
TRAINED = {"train_small": "small", "train_large": "large", "train_control": "large"}
SCORED = {
    "benchmark@small": "small",
    "benchmark@large": "large",
    "benchmark@control": "large",
    "benchmark_set_back": "large",
}


class Activations(NamedTuple):
    """The data type of activations, by its bytes."""

    itemsize: int


@lru_cache
def computes_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16, without asking torch, which takes seconds to import."""
    facts = Path("/proc/cpuinfo")
    text = facts.read_text(encoding="utf-8") if facts.is_file() else ""
    return bool(re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", text))


def memory(model: "Model", params: Params, device: str, carried: bool, devices: int = 1) -> Memory:
    """The memory of a training step on one of several devices, "cpu" or "cuda"."""
    settings = params.training.model_copy(update={"devices": devices})
    native = device == "cuda" or computes_bfloat16()
    narrow = settings.precision == "bfloat16" or (settings.precision == "auto" and native)
    kind = Activations(2 if narrow else 4)
    return estimate(model.shape, settings, kind, device, carried=carried, bfloat16=native)


@dataclass(frozen=True)
class Model:
    """A model of the pair and its training.

    Attributes:
        parameters: all weights.
        tokens: training tokens.
        flops: of the training, without validation.
    """

    shape: PhiConfig
    tokens: int

    @property
    def parameters(self) -> int:
        return self.shape.parameter_count()

    @property
    def flops(self) -> float:
        return float(self.shape.flops_per_token()) * self.tokens


def model_of(params: Params, section: str) -> Model:
    """A model of the pair, `small` or `large`, with the vocabulary's size in params.yaml (a small text may give fewer)."""
    given: ModelParams = getattr(params, section)
    several = params.tokenization.pad_vocab_to_multiple
    vocabulary = -(-params.tokenization.vocab_size // several) * several
    return Model(PhiConfig.from_shape(given.model, vocabulary, params.training.context_length), given.tokens)


def amounts(params: Params, text_bytes: float) -> dict[str, Amounts]:
    """The amounts of each stage of dvc.yaml, by its name; each has `run`, which is 1.

    Args:
        text_bytes: UTF-8 bytes of the text in the sources.
    """
    text = text_bytes / 1e6
    exercises, chapters = params.synthesis.exercises / 1e3, params.synthesis.chapters / 1e3
    written = exercises * EXERCISE_BYTES / 1e3 + chapters * CHAPTER_BYTES / 1e3
    data = {
        "inventory": {},
        "ingest": {"text": text},
        "validate_raw": {"text": text},
        "curate": {"text": text},
        "validate_curated": {"text": text},
        "synthesize": {"exercises": exercises, "chapters": chapters},
        "validate_textbooks": {"written": written},
        "tokenize": {"text": text, "written": written},
        "validate_tokens": {"text": text, "written": written},
    }
    models = {
        **{
            stage: training(model_of(params, section), params, stage == "train_large")
            for stage, section in TRAINED.items()
        },
        "grow": {"weights": model_of(params, "large").parameters / 1e6},
        **{stage: scoring(model_of(params, section), params) for stage, section in SCORED.items()},
        "interpret": interpreting(model_of(params, "large"), params),
        "report": {},
    }
    return {stage: {"run": 1.0, **named} for stage, named in (data | models).items()}


def validated_tokens(params: Params) -> int:
    """Tokens of all validations of a training run."""
    return (params.training.validations + 1) * params.training.validation_tokens


def micro_batches(model: Model, params: Params, devices: int) -> int:
    """Forward and backward passes of each device in a training run."""
    return max(1, model.tokens // (params.training.micro_batch_tokens * devices))


def training(model: Model, params: Params, carried: bool) -> dict[str, float]:
    """The amounts of a training run with its validations.

    Args:
        carried: it starts from a grown model.

    Small models on a processor are not bound by matrix products alone: elementwise operations, the logits, each
    operation's own overhead and the optimizer are amounts of their own. Of validations, only the products count.
    """
    shape = model.shape
    steps = max(1, model.tokens // params.training.batch_tokens)
    micro = micro_batches(model, params, params.training.devices)
    return {
        "products": 6.0 * shape.matmul_parameters() * (model.tokens + FORWARD * validated_tokens(params)) / 1e12,
        "elements": model.tokens * shape.num_hidden_layers * (shape.hidden_size + shape.intermediate_size) / 1e9,
        "logits": model.tokens * shape.vocab_size / 1e9,
        "calls": micro * shape.num_hidden_layers / 1e3,
        "updates": steps * model.parameters / 1e9,
        "footprint": memory(model, params, "cpu", carried).total / 1e9,
        "weights": model.parameters / 1e6,
    }


def interpreting(model: Model, params: Params) -> dict[str, float]:
    """The amounts of opening a model: a pass without each block and head, from there on, and some whole passes."""
    shape, settings = model.shape, params.interpretation
    parts = shape.num_hidden_layers * (1 + settings.heads * shape.num_attention_heads)
    tokens = settings.held_out_tokens + settings.questions * QUESTION_TOKENS
    return {
        "passes": 2.0 * shape.matmul_parameters() * tokens * (WHOLE_PASSES + parts / 2) / 1e12,
        "weights": model.parameters / 1e6,
    }


def scoring(model: Model, params: Params) -> dict[str, float]:
    questions = params.benchmarking.limit or params.synthesis.exam_examples
    return {
        "questions": questions / 100,
        "question_products": questions * 2.0 * model.shape.matmul_parameters() / 1e8,
        "weights": model.parameters / 1e6,
    }
