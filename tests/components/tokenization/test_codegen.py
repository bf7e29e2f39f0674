"""A folder laid out as CodeGen's, whose tokenizer Phi-1.5 and Phi-2 have: added tokens for runs of blanks, end of text in
the middle of the numbers, a model vocabulary that is larger than the tokenizer's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.documents import Document
from components.params import Params, TokenizationParams, load_params
from components.tokenization import tokenize, tokenizer
from components.tokenization.tokenizer import END_OF_TEXT, Encoder
from components.tokens import Tokens
from components.tracking import Tracker

ENTRIES = 400  # without the added tokens
RUNS = [" " * n for n in range(31, 1, -1)] + ["\t" * n for n in range(9, 1, -1)]  # 38, as CodeGen's
SOURCE = (
    "def total(values):\n        for value in values:\n\t\t\tresult +=   value\n        return result <|endoftext|>\n"
)


@pytest.fixture(scope="module", params=["CodeGenTokenizer", "CodeGenTokenizerFast"])
def codegen(request: Any, made: Callable[[int], list[Document]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    small = Tokenizer(models.BPE())
    small.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=ENTRIES - 1,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    small.train_from_iterator((document.text for document in made(120)), trainer)
    small.decoder = decoders.ByteLevel()
    small.post_processor = processors.ByteLevel(trim_offsets=False)
    small.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False)])
    small.add_tokens([AddedToken(run, normalized=True) for run in RUNS])
    folder = tmp_path_factory.mktemp("codegen")
    small.save(str(folder / "tokenizer.json"))
    small.model.save(str(folder))  # vocab.json and merges.txt
    added = {token.content: number for number, token in small.get_added_tokens_decoder().items()}
    assert added[END_OF_TEXT] == ENTRIES - 1
    files = {
        "added_tokens.json": {run: added[run] for run in RUNS},
        "special_tokens_map.json": dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT),
        "tokenizer_config.json": {
            "add_prefix_space": False,
            "added_tokens_decoder": {
                str(number): {"content": name, "normalized": name in RUNS, "special": name == END_OF_TEXT}
                | dict.fromkeys(("lstrip", "rstrip", "single_word"), False)
                for name, number in added.items()
            },
            "bos_token": END_OF_TEXT,
            "clean_up_tokenization_spaces": True,
            "eos_token": END_OF_TEXT,
            "model_max_length": 2048,
            "tokenizer_class": request.param,
            "unk_token": END_OF_TEXT,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def test_it_is_taken_whole_and_gives_every_text_back(codegen: Path, tmp_path: Path) -> None:
    tokenizer.take(codegen, tmp_path / "taken")
    assert {path.name for path in codegen.iterdir()} == {path.name for path in (tmp_path / "taken").iterdir()}
    encoder = Encoder(tmp_path / "taken")
    assert (encoder.vocab_size, encoder.eos_token_id) == (ENTRIES + len(RUNS), ENTRIES - 1)
    (ids,) = encoder.encode([SOURCE])
    assert max(ids) >= ENTRIES  # runs of blanks are single tokens
    assert encoder.eos_token_id not in ids
    assert encoder.decode(ids) == SOURCE


def test_transformers_reads_what_was_taken_and_gives_the_same_ids(codegen: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.take(codegen, tmp_path / "taken")
    theirs, encoder = AutoTokenizer.from_pretrained(tmp_path / "taken"), Encoder(tmp_path / "taken")
    text = SOURCE.replace(END_OF_TEXT, "")
    assert theirs(text)["input_ids"] == encoder.encode([text])[0]
    assert theirs.decode(encoder.encode([text])[0], clean_up_tokenization_spaces=False) == text
    assert theirs.eos_token_id == encoder.eos_token_id


def test_the_model_vocabulary_is_padded(codegen: Path, made: Any, write_set: Any, tmp_path: Path) -> None:
    given = TokenizationParams(tokenizer=str(codegen), pad_vocab_to_multiple=512, validation_fraction=0.1)
    documents = [*made(20), Document(SOURCE, "code", "a.py", "MIT", "test")]
    inputs, outputs = {"documents": [write_set(documents)]}, {"output": tmp_path / "tokens"}
    summary = tokenize.run(inputs, outputs, Params(tokenization=given), Tracker())
    assert (summary["vocab_size"], summary["tokenizer_vocab_size"]) == (512, ENTRIES + len(RUNS))
    assert summary["lossy_documents"] == 0
    assert Tokens.open(tmp_path / "tokens").manifest.vocab_size == 512


@pytest.mark.parametrize("profile", ["phi-1.5", "phi-2"])
@pytest.mark.parametrize("entries", [50_257 + len(RUNS), 51_200])
def test_the_profiles_give_the_published_vocabulary(root: Path, profile: str, entries: int) -> None:
    """51,200, from CodeGen's tokenizer and from one that is trained with the profile's size."""
    given = load_params(root / "params.yaml", profile=profile).tokenization
    assert given.vocab_size == 51_200
    assert tokenize.padded(entries, given.pad_vocab_to_multiple) == 51_200
