"""Sections of the two models, their training, and the transfer from one to the other."""

from typing import Literal

from pydantic import Field, model_validator

from components.params.section import Fraction, Section


class ModelShape(Section):
    """Shape of a Phi, in the names of the Hugging Face configuration."""

    hidden_size: int = Field(ge=8, le=65_536, description="Width of the residual stream")
    intermediate_size: int = Field(ge=8, le=262_144, description="Width of the feed-forward layer")
    num_hidden_layers: int = Field(ge=1, le=512, description="Blocks")
    num_attention_heads: int = Field(ge=1, le=1024, description="Attention heads a block")
    partial_rotary_factor: float = Field(0.5, gt=0, le=1, description="Share of each head that carries the position")
    initializer_range: float = Field(0.02, gt=0, le=1, description="Standard deviation of initial weights")
    layer_norm_eps: float = Field(1e-5, gt=0, le=1e-2, description="Epsilon of LayerNorm")
    rope_theta: float = Field(10_000.0, gt=1, description="Base of the rotary frequencies")

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def rotary_dims(self) -> int:
        """Dimensions of a head that carry the position, as transformers counts them."""
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
    """One model of the pair: its shape and its own budget. What both share stands in `training`."""

    model: ModelShape
    tokens: int = Field(ge=1, description="Training tokens")
    learning_rate: float = Field(gt=0, le=1, description="Peak learning rate")


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
    context_length: int = Field(256, ge=8, le=1_048_576, description="Tokens a sequence; also the model's positions")
    batch_tokens: int = Field(2_048, ge=8, description="Tokens an optimizer step, over all devices")
    micro_batch_tokens: int = Field(
        2_048, ge=8, description="Tokens a forward pass of one device; batch_tokens is a multiple of it times devices"
    )
    max_epochs: float = Field(
        100.0, gt=0, description="Most passes over the training tokens; a budget that asks for more is refused"
    )
    document_mask: bool = Field(False, description="Attention sees its own document only, not what is packed before it")
    optimizer: Literal["adamw", "muon"] = Field(
        "muon", description="muon: Muon for the blocks' matrices, AdamW for embedding, head, norms and biases"
    )
    adamw_lr_ratio: float = Field(
        1.0, gt=0, le=1000, description="With muon: learning rate of AdamW's part, as a share of the model's"
    )
    muon_momentum: float = Field(0.9, ge=0, lt=1, description="Muon: Nesterov momentum")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW: decay of the first moment")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW: decay of the second moment")
    adam_eps: float = Field(1e-8, gt=0, le=1e-2, description="AdamW: term that keeps the division finite")
    weight_decay: float = Field(0.1, ge=0, le=1, description="On matrices only, never on norms and biases")
    schedule: Literal["wsd", "cosine"] = Field("wsd", description="Learning rate after its warm-up")
    warmup_fraction: Fraction = Field(0.05, description="Share of the steps in which the learning rate rises")
    decay_fraction: Fraction = Field(0.6, description="wsd: share of the steps in which the learning rate falls")
    final_lr_fraction: Fraction = Field(0.05, description="Learning rate at the end of a decay, as a share of the peak")
    gradient_clip: float = Field(1.0, ge=0, description="Largest gradient norm; 0 switches clipping off")
    z_loss: float = Field(0.0, ge=0, le=1, description="Weight of the squared log-normaliser in the loss (PaLM: 1e-4)")
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="Validate and keep a moving average of the weights with this decay; 0: the weights"
    )
    distillation_weight: Fraction = Field(
        0.0,
        description="With --teacher: first weight of the divergence from the teacher; the cross-entropy has the rest",
    )
    distillation_fraction: float = Field(
        0.5, gt=0, le=1, description="With --teacher: share of the steps over which that weight falls to zero"
    )
    keep_optimizer: bool = Field(
        False, description="Keep the optimizer's state with the checkpoint, and take it up from a start that has one"
    )
    carried_freeze_fraction: Fraction = Field(
        0.0, description="After growth: share of the steps in which entries that the source had stay as they are"
    )
    carried_warmup_fraction: Fraction = Field(
        0.0,
        description="After growth: share of the steps, after those, in which their learning rate rises to the rest's",
    )
    spike_sigmas: float = Field(
        6.0, ge=0, description="A loss this many deviations over the last 128 steps is a spike; 0 looks for none"
    )
    spike_action: Literal["report", "skip"] = Field(
        "report", description="What happens at a spike: it is reported, or its update is left out as well"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of activations; weights stay in float32. auto: bfloat16 where the processor has it"
    )
    compile: bool = Field(False, description="Compile the model (torch.compile); pays on a GPU and in long runs")
    recompute: bool = Field(
        False, description="Recompute activations in the backward pass: less memory, a third slower"
    )
    threads: int = Field(2, ge=1, le=1024, description="CPU threads; fixed, since another number gives other bits")
    devices: int = Field(1, ge=1, le=4096, description="GPUs, or processes where there is no GPU")
    strategy: Literal["ddp", "fsdp2"] = Field(
        "ddp", description="Over several devices: ddp holds the model on each, fsdp2 shares it out"
    )
    validations: int = Field(
        10, ge=1, le=10_000, description="Validations over the run, evenly spaced; the last at its end"
    )
    validation_tokens: int = Field(32_768, ge=8, description="Held-out tokens a validation, at most")
    checkpoint_minutes: float = Field(
        1.0, ge=0, description="Minutes between states for resuming; 0 keeps none by time"
    )
    checkpoint_steps: int = Field(0, ge=0, description="Steps between states for resuming; 0 keeps none by step")

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
        "exact", description="How knowledge is carried into the larger model; docs/knowledge-transfer.md"
    )
    depth_map: Literal["auto", "identity", "round", "interpose", "stack", "solar", "half"] = Field(
        "auto", description="Which source block each block is made from; auto: the operator's own"
    )
    residual: Literal["mean_pad", "zero_pad"] = Field(
        "mean_pad", description="exact: new residual coordinates carry the mean of the old, or 0 in a centred stream"
    )
    new_units: Literal["random", "copies"] = Field(
        "random", description="exact: new heads, head dimensions and units are drawn, or copy old ones"
    )
    learning_rate: float = Field(
        2e-3,
        gt=0,
        le=1,
        description="Peak learning rate of training the grown model; the larger one of a random start would undo what it knows",
    )
    free_std: float = Field(
        0.02, ge=0, le=1, description="Standard deviation of the entries that exactness leaves free"
    )
    noise: float = Field(
        0.05, ge=0, le=1, description="Noise that copies part by, as a share of the weights; the function stays"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Of the weights as stored; growth itself is computed in float64"
    )
    grow_optimizer: bool = Field(
        False, description="Grow the optimizer's state too, which training keeps with the source when asked"
    )
    proof_tokens: int = Field(4_096, ge=16, description="Held-out tokens on which source and target are compared")
    max_relative_error: float = Field(
        1e-6, gt=0, description="Relative logit error, in Euclidean norm, above which exact growth fails the run"
    )
    threads: int = Field(2, ge=1, le=1024, description="CPU threads; fixed, since another number gives other bits")
