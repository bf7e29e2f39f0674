"""A run's folder in small: a small Phi, one grown from it, one whose weights then moved, a control, and an exam's scores."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.files import write_json
from components.params import ModelParams, ModelShape, Params, TransferParams, check_params
from components.phi.checkpoint import load, save
from components.tracking import Tracker
from components.transfer import transfer
from tests.components.inside.conftest import moved

SHAPE = ModelShape(
    hidden_size=48, intermediate_size=96, num_hidden_layers=4, num_attention_heads=2, partial_rotary_factor=0.34
)
FAMILIES = {"animals": ["cat", "dog", "a cow"], "colours": ["red", "dark blue"]}


@pytest.fixture(scope="session")
def opened(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder: models/{small,grown,large,control}, data/tokens and scores."""
    folder = tmp_path_factory.mktemp("opened")
    shutil.copytree(home / "data" / "tokens", folder / "data" / "tokens")
    shutil.copytree(home / "models" / "small", folder / "models" / "small")
    params = Params(large=ModelParams(model=SHAPE, tokens=1, learning_rate=0.1), transfer=TransferParams())
    inputs = {"source": folder / "models" / "small", "target": "large"}
    inputs |= dict.fromkeys(["operator", "depth_map", "tokens", "seed"])
    transfer.run(inputs, {"output": folder / "models" / "grown"}, params, Tracker())
    grown, tokenizer = load(folder / "models" / "grown"), folder / "data" / "tokens" / "tokenizer"
    save(moved(grown), folder / "models" / "large", tokenizer, {})
    save(moved(grown.initialize(5)), folder / "models" / "control", tokenizer, {})
    write_json(folder / "scores" / "scores.json", {"prompt": "Question: {{question}}\nAnswer:"})
    rows = [
        {"task": task, "id": f"{task}{n}", "question": f"Which is number {n}?", "choices": choices, "answer": n % 2}
        for task, choices in FAMILIES.items()
        for n in range(6)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "scores" / "examples.parquet")
    return folder


def given(folder: Path, model: str = "large", **others: Any) -> dict[str, Any]:
    """The inputs of the step."""
    models = {name: folder / "models" / name for name in ("small", "grown", "control")}
    inputs = {"model": folder / "models" / model, "tokens": folder / "data" / "tokens", "scores": folder / "scores"}
    return models | inputs | others


def light(**settings: Any) -> Params:
    return check_params({"interpretation": {"held_out_tokens": 512, "questions": 4} | settings})
