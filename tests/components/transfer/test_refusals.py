"""Bad input: each its own sentence, and nothing written."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.errors import StepError
from components.phi.model import PhiConfig
from components.tracking import Tracker
from components.transfer import transfer
from components.transfer.operators import growth
from components.transfer.options import Options
from components.transfer.shapes import check_growth


def test_the_shapes_of_phi_1_5_and_phi_2_fit_one_way() -> None:
    phi_1_5 = PhiConfig(51200, 2048, 8192, 24, 32, 2048, partial_rotary_factor=0.5)
    phi_2 = PhiConfig(51200, 2560, 10240, 32, 32, 2048, partial_rotary_factor=0.4)
    check_growth(phi_1_5, phi_2)
    with pytest.raises(StepError, match="cannot grow"):
        check_growth(phi_2, phi_1_5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hidden_size": 8, "num_attention_heads": 1}, "hidden_size 8 is below the source's 16"),
        ({"num_hidden_layers": 1}, "num_hidden_layers 1 is below the source's 2"),
        ({"intermediate_size": 15}, "intermediate_size 15 is below the source's 16"),
        ({"max_position_embeddings": 31}, "max_position_embeddings 31 is below the source's 32"),
        ({"vocab_size": 20}, "vocab_size 20 is below the source's 50"),
        ({"partial_rotary_factor": 1.0}, r"8 rotary dimensions per head .* differ from the source's 4"),
        ({"rope_theta": 500.0}, "rope_theta 500 differs"),
        ({"num_attention_heads": 4, "partial_rotary_factor": 1.0}, "head_dim 4 is below the source's 8"),
    ],
)
@pytest.mark.parametrize("operator", ["exact", "tile"])
def test_impossible_shapes_are_refused_with_the_reason(
    config: Callable, change: dict, reason: str, operator: str
) -> None:
    source = config(2, 8, 16, 2)
    with pytest.raises(StepError, match=reason):
        growth(source, replace(source, **change), operator, "auto", Options())


def test_the_control_takes_any_shape_of_the_same_tokens(config: Callable) -> None:
    growth(config(2, 8, 16, 2), config(1, 6, 8, 1, rotary=2), "random", "auto", Options())
    with pytest.raises(StepError, match="vocab_size 20 is below the source's 50: their tokens differ"):
        growth(config(2, 8, 16, 2), config(2, 8, 16, 2, vocab=20), "random", "auto", Options())


def weights(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """What changes a checkpoint's tensors, in place."""

    def spoil(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        change(state)
        save_file(state, folder / "model.safetensors")

    return spoil


def settings(**values: object) -> Callable[[Path], None]:
    """What changes a checkpoint's config.json."""

    def spoil(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return spoil


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def torn(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


FC1 = "model.layers.1.mlp.fc1.weight"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            weights(lambda s: s.pop(FC1)),
            r"model\.layers\.1\.mlp\.fc1\.weight is missing; config\.json expects 33 tensors",
        ),
        (
            weights(lambda s: s.pop("lm_head.weight")),
            r"lm_head\.weight is missing, and config\.json does not say tie_word_embeddings",
        ),
        (
            weights(lambda s: s.update(extra=torch.zeros(1))),
            r"extra is in the weights but not in a Phi of this config\.json",
        ),
        (
            weights(lambda s: s.update({FC1: torch.zeros(31, 16)})),
            r"has the shape \(31, 16\); config\.json expects \(32, 16\)",
        ),
        (
            weights(lambda s: s[FC1].view(-1)[3:5].fill_(torch.nan)),
            r"fc1\.weight has 2 values that are NaN or infinite",
        ),
        (weights(lambda s: s[FC1].view(-1)[:1].fill_(torch.inf)), r"fc1\.weight has 1 values that are NaN or infinite"),
        (weights(lambda s: s.update({FC1: s[FC1].to(torch.int32)})), r"fc1\.weight is stored as I32; expected float32"),
        (settings(tie_word_embeddings=True), r"lm_head\.weight differs from model\.embed_tokens\.weight"),
        (settings(model_type="llama"), r"model_type is 'llama'; only 'phi' is read"),
        (pickled, r"stores its weights as pytorch_model\.bin, and loading pickle runs its code"),
        (torn, r"model\.safetensors cannot be read as safetensors"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"has neither model\.safetensors nor"),
        (lambda folder: (folder / "config.json").unlink(), r"config\.json is not there"),
    ],
)
@pytest.mark.parametrize("operator", ["exact", "random"])
def test_a_broken_checkpoint_is_refused_in_a_sentence(
    checkpoint: Path, run: Callable, spoil: Callable[[Path], None], sentence: str, operator: str
) -> None:
    spoil(checkpoint)
    with pytest.raises(StepError, match=sentence):
        run({"operator": operator})
    assert [path.name for path in checkpoint.parent.iterdir()] == ["small"]


def test_a_checkpoint_in_shards_lacks_one(checkpoint: Path, run: Callable) -> None:
    index = {
        "weight_map": {FC1: "model-00001-of-00002.safetensors", "lm_head.bias": "model-00002-of-00002.safetensors"}
    }
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    shutil.move(checkpoint / "model.safetensors", checkpoint / "model-00001-of-00002.safetensors")
    with pytest.raises(StepError, match=r"has no shard model-00002-of-00002\.safetensors"):
        run()


def test_refusals_of_the_step_write_nothing(checkpoint: Path, run: Callable) -> None:
    with pytest.raises(StepError, match=r"10 rotary dimensions .* source's 4.*set partial_rotary_factor to 0.4"):
        run(partial_rotary_factor=1.0)
    with pytest.raises(StepError, match=r"neither a section of params\.yaml"):
        run(options={"target": "huge"})
    for seed in (-1, 2**31):
        with pytest.raises(StepError, match=rf"--seed is {seed}; expected a whole number from 0"):
            run(options={"seed": seed})
    with pytest.raises(StepError, match=r"more than transfer\.max_relative_error 1e-300; nothing was written"):
        run({"max_relative_error": 1e-300})
    with pytest.raises(StepError, match=r"hyperclone cannot grow .* is not a whole multiple"):
        run({"operator": "hyperclone"})
    with pytest.raises(StepError, match=r"solar joins two copies"):
        run({"depth_map": "solar"}, num_hidden_layers=5)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["small"]


def test_weights_beyond_float16_are_refused(checkpoint: Path, run: Callable) -> None:
    weights(lambda state: state[FC1].mul_(1e8))(checkpoint)
    with pytest.raises(
        StepError, match=r"has the value .*; expected at most 65504 of float16; set transfer\.dtype to float32"
    ):
        run({"dtype": "float16"})
    assert not (checkpoint.parent / "grown").exists()


def test_a_growth_that_lost_the_function_is_refused(
    checkpoint: Path, run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound does its work: a defect of the operator cannot get past the proof."""
    from components.transfer import exact

    monkeypatch.setattr(exact.math, "sqrt", lambda value: value**0.5 * (1 + 1e-9))
    with pytest.raises(StepError, match=r"differ from the source's by .* in float64, more than 1e-12; nothing"):
        run()
    assert not (checkpoint.parent / "grown").exists()


def test_the_place_is_looked_at_before_any_work(
    checkpoint: Path, params: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"source": checkpoint, "target": "large"}
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    with pytest.raises(StepError, match="--output small is the source itself"):
        transfer.run(inputs, {"output": checkpoint.parent / "." / "small"}, params(), Tracker())
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda place: SimpleNamespace(free=1_000))
    with pytest.raises(StepError, match=r"needs 0\.0 GB, but the disk of grown has 0\.0 GB free; free some space"):
        transfer.run(inputs, {"output": checkpoint.parent / "new" / "grown"}, params(), Tracker())
    assert [path.name for path in checkpoint.parent.iterdir()] == ["small"]
