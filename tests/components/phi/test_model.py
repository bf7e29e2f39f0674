"""The model computes what transformers' Phi computes, and its own promises."""

from pathlib import Path

import pytest
import torch

from components.phi import checkpoint
from components.phi.model import Phi, PhiConfig

SMALL = PhiConfig(97, 64, 160, 2, 2, 40, partial_rotary_factor=0.5)
SHAPES = {
    "phi-1.5 style": SMALL,
    "phi-2 style": PhiConfig(97, 80, 96, 3, 2, 24, partial_rotary_factor=0.4, rope_theta=5_000.0),
    "head_dim 80": PhiConfig(50, 160, 64, 1, 2, 16, partial_rotary_factor=0.4, layer_norm_eps=1e-3),
}


def lively(config: PhiConfig, seed: int = 0, dtype: torch.dtype = torch.float32) -> Phi:
    """A model whose every tensor matters: biases and gains are drawn too, weights are large."""
    model = Phi(config, dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3, generator=generator)
    return model.to(torch.float64) if dtype == torch.float64 else model


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_logits_and_loss_equal_transformers(config: PhiConfig, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = lively(config)
    checkpoint.save(model, tmp_path / "m", None, {})
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert type(theirs).__name__ == "PhiForCausalLM"
    tokens = torch.randint(config.vocab_size, (3, config.max_position_embeddings))
    with torch.no_grad():
        expected = theirs(tokens, labels=tokens)
        torch.testing.assert_close(model(tokens), expected.logits, rtol=1e-4, atol=2e-4)
        loss = model.loss(tokens[:, :-1], tokens[:, 1:])
        torch.testing.assert_close(loss, expected.loss, rtol=1e-5, atol=1e-5)
