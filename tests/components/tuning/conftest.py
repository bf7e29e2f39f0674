"""A tiny Phi with a byte-level tokenizer, and rows to tune it on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from components.params import Params
from components.phi import checkpoint
from components.phi.config import PhiConfig
from components.phi.model import Phi
from components.tracking import Tracker
from components.tuning import tune

END = "<|endoftext|>"
COLOURS = ("red", "blue", "green", "white")
THINGS = ("box", "cup", "hat", "toy", "ball", "door")
LENGTH = 64


def facts() -> list[tuple[str, str, str]]:
    """Questions with a right and a wrong answer."""
    found = []
    for i, thing in enumerate(THINGS):
        for j, other in enumerate(THINGS):
            right = COLOURS[i % 4]
            found.append((f"What colour is the {thing} of the {other}?", right, COLOURS[(i + 1 + j % 3) % 4]))
    return found


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [f"Question: {question}\nAnswer: {right}" for question, right, _ in facts()]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=[END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    source = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(source / "tokenizer.json"))
    roles = {f"{role}_token": END for role in ("bos", "eos", "pad", "unk")}
    (source / "tokenizer_config.json").write_text(json.dumps(roles | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    config = PhiConfig(
        tokenizer.get_vocab_size(), 32, 64, 2, 2, LENGTH, partial_rotary_factor=0.5, initializer_range=0.1
    )
    checkpoint.save(Phi(config).initialize(3), folder, source, {"step": "training", "seed": 3})
    return folder


@pytest.fixture(scope="session")
def write_rows(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Any]], Path]:
    def write(rows: list[Any]) -> Path:
        path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="session")
def answers(write_rows: Callable[[list[Any]], Path]) -> Path:
    return write_rows([{"prompt": question, "completion": right} for question, right, _ in facts()])


@pytest.fixture(scope="session")
def preferences(write_rows: Callable[[list[Any]], Path]) -> Path:
    return write_rows([{"prompt": q, "chosen": right, "rejected": wrong} for q, right, wrong in facts()])


def params_of(**changes: Any) -> Params:
    """Parameters that tune the tiny model in a second."""
    training = {"context_length": LENGTH, "batch_tokens": 256, "micro_batch_tokens": 256, "precision": "float32"}
    training |= {"threads": 1, "validations": 3, "validation_tokens": 256}
    tuning = {
        "epochs": 40,
        "batch_tokens": 256,
        "learning_rate": 0.02,
        "rank": 4,
        "alpha": 8,
        "held_out": 0.1,
    } | changes
    return Params.model_validate({"training": training, "tuning": tuning})


def tuned(
    base: Path, output: Path, data: Path, retain: Path | None = None, tracker: Tracker | None = None, **changes: Any
) -> dict[str, Any]:
    inputs = {"model": base, "data": [data], "retain": [retain] if retain else None, "tokens": None}
    outputs = {"output": output, "curves": output.with_suffix(".csv"), "state": output.with_suffix(".states")}
    return tune.run(inputs, outputs, params_of(**changes), tracker or Tracker())
