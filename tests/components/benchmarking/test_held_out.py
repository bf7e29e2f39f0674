"""Losses on held-out documents: the documents' own bytes, whatever tokenizer the model has."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.benchmarking import held_out
from components.documents import GENERATED
from components.errors import StepError
from components.params import check_params
from components.phi.checkpoint import load, load_tokenizer
from components.tokens import Tokens
from components.tracking import Tracker, weights_sha256


def rate(home: Path, model: Path, output: Path, kilobytes: int = 200, kinds: str = held_out.OWN) -> dict[str, Any]:
    params = check_params({"promotion": {"held_out_kilobytes": kilobytes}})
    inputs = {"checkpoint": model, "tokens": home / "data/tokens", "kinds": kinds}
    summary = held_out.run(inputs, {"output": output}, params, Tracker())
    return json.loads(output.read_text()) | {"summary": summary}


def test_documents_are_rated_whole_and_in_their_own_bytes(home: Path, tmp_path: Path) -> None:
    import torch

    model, tokens = home / "models/large", Tokens.open(home / "data/tokens")
    found = rate(home, model, tmp_path / "large.json")
    split = tokens.split("validation")
    rows = {row["id"]: row for row in split.documents.to_pylist() if row["kind"] not in GENERATED}
    assert found["documents"] == list(rows)
    assert found["bytes"] == [row["bytes"] for row in rows.values()]
    assert found["weights_sha256"] == weights_sha256(model)
    phi, tokenizer, length = load(model).eval(), load_tokenizer(model), 64
    row = next(iter(rows.values()))
    ids = tokenizer.encode(tokenizer.decode(split.read(row["start"], row["length"] - 1).tolist())).ids
    nats, whole = 0.0, [phi.config.eos_token_id, *ids]
    for start in range(1, len(whole), length):
        target = whole[start : start + length]
        context = whole[max(0, start + len(target) - length - 1) : start + len(target) - 1]
        with torch.no_grad():
            logits = phi.head(phi.hidden(torch.tensor([context])))[0].double()
        rated = logits[-len(target) :].log_softmax(-1)[torch.arange(len(target)), torch.tensor(target)]
        nats -= float(rated.sum())
    assert found["nats"][0] == pytest.approx(nats, rel=1e-4)
    bits = sum(found["nats"]) / math.log(2) / sum(found["bytes"])
    assert found["summary"]["bits_per_byte"] == pytest.approx(bits)


def test_another_tokenizer_and_context_are_rated_on_the_same_text(home: Path, tmp_path: Path) -> None:
    """A tokenizer without merges: every byte is a token, and documents are cut into other windows."""
    bytewise = tmp_path / "bytewise"
    shutil.copytree(home / "models/small", bytewise)
    tokenizer = json.loads((bytewise / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = []
    (bytewise / "tokenizer.json").write_text(json.dumps(tokenizer))
    ours, theirs = (rate(home, model, tmp_path / f"{model.name}.json") for model in (home / "models/large", bytewise))
    for key in ("text_sha256", "documents", "bytes"):
        assert ours[key] == theirs[key]


def test_fewer_kilobytes_are_fewer_documents_evenly_spread(home: Path, tmp_path: Path) -> None:
    whole = rate(home, home / "models/small", tmp_path / "whole.json")
    few = rate(home, home / "models/small", tmp_path / "few.json", kilobytes=1)
    assert 1 <= len(few["documents"]) < len(whole["documents"])
    assert set(few["documents"]) < set(whole["documents"])
    assert few["text_sha256"] != whole["text_sha256"]


def test_all_kinds_are_rated_if_asked_for(home: Path, tmp_path: Path) -> None:
    found = rate(home, home / "models/small", tmp_path / "all.json", 100_000, held_out.ALL)
    rows = Tokens.open(home / "data/tokens").split("validation").documents.to_pylist()
    assert found["documents"] == list(dict.fromkeys(row["id"] for row in rows))
    assert GENERATED & {row["kind"] for row in rows}


def test_a_folder_without_tokens_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"manifest\.json is not there"):
        held_out.run({"checkpoint": home / "models/small", "tokens": tmp_path}, {}, check_params({}), Tracker())
