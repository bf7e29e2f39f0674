"""A tiny Phi that reads bytes."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from components.phi import checkpoint
from components.phi.config import PhiConfig
from components.phi.model import Phi

END = "<|endoftext|>"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({END: 0} | {letter: i for i, letter in enumerate(alphabet, 1)}, []))
    tokenizer.add_special_tokens([END])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    source = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(source / "tokenizer.json"))
    roles = {f"{role}_token": END for role in ("bos", "eos", "pad", "unk")}
    (source / "tokenizer_config.json").write_text(json.dumps(roles | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    config = PhiConfig(257, 16, 32, 1, 2, 256, partial_rotary_factor=0.5, initializer_range=0.3)
    folder = tmp_path_factory.mktemp("base") / "model"
    checkpoint.save(Phi(config).initialize(3), folder, source, {"step": "training"})
    return folder
