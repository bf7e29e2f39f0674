"""Sparse features: a code whose truth is known, the figures against their definitions, and the documents that fire."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from components.errors import StepError
from components.interpretation import sparse
from components.params import Params
from components.phi.checkpoint import load, load_tokenizer
from components.tokens import Tokens
from components.tracking import Tracker


def inputs_of(home: Path, **options: Any) -> dict[str, Any]:
    given = {"model": home / "models" / "large", "tokens": home / "data" / "tokens"}
    return given | {"layer": None, "features": 64, "active": 4, "steps": 20} | options


def test_a_code_finds_the_directions_that_data_were_made_of() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.nn.functional.normalize(torch.randn(24, 16, generator=generator), dim=-1)
    used = torch.rand(4000, 24, generator=generator) * (torch.rand(4000, 24, generator=generator) < 0.08)
    code = sparse.learn(used @ truth, 32, 3, 400, seed=1)
    best = (code.decoder.detach() @ truth.T).max(0).values
    assert best.median() > 0.9, "random directions reach 0.55"
    with torch.no_grad():
        assert int((code.encode(used @ truth) > 0).sum(1).max()) <= 3
        assert torch.allclose(code.decoder.norm(dim=-1), torch.ones(32), atol=1e-5)


@pytest.fixture(scope="module")
def written(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("features") / "found"
    sparse.run(inputs_of(home), {"output": output}, Params(), Tracker())
    return output


def test_the_figures_and_files_are_of_the_middle_layer(home: Path, written: Path) -> None:
    found = json.loads((written / "features.json").read_text())
    assert (found["layer"], found["features"], found["active"]) == (1, 64, 4)
    figures = found["figures"]
    assert 0 < figures["l0"] <= 4
    model = load(home / "models" / "large")
    length = model.config.max_position_embeddings
    split = Tokens.open(home / "data" / "tokens").split("validation")
    rows = sparse.Sequences.read(split, length, sparse.JUDGED, torch.device("cpu")).rows
    with torch.no_grad():
        own = torch.nn.functional.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
    assert figures["loss"] == pytest.approx(float(own), rel=1e-4)
    assert figures["loss_recovered"] == pytest.approx(
        (figures["loss_mean"] - figures["loss_coded"]) / (figures["loss_mean"] - figures["loss"])
    )
    assert figures["dead"] == 1 - len(found["described"]) / 64


def test_examples_are_the_places_that_respond_most_in_different_documents(home: Path, written: Path) -> None:
    """Each is looked up again: the text is the document's, and the response is that of the stored code."""
    from safetensors.torch import load_file

    state, model = load_file(written / "features.safetensors"), load(home / "models" / "large")
    split = Tokens.open(home / "data" / "tokens").split("validation")
    documents = {row["id"]: row for row in split.documents.to_pylist()}
    tokenizer = load_tokenizer(home / "models" / "large")
    described = json.loads((written / "features.json").read_text())["described"]
    for feature in described[:5]:
        examples = feature["examples"]
        assert len({example["document"] for example in examples}) == len(examples)
        responses = [example["response"] for example in examples]
        assert responses == sorted(responses, reverse=True)
        assert min(responses) > 0
        assert sum(feature["kinds"].values()) == pytest.approx(1)
        for example in examples:
            row = documents[example["document"]]
            assert (example["kind"], example["source"]) == (row["kind"], row["source"])
            whole = tokenizer.decode(split.read(row["start"], row["length"]).tolist(), skip_special_tokens=False)
            assert example["token"] in whole
    length = model.config.max_position_embeddings
    rows = torch.from_numpy(split.read(int(split.spread(length, 10**6)[0]) * length, length))[None]
    x = sparse.residuals(model, rows)[1, 0]
    responses = ((x - state["mean"]) / state["scale"]) @ state["encoder"].T + state["bias"]
    top = responses.topk(4).values.relu()
    code = sparse.SparseCode(x, 64, 4, 1)
    code.load_state_dict({name: state[name] for name in ("decoder", "encoder", "bias")})
    code.mean, code.scale = state["mean"], state["scale"]
    assert torch.allclose(code.encode(x).sum(1), top.sum(1), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 4}, "--layer is 4; expected 0 to 3"),
        ({"active": 65}, "--active is 65; expected 1 to the number of features, 64"),
        ({"steps": 0}, "--steps is 0; expected at least 1"),
    ],
)
def test_options_out_of_range_are_refused(home: Path, tmp_path: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(StepError, match=message):
        sparse.run(inputs_of(home, **options), {"output": tmp_path / "found"}, Params(), Tracker())
