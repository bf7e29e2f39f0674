"""Configurations and weights from strangers: one line within seconds, and no memory beyond that of the file."""

import contextlib
import json
import math
import os
import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.phi import checkpoint, memory
from components.phi.config import WHOLE, PhiConfig
from components.phi.model import Phi
from components.tracking import weights_sha256

SOUND = {
    "model_type": "phi", "vocab_size": 512, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "max_position_embeddings": 32, "eos_token_id": 0,
}  # fmt: skip
VALUES = [0, -1, 2**31, 2**31 - 1, 10**12, 10**400, True, None, "32", "1\n", 1.5, math.nan, math.inf, [32], {}]


@pytest.mark.parametrize("key", [*WHOLE, "partial_rotary_factor", "rope_theta", "layer_norm_eps"])
@pytest.mark.parametrize("value", VALUES, ids=lambda value: str(value)[:12].strip())
def test_an_impossible_size_is_refused_before_memory_is_taken(
    key: str, value: Any, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 8e9)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SOUND | {key: value}))
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    sound = key in ("rope_theta", "layer_norm_eps") and value in (2**31, 2**31 - 1, 10**12, 1.5)
    with contextlib.nullcontext() if sound else pytest.raises(StepError, match=str(path)) as refused:
        config = checkpoint.read_config(path)
        memory.check_room(config, str(path))
        Phi(config)
    assert sound or len(str(refused.value)) < 500
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


DOCUMENTS = {
    "a list": "[]",
    "a number": "5",
    "nothing": "",
    "brackets": "[" * 1_000_000,
    "objects": '{"a":' * 1_000_000,
    "digits": '{"vocab_size": ' + "9" * 1_000_000 + "}",
    "a key twice": '{"model_type": "phi", "model_type": "llama"}',
    "an enormous key": '{"' + "k" * 10_000_000 + '": 1}',
    "an enormous value": '{"model_type": "' + "v" * 10_000_000 + '"}',
    "no UTF-8": b"\xff\xfe{",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_configuration_that_is_none_is_refused_in_a_line(name: str, tmp_path: Path) -> None:
    data = DOCUMENTS[name]
    (tmp_path / "config.json").write_bytes(data if isinstance(data, bytes) else data.encode())
    started = time.process_time()
    with pytest.raises(StepError, match=r"config\.json") as refused:
        checkpoint.read_config(tmp_path)
    assert time.process_time() - started < 5
    assert len(str(refused.value)) < 500


@given(st.dictionaries(st.sampled_from([*SOUND, "rope_parameters"]), st.sampled_from(VALUES), max_size=3))
def test_a_configuration_is_read_or_refused(values: dict[str, Any]) -> None:
    with contextlib.suppress(StepError):
        assert PhiConfig.from_hf(SOUND | values).parameter_count() > 0


@pytest.mark.parametrize("name", ["pipe", "device", "socket"])
def test_what_is_not_a_file_is_not_a_configuration(name: str, hostile_places: dict[str, Path]) -> None:
    with pytest.raises(StepError, match="is a pipe, a socket or a device, not a file"):
        checkpoint.read_config(hostile_places[name])


def safetensors(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


WEIGHTS = {
    "an endless header": safetensors(b"{}", length=2**63),
    "a header of 90 MB that is not there": safetensors(b"{}", length=90_000_000),
    "depth": safetensors(b"[" * 100_000),
    "a tensor of terabytes": safetensors(
        json.dumps(
            {"model.embed_tokens.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
        ).encode()
    ),
    "a shape that overflows": safetensors(
        json.dumps({"x": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 0]}}).encode()
    ),
    "offsets that overlap": safetensors(
        json.dumps({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"}).encode(),
        data=b"0000",
    ),
    "a name of megabytes": safetensors(
        json.dumps({"n" * 5_000_000: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode(), data=b"0000"
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_none_are_refused_in_a_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SOUND))
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StepError, match=str(tmp_path)) as refused:
        checkpoint.load(tmp_path)
    assert len(str(refused.value)) <= 4_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


def test_a_model_is_made_no_larger_than_its_weights(
    lively: Callable[..., Phi], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration alone would have torch allocate terabytes."""
    config = PhiConfig.from_hf(SOUND)
    checkpoint.save(lively(config), tmp_path / "model", None, {})
    for change in (
        {"hidden_size": 2**20},
        {"intermediate_size": 2**30},
        {"vocab_size": 2**30},
        {"num_hidden_layers": 9},
    ):
        values = json.loads((tmp_path / "model" / "config.json").read_text()) | {"n_inner": None} | change
        (tmp_path / "config.json").write_text(json.dumps(values))
        (tmp_path / "model.safetensors").write_bytes((tmp_path / "model" / "model.safetensors").read_bytes())
        with pytest.raises(StepError, match=r"config\.json expects"):
            checkpoint.load(tmp_path)


def test_positions_beyond_memory_are_refused(lively: Callable[..., Phi], tmp_path: Path, monkeypatch) -> None:
    checkpoint.save(lively(PhiConfig.from_hf(SOUND)), tmp_path / "model", None, {})
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": 2**31 - 1}))
    monkeypatch.setattr(memory, "available_memory", lambda: 32e9)
    with pytest.raises(
        StepError, match=r"needs 103\.1 GB of memory .* 2,147,483,647 positions.* 32\.0 GB are available"
    ):
        checkpoint.load(tmp_path / "model")


def test_pipes_among_the_files_of_a_checkpoint_are_not_waited_for(
    lively: Callable[..., Phi], tmp_path: Path, hostile_places: dict[str, Path]
) -> None:
    checkpoint.save(lively(PhiConfig.from_hf(SOUND)), tmp_path / "model", None, {})
    os.mkfifo(tmp_path / "model" / "more.safetensors")
    assert len(weights_sha256(tmp_path / "model")) == 64
    (tmp_path / "model" / "model.safetensors").unlink()
    os.mkfifo(tmp_path / "model" / "model.safetensors")
    with pytest.raises(StepError, match=r"has neither model\.safetensors nor"):
        checkpoint.load(tmp_path / "model")
    (tmp_path / "model" / "lineage.json").unlink()
    (tmp_path / "model" / "lineage.json").symlink_to(hostile_places["device"])
    assert checkpoint.read_lineage(tmp_path / "model") == {}
