"""The models of the speed benchmarks: one shape and one set of weights, as ours, as transformers' and as litgpt's."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.common import add_peers
from components.params import ModelShape
from components.phi.model import Phi, PhiConfig
from components.phi.weights import to_state

SEED = 1


@dataclass(frozen=True)
class Size:
    """A model's shape with its vocabulary and the positions it is trained at."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    positions: int = 256
    rotary: float = 0.5

    @property
    def shape(self) -> ModelShape:
        return ModelShape(
            hidden_size=self.width,
            intermediate_size=4 * self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            partial_rotary_factor=self.rotary,
        )

    @property
    def config(self) -> PhiConfig:
        return PhiConfig.from_shape(self.shape, self.vocabulary, self.positions)


SIZES = {
    "tiny": Size(vocabulary=128, width=32, layers=2, heads=2, positions=32),  # for tests of the scripts
    "1.3M": Size(vocabulary=2048, width=128, layers=4, heads=4),
    "10M": Size(vocabulary=8192, width=256, layers=8, heads=4),
    "124M": Size(vocabulary=51200, width=768, layers=12, heads=12, positions=2048),
    "1.3B": Size(vocabulary=51200, width=2048, layers=24, heads=32, positions=2048),  # Phi-1 and Phi-1.5
    "2.7B": Size(vocabulary=51200, width=2560, layers=32, heads=32, positions=2048, rotary=0.4),  # Phi-2
}


def ours(size: Size, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Phi:
    """Our model in float32 with random weights of SEED, computing in `dtype`. They are drawn on the CPU, so that every device
    has the same."""
    return Phi(size.config, dtype).initialize(SEED).to(device)


def transformers_model(size: Size, attention: str = "sdpa", weights: dict[str, Tensor] | None = None) -> nn.Module:
    """transformers' PhiForCausalLM of this shape in float32, with our weights unless others are given.

    Args:
        attention: its `attn_implementation`.
        weights: by Hugging Face's names; empty keeps its own random weights.
    """
    from transformers import PhiConfig as TheirConfig
    from transformers import PhiForCausalLM

    values = {k: v for k, v in size.config.to_hf().items() if k not in ("architectures", "model_type", "torch_dtype")}
    config = TheirConfig(**values, attn_implementation=attention)
    config.use_cache = False
    model = PhiForCausalLM(config)
    weights = to_state(ours(size)) if weights is None else weights
    if weights:
        model.load_state_dict(weights)
    return model


def litgpt_model(size: Size, weights: dict[str, Tensor] | None = None) -> nn.Module:
    """litgpt's GPT as a Phi of this shape in float32, with our weights unless others are given (empty: its own)."""
    add_peers()
    from litgpt.model import GPT, Config
    from litgpt.scripts.convert_hf_checkpoint import copy_weights_phi

    config = Config.from_name(
        "phi-1_5",
        block_size=size.positions,
        n_layer=size.layers,
        n_embd=size.width,
        n_head=size.heads,
        head_size=size.width // size.heads,
        n_query_groups=size.heads,
        vocab_size=size.vocabulary,
        padded_vocab_size=size.vocabulary,
        intermediate_size=4 * size.width,
        rotary_percentage=size.rotary,
    )
    model = GPT(config)
    weights = to_state(ours(size)) if weights is None else weights
    if weights:
        theirs: dict[str, Tensor] = {}
        copy_weights_phi(config, {}, theirs, dict(weights))
        model.load_state_dict(theirs)
    else:
        model.apply(model._init_weights)
    return model


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def loss_function(system: str, model: Any) -> Any:
    """`loss(tokens_BT, targets_BT)` of a model, mean cross-entropy over the same targets."""
    if system == "ours":
        return model.loss
    cross_entropy = nn.functional.cross_entropy
    if system == "litgpt":
        return lambda tokens, targets: cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
    return lambda tokens, targets: model(input_ids=tokens, labels=targets, shift_labels=targets).loss
