"""A checkpoint as text: what transformers writes, whole characters only, up to the stop string."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.files import write_json
from components.phi import checkpoint
from components.phi.generation import Sampling
from components.phi.model import Phi, PhiConfig
from components.phi.text import TextModel, Wish, until_stop

TINY = PhiConfig(300, 64, 256, 2, 2, 48)
TEXTS = ["def add(a, b):\n    return a + b\n", "Grüße aus Köln, 你好 и привет 👩‍👩‍👧\n"] * 3


@pytest.fixture(scope="module")
def folder(lively: Callable[..., Phi], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a byte-level tokenizer as the pipeline trains it; id 0 ends a text."""
    from components.tokenization import tokenizer

    place = tmp_path_factory.mktemp("text")
    tokenizer.train(TEXTS, 300, place / "tokenizer")
    checkpoint.save(lively(TINY), place / "model", place / "tokenizer", {})
    return place / "model"


@pytest.fixture(scope="module")
def model(folder: Path) -> TextModel:
    return TextModel.load(folder)


class Scripted:
    """Replaces a Phi, and generates the given tokens."""

    def __init__(self, config: PhiConfig, tokens: list[int]) -> None:
        self.config, self.tokens, self.read = config, tokens, 0

    def hidden(self, tokens: torch.Tensor, cache: object) -> torch.Tensor:
        cache.length += tokens.shape[1]
        self.read += 1
        return torch.zeros(1, tokens.shape[1], 1)

    def head(self, states: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor([self.tokens[self.read - 1]]), self.config.vocab_size).float()


def scripted(model: TextModel, tokens: list[int], positions: int = 1000) -> TextModel:
    config = PhiConfig(300, 64, 256, 2, 2, positions)
    return TextModel(model.folder, Scripted(config, tokens), model.tokenizer, model.end_tokens)


@pytest.mark.parametrize("ends", [None, 7, [7, 0, 19]])
def test_greedy_text_is_that_of_transformers_generate(
    folder: Path, tmp_path: Path, ends: int | list[int] | None
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    copy = shutil.copytree(folder, tmp_path / "copy")
    if ends is not None:
        write_json(copy / "generation_config.json", {"eos_token_id": ends, "pad_token_id": 0})
    ours = TextModel.load(copy)
    theirs, tokenizer = AutoModelForCausalLM.from_pretrained(copy), AutoTokenizer.from_pretrained(copy)
    for prompt in ("def add(a, b):", "Grüße", "return a +"):
        inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        length = inputs["input_ids"].shape[1]
        whole = theirs.generate(
            inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=30, do_sample=False
        )
        expected = whole[0, length:].tolist()
        answer = ours.answer(prompt, Wish(30))
        text = "".join(answer)
        assert answer.tokens == len(expected)
        body = expected[:-1] if expected[-1] in ours.end_tokens else expected
        assert text == tokenizer.decode(body, skip_special_tokens=True).rstrip("\ufffd")


@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
def test_pieces_are_whole_characters_and_give_the_text(model: TextModel, text: str) -> None:
    tokens = model.tokenizer.encode(text, add_special_tokens=False).ids
    pieces = list(scripted(model, [*tokens, 0]).answer("def", Wish(len(tokens) + 1)))
    held_back = text.endswith("\ufffd")  # it cannot be told from a character that is not complete
    assert "".join(pieces) == (text.rstrip("\ufffd") if held_back else text)


def test_bytes_of_an_incomplete_character_are_never_shown(model: TextModel) -> None:
    tokens = model.tokenizer.encode("a👧", add_special_tokens=False).ids
    assert list(scripted(model, tokens[:-1]).answer("x", Wish(len(tokens) - 1))) == ["a"]


def test_words_of_a_tokenizer_that_writes_blanks_between_them(
    lively: Callable[..., Phi], tokenizer_dir: Path, tmp_path: Path
) -> None:
    checkpoint.save(lively(PhiConfig(97, 64, 160, 2, 2, 40)), tmp_path / "m", tokenizer_dir, {})
    model = TextModel.load(tmp_path / "m")
    answer = model.answer("w1 w2", Wish(5))
    text = "".join(answer)
    assert text.startswith(" w")
    assert len(text.split()) == answer.tokens == 5


@given(
    pieces=st.lists(st.text(alphabet="ab", max_size=4), max_size=8),
    stops=st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3).map(tuple),
)
def test_where_a_text_stops_does_not_depend_on_its_pieces(pieces: list[str], stops: tuple[str, ...]) -> None:
    text = "".join(pieces)
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    expected = text[: min(ends)[1]] if ends else text
    assert "".join(until_stop(pieces, stops)) == expected


def test_a_stop_string_ends_the_generation(model: TextModel) -> None:
    tokens = model.tokenizer.encode("return a\n\nmore", add_special_tokens=False).ids
    wished = scripted(model, tokens)
    answer = wished.answer("def", Wish(len(tokens), stop=("\n\n",)))
    assert "".join(answer) == answer.text == "return a"
    assert answer.tokens < len(tokens)


def test_sampling_is_a_function_of_the_seed(model: TextModel) -> None:
    one, same, other = (model.complete("def", Wish(20, Sampling(1.5, top_p=0.9, seed=seed))) for seed in (1, 1, 2))
    assert one == same != other


def test_what_no_longer_fits_the_positions_is_counted(model: TextModel) -> None:
    answer = model.answer("def add(a, b):", Wish(200))
    length = len(model.encode("def add(a, b):"))
    for _ in answer:
        assert answer.forgotten == max(0, length + answer.tokens - 1 - 48)
    if answer.tokens == 200:
        assert answer.forgotten > 0
    long = model.answer("def add(a, b):\n" * 40, Wish(1))
    list(long)
    assert long.forgotten == len(model.encode("def add(a, b):\n" * 40)) - 48


def test_an_empty_prompt_begins_a_text(model: TextModel) -> None:
    assert model.encode("") == [0]
    assert model.answer("", Wish(3)) is not None


@pytest.mark.parametrize(
    ("wish", "message"), [({"max_tokens": 0}, "max_tokens is 0"), ({"stop": ("a", "")}, "a stop string is empty")]
)
def test_impossible_wishes_are_refused(wish: dict, message: str) -> None:
    with pytest.raises(StepError, match=message):
        Wish(**wish)


def test_a_prompt_that_is_not_utf8_is_refused(model: TextModel) -> None:
    with pytest.raises(StepError, match="not UTF-8"):
        model.answer("caf\udce9", Wish(3))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "config.json"),
        ("config.json", "{", r"config\.json cannot be read as JSON"),
        ("config.json", {"model_type": "llama"}, "model_type is 'llama'; only 'phi' is read"),
        ("model.safetensors", "cut", r"model\.safetensors cannot be read as safetensors"),
        ("tokenizer.json", None, r"has no tokenizer\.json"),
        ("tokenizer.json", "{}", r"tokenizer\.json is not a tokenizer that the tokenizers library can read"),
        ("generation_config.json", {"eos_token_id": 300}, "eos_token_id is 300; expected an id below vocab_size 300"),
        ("generation_config.json", {"eos_token_id": ["x"]}, "eos_token_id is 'x'"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(
    folder: Path, tmp_path: Path, name: str, content: object, message: str
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(StepError, match=message) as refused:
        TextModel.load(copy)
    assert "\n" not in str(refused.value)


def test_the_tokenizer_of_another_model_is_refused(
    lively: Callable[..., Phi], tokenizer_dir: Path, tmp_path: Path
) -> None:
    checkpoint.save(lively(PhiConfig(50, 64, 160, 2, 2, 40)), tmp_path / "m", tokenizer_dir, {})
    with pytest.raises(StepError, match="highest id is 96, but the model has 50 entries"):
        TextModel.load(tmp_path / "m")
