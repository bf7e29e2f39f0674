"""Checkpoints go to and fro unchanged; anything that is not a sound Phi is refused in a sentence."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.errors import StepError
from components.phi import checkpoint
from components.phi.model import Phi, PhiConfig
from components.phi.weights import state_shapes
from components.tracking import weights_sha256

TINY = PhiConfig(97, 64, 160, 2, 2, 40, partial_rotary_factor=0.5, eos_token_id=3)
LINEAGE = {"step": "training", "seed": 1}


@pytest.fixture
def saved(lively: Callable[..., Phi], tokenizer_dir: Path, tmp_path: Path) -> Path:
    checkpoint.save(lively(TINY), tmp_path / "m", tokenizer_dir, LINEAGE)
    return tmp_path / "m"


def rewrite(directory: Path, **tensors: torch.Tensor | None) -> None:
    """Replace tensors of a checkpoint; None removes one. Dots are written as double underscores."""
    state = load_file(directory / "model.safetensors")
    for name, tensor in tensors.items():
        state.pop(name.replace("__", "."), None)
        if tensor is not None:
            state[name.replace("__", ".")] = tensor
    save_file(state, directory / "model.safetensors")


def test_round_trip_is_bitwise(saved: Path, lively: Callable[..., Phi]) -> None:
    model = checkpoint.load(saved)
    assert model.config == TINY
    assert not model.training
    for a, b in zip(model.parameters(), lively(TINY).parameters(), strict=True):
        assert torch.equal(a, b)
    assert checkpoint.read_lineage(saved) == LINEAGE
    assert checkpoint.load_tokenizer(saved).encode("w4 w0").ids == [5, 1]


def test_equal_models_give_equal_bytes(saved: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    checkpoint.save(checkpoint.load(saved), tmp_path / "again", tokenizer_dir, LINEAGE)
    names = {p.name for p in saved.iterdir()}
    assert names == {p.name for p in (tmp_path / "again").iterdir()} >= {"generation_config.json", "tokenizer.json"}
    assert all((saved / n).read_bytes() == (tmp_path / "again" / n).read_bytes() for n in names)
    assert (saved / "model.safetensors").stat().st_mode & 0o044  # others may read it


def test_transformers_writes_what_we_read(saved: Path, tmp_path: Path) -> None:
    """Also in shards, and in bfloat16."""
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(saved)
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    for a, b in zip(
        checkpoint.load(tmp_path / "shards").parameters(), checkpoint.load(saved).parameters(), strict=True
    ):
        assert torch.equal(a, b)
    assert checkpoint.read_config(tmp_path / "shards") == TINY
    theirs.to(torch.bfloat16).save_pretrained(tmp_path / "half")
    half = checkpoint.load(tmp_path / "half", torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    assert half(torch.zeros(1, 3, dtype=torch.long)).dtype == torch.bfloat16
    assert checkpoint.load(tmp_path / "half", torch.float64)(torch.zeros(1, 3, dtype=torch.long)).dtype == torch.float64
    assert len({weights_sha256(tmp_path / name) for name in ("shards", "half", "m")}) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_shards_hold_what_one_file_holds(lively: Callable[..., Phi], tmp_path: Path, dtype: torch.dtype) -> None:
    model = lively(TINY)
    limit = 30_000
    checkpoint.save(model, tmp_path / "whole", None, {}, dtype)
    checkpoint.save(model, tmp_path / "shards", None, {}, dtype, limit)
    files = sorted((tmp_path / "shards").glob("model-*.safetensors"))
    assert [f.name for f in files] == [f"model-{i:05}-of-{len(files):05}.safetensors" for i in range(1, len(files) + 1)]
    largest = max(torch.Size(shape).numel() for shape in state_shapes(TINY).values()) * dtype.itemsize
    for path in files:
        assert sum(t.nbytes for t in load_file(path).values()) <= max(limit, largest)
    assert json.loads((tmp_path / "shards" / "config.json").read_text())["dtype"] == str(dtype).split(".")[1]
    whole, shards = (checkpoint.load(tmp_path / name) for name in ("whole", "shards"))
    for a, b, c in zip(model.parameters(), whole.parameters(), shards.parameters(), strict=True):
        assert torch.equal(a.to(dtype).float(), b)
        assert torch.equal(b, c)


def test_rotary_keys_are_read_in_both_dialects() -> None:
    values = PhiConfig(97, 80, 96, 3, 2, 24, partial_rotary_factor=0.4, rope_theta=5e3).to_hf()
    flat = {k: v for k, v in values.items() if k != "rope_parameters"}
    nested = {k: v for k, v in values.items() if k not in ("partial_rotary_factor", "rope_theta")}
    assert PhiConfig.from_hf(flat) == PhiConfig.from_hf(nested) == PhiConfig.from_hf(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, "model_type is 'llama'"),
        ({"num_key_value_heads": 3}, "num_key_value_heads is 3; expected a divisor of num_attention_heads 2"),
        ({"num_key_value_heads": 0}, "num_key_value_heads is 0"),
        ({"num_key_value_heads": True}, "num_key_value_heads is True"),
        ({"num_key_value_heads": "1"}, "num_key_value_heads is '1'"),
        ({"qk_layernorm": True}, "qk_layernorm is true"),
        ({"tie_word_embeddings": "yes"}, 'tie_word_embeddings is "yes"'),
        ({"hidden_act": "relu"}, 'hidden_act is "relu"'),
        ({"rope_parameters": {"rope_type": "yarn"}}, 'rope_type is "yarn"'),
        ({"hidden_size": "64"}, "hidden_size is '64'"),
        ({"vocab_size": None}, "vocab_size is None"),
        ({"num_attention_heads": 3, "num_key_value_heads": 3}, "hidden_size 64 is not a multiple"),
        ({"rope_parameters": {"partial_rotary_factor": 0.04}}, "gives 1 rotary dimensions"),
    ],
)
def test_other_models_are_refused(saved: Path, change: dict, message: str) -> None:
    path = saved / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StepError, match=message) as refused:
        checkpoint.load(saved)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer_norm_eps", None),
        ("layer_norm_eps", -1),
        ("layer_norm_eps", "1e-5"),
        ("initializer_range", float("nan")),
        ("hidden_size", 2**40),
        ("hidden_size", 64.0),
        ("num_hidden_layers", 2**30),
        ("layer_norm_eps", 10**400),
        ("initializer_range", 10**4000),
        ("rope_parameters", {"rope_theta": 1e300}),
        ("rope_parameters", {"partial_rotary_factor": 1e308}),
        ("eos_token_id", {}),
        ("eos_token_id", []),
        ("num_hidden_layers", True),
        ("eos_token_id", 99_999),
        ("eos_token_id", "x"),
        ("eos_token_id", [True]),
        ("rope_parameters", "x"),
        ("rope_parameters", {"rope_theta": 0}),
        ("rope_parameters", {"partial_rotary_factor": None}),
        ("rope_parameters", {"partial_rotary_factor": "half"}),
        ("rope_parameters", {"partial_rotary_factor": float("inf")}),
    ],
)
def test_a_value_that_no_phi_can_have_is_named(key: str, value: object) -> None:
    values = PhiConfig(300, 64, 256, 2, 2, 48).to_hf() | {key: value}
    name = next(iter(value), key) if isinstance(value, dict) else key
    with pytest.raises(StepError, match=rf"^there/config\.json: {name} is .*; (a Phi needs|expected)"):
        PhiConfig.from_hf(values, "there/config.json")


def test_sizes_that_no_machine_holds_are_refused() -> None:
    values = PhiConfig(300, 64, 256, 2, 2, 48).to_hf() | {"hidden_size": 2**30, "vocab_size": 2**31 - 1}
    with pytest.raises(StepError, match=r"its sizes give [\d,]+ parameters; expected at most"):
        PhiConfig.from_hf(values)


@pytest.mark.parametrize("eos", [97, -1, "x", {}, [[3]], 10**30])
def test_an_end_of_text_beside_the_configuration_is_an_id_too(saved: Path, eos: object) -> None:
    path = saved / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": None}))
    (saved / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}))
    with pytest.raises(
        StepError, match=r"end-of-text token, next to config.json: eos_token_id is .*; expected an id below"
    ):
        checkpoint.read_config(saved)


def test_pickle_is_never_opened(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    with pytest.raises(StepError, match=r"has neither model\.safetensors"):
        checkpoint.load(saved)
    (saved / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(StepError, match=r"pytorch_model\.bin, and loading pickle runs its code"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"lm_head__bias": None}, r"lm_head\.bias is missing"),
        ({"lm_head__bias": None, "lm_head__weight": None}, r"lm_head\.bias and 1 more are missing"),
        ({"surplus": torch.zeros(1)}, "surplus is in the weights but not in a Phi"),
        ({"lm_head__bias": torch.zeros(98)}, r"lm_head\.bias has the shape \(98,\); config\.json expects \(97,\)"),
        ({"lm_head__bias": torch.full((97,), torch.nan)}, r"lm_head\.bias has 97 values that are NaN"),
        ({"lm_head__bias": torch.zeros(97, dtype=torch.int64)}, r"lm_head\.bias is stored as I64"),
        ({"lm_head__bias": torch.zeros(97).to(torch.float8_e4m3fn)}, r"lm_head\.bias is stored as F8_E4M3"),
    ],
)
def test_broken_weights_are_refused(saved: Path, tensors: dict, message: str) -> None:
    rewrite(saved, **tensors)
    with pytest.raises(StepError, match=message):
        checkpoint.load(saved)


def test_a_truncated_file_is_refused(saved: Path) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StepError, match=r"model\.safetensors cannot be read as safetensors"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({}, "has no weight_map"),
        ({"weight_map": {"a": "../other.safetensors"}}, "names '../other.safetensors'"),
        ({"weight_map": {"a": "model.bin"}}, "names 'model.bin'"),
        ({"weight_map": {"a": "gone.safetensors"}}, "has no shard gone.safetensors"),
    ],
)
def test_a_broken_index_is_refused(saved: Path, index: dict, message: str) -> None:
    (saved / "model.safetensors").unlink()
    (saved / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(StepError, match=message):
        checkpoint.load(saved)


def test_a_broken_model_is_not_saved(lively: Callable[..., Phi], tokenizer_dir: Path, tmp_path: Path) -> None:
    model = lively(TINY)
    with pytest.raises(StepError, match=r"has no tokenizer\.json"):
        checkpoint.save(model, tmp_path / "out", tmp_path, {})
    with torch.no_grad():
        model.head.bias[4] = torch.inf
    with pytest.raises(StepError, match=r"lm_head\.bias has 1 values that are NaN or infinite"):
        checkpoint.save(model, tmp_path / "out", tokenizer_dir, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tokenizer"]


def test_weights_that_float16_cannot_hold_are_not_saved(lively: Callable[..., Phi], tmp_path: Path) -> None:
    model = lively(TINY)
    with torch.no_grad():
        model.head.bias[4] = -7e4
    with pytest.raises(
        StepError, match=r"lm_head\.bias has the value 70000; expected at most 65504 of float16; store bfloat16"
    ):
        checkpoint.save(model, tmp_path / "out", None, {}, torch.float16)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"config\.json is not there"):
        checkpoint.load(tmp_path)
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(StepError, match="cannot be read as JSON"):
        checkpoint.load(tmp_path)
    with pytest.raises(StepError, match=r"has no tokenizer\.json"):
        checkpoint.load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(StepError, match="is not a tokenizer that the tokenizers library can read"):
        checkpoint.load_tokenizer(tmp_path)
