"""Sections of the two models, their training, and the transfer from one to the other."""

from typing import Literal

from pydantic import Field, model_validator

from components.params.section import Fraction, Section


class ModelShape(Section):
    """Shape of a Phi, in the names of the Hugging Face configuration."""

    hidden_size: int = Field(ge=8, le=65_536, description="Width of the residual stream (number of dimensions)")
    intermediate_size: int = Field(
        ge=8, le=262_144, description="Width of the feed-forward layer (number of dimensions)"
    )
    num_hidden_layers: int = Field(ge=1, le=512, description="Number of transformer blocks")
    num_attention_heads: int = Field(ge=1, le=1024, description="Number of attention heads per block")
    partial_rotary_factor: float = Field(
        0.5, gt=0, le=1, description="Share of each attention head's dimensions that carry the position"
    )
    initializer_range: float = Field(0.02, gt=0, le=1, description="Standard deviation of the initial weights")
    layer_norm_eps: float = Field(
        1e-5, gt=0, le=1e-2, description="Epsilon of LayerNorm, which keeps its division finite"
    )
    rope_theta: float = Field(10_000.0, gt=1, description="Base of the rotary position frequencies")

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def rotary_dims(self) -> int:
        """Number of dimensions of a head that carry the position, rounded as in transformers."""
        return int(self.head_dim * self.partial_rotary_factor)

    @model_validator(mode="after")
    def _shape_is_possible(self) -> "ModelShape":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.rotary_dims < 2 or self.rotary_dims % 2:
            raise ValueError(
                f"partial_rotary_factor {self.partial_rotary_factor} of head_dim {self.head_dim} gives "
                f"{self.rotary_dims} rotary dimensions; an even number of at least 2 is needed"
            )
        return self


class ModelParams(Section):
    """One model of the pair: its shape and its own budget; `training` has the parameters that both share."""

    model: ModelShape
    tokens: int = Field(ge=1, description="Number of training tokens")
    learning_rate: float = Field(gt=0, le=1, description="Peak learning rate, before the schedule")


SMALL = ModelParams(
    model=ModelShape(
        hidden_size=128, intermediate_size=512, num_hidden_layers=3, num_attention_heads=4, partial_rotary_factor=0.5
    ),
    tokens=1_500_000,
    learning_rate=1e-2,
)
LARGE = ModelParams(
    model=ModelShape(
        hidden_size=160, intermediate_size=640, num_hidden_layers=6, num_attention_heads=4, partial_rotary_factor=0.4
    ),
    tokens=700_000,
    learning_rate=12e-3,
)


class TrainingParams(Section):
    context_length: int = Field(
        256, ge=8, le=1_048_576, description="Context length in tokens (also the model's maximum position)"
    )
    batch_tokens: int = Field(2_048, ge=8, description="Number of tokens per optimizer step, over all devices")
    micro_batch_tokens: int = Field(
        2_048,
        ge=8,
        description=(
            "Number of tokens per forward pass on one device; batch_tokens must be a multiple of it times `devices`"
        ),
    )
    max_epochs: float = Field(
        100.0, gt=0, description="Maximum number of passes over the training tokens; a larger token budget is refused"
    )
    document_mask: bool = Field(
        False, description="Limit attention to the token's own document, without the documents packed before it"
    )
    optimizer: Literal["adamw", "muon"] = Field(
        "muon", description="Optimizer of the blocks' matrices; muon uses AdamW for embedding, head, norms and biases"
    )
    adamw_lr_ratio: float = Field(
        1.0, gt=0, le=1000, description="AdamW's learning rate as a multiple of the model's, when `optimizer` is muon"
    )
    muon_momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum of Muon")
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay rate of AdamW's first moment")
    beta2: float = Field(0.95, ge=0, lt=1, description="Decay rate of AdamW's second moment")
    adam_eps: float = Field(1e-8, gt=0, le=1e-2, description="Epsilon of AdamW, which keeps its division finite")
    weight_decay: float = Field(
        0.1, ge=0, le=1, description="Weight decay of matrices; norms and biases have none; 0 = off"
    )
    schedule: Literal["wsd", "cosine"] = Field(
        "wsd", description="Learning-rate schedule after the warm-up: warm-up, stable, decay (wsd), or cosine"
    )
    warmup_fraction: Fraction = Field(
        0.05, description="Share of the steps over which the learning rate rises; 0 = no warm-up"
    )
    decay_fraction: Fraction = Field(
        0.6, description="Share of the steps over which the learning rate falls when `schedule` is wsd; 0 = no decay"
    )
    final_lr_fraction: Fraction = Field(0.05, description="Final learning rate as a share of the peak")
    gradient_clip: float = Field(1.0, ge=0, description="Maximum gradient norm; 0 = no clipping")
    z_loss: float = Field(
        0.0, ge=0, le=1, description="Weight of the squared log-normaliser in the loss (PaLM: 1e-4); 0 = off"
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "Decay rate per step of a moving average of the weights, which is validated and saved; 0 = the weights "
            "themselves"
        ),
    )
    distillation_weight: Fraction = Field(
        0.0,
        description="Initial share of the divergence from the teacher in the loss, with --teacher; 0 = no distillation",
    )
    distillation_fraction: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the steps over which the teacher's weight in the loss falls to zero, with --teacher",
    )
    distillation_temperature: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Temperature by which teacher's and model's logits are divided in the divergence, with --teacher",
    )
    keep_optimizer: bool = Field(
        False,
        description="Save the optimizer's state with the checkpoint, and start from it if the initial checkpoint has one",
    )
    carried_freeze_fraction: Fraction = Field(
        0.0,
        description="Share of the steps, after growth, in which weights copied from the small model stay frozen; 0 = none",
    )
    carried_warmup_fraction: Fraction = Field(
        0.0,
        description=(
            "Share of the steps, after freezing, in which the learning rate of weights copied from the small model "
            "rises; 0 = none"
        ),
    )
    carried_lr_ratio: Fraction = Field(
        1 / 3,
        description=(
            "Learning rate of weights copied from the small model as a share of that of weights that growth added; 1 = the same"
        ),
    )
    spike_sigmas: float = Field(
        6.0,
        ge=0,
        description=(
            "Number of standard deviations over the last 128 steps that make a loss a spike; 0 = no spike detection"
        ),
    )
    spike_action: Literal["report", "skip"] = Field(
        "report", description="What happens at a loss spike: it is reported, or its update is skipped as well"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description=(
            "Precision of the activations (weights stay in float32); auto = bfloat16 where the processor supports it"
        ),
    )
    compile: bool = Field(
        False, description="Compile the model with torch.compile, which pays off on a GPU and in long runs"
    )
    recompute: bool = Field(
        False, description="Recompute activations in the backward pass, which takes less memory and a third more time"
    )
    threads: int = Field(
        2, ge=1, le=1024, description="Number of CPU threads; another number changes results by rounding"
    )
    devices: int = Field(1, ge=1, le=4096, description="Number of GPUs, or of processes where there is no GPU")
    strategy: Literal["ddp", "fsdp2"] = Field(
        "ddp", description="How several devices share the model: a copy on each (ddp), or a part on each (fsdp2)"
    )
    validations: int = Field(
        10, ge=1, le=10_000, description="Number of validations, evenly spaced over the run; the last is at its end"
    )
    validation_tokens: int = Field(32_768, ge=8, description="Maximum number of held-out tokens per validation")
    checkpoint_minutes: float = Field(
        1.0, ge=0, description="Minutes between saved states for resuming; 0 = not by time"
    )
    checkpoint_steps: int = Field(
        0, ge=0, description="Number of steps between saved states for resuming; 0 = not by step"
    )

    @model_validator(mode="after")
    def _batches_divide(self) -> "TrainingParams":
        for name, value, unit in (
            ("micro_batch_tokens", self.micro_batch_tokens, self.context_length),
            ("batch_tokens", self.batch_tokens, self.micro_batch_tokens * self.devices),
        ):
            if value % unit:
                raise ValueError(
                    f"{name} {value} is not a multiple of {unit} (context_length, then micro_batch_tokens times devices)"
                )
        if self.schedule == "wsd" and self.warmup_fraction + self.decay_fraction > 1:
            raise ValueError("warmup_fraction + decay_fraction is over 1; the schedule has no room for both")
        return self


class TransferParams(Section):
    operator: Literal["exact", "hyperclone", "tile", "tile_heads", "fpi", "aki", "random"] = Field(
        "exact",
        description="How the small model's knowledge is transferred into the large one (docs/knowledge-transfer.md)",
    )
    depth_map: Literal["auto", "identity", "round", "interpose", "stack", "solar", "half"] = Field(
        "auto", description="Which source block each target block is made from; auto = the operator's own choice"
    )
    residual: Literal["mean_pad", "zero_pad"] = Field(
        "mean_pad",
        description=(
            "What new residual coordinates hold after exact growth: the mean of the old ones, or 0 in a centred stream"
        ),
    )
    new_units: Literal["random", "copies"] = Field(
        "random",
        description="How exact growth fills new heads, head dimensions and units: at random, or with copies of old ones",
    )
    learning_rate: float = Field(
        6e-3,
        gt=0,
        le=1,
        description=(
            "Peak learning rate for training the grown model; copied weights get training.carried_lr_ratio of it, since a rate "
            "for random weights would undo what they know"
        ),
    )
    free_std: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Standard deviation of the new weights that exact growth may choose freely; 0 = zeros",
    )
    noise: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Noise that makes copied units differ, as a share of the weights; the function is unchanged; 0 = none",
    )
    inserted: Literal["silent", "pairs"] = Field(
        "pairs",
        description=(
            "How blocks inserted by exact growth start: with heads and units in pairs whose outputs cancel (pairs), which learn "
            "from the first step, or with output weights of 0 (silent)"
        ),
    )
    pair_std: float = Field(
        0.15,
        ge=0,
        le=10,
        description="Standard deviation of the output weights of pairs that cancel, in inserted blocks",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Precision in which the grown weights are stored; growth itself is computed in float64"
    )
    grow_optimizer: bool = Field(False, description="Also grow the optimizer's state; needs training.keep_optimizer")
    proof_tokens: int = Field(
        4_096, ge=16, description="Number of held-out tokens on which the small and the grown model are compared"
    )
    max_relative_error: float = Field(
        1e-6, gt=0, description="Relative logit error (Euclidean norm) above which exact growth fails the run"
    )
    threads: int = Field(
        2, ge=1, le=1024, description="Number of CPU threads; another number changes results by rounding"
    )
