"""Phi-1, Phi-1.5 and Phi-2 as published: at their true widths, from their files."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from components.files import write_json
from components.phi import checkpoint
from components.phi.model import Phi, PhiConfig
from components.phi.weights import to_state
from tests.components.phi.generated import generate

PHI_1_5 = PhiConfig(51200, 2048, 8192, 24, 32, 2048, partial_rotary_factor=0.5)  # Phi-1 has the same shape
PHI_2 = PhiConfig(51200, 2560, 10240, 32, 32, 2048, partial_rotary_factor=0.4, eos_token_id=50256)
FOLDER = "PHIFORGE_PUBLISHED_PHI"


def theirs_with_our_weights(model: Phi):
    """transformers' PhiForCausalLM over the same memory."""
    from transformers import PhiConfig as TheirConfig
    from transformers import PhiForCausalLM

    with torch.device("meta"):
        theirs = PhiForCausalLM(TheirConfig(**model.config.to_hf()))
    theirs.load_state_dict(to_state(model), assign=True)
    theirs.model.rotary_emb = type(theirs.model.rotary_emb)(theirs.config)  # its buffer is no weight
    return theirs.eval()


@pytest.mark.parametrize(
    ("published", "vocabulary", "blocks"),
    [
        pytest.param(PHI_1_5, 1000, 1, id="phi-1.5"),
        pytest.param(PHI_2, 1000, 1, id="phi-2"),
        pytest.param(PHI_1_5, 51200, 2, id="phi-1.5 whole vocabulary", marks=pytest.mark.slow),
        pytest.param(PHI_2, 51200, 2, id="phi-2 whole vocabulary", marks=pytest.mark.slow),
    ],
)
def test_logits_equal_transformers_at_the_true_width(published: PhiConfig, vocabulary: int, blocks: int) -> None:
    """In float32, and in bfloat16 as far apart as transformers' bfloat16 is from float32."""
    config = replace(published, vocab_size=vocabulary, num_hidden_layers=blocks, eos_token_id=0)
    model = Phi(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.05, 0.05, generator=generator)
    theirs = theirs_with_our_weights(model)
    tokens = torch.randint(vocabulary, (2, 20), generator=generator)
    with torch.no_grad():
        exact, expected = model(tokens), theirs(tokens).logits
        torch.testing.assert_close(exact, expected, rtol=1e-4, atol=1e-4)
        model.dtype = torch.bfloat16
        apart = (model(tokens).float() - exact).norm() / exact.norm()
        theirs_apart = (theirs.to(torch.bfloat16)(tokens).logits.float() - exact).norm() / exact.norm()
    assert apart < 1.5 * theirs_apart < 0.03


def check_against_transformers(folder: Path) -> PhiConfig:
    """A published folder gives the same logits, the same greedy text, and the tokenizer's end of text."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = checkpoint.load(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    tokens = torch.tensor([tokenizer("def add(a, b):\n")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), theirs(tokens).logits, rtol=1e-3, atol=1e-3)
        text = theirs.generate(tokens, max_new_tokens=12, do_sample=False, eos_token_id=tokenizer.eos_token_id)
    assert generate(model, tokens, 12).tolist() == text.tolist()
    return model.config


def test_the_published_weights_load() -> None:
    folder = os.environ.get(FOLDER)
    if not folder:
        pytest.skip(f"{FOLDER} names no folder; set it to that of microsoft/phi-1, phi-1_5 or phi-2")
    config = check_against_transformers(Path(folder))
    assert config.eos_token_id == 50256
    assert replace(config, eos_token_id=0) in [PHI_1_5, replace(PHI_2, eos_token_id=0)]


@pytest.mark.parametrize("open_end", [True, False])
def test_a_folder_like_the_published_ones_loads(
    lively: Callable[..., Phi], tokenizer_dir: Path, tmp_path: Path, open_end: bool
) -> None:
    """Every key of the published config.json; float16 in two shards; a buffer that early releases stored."""
    model = lively(PhiConfig(97, 64, 160, 2, 2, 40))
    state = {name: tensor.half().contiguous() for name, tensor in to_state(model).items()}
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    names = sorted(state)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    folder = tmp_path / "published"
    folder.mkdir()
    for file, keys in shards.items():
        save_file({key: state[key] for key in keys}, folder / file, metadata={"format": "pt"})
    weight_map = {key: file for file, keys in shards.items() for key in keys}
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": 1}, "weight_map": weight_map})
    config = {
        "_name_or_path": "microsoft/phi-1_5",
        "architectures": ["PhiForCausalLM"],
        "attention_dropout": 0.0,
        "auto_map": {"AutoConfig": "configuration_phi.PhiConfig"},
        "bos_token_id": None if open_end else 0,
        "embd_pdrop": 0.0,
        "eos_token_id": None if open_end else 7,
        "hidden_act": "gelu_new",
        "hidden_size": 64,
        "initializer_range": 0.02,
        "intermediate_size": 160,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 40,
        "model_type": "phi",
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": None if open_end else 2,
        "partial_rotary_factor": 0.5,
        "qk_layernorm": False,
        "resid_pdrop": 0.1,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.37.0",
        "use_cache": True,
        "vocab_size": 97,
    }
    write_json(folder / "config.json", {key: value for key, value in config.items() if key != "auto_map"})
    write_json(folder / "generation_config.json", {"_from_model_config": True, "transformers_version": "4.37.0"})
    for path in tokenizer_dir.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    # The tokenizer names its end of text as an object in old files.
    write_json(folder / "tokenizer_config.json", settings | {"eos_token": {"__type": "AddedToken", "content": "w6"}})
    if open_end:
        assert check_against_transformers(folder).eos_token_id == 7
    else:
        assert checkpoint.load(folder).config.eos_token_id == 7
    write_json(folder / "config.json", config)  # code by reference is never run
    assert checkpoint.read_config(folder).hidden_size == 64


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("key_value_heads", [1, 2, 4])
def test_a_tied_head_and_grouped_queries_are_copied(
    tokenizer_dir: Path, tmp_path: Path, tied: bool, key_value_heads: int
) -> None:
    """Logits equal those of transformers, which wrote the folder; saved again, it is a plain Phi with the same logits."""
    from transformers import PhiConfig as TheirConfig
    from transformers import PhiForCausalLM

    values = PhiConfig(97, 64, 160, 2, 4, 40).to_hf() | {
        "tie_word_embeddings": tied,
        "num_key_value_heads": key_value_heads,
    }
    theirs = PhiForCausalLM(TheirConfig(**values)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0.0, 0.3, generator=generator)
    theirs.save_pretrained(tmp_path / "theirs")
    model = checkpoint.load(tmp_path / "theirs")
    checkpoint.save(model, tmp_path / "ours", tokenizer_dir, {})
    again = PhiForCausalLM.from_pretrained(tmp_path / "ours").eval()
    assert again.config.num_key_value_heads == 4
    assert not again.config.tie_word_embeddings
    tokens = torch.randint(97, (2, 20), generator=generator)
    with torch.no_grad():
        expected = theirs(tokens).logits
        for logits in (model(tokens), again(tokens).logits):
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
