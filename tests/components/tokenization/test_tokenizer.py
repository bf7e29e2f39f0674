"""The tokenizer: lossless, deterministic, read by transformers; an existing one is taken or refused."""

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.documents import Document
from components.errors import StepError
from components.text import bpe
from components.tokenization import tokenizer
from components.tokenization.tokenizer import END_OF_TEXT, Encoder


@pytest.fixture(scope="module")
def encoder(trained: Path) -> Encoder:
    return Encoder(trained)


def test_end_of_text_is_entry_0_and_the_size_is_as_asked(encoder: Encoder) -> None:
    assert encoder.eos_token_id == 0
    assert encoder.vocab_size == 300


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("a\r\n\tb  c\n\n\n  d \u00a0 \U0001f600 e\u0301 123 it's IT'S")
@example(f"a text that spells {END_OF_TEXT} itself")
def test_any_text_comes_back_and_never_holds_end_of_text(encoder: Encoder, text: str) -> None:
    (ids,) = encoder.encode([text])
    assert encoder.eos_token_id not in ids
    assert encoder.decode(ids) == text


def test_digits_stand_alone(encoder: Encoder) -> None:
    (ids,) = encoder.encode(["1234"])
    assert [encoder.decode([token]) for token in ids] == ["1", "2", "3", "4"]


def test_training_is_deterministic_whatever_the_number_of_threads(
    trained: Path, made: Callable[[int], list[Document]], tmp_path: Path
) -> None:
    with tokenizer.all_cores():
        tokenizer.train((document.text for document in made(120)), 300, tmp_path / "again")
    for path in trained.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_transformers_reads_it_and_gives_the_same_ids(trained: Path, encoder: Encoder) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(trained)
    text = "Item 12: the value of a list.\n    def f(x): return x"
    assert theirs(text)["input_ids"] == encoder.encode([text])[0]
    assert theirs.decode(encoder.encode([text])[0]) == text
    assert theirs.eos_token_id == theirs.bos_token_id == theirs.unk_token_id == theirs.pad_token_id == 0


def test_what_names_code_stays_behind(trained: Path, tmp_path: Path) -> None:
    folder = changed(trained, tmp_path, {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}, "eos_token": "a"})
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    (folder / "evil.py").write_text("raise SystemExit")
    tokenizer.take(folder, tmp_path / "taken")
    assert {path.name for path in (tmp_path / "taken").iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    assert "evil" not in (tmp_path / "taken" / "tokenizer_config.json").read_text()


def test_no_file_of_a_tokenizer_is_a_link_that_leads_elsewhere(trained: Path, tmp_path: Path) -> None:
    folder = changed(trained, tmp_path, {"eos_token": "a"})
    (tmp_path / "secret").write_text('{"key": 1}')
    (folder / "added_tokens.json").symlink_to(tmp_path / "secret")
    with pytest.raises(StepError, match=r"'added_tokens\.json' is a link that leads out of its folder"):
        tokenizer.take(folder, tmp_path / "taken")


def test_an_existing_tokenizer_is_taken_whole(trained: Path, tmp_path: Path) -> None:
    tokenizer.take(trained, tmp_path / "taken")
    assert {path.name for path in (tmp_path / "taken").iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    assert Encoder(tmp_path / "taken").sha256 == Encoder(trained).sha256


def test_an_existing_tokenizer_never_cuts_or_fills_a_text(trained: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    shutil.copytree(trained, tmp_path / "cutting")
    cutting = Tokenizer.from_file(str(trained / "tokenizer.json"))
    cutting.enable_truncation(4)
    cutting.enable_padding(length=4)
    cutting.save(str(tmp_path / "cutting" / "tokenizer.json"))
    tokenizer.take(tmp_path / "cutting", tmp_path / "taken")
    text = "the value of a list is read by the function"
    assert Encoder(tmp_path / "taken").encode([text, ""]) == Encoder(trained).encode([text, ""])


def test_the_configured_end_of_text_token_is_kept(trained: Path, tmp_path: Path) -> None:
    folder = changed(trained, tmp_path, {"eos_token": {"content": "the", "special": True}})
    with pytest.raises(StepError, match=r"has no end-of-text token \('the' is not in its vocabulary\)"):
        tokenizer.take(folder, tmp_path / "taken")
    folder = changed(trained, tmp_path, {"eos_token": "a"})
    tokenizer.take(folder, tmp_path / "kept")
    assert Encoder(tmp_path / "kept").eos_token_id != 0


def test_a_tokenizer_without_end_of_text_is_refused(trained: Path, tmp_path: Path) -> None:
    folder = changed(trained, tmp_path, None)
    whole = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(whole.replace(END_OF_TEXT, "<pad>"), encoding="utf-8")
    with pytest.raises(StepError, match=r"has no end-of-text token .* name one as eos_token"):
        tokenizer.take(folder, tmp_path / "taken")


def test_folders_that_hold_no_readable_tokenizer_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"has no tokenizer\.json"):
        tokenizer.take(tmp_path, tmp_path / "a")
    folder = changed(trained, tmp_path, {})
    (folder / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(StepError, match="holds a list; expected a JSON object"):
        tokenizer.take(folder, tmp_path / "b")
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(StepError, match="is not a tokenizer that the tokenizers library can read"):
        tokenizer.take(folder, tmp_path / "c")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("[" * 1_000_000, "cannot be read as JSON.*too deep"),
        ('{"eos_token": ' + "9" * 100_000 + "}", "cannot be read as JSON.*digits"),
        ('{"eos_token": {"special": true}}', "has no end-of-text token"),
        ('{"eos_token": ["a"]}', "has no end-of-text token"),
        ('{"eos_token": "' + "x" * 1_000_000 + '"}', "has no end-of-text token"),
    ],
    ids=["depth", "digits", "no content", "a list", "long"],
)
def test_a_hostile_configuration_is_refused_in_a_line(trained: Path, tmp_path: Path, config: str, words: str) -> None:
    folder = changed(trained, tmp_path, {})
    (folder / "tokenizer_config.json").write_text(config)
    with pytest.raises(StepError, match=words) as refused:
        tokenizer.take(folder, tmp_path / "taken")
    assert len(str(refused.value)) < 500


def test_a_text_that_breaks_the_tokenizer_is_said_in_a_line(trained: Path, tmp_path: Path) -> None:
    folder = changed(trained, tmp_path, {})
    values = json.loads((folder / "tokenizer.json").read_text())
    values["pre_tokenizer"] = {
        "type": "Split", "pattern": {"Regex": "(b+)+$c"}, "behavior": "Isolated", "invert": False
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(StepError, match=r"breaks on a text .*use another tokenizer"):
        Encoder(folder).encode(["b" * 40])


@pytest.mark.parametrize("before", [None, "false"])
def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    if before is None:
        monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    else:
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", before)
    with tokenizer.all_cores():
        assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
    assert os.environ.get("TOKENIZERS_PARALLELISM") == before


def changed(trained: Path, folder: Path, config: dict[str, Any] | None) -> Path:
    """A copy with another tokenizer_config.json, or none."""
    shutil.copytree(trained, folder / "changed", dirs_exist_ok=True)
    path = folder / "changed" / "tokenizer_config.json"
    if config is None:
        path.unlink()
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder / "changed"


def unspaced(alphabet: str, length: int) -> str:
    return "".join(random.Random(1).choices(alphabet, k=length))


@pytest.mark.parametrize(
    "word",
    [
        unspaced("ACGT", 400_000),
        unspaced("的一是不了在人有我他这为之大来以个中上们", 130_000),
        " " * 10**6,
        "=-" * 500_000,
    ],
)
def test_a_word_of_400_kilobytes_is_learnt_from_in_seconds(word: str) -> None:
    before = time.process_time()
    trained = bpe.train([word, "ordinary words " * 9], 2_000)
    assert time.process_time() - before < 10  # a minute, if each merge went over all of the word
    assert trained.decode(trained.encode(word).ids) == word
    assert max(map(len, trained.get_vocab())) > 4


def test_the_bound_changes_nothing_in_ordinary_text(
    made: Callable[[int], list[Document]], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [document.text + "\n\n\n    x = 'y'  # ----\r\n it's 12345.67\t" for document in made(60)]
    bounded = bpe.train(texts, 400).to_str()
    assert not sum(map(bpe.long_words, texts))
    monkeypatch.setattr(bpe, "LONGEST", 50_000)
    assert bpe.train(texts, 400).to_str() == bounded


def test_words_that_are_cut_are_counted() -> None:
    text = f"{'A' * 129} {'B' * 128} {'=' * 200} {'a-' * 100} https://example.org/{'x/' * 100}"
    assert bpe.long_words(text) == 2
