"""Section of fine-tuning."""

from typing import Literal

from pydantic import Field, model_validator

from components.params.section import Fraction, Section

Target = Literal["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"]


class TuningParams(Section):
    model: Literal["small", "large", "control"] = Field("large", description="Model of the pipeline that is tuned")
    data: list[str] = Field(
        [],
        description="JSONL files with messages, prompt and completion, or prompt, chosen and rejected; empty = the verified "
        "exercises, as pairs for dpo",
    )
    method: Literal["lora", "full"] = Field(
        "lora", description="Train low-rank adapters beside frozen weights (lora), or all weights (full)"
    )
    objective: Literal["sft", "dpo", "npo", "gradient_difference"] = Field(
        "sft",
        description="Imitate answers (sft), prefer chosen to rejected ones (dpo), or unlearn (npo, gradient_difference)",
    )
    rank: int = Field(16, ge=1, le=4096, description="Rank of the adapters of lora")
    alpha: float = Field(32.0, gt=0, description="Scale of the adapters of lora, which is divided by the rank")
    targets: list[Target] = Field(
        ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"],
        min_length=1,
        description="Matrices of each block that get an adapter with lora",
    )
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Peak learning rate of fine-tuning")
    epochs: float = Field(1.0, gt=0, le=1_000, description="Number of passes over the rows")
    batch_tokens: int = Field(
        2_048, ge=8, description="Number of tokens per optimizer step of fine-tuning, padding included"
    )
    preference_beta: float = Field(
        0.1, gt=0, le=100, description="Beta of dpo and npo: how strongly the model is kept near its start"
    )
    retain_weight: float = Field(1.0, ge=0, le=1_000, description="Weight of the rows to retain when unlearning")
    template: Literal["chat", "plain"] = Field(
        "chat", description="Render prompts given as text through the chat template, or take them as they are (plain)"
    )
    held_out: Fraction = Field(
        0.02, description="Share of the rows held out of fine-tuning for its curve; 0 = none, as always when unlearning"
    )
    merge: bool = Field(
        True, description="Also write the checkpoint with merged adapters, not only the adapters, with lora"
    )

    @model_validator(mode="after")
    def _targets_once(self) -> "TuningParams":
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"targets {self.targets} name a matrix twice; name each once")
        return self
