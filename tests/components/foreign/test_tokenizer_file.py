"""A tokenizer.json from outside costs a line where it is broken, never a crash of the process, its memory or minutes."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from components.foreign.tokenizer_file import breaking, highest_id, open_tokenizer
from components.text import bpe

TEXTS = ["the quick brown fox", "jumps over the lazy dog"] * 9


@pytest.fixture(scope="module")
def sound() -> str:
    return bpe.train(TEXTS, 300).to_str()


def changed(sound: str, change: Callable[[dict[str, Any]], object]) -> str:
    values = json.loads(sound)
    change(values)
    return json.dumps(values)


def model(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda tokenizer: tokenizer["model"].update(values)


def part(name: str, **values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda tokenizer: tokenizer.update({name: values})


def nested(tokenizer: dict[str, Any]) -> None:
    for _ in range(150):
        tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [tokenizer["pre_tokenizer"]]}


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a panic while it is read": part("normalizer", type="Precompiled", precompiled_charsmap="AAAA"),
    "a prefix that cuts a token": model(continuing_subword_prefix="#" * 40),
    "a panic at the first text": part("pre_tokenizer", type="FixedLength", length=0),
    "a regular expression that explodes": part(
        "pre_tokenizer", type="Split", pattern={"Regex": "(a+)+$b"}, behavior="Isolated", invert=False
    ),
    "a text that explodes": part("normalizer", type="Replace", pattern={"Regex": ""}, content="x" * 900_000),
    "a text that explodes more": part("normalizer", type="Replace", pattern={"Regex": ""}, content="x" * 90_000_000),
    "a thousand tokens for a letter": part("normalizer", type="Prepend", prepend="a " * 1_000),
    "a panic while ids are decoded": part("decoder", type="Strip", content="a", start=2**40, stop=2**40),
    "brackets without end": part(
        "pre_tokenizer", type="Split", pattern={"Regex": "(" * 100_000}, behavior="Isolated", invert=False
    ),
    "depth": nested,
    "a merge of nothing": model(merges=["a zzzz"]),
    "a negative id": model(vocab={"a": -1}),
    "a model of another kind": model(type="Llama"),
}
RAW = {
    "brackets": "[" * 1_000_000,
    "a number": "5",
    "a list": "[]",
    "nothing": "",
    "null": "null",
    "no UTF-8": b"\xff\xfe",
    "an enormous name": '{"' + "k" * 10_000_000 + '": 1}',
}


@pytest.mark.parametrize("name", [*HOSTILE, *RAW])
def test_a_hostile_tokenizer_is_refused_in_a_line_within_seconds(name: str, sound: str, tmp_path: Path) -> None:
    data = RAW[name] if name in RAW else changed(sound, HOSTILE[name])
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    started = time.thread_time()
    with pytest.raises(StepError, match=r"tokenizer\.json.* (use another|expected)") as refused:
        open_tokenizer(path)
    assert time.thread_time() - started < 5
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("name", ["pipe", "folder", "large", "device", "socket"])
def test_what_is_not_a_tokenizers_file_is_refused_at_once(name: str, hostile_places: dict[str, Path]) -> None:
    with pytest.raises(StepError, match=r"expected the tokenizer\.json of a fast tokenizer"):
        open_tokenizer(hostile_places[name])


def test_padding_to_terabytes_and_truncation_are_taken_off(sound: str, tmp_path: Path) -> None:
    def pad(tokenizer: dict[str, Any]) -> None:
        tokenizer["padding"] = {
            "strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "x",
        }  # fmt: skip
        tokenizer["truncation"] = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}

    (tmp_path / "tokenizer.json").write_text(changed(sound, pad))
    (tmp_path / "sound.json").write_text(sound)
    ids = open_tokenizer(tmp_path / "sound.json").encode("the fox jumps").ids
    assert open_tokenizer(tmp_path / "tokenizer.json").encode("the fox jumps").ids == ids


def test_the_highest_id_counts_where_ids_have_gaps(sound: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(changed(sound, lambda t: t["model"]["vocab"].update(zz=2**32 - 1)))
    assert highest_id(open_tokenizer(tmp_path / "tokenizer.json")) == 2**32 - 1


def test_what_a_person_stops_is_not_a_broken_tokenizer() -> None:
    with pytest.raises(KeyboardInterrupt), breaking(Path("tokenizer.json")):
        raise KeyboardInterrupt
