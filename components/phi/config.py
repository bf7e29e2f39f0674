"""The shape of a Phi, and its config.json in the dialects of its readers and writers. Does not import torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from components.errors import StepError, short, shortened

if TYPE_CHECKING:  # the parameters' checks take a quarter of a second to import
    from components.params import ModelShape

WHOLE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)
# Larger values are mistakes; they would overflow in torch or take forever.
LARGEST, LARGEST_REAL = 2**31, 1e30  # the second stays within float32
MOST_LAYERS, MOST_PARAMETERS = 2**16, 10**13


def chunk_tokens(device: str) -> int:
    """The number of tokens with logits in memory at once: few for a CPU's small caches, more to fill a GPU."""
    return 1024 if device == "cpu" else 4096


@dataclass(frozen=True)
class PhiConfig:
    """Shape of a Phi, in the names of the Hugging Face configuration."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    partial_rotary_factor: float = 0.5
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    eos_token_id: int = 0

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def rotary_dims(self) -> int:
        """Dimensions of a head that carry the position, as transformers counts them."""
        return int(self.head_dim * self.partial_rotary_factor)

    @classmethod
    def from_shape(cls, shape: "ModelShape", vocab_size: int, positions: int, eos_token_id: int = 0) -> "PhiConfig":
        """The configuration of a `params.yaml` shape for a vocabulary and a number of positions."""
        return cls(
            **shape.model_dump(), vocab_size=vocab_size, max_position_embeddings=positions, eos_token_id=eos_token_id
        )

    @classmethod
    def from_hf(cls, values: Mapping[str, Any], origin: str = "config.json") -> "PhiConfig":
        """Read a Hugging Face config.json, with `rope_parameters` (transformers 5) or flat rotary keys (4.x).

        Dropout probabilities are ignored: Phi's pre-training and evaluation have no dropout. A tied head and shared key and
        value heads are not part of the shape, since reading the weights copies them (`weights.py`).

        Raises:
            StepError: it is not a Phi, uses an option of transformers' Phi that copying weights cannot express, or has a
                missing or impossible value; the message names the key and `origin`.
        """
        rope = values.get("rope_parameters") or {}
        if not isinstance(rope, Mapping):
            raise StepError(f"{origin}: rope_parameters is {short(rope)}; expected an object, or leave it out")
        _refuse_unsupported(values, rope, origin)
        given: dict[str, Any] = {key: values.get(key) for key in WHOLE} | {
            "partial_rotary_factor": rope.get("partial_rotary_factor", values.get("partial_rotary_factor", 0.5)),
            "rope_theta": rope.get("rope_theta", values.get("rope_theta", 10_000.0)),
            "initializer_range": values.get("initializer_range", 0.02),
            "layer_norm_eps": values.get("layer_norm_eps", 1e-5),
        }
        for key, value in given.items():
            whole = key in WHOLE
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise StepError(f"{origin}: {key} is {short(value)}; a Phi needs a {'whole ' if whole else ''}number")
            bound = (MOST_LAYERS if key == "num_hidden_layers" else LARGEST) if whole else LARGEST_REAL
            if not 0 < value < bound:
                raise StepError(f"{origin}: {key} is {short(value)}; expected more than 0, less than {bound:,}")
        eos = values.get("eos_token_id")
        eos = eos[0] if isinstance(eos, list) and eos else eos
        config = cls(**given, eos_token_id=0).checked(origin)
        key_value_heads(values, config.num_attention_heads, origin)
        if (count := config.parameter_count()) > MOST_PARAMETERS:
            raise StepError(f"{origin}: its sizes give {count:,} parameters; expected at most {MOST_PARAMETERS:,}")
        return config.ending_with(0 if eos is None else eos, origin)

    def ending_with(self, eos: Any, origin: str) -> "PhiConfig":
        """This configuration with an end-of-text token.

        Raises:
            StepError: `eos` is not an id of the vocabulary.
        """
        if isinstance(eos, bool) or not isinstance(eos, int) or not 0 <= eos < self.vocab_size:
            raise StepError(
                f"{origin}: eos_token_id is {short(eos)}; expected an id below vocab_size {self.vocab_size:,}"
            )
        return replace(self, eos_token_id=eos)

    def checked(self, origin: str = "configuration") -> "PhiConfig":
        """This configuration, if it is possible.

        Raises:
            StepError: the heads do not divide the width, or the number of rotary dimensions is odd or 0.
        """
        if self.hidden_size % self.num_attention_heads:
            raise StepError(
                f"{origin}: hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}"
            )
        if self.rotary_dims < 2 or self.rotary_dims % 2 or self.rotary_dims > self.head_dim:
            raise StepError(
                f"{origin}: partial_rotary_factor {self.partial_rotary_factor} of head_dim {self.head_dim} gives "
                f"{self.rotary_dims} rotary dimensions; an even number from 2 to {self.head_dim} is needed"
            )
        return self

    def to_hf(self, dtype: str = "float32") -> dict[str, Any]:
        """A config.json that transformers 4 and 5, vLLM and llama.cpp's converter read as a Phi of stored `dtype`."""
        values = asdict(self)
        rope = {key: values[key] for key in ("partial_rotary_factor", "rope_theta")}
        return values | {
            "architectures": ["PhiForCausalLM"],
            "model_type": "phi",
            "num_key_value_heads": self.num_attention_heads,
            "hidden_act": "gelu_new",
            "attention_dropout": 0.0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
            "qk_layernorm": False,
            "tie_word_embeddings": False,
            "use_cache": True,
            "rope_parameters": rope | {"rope_type": "default"},
            "bos_token_id": self.eos_token_id,
            "n_inner": self.intermediate_size,  # vLLM's name for it
            "dtype": dtype,
            "torch_dtype": dtype,
        }

    @property
    def block_matrices(self) -> int:
        """Entries of a block's matrices."""
        return 4 * self.hidden_size**2 + 2 * self.hidden_size * self.intermediate_size

    def matmul_parameters(self) -> int:
        """Weights in matrix products: all except embedding, norms and biases; the head is included."""
        return self.num_hidden_layers * self.block_matrices + self.vocab_size * self.hidden_size

    def parameter_count(self) -> int:
        """All weights, counted without making a model."""
        width, inner = self.hidden_size, self.intermediate_size
        vectors = self.num_hidden_layers * (7 * width + inner) + 2 * width + self.vocab_size
        return self.matmul_parameters() + self.vocab_size * width + vectors

    def flops_per_token(self) -> int:
        """Training FLOPs per token, forward and backward: `6 N + 12 L D T` (PaLM, appendix B; no causal discount)."""
        attention = 12 * self.num_hidden_layers * self.hidden_size * self.max_position_embeddings
        return 6 * self.matmul_parameters() + attention


def key_value_heads(values: Mapping[str, Any], heads: int, origin: str = "config.json") -> int:
    """The number of key and value heads that a checkpoint stores; each serves `heads` divided by it.

    Raises:
        StepError: it does not divide the number of heads.
    """
    number = values.get("num_key_value_heads")
    number = heads if number is None else number
    if isinstance(number, bool) or not isinstance(number, int) or number < 1 or heads % number:
        raise StepError(
            f"{origin}: num_key_value_heads is {short(number)}; expected a divisor of num_attention_heads {heads}"
        )
    return number


def _refuse_unsupported(values: Mapping[str, Any], rope: Mapping[str, Any], origin: str) -> None:
    if values.get("model_type") != "phi":
        raise StepError(f"{origin}: model_type is {short(values.get('model_type'))}; only 'phi' is read")
    allowed = {
        "qk_layernorm": (values.get("qk_layernorm"), (None, False)),
        "tie_word_embeddings": (values.get("tie_word_embeddings"), (None, True, False)),
        "hidden_act": (values.get("hidden_act"), (None, "gelu_new")),
        "rope_scaling": (values.get("rope_scaling"), (None,)),
        "rope_parameters.rope_type": (rope.get("rope_type"), (None, "default")),
    }
    for key, (given, fine) in allowed.items():
        if given not in fine:
            raise StepError(
                f"{origin}: {key} is {shortened(json.dumps(given), 60)}; Phi-1.5 and Phi-2 have {json.dumps(fine[-1])}"
            )
