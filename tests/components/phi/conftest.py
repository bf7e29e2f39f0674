"""Small models whose every tensor matters, and a tokenizer of a few words."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from components.files import write_json
from components.phi.model import Phi, PhiConfig

WORDS = ["<|endoftext|>", *(f"w{i}" for i in range(96))]


@pytest.fixture(scope="session")
def lively() -> Callable[..., Phi]:
    """lively(config, seed=0, dtype=float32): biases and gains are drawn too, and weights are large."""

    def make(config: PhiConfig, seed: int = 0, dtype: torch.dtype = torch.float32) -> Phi:
        model = Phi(config, dtype)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0.0, 0.3, generator=generator)
        return model.to(torch.float64) if dtype == torch.float64 else model

    return make


@pytest.fixture
def tokenizer_dir(tmp_path: Path) -> Path:
    """A Hugging Face tokenizer of 97 words; id 0 ends a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path / "tokenizer"
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([WORDS[0]])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {f"{name}_token": WORDS[0] for name in ("eos", "bos", "unk", "pad")}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"} | special)
    return folder
