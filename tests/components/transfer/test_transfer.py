"""The step: a grown checkpoint with its proof beside it, or a sentence and nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from components.phi.checkpoint import load, read_config
from components.phi.model import PhiConfig
from components.phi.weights import CheckpointWeights
from components.tokens import Tokens  # noqa: F401 - the step's own reader
from components.transfer import transfer
from components.transfer.__main__ import COMMAND, names_of
from components.transfer.depth import DEPTH_MAPS
from components.transfer.operators import OPERATORS


def test_a_checkpoint_grows_with_its_proof_beside_it(checkpoint: Path, run: Callable) -> None:
    summary = run()
    folder = checkpoint.parent / "grown"
    record = json.loads((folder / "transfer.json").read_text())
    assert record["operator"] == "exact"
    assert record["preserves_function"] is True
    assert record["relative_logit_error"] == summary["relative_logit_error"] <= 1e-6
    assert record["max_relative_logit_difference"] == summary["max_relative_logit_difference"] <= 1e-6
    assert [(b["source"], b["gain"], b["identity"], b["new"]) for b in record["depth_map"]] == [
        (0, 1.0, False, False),
        (1, 1.0, False, False),
        (1, 0.0, True, True),
    ]
    assert record["max_relative_logit_difference_float64"] <= 1e-12
    assert record["proof"]["construction"]["relative_logit_error"] <= 1e-12
    assert set(record["proof"]) == {"construction", "stored", "float32", "rounding"}
    assert record["proof_on"] == "random tokens"
    assert str(checkpoint.parent) not in (folder / "transfer.json").read_text() + (folder / "lineage.json").read_text()
    assert read_config(folder).hidden_size == 20
    tokens = torch.randint(50, (2, 20))
    assert torch.allclose(load(folder)(tokens), load(checkpoint)(tokens), atol=1e-6)


@pytest.mark.parametrize("operator", ["tile", "fpi", "random"])
def test_what_does_not_preserve_the_function_is_measured_and_not_refused(run: Callable, operator: str) -> None:
    summary = run({"operator": operator})
    assert summary["preserves_function"] is False
    assert summary["relative_logit_error"] > 1e-3
    assert summary["kl"] > 0


def test_exact_width_with_copied_blocks_is_measured_too(run: Callable) -> None:
    summary = run(options={"depth_map": "round"})
    assert (summary["operator"], summary["depth"], summary["preserves_function"]) == ("exact", "round", False)
    assert summary["relative_logit_error"] > 1e-3


def test_equal_seeds_give_equal_bytes(checkpoint: Path, run: Callable) -> None:
    folder = checkpoint.parent / "grown"
    written = []
    for seed in (5, 5, 6):
        run(options={"seed": seed})
        written.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert written[0] == written[1]
    assert written[0][Path("model.safetensors")] != written[2][Path("model.safetensors")]


def test_a_config_json_is_a_target_too(checkpoint: Path, run: Callable) -> None:
    target = PhiConfig(50, 24, 48, 2, 2, 64, partial_rotary_factor=4.01 / 12)
    (checkpoint.parent / "target.json").write_text(json.dumps(target.to_hf()))
    run(options={"target": str(checkpoint.parent / "target.json")})
    assert read_config(checkpoint.parent / "grown").max_position_embeddings == 64


@pytest.mark.parametrize(("dtype", "worst"), [("bfloat16", 0.1), ("float16", 0.01)])
def test_narrow_storage_is_measured_apart_from_the_construction(
    checkpoint: Path, run: Callable, dtype: str, worst: float
) -> None:
    summary = run({"dtype": dtype})
    assert summary["proof"]["construction"]["relative_logit_error"] <= 1e-12
    assert 1e-6 < summary["proof"]["stored"]["relative_logit_error"] < worst
    folder = checkpoint.parent / "grown"
    assert json.loads((folder / "config.json").read_text())["dtype"] == dtype
    weights = CheckpointWeights(folder, read_config(folder))
    assert {str(tensor.dtype) for tensor in weights.values()} == {f"torch.{dtype}"}


def test_of_a_large_model_float64_sees_few_tokens(
    checkpoint: Path, run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "SMALL", 1)
    monkeypatch.setattr(transfer, "EXACT_TOKENS", 5)
    monkeypatch.setattr(transfer, "SHARD_BYTES", 3_000)
    summary = run()
    assert {name: found["tokens"] for name, found in summary["proof"].items()} == {
        "construction": 5,
        "stored": 5,
        "rounding": 5,
        "float32": 4096,
    }
    assert (summary["proof_precision"], summary["proof_tokens"]) == ("float32", 4096)
    assert summary["relative_logit_error"] <= 1e-6
    assert summary["proof"]["construction"]["relative_logit_error"] <= 1e-12
    assert len(list((checkpoint.parent / "grown").glob("model-*.safetensors"))) > 1
    tokens = torch.randint(50, (2, 20))
    assert torch.allclose(load(checkpoint.parent / "grown")(tokens), load(checkpoint)(tokens), atol=1e-6)


def test_transformers_computes_the_same_from_the_grown_directory(checkpoint: Path, run: Callable) -> None:
    transformers = pytest.importorskip("transformers")
    run()
    theirs = transformers.PhiForCausalLM.from_pretrained(checkpoint.parent / "grown").eval()
    tokens = torch.randint(50, (2, 20))
    with torch.no_grad():
        assert torch.allclose(theirs(tokens).logits, load(checkpoint)(tokens), atol=1e-5)


@pytest.mark.parametrize(
    ("vocabulary", "layers"), [(512, (1, 2)), pytest.param(51_200, (2, 3), marks=pytest.mark.slow)]
)
def test_round_trip_through_transformers_at_the_widths_of_phi_1_5_and_phi_2(
    tmp_path: Path, params: Callable, monkeypatch: pytest.MonkeyPatch, vocabulary: int, layers: tuple[int, int]
) -> None:
    """Written by transformers, grown, read by transformers: the same logits. All weights are non-trivial."""
    monkeypatch.setattr(transfer, "SMALL", 1)  # as of models of this width and more layers
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    small = transformers.PhiConfig(
        vocab_size=vocabulary,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=layers[0],
        num_attention_heads=32,
        partial_rotary_factor=0.5,
        max_position_embeddings=2048,
    )
    model = transformers.PhiForCausalLM(small).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "layernorm.weight" in name else 0.0, 0.02)
    model.save_pretrained(tmp_path / "small")
    target = PhiConfig(vocabulary, 2560, 10_240, layers[1], 32, 2048, partial_rotary_factor=0.4)
    (tmp_path / "target.json").write_text(json.dumps(target.to_hf()))
    summary = transfer.run(
        {"source": tmp_path / "small", "target": str(tmp_path / "target.json")},
        {"output": tmp_path / "grown"},
        params({"proof_tokens": 16, "inserted": "silent"}),  # as the profiles of these widths say
        transfer.Tracker(),
    )
    assert summary["relative_logit_error"] <= 1e-6
    grown = transformers.PhiForCausalLM.from_pretrained(tmp_path / "grown").eval()
    assert grown.config.hidden_size // grown.config.num_attention_heads == 80
    tokens = torch.randint(vocabulary, (1, 24))
    with torch.no_grad():
        expected, found = model(tokens).logits, grown(tokens).logits
    assert float((found - expected).norm() / expected.norm()) <= 1e-6


def test_the_command_offers_every_operator_and_depth_map() -> None:
    assert set(names_of("operator")) == set(OPERATORS)
    assert set(names_of("depth_map")) == {"auto", *DEPTH_MAPS}
    assert {argument.name for argument in COMMAND.inputs} >= {"source", "target", "operator", "seed", "tokens"}
