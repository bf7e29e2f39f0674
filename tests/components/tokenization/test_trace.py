"""Tracing: a position leads to its document, its kind, its source and its text."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.errors import StepError
from components.params import EngineParams, Params, TokenizationParams
from components.tokenization import tokenize, trace
from components.tokenization.tokenizer import Encoder
from components.tokens import Tokens
from components.tracking import Tracker


@pytest.fixture(scope="module")
def tokens(made: Any, write_set: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("traced") / "tokens"
    params = Params(
        tokenization=TokenizationParams(vocab_size=300, validation_fraction=0.1), engine=EngineParams(kind="serial")
    )
    tokenize.run({"documents": [write_set(made(120))]}, {"output": output}, params, Tracker())
    return output


def ask(tokens: Path, position: int, length: int = 1, split: str = "train") -> list[dict[str, Any]]:
    inputs = {"tokens": tokens, "split": split, "position": position, "length": length}
    return trace.run(inputs, {}, Params(), Tracker())["documents"]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_texts_of_a_range_are_the_texts_of_its_tokens(tokens: Path, made: Any, split: str) -> None:
    opened = Tokens.open(tokens).split(split)
    encoder, originals = Encoder(tokens / "tokenizer"), {document.id: document for document in made(120)}
    for start, length in ((0, len(opened)), (5, 40), (len(opened) - 3, 3)):
        found = ask(tokens, start, length, split)
        assert "".join(row["text"] for row in found) == encoder.decode(opened.read(start, length).tolist())
        for row in found:
            original = originals[row["id"]]
            assert (row["kind"], row["source"]) == (original.kind, original.source)
            assert row["text"] in original.text + "<|endoftext|>"


def test_what_is_shown_names_the_document_and_cuts_long_texts(tokens: Path, capsys: Any) -> None:
    split = Tokens.open(tokens).split("train")
    longest = int(np.argmax(split.documents["length"].to_numpy()))
    row = split.row(longest)
    (found,) = ask(tokens, row["start"], row["length"])
    shown = capsys.readouterr().out
    assert found["row"] == longest
    assert f"of document {row['id']} ({row['kind']}, {row['source']}), row {longest:,} of" in shown
    assert f"tokens 0 to {row['length'] - 1:,} of the {row['length']:,}" in shown
    assert found["text"][: trace.SHOWN] + (" ..." if len(found["text"]) > trace.SHOWN else "") in shown


@pytest.mark.parametrize(("position", "length"), [(-1, 1), (0, 0), (0, 10**9), (10**9, 1)])
def test_what_lies_outside_is_refused(tokens: Path, position: int, length: int) -> None:
    with pytest.raises(StepError, match=r"is not within the [\d,]+ tokens of train; the last position is \d+"):
        ask(tokens, position, length)
